"""The tissue mask on the slide: 1 is tissue, 2 is pen. A person may paint in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils import DirectLabelColormap
from psygnal import Signal

from napari_aln.widgets.layers.held import HeldLayer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_aln.patches.tissue import TissueMask
    from napari_aln.widgets.layers.placement import Frame

NAME = "tissue mask"
TISSUE, PEN = 1, 2
COLOURS = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0), TISSUE: "#00a087", PEN: "#3c5aff"}
BRUSH_PX = 20


class MaskLayer(HeldLayer):
    """The tissue mask, shown when asked for.

    Parameters
    ----------
    viewer
        Where it is shown.
    rank
        Its place among our layers.
    """

    painted = Signal(object, object)  # tissue and pen, (H, W) bool each, after a stroke

    def __init__(self, viewer: ViewerModel, rank: int) -> None:
        super().__init__(viewer, rank)

    def show(self, mask: TissueMask, pixel_l0: tuple[float, float], frame: Frame) -> None:
        """Show a mask; its pixels span `pixel_l0` (x, y) level-0 pixels."""
        labels = np.where(mask.pen, PEN, np.where(mask.tissue, TISSUE, 0)).astype(np.uint8)
        if self._layer is not None:
            self._layer.data = labels
            return
        layer = Labels(
            labels,
            name=NAME,
            colormap=DirectLabelColormap(color_dict=COLOURS),
            opacity=0.4,
            **frame.of_picture(pixel_l0),
        )
        layer.brush_size = BRUSH_PX
        layer.events.paint.connect(self._on_paint)
        active = self._viewer.layers.selection.active
        self._put(layer)
        self._viewer.layers.selection.active = active

    def edit(self, on: bool) -> None:
        """Give the user a brush for tissue, or take it away."""
        if self._layer is None:
            return
        if on:
            self._viewer.layers.selection.active = self._layer
            self._layer.selected_label = TISSUE
        self._layer.mode = "paint" if on else "pan_zoom"

    def _on_paint(self, _event: Any) -> None:  # noqa: ANN401 - napari's untyped event
        labels: NDArray[np.uint8] = np.asarray(self._layer.data)  # type: ignore[union-attr]
        self.painted.emit(labels == TISSUE, labels == PEN)
