"""The menu of the right mouse button: what can be done with the region, or the place, under the pointer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import shapely
from qtpy.QtCore import QEvent, QObject, QPoint, Qt
from qtpy.QtWidgets import QApplication, QMenu, QWidget

from napari_aln.annotations.unnamed import without_names
from napari_aln.widgets.canvases import canvases_of, l0_xy_under, viewer_of
from napari_aln.widgets.panels.navigation import POWERS
from napari_aln.widgets.panels.region_list import region_title

if TYPE_CHECKING:
    from qtpy.QtGui import QMouseEvent

    from napari_aln.widgets.review import Review


class SlideMenu(QObject):
    """Opens on a right click; dragging with that button stays napari's zoom.

    Parameters
    ----------
    parent
        Lends its look.
    review
        The slide and its regions.
    """

    def __init__(self, parent: QWidget, review: Review) -> None:
        super().__init__(parent)
        self._parent = parent
        self._scene, self._roi, self._state = review.scene, review.roi, review.state
        self._pressed_at: QPoint | None = None

    def watch(self, window: QWidget) -> None:
        """Look at the mouse on every canvas of a window; again does no harm."""
        for canvas in canvases_of(window):
            canvas.installEventFilter(self)

    def eventFilter(self, canvas: QObject, event: QEvent) -> bool:
        """Open the menu when the right button goes up where it went down; nothing is kept from napari."""
        kind = event.type()
        if kind == QEvent.Type.MouseButtonPress:
            is_right = event.button() == Qt.MouseButton.RightButton  # type: ignore[attr-defined]
            self._pressed_at = _place(event) if is_right else None  # type: ignore[arg-type]
        elif kind == QEvent.Type.MouseMove and self._pressed_at is not None:
            moved_px = (_place(event) - self._pressed_at).manhattanLength()  # type: ignore[arg-type]
            if moved_px >= QApplication.startDragDistance():
                self._pressed_at = None
        elif kind == QEvent.Type.MouseButtonRelease and self._pressed_at is not None:
            at, self._pressed_at = self._pressed_at, None
            if isinstance(canvas, QWidget):
                self._open_on(canvas, at)
        return False

    def open_for(self, place: int, at: QPoint) -> None:
        """Open the menu of a region at a place of the screen."""
        if place < len(self._state.regions):
            menu = self._menu()
            self._add_region(menu, place)
            menu.popup(at)

    def _open_on(self, canvas: QWidget, at: QPoint) -> None:
        viewer = viewer_of(canvas)
        if viewer is None or self._state.slide is None or self._scene.regions.is_drawing:
            return
        x, y = l0_xy_under(canvas, at, viewer, self._scene.frame)
        menu = self._menu()
        point = shapely.Point(x, y)
        here = [place for place, one in enumerate(self._state.regions) if one.geometry.intersects(point)]
        for place in reversed(here):  # the one drawn on top comes first
            self._add_region(menu, place)
            menu.addSeparator()
        for power in POWERS if self._scene.frame.mpp else ():
            menu.addAction(f"{power}x here", partial(self._scene.magnify_at, (x, y), power))
        menu.addAction("Whole slide", self._scene.fit)
        menu.addSeparator()
        menu.addAction("Copy the position", partial(_copy, self._position(x, y)))
        menu.popup(canvas.mapToGlobal(at))

    def _menu(self) -> QMenu:
        menu = QMenu(self._parent)
        menu.setObjectName("slide_menu")
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        return menu

    def _add_region(self, menu: QMenu, place: int) -> None:
        regions = self._state.regions
        region = (without_names(regions) if self._state.hide_names else regions)[place]
        # Not a section: where there is a style sheet, Qt draws that without its text.
        menu.addAction(region_title(place, region.name)).setEnabled(False)
        menu.addAction("Show all of it", partial(self._scene.show_area, region.geometry.bounds))
        use = "Set aside" if region.in_use else "Use again"
        menu.addAction(use, partial(self._roi.set_in_use, place, not region.in_use))
        menu.addAction("Remove", partial(self._roi.remove, place))

    def _position(self, x: float, y: float) -> str:
        text = f"x {x:.0f}, y {y:.0f} px of level 0"
        mpp = self._scene.frame.mpp
        return text if mpp is None else f"{text} ({x * mpp.x:.1f}, {y * mpp.y:.1f} µm)"


def _place(event: QMouseEvent) -> QPoint:
    return event.position().toPoint()


def _copy(text: str) -> None:
    QApplication.clipboard().setText(text)
