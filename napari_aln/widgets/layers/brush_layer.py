"""The brush and the eraser of the ROI: a temporary Labels layer whose strokes become areas at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils import DirectLabelColormap
from psygnal import Signal

from napari_aln.annotations.edit import area_of_mask
from napari_aln.widgets.layers.held import HeldLayer

if TYPE_CHECKING:
    from napari.components import ViewerModel

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

    stroked = Signal(object)  # the painted area in level-0 pixels

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
        self._put(layer)
        self._viewer.layers.selection.active = layer
        layer.mode = "paint"

    def _on_paint(self, _event: Any) -> None:  # noqa: ANN401 - napari's untyped event
        layer = self._layer
        if layer is None:
            return
        painted = np.asarray(layer.data) == PAINT
        rows, columns = np.flatnonzero(painted.any(axis=1)), np.flatnonzero(painted.any(axis=0))
        if not len(rows):
            return
        top, left = int(rows[0]), int(columns[0])
        stroke = painted[top : rows[-1] + 1, left : columns[-1] + 1]
        corner_l0 = (left * self._pixel_l0[0], top * self._pixel_l0[1])
        layer.data = np.zeros_like(layer.data)
        self.stroked.emit(area_of_mask(stroke, self._pixel_l0, corner_l0))
