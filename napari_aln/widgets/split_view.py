"""A second canvas beside the first: the other run's map on the same slide, both moving together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from napari.qt import QtViewer
from qtpy import compat
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPalette
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from napari_aln.annotations.edit import edges
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.widgets.layers.lines_layer import LinesLayer, Look
from napari_aln.widgets.layers.map_layer import MapLayer
from napari_aln.widgets.layers.patch_frame import PatchFrame
from napari_aln.widgets.layers.regions_layer import EDGE_WIDTH_PX
from napari_aln.widgets.layers.regions_layer import NAME as REGIONS
from napari_aln.widgets.layers.slide_layer import SlideLayer
from napari_aln.widgets.panels.result_card import MODE_PLACES
from napari_aln.widgets.scene import MAP_RANK, PATCH_RANK, REGIONS_RANK, SLIDE_RANK, SURROUND
from napari_aln.widgets.shown import ShownMap, map_of

if TYPE_CHECKING:
    from qtpy.QtWidgets import QBoxLayout, QMainWindow

    from napari_aln.errors import AlnError
    from napari_aln.widgets.scene import Scene
    from napari_aln.widgets.state import ReviewState

LEAST_SHARE = 0.25  # of the width, for either side
KEY_STEP = 0.05
HANDLE_PX = 7
TITLE_PX = 6  # from the canvas's edges
LEAST_MOVE_PX = 0.01
LEAST_ZOOM = 1e-6
FULL = 1000  # both sides together, in stretch factors
TITLE_STYLE = "background-color: rgba(255, 255, 255, 215); color: black; padding: 3px 6px; font-weight: bold;"
"""Dark on light in both themes, as the slide is."""


class CanvasTitle(QLabel):
    """What a canvas shows, in its corner; it wraps where the canvas is too narrow for its lines."""

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self._canvas = canvas
        self.setObjectName("split_title")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setStyleSheet(TITLE_STYLE)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.move(TITLE_PX, TITLE_PX)
        canvas.installEventFilter(self)
        self.show()

    def fit(self) -> None:
        """Take as much room as the text needs and the canvas has."""
        self.setWordWrap(False)
        self.adjustSize()
        room = self._canvas.width() - 2 * TITLE_PX
        if self.width() > room:
            self.setWordWrap(True)
            self.resize(room, self.heightForWidth(room))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the canvas's size."""
        if event.type() == QEvent.Type.Resize:
            self.fit()
        return super().eventFilter(watched, event)


class SplitHandle(QWidget):
    """What is dragged, or moved by the arrow keys, to part the room."""

    moved = Signal(float)  # the left side's share, within the least

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("split_handle")
        self.setAccessibleName("Border between the two views")
        self.setToolTip("Drag, or use the arrow keys")
        self.setFixedWidth(HANDLE_PX)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.share = 0.5

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the mouse."""
        parent = self.parentWidget()
        if parent is None or not event.buttons() & Qt.MouseButton.LeftButton:
            return
        room = parent.contentsRect()
        if room.width():
            x = self.mapToParent(event.position().toPoint()).x() - room.x()
            self._move_to(x / room.width())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move by a step."""
        steps = {Qt.Key.Key_Left: -KEY_STEP, Qt.Key.Key_Right: KEY_STEP}
        step = steps.get(Qt.Key(event.key()))
        if step is None:
            super().keyPressEvent(event)
        else:
            self._move_to(self.share + step)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw a border, brighter while it has the keys."""
        painter = QPainter(self)
        role = QPalette.ColorRole.Highlight if self.hasFocus() else QPalette.ColorRole.Mid
        painter.fillRect(self.rect(), self.palette().color(role))
        painter.end()

    def _move_to(self, share: float) -> None:
        self.share = min(max(share, LEAST_SHARE), 1 - LEAST_SHARE)
        self.moved.emit(self.share)


class Split:
    """Whether there is a second canvas.

    Parameters
    ----------
    first
        The viewer of the first canvas.
    scene
        What lies on the first canvas.
    state
        What is under review.
    """

    def __init__(self, first: ViewerModel, scene: Scene, state: ReviewState) -> None:
        self._first, self._scene, self._state = first, scene, state
        self.view: SplitView | None = None

    def open(self, window: QMainWindow) -> SplitView | None:
        """Split a window's view; None where there are not both runs."""
        self.close()
        if self._state.pair() is not None:
            self.view = SplitView(window, self._first, self._scene, self._state)
        return self.view

    def close(self) -> None:
        """Make the view one again."""
        if self.view is not None:
            self.view.close()
            self.view = None


class SplitView:
    """The second canvas, from when it is made until it is closed.

    Parameters
    ----------
    window
        napari's; its central widget holds the first canvas.
    first
        The viewer of the first canvas.
    scene
        What lies on the first canvas.
    state
        What is under review; a slide and both runs are there.
    """

    def __init__(self, window: QMainWindow, first: ViewerModel, scene: Scene, state: ReviewState) -> None:
        self._first, self._scene, self._state = first, scene, state
        first_widget: Any = window.findChild(QtViewer)
        self._first_widget = first_widget
        self._room: QBoxLayout = first_widget.parentWidget().layout()
        self.model = ViewerModel()
        self.widget = QtViewer(self.model)
        self.widget.setObjectName("split_view")
        self.widget.setAccessibleName("Second view of the slide")
        self.handle = SplitHandle()
        self.handle.moved.connect(self._part)
        self._room.addWidget(self.handle)
        self._room.addWidget(self.widget)
        self.titles = tuple(CanvasTitle(view.canvas.native) for view in (self._first_widget, self.widget))
        self._part(self.handle.share)
        self.slide = SlideLayer(self.model, SLIDE_RANK)
        self.map = MapLayer(self.model, MAP_RANK)
        self.patch = PatchFrame(self.model, PATCH_RANK)
        self.regions = LinesLayer(self.model, REGIONS_RANK, REGIONS, Look(EDGE_WIDTH_PX))
        self.map.set_visible(scene.map.visible)
        self.map.set_opacity(scene.map.opacity)
        self.slide.failed.connect(self._on_failed)
        self.model.canvas.background_color_override = SURROUND
        assert state.slide is not None
        self.slide.show(state.slide, scene.frame)
        bar, bar_of_first = self.model.canvas.overlays.scale_bar, first.canvas.overlays.scale_bar
        bar.visible = bar_of_first.visible
        self.show_maps()
        self._show_regions()
        self._show_frame()
        for camera in (first.scene.camera, self.model.scene.camera):
            camera.events.center.connect(self._on_camera)
            camera.events.zoom.connect(self._on_camera)
        self._follow(first.scene.camera, self.model.scene.camera)
        state.shown_changed.connect(self.show_maps)
        state.case_changed.connect(self._show_regions)
        scene.map.look_changed.connect(self._on_look)
        scene.framed_changed.connect(self._show_frame)

    def other_run(self) -> str | None:
        """Return the run whose map lies on the second canvas: the one of the pair that the first has not."""
        pair, shown = self._state.pair(), self._state.shown
        if pair is None or shown is None:
            return None
        return pair[1] if shown[0] == pair[0] else pair[0]

    def show_maps(self) -> None:
        """Show the other run's map in the second canvas, and say over both what they show."""
        run, shown = self.other_run(), self._state.shown
        if run is None or shown is None:
            self.map.clear()
            return
        found = map_of(self._state, run, shown[1])
        self.map.show(found.table, found.values, found.limits, found.colour_map, self._scene.frame)
        for title, who, what in (
            (self.titles[0], shown[0], self._scene.shown),
            (self.titles[1], run, found),
        ):
            title.setText(self._title_of(who, what))
            title.fit()

    def close(self) -> None:
        """Take the second canvas out of the window, which may itself be going."""
        self._state.shown_changed.disconnect(self.show_maps)
        self._state.case_changed.disconnect(self._show_regions)
        self._scene.map.look_changed.disconnect(self._on_look)
        self._scene.framed_changed.disconnect(self._show_frame)
        for camera in (self._first.scene.camera, self.model.scene.camera):
            camera.events.center.disconnect(self._on_camera)
            camera.events.zoom.disconnect(self._on_camera)
        for layer in (self.patch, self.regions, self.map, self.slide):
            layer.close()
        for part in (*self.titles, self.handle):
            if _is_alive(part):
                part.hide()
                part.deleteLater()
        if _is_alive(self.widget):
            self.widget.close()  # it deletes itself
        if _is_alive(self._first_widget):
            self._room.setStretchFactor(self._first_widget, 0)

    def _show_regions(self) -> None:
        """Outline the ROI, to be looked at: it is changed on the first canvas."""
        self.regions.show(edges(self._state.roi), self._scene.frame)

    def _show_frame(self) -> None:
        if self._scene.framed is None:
            self.patch.hide()
        else:
            self.patch.surround(self._scene.framed, self._scene.frame, self.model.scene.camera.zoom)

    def _title_of(self, run: str, shown: ShownMap | str | None) -> str:
        if not isinstance(shown, ShownMap):
            return f"{run.upper()}\n{RESEARCH_NOTICE}"
        mode = self._state.answers[run].record.mode
        is_difference = self._state.difference and run != self.other_run()
        who = "Difference" if is_difference else f"{run.upper()}, {MODE_PLACES[mode]}"
        who = f"{who} · {shown.source}"
        how = f", {shown.how}" if shown.how else ""
        return f"{who}\n{shown.style.quantity} ({shown.style.unit}){how}\n{RESEARCH_NOTICE}"

    def _part(self, share: float) -> None:
        self._room.setStretchFactor(self._first_widget, round(share * FULL))
        self._room.setStretchFactor(self.widget, round((1 - share) * FULL))

    def _on_camera(self, event: Any) -> None:  # noqa: ANN401 - napari's untyped event
        for layer in (self.patch, self.regions):
            layer.set_zoom(self.model.scene.camera.zoom)
        cameras = self._first.scene.camera, self.model.scene.camera
        source = event.source
        self._follow(source, cameras[1] if source is cameras[0] else cameras[0])

    def _follow(self, source: Any, other: Any) -> None:  # noqa: ANN401 - napari's cameras
        # Each canvas reads its camera back with an error of rounding: without a limit they would never rest.
        limit = LEAST_MOVE_PX / source.zoom
        if not np.allclose(other.center, source.center, rtol=0.0, atol=limit):
            other.center = source.center
        if not np.isclose(other.zoom, source.zoom, rtol=LEAST_ZOOM, atol=0.0):
            other.zoom = source.zoom

    def _on_failed(self, error: AlnError) -> None:
        self._scene.trouble.emit(error)

    def _on_look(self, visible: bool, opacity: float) -> None:
        self.map.set_visible(visible)
        self.map.set_opacity(opacity)


def _is_alive(widget: QWidget) -> bool:
    alive: bool = compat.isalive(widget)  # type: ignore[no-untyped-call]
    return alive
