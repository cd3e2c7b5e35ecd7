"""The canvases of a window: which viewer each shows, and which place of the slide lies under a pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.qt import QtViewer
from qtpy import compat

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray
    from qtpy.QtCore import QPoint
    from qtpy.QtWidgets import QWidget

    from napari_aln.widgets.layers.placement import Frame


def canvases_of(window: QWidget) -> list[QWidget]:
    """Return the canvases of a window that are not just going."""
    canvases = (view.canvas.native for view in window.findChildren(QtViewer))
    return [canvas for canvas in canvases if is_alive(canvas)]


def viewer_of(canvas: QWidget) -> ViewerModel | None:
    """Return the viewer that a canvas shows."""
    widget: QWidget | None = canvas
    while widget is not None and not isinstance(widget, QtViewer):
        widget = widget.parentWidget()
    return None if widget is None else widget.viewer


def l0_xy_under(canvas: QWidget, at: QPoint, viewer: ViewerModel, frame: Frame) -> NDArray[np.float64]:
    """Return the level-0 pixel that is drawn at a pixel of the canvas."""
    off_yx = (at.y() - canvas.height() / 2, at.x() - canvas.width() / 2)
    camera = viewer.scene.camera
    return frame.l0_xy(np.add(camera.center[-2:], np.divide(off_yx, camera.zoom)))


def is_alive(widget: QWidget) -> bool:
    """Whether Qt has not deleted a widget yet."""
    alive: bool = compat.isalive(widget)  # type: ignore[no-untyped-call]
    return alive
