"""A frame round the patch that is looked at: a dark line outside a light one, both around its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Vectors

from napari_aln.widgets.layers.held import HeldLayer
from napari_aln.widgets.layers.placement import Frame

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_aln.geometry import Rect

NAME = "patch"
COLOURS = ("#ffffff", "#000000")  # inner and outer: one of them stands out on whatever lies beneath
LINE_PX = 3.0  # on the screen, at every zoom
LEAST_CHANGE = 0.05  # of the zoom, before the lines are drawn anew
SIDES = 4


class PatchFrame(HeldLayer):
    """The frame, while a patch is the current one.

    Parameters
    ----------
    viewer
        Where it is shown.
    rank
        Its place among our layers.
    """

    def __init__(self, viewer: ViewerModel, rank: int) -> None:
        super().__init__(viewer, rank)
        self._l0_rect: Rect | None = None
        self._frame = Frame()
        self._zoom = 1.0  # screen pixels on a unit of the world, as drawn last

    def show(self, l0_rect: Rect, frame: Frame, zoom: float) -> None:
        """Frame a patch; `zoom` is screen pixels on a unit of the world."""
        self._l0_rect, self._frame, self._zoom = l0_rect, frame, zoom
        if self._layer is not None:
            self._draw(self._layer, l0_rect)
            self._layer.visible = True
            return
        lines_l0, width_l0 = self._lines(l0_rect)
        layer = Vectors(
            lines_l0,
            ndim=2,
            name=NAME,
            edge_width=width_l0,
            edge_color=np.repeat(COLOURS, SIDES),
            vector_style="line",
            opacity=1.0,
            **frame.of_l0_yx(),
        )
        active = self._viewer.layers.selection.active
        self._put(layer)
        self._viewer.layers.selection.active = active

    def hide(self) -> None:
        """Frame nothing. The layer stays: the next patch is framed sooner."""
        self._l0_rect = None
        if self._layer is not None:
            self._layer.visible = False

    def set_zoom(self, zoom: float) -> None:
        """Keep the lines as wide on the screen as they are."""
        if abs(zoom / self._zoom - 1) < LEAST_CHANGE:
            return
        self._zoom = zoom
        if self._layer is not None and self._l0_rect is not None:
            self._draw(self._layer, self._l0_rect)

    def clear(self) -> None:
        """Take the frame out of the viewer."""
        super().clear()
        self._after_removal()

    def _draw(self, layer: Vectors, l0_rect: Rect) -> None:
        lines_l0, width_l0 = self._lines(l0_rect)
        layer.data = lines_l0
        layer.edge_width = width_l0

    def _lines(self, l0_rect: Rect) -> tuple[NDArray[np.float64], float]:
        """Return start and direction (y, x) of the sides of both lines, and their width, in level-0 px."""
        mpp = self._frame.mpp
        width_l0 = LINE_PX / (self._zoom * (mpp.mean if mpp else 1.0))
        lines = [_sides(l0_rect, (at + 0.5) * width_l0, width_l0) for at in range(len(COLOURS))]
        return np.concatenate(lines), width_l0

    def _after_removal(self) -> None:
        self._l0_rect = None


def _sides(l0_rect: Rect, out_l0: float, width_l0: float) -> NDArray[np.float64]:
    """Return a rectangle's sides, moved outwards; each reaches over the corners, as lines end bluntly."""
    x, y, width, height = l0_rect
    left, top, right, bottom = x - out_l0, y - out_l0, x + width + out_l0, y + height + out_l0
    over = width_l0 / 2
    wide, high = right - left + 2 * over, bottom - top + 2 * over
    return np.array(
        [
            [[top, left - over], [0, wide]],
            [[bottom, left - over], [0, wide]],
            [[top - over, left], [high, 0]],
            [[top - over, right], [high, 0]],
        ]
    )
