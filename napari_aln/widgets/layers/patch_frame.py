"""A frame round the patch that is looked at: a dark line outside a light one, both around its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils import Colormap

from napari_aln.widgets.layers.lines_layer import LinesLayer, Look

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Surface
    from numpy.typing import NDArray

    from napari_aln.geometry import Rect
    from napari_aln.widgets.layers.placement import Frame

NAME = "patch"
COLOURS = ("white", "black")  # inner and outer: one of them stands out on whatever lies beneath
LINE_PX = 3.0  # on the screen, at every zoom
SIDES = np.array([[[0, 0], [1, 0]], [[1, 0], [1, 1]], [[1, 1], [0, 1]], [[0, 1], [0, 0]]])  # of a unit square
CORNERS = 4  # of the mesh of each line


class PatchFrame(LinesLayer):
    """The frame, while a patch is the current one.

    Parameters
    ----------
    viewer
        Where it is shown.
    rank
        Its place among our layers.
    """

    def __init__(self, viewer: ViewerModel, rank: int) -> None:
        super().__init__(viewer, rank, NAME, Look(LINE_PX))
        self._corner_yx, self._size_yx = np.zeros(2), np.zeros(2)  # of the patch, in the world

    def surround(self, l0_rect: Rect, frame: Frame, zoom: float) -> None:
        """Frame a patch; `zoom` is screen pixels on a unit of the world."""
        self._zoom = zoom
        self._corner_yx, self._size_yx = frame.world_yx([l0_rect[:2], l0_rect[2:]])
        self.set_visible(True)
        self.show(SIDES * l0_rect[2:] + l0_rect[:2], frame)

    def hide(self) -> None:
        """Frame nothing. The layer stays: the next patch is framed sooner."""
        self.set_visible(False)

    def _made(self, frame: Frame) -> Surface:
        layer = super()._made(frame)
        layer.colormap = Colormap(COLOURS, name="light and dark")
        return layer

    def _mesh(self) -> tuple[NDArray[Any], ...]:
        """Return both lines as vertices, faces and, for each vertex, its place between the colours."""
        width = LINE_PX / self._zoom
        lines = []
        for out in (width / 2, 3 * width / 2):
            sides = (SIDES - 0.5) * (self._size_yx + 2 * out)
            lines.append(sides + self._corner_yx + self._size_yx / 2)
        self._world_yx = np.concatenate(lines)
        vertices, faces = super()._mesh()
        return vertices, faces, np.repeat((0.0, 1.0), len(SIDES) * CORNERS)
