"""The brush and the eraser of the ROI: a temporary Labels layer whose strokes become areas at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils import DirectLabelColormap
from psygnal import Signal

from napari_aln.annotations.edit import area_of_mask
from napari_aln.widgets.history import REDO_KEY, UNDO_KEY
from napari_aln.widgets.layers.held import HeldLayer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from shapely.geometry.base import BaseGeometry

    from napari_aln.widgets.layers.placement import Frame

NAME = "ROI brush"
PAINT = 1
LONGEST_SIDE_PX = 4096  # of the layer: 16 MB, and strokes of a few µm on a biopsy slide
FINEST_L0 = 4.0  # level-0 pixels that one of its pixels spans at least
BRUSH_PX = 25
COLOURS = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0), PAINT: "#ffd400"}


class BrushLayer(HeldLayer):
    """Takes strokes; there only while the brush is in hand.

    Parameters
    ----------
    viewer
        Where it is shown.
    rank
        Its place among our layers.
    """

    stroking = Signal(object)  # the area painted so far, in level-0 pixels
    stroked = Signal(object)  # the painted area in level-0 pixels
    undo_wanted = Signal()
    redo_wanted = Signal()

    def __init__(self, viewer: ViewerModel, rank: int) -> None:
        super().__init__(viewer, rank)
        self._pixel_l0 = (1.0, 1.0)

    def take(self, size_px: tuple[int, int], frame: Frame) -> None:
        """Give the user a brush over a slide of this level-0 size (width, height)."""
        step = max(FINEST_L0, max(size_px) / LONGEST_SIDE_PX)
        self._pixel_l0 = (step, step)
        width, height = (int(np.ceil(side / step)) for side in size_px)
        layer = Labels(
            np.zeros((height, width), np.uint8),
            name=NAME,
            colormap=DirectLabelColormap(color_dict=COLOURS),
            opacity=0.5,
            **frame.of_picture(self._pixel_l0),
        )
        layer.brush_size = BRUSH_PX
        layer.selected_label = PAINT
        layer.events.paint.connect(self._on_paint)
        # Its own history knows none of its strokes: each became an area.
        layer.bind_key(UNDO_KEY, lambda _layer: self.undo_wanted.emit(), overwrite=True)
        layer.bind_key(REDO_KEY, lambda _layer: self.redo_wanted.emit(), overwrite=True)
        self._put(layer)
        self._viewer.layers.selection.active = layer
        layer.mode = "paint"
        layer.mouse_drag_callbacks.append(self._follow_drag)  # after the brush's own

    def _on_paint(self, _event: Any) -> None:  # noqa: ANN401 - napari's untyped event
        area = self._area()
        if area is not None and self._layer is not None:
            self._layer.data = np.zeros_like(self._layer.data)
            self.stroked.emit(area)

    def _follow_drag(self, _layer: Labels, event: Any) -> Iterator[None]:  # noqa: ANN401 - napari's event
        yield
        while event.type == "mouse_move":
            area = self._area()
            if area is not None:
                self.stroking.emit(area)
            yield

    def _area(self) -> BaseGeometry | None:
        """Return what is painted, in level-0 pixels."""
        if self._layer is None:
            return None
        painted = np.asarray(self._layer.data) == PAINT
        rows = np.flatnonzero(painted.any(axis=1))
        if not len(rows):
            return None
        columns = np.flatnonzero(painted[rows[0] : rows[-1] + 1].any(axis=0))
        top, left = int(rows[0]), int(columns[0])
        stroke = painted[top : rows[-1] + 1, left : columns[-1] + 1]
        corner_l0 = (left * self._pixel_l0[0], top * self._pixel_l0[1])
        return area_of_mask(stroke, self._pixel_l0, corner_l0)
