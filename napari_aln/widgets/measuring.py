"""The measure tool: a line is dragged on the slide, its length stands beside it.

It takes the mouse before napari does, so that it works over any layer, and whatever tool is in hand there
stays in hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, QObject, QPoint, Qt, Signal
from qtpy.QtWidgets import QLabel, QWidget

from napari_aln.geometry import length_um
from napari_aln.widgets.canvases import canvases_of, is_alive, l0_xy_under, viewer_of
from napari_aln.widgets.layers.lines_layer import LinesLayer, Look
from napari_aln.widgets.panels.labels import length_text
from napari_aln.widgets.scene import REGIONS_RANK
from napari_aln.widgets.split_view import TITLE_STYLE

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray
    from qtpy.QtGui import QKeyEvent, QMouseEvent

    from napari_aln.widgets.scene import Scene
    from napari_aln.widgets.state import ReviewState

NAME = "measured line"
RANK = REGIONS_RANK + 4  # above all of ours
LOOK = Look(width_px=2.0)
TICK_PX = 12  # across the line's ends
LABEL_AWAY_PX = 14  # from the line's end, clear of the mouse
NO_MPP = "No length: µm/px is missing, set it under Slide"
MOUSE = (QEvent.Type.MouseButtonPress, QEvent.Type.MouseMove, QEvent.Type.MouseButtonRelease)


class Measuring(QObject):
    """The tool and the line it drew last.

    Parameters
    ----------
    scene
        Where the slide lies.
    state
        The slide under review.
    """

    changed = Signal()  # in hand or not, or another length

    def __init__(self, scene: Scene, state: ReviewState) -> None:
        super().__init__()
        self._scene, self._state = scene, state
        self.in_hand = False
        self.text = ""
        self.l0_xy: NDArray[np.float64] | None = None  # (2, 2) ends of the line in level-0 pixels
        self._canvases: list[QWidget] = []
        self._dragging = False
        self._lines: LinesLayer | None = None
        self._viewer: ViewerModel | None = None  # of the canvas that was measured on
        self._label: QLabel | None = None
        scene.slide_leaving.connect(self._on_slide_leaving)

    def watch(self, window: QWidget) -> None:
        """Look at the mouse on every canvas of a window; again does no harm."""
        self._canvases = canvases_of(window)
        for canvas in self._canvases:
            canvas.installEventFilter(self)

    def take(self, on: bool) -> None:
        """Take the tool in hand, or put it away; the line stays."""
        self.in_hand = on and self._state.slide is not None
        self._dragging = False
        for canvas in filter(is_alive, self._canvases):
            if self.in_hand:
                canvas.setCursor(Qt.CursorShape.CrossCursor)
            else:
                canvas.unsetCursor()
        if self.in_hand and self._canvases:
            self._canvases[0].setFocus()  # Esc is heard there
        self.changed.emit()

    def toggle(self) -> None:
        """Take the tool in hand, or put it away."""
        self.take(not self.in_hand)

    def clear(self) -> None:
        """Take the line off the slide."""
        self.l0_xy, self.text = None, ""
        self._leave()
        self.changed.emit()

    def close(self) -> None:
        """Put the tool away and stop listening."""
        self._scene.slide_leaving.disconnect(self._on_slide_leaving)
        self._canvases = []
        self._leave()

    def eventFilter(self, canvas: QObject, event: QEvent) -> bool:
        """Take the left button and Esc while the tool is in hand; wheel and all else stay napari's."""
        kind = event.type()
        if not self.in_hand or not isinstance(canvas, QWidget):
            return False
        if kind in (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride):
            return self._on_key(event, ends=kind == QEvent.Type.KeyPress)  # type: ignore[arg-type]
        if kind == QEvent.Type.MouseButtonDblClick:
            return bool(event.button() == Qt.MouseButton.LeftButton)  # type: ignore[attr-defined]
        return kind in MOUSE and self._on_mouse(canvas, event)  # type: ignore[arg-type]

    def _on_key(self, event: QKeyEvent, *, ends: bool) -> bool:
        if event.key() != Qt.Key.Key_Escape:
            return False
        event.accept()
        if ends:
            self.take(False)
        return True

    def _on_mouse(self, canvas: QWidget, event: QMouseEvent) -> bool:
        kind = event.type()
        if kind == QEvent.Type.MouseButtonPress and event.button() == Qt.MouseButton.LeftButton:
            self._begin(canvas, event.position().toPoint())
            return True
        if not self._dragging:
            # A half-drawn shape would follow the mouse.
            return kind == QEvent.Type.MouseMove and self._scene.regions.is_drawing
        if kind == QEvent.Type.MouseMove:
            self._end_at(event.position().toPoint())
            return True
        if event.button() != Qt.MouseButton.LeftButton:
            return False
        self._end_at(event.position().toPoint())
        self._dragging = False
        if self.l0_xy is None or (self.l0_xy[0] == self.l0_xy[1]).all():
            self.clear()  # a click, not a line
        return True

    def _begin(self, canvas: QWidget, at: QPoint) -> None:
        viewer = viewer_of(canvas)
        if viewer is None:
            return
        if viewer is not self._viewer:
            self._leave()
            self._enter(viewer, canvas)
        self._dragging = True
        here = self._l0_xy(at)
        self.l0_xy = np.array([here, here])
        self._show()

    def _enter(self, viewer: ViewerModel, canvas: QWidget) -> None:
        self._viewer = viewer
        self._lines = LinesLayer(viewer, RANK, NAME, LOOK)
        self._lines.removed.connect(self.clear)
        viewer.scene.camera.events.zoom.connect(self._on_view)
        viewer.scene.camera.events.center.connect(self._on_view)
        viewer.canvas.events.size.connect(self._on_view)
        self._label = _label(canvas)

    def _end_at(self, at: QPoint) -> None:
        if self.l0_xy is not None and self._viewer is not None:
            self.l0_xy = np.array([self.l0_xy[0], self._l0_xy(at)])
            self._show()

    def _show(self) -> None:
        if self.l0_xy is None or self._lines is None:
            return
        mpp = self._scene.frame.mpp
        self.text = NO_MPP if mpp is None else length_text(length_um(self.l0_xy, mpp))
        self._draw()
        self.changed.emit()

    def _draw(self) -> None:
        """Draw the line with a tick across each end, and its length beside the second."""
        viewer, label = self._viewer, self._label
        if self.l0_xy is None or self._lines is None or viewer is None or label is None:
            return
        if not is_alive(label):  # it went with the second canvas
            return
        frame, zoom = self._scene.frame, viewer.scene.camera.zoom
        ends = frame.world_yx(self.l0_xy)
        along = ends[1] - ends[0]
        length = float(np.hypot(*along))
        lines = [ends]
        if length:
            across = along[::-1] * (1, -1) / length * TICK_PX / 2 / zoom
            lines += [np.stack([end - across, end + across]) for end in ends]
        self._lines.set_zoom(zoom)
        self._lines.show(frame.l0_xy(np.stack(lines)), frame)
        label.setText(self.text)
        label.adjustSize()
        canvas = label.parentWidget()
        assert canvas is not None
        y, x = ((ends[1] - viewer.scene.camera.center[-2:]) * zoom).tolist()
        x, y = x + canvas.width() / 2, y + canvas.height() / 2
        label.setVisible(0 <= x <= canvas.width() and 0 <= y <= canvas.height())
        left = min(max(x + LABEL_AWAY_PX, 0), canvas.width() - label.width())
        top = min(max(y + LABEL_AWAY_PX, 0), canvas.height() - label.height())
        label.move(round(left), round(top))

    def _l0_xy(self, at: QPoint) -> NDArray[np.float64]:
        """Return the level-0 pixel that is drawn at a place of the canvas."""
        assert self._viewer is not None
        assert self._label is not None
        canvas = self._label.parentWidget()
        assert canvas is not None
        return l0_xy_under(canvas, at, self._viewer, self._scene.frame)

    def _leave(self) -> None:
        """Take line and length off the canvas that was measured on, which may itself be going."""
        lines, self._lines = self._lines, None
        viewer, self._viewer = self._viewer, None
        label, self._label = self._label, None
        if viewer is not None:
            viewer.scene.camera.events.zoom.disconnect(self._on_view)
            viewer.scene.camera.events.center.disconnect(self._on_view)
            viewer.canvas.events.size.disconnect(self._on_view)
        if lines is not None:
            lines.removed.disconnect(self.clear)
            lines.close()
        if label is not None and is_alive(label):
            label.hide()
            label.deleteLater()

    def _on_view(self) -> None:
        self._draw()

    def _on_slide_leaving(self) -> None:
        self.take(False)
        self.clear()


def _label(canvas: QWidget) -> QLabel:
    label = QLabel(canvas)
    label.setObjectName("measured_label")
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setStyleSheet(TITLE_STYLE)
    label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    return label
