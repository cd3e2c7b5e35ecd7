"""Straight lines of one width on the screen, to be looked at only: one mesh, whatever their number.

napari's Vectors would do, but draw a small picture of themselves at every change, which takes longer than the
lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Surface
from napari.utils import Colormap

from napari_aln.widgets.layers.held import HeldLayer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_aln.widgets.layers.placement import Frame

LEAST_CHANGE = 0.05  # of the zoom, before lines are drawn anew
BLACK = (0.0, 0.0, 0.0, 1.0)
FACES = np.array([[0, 1, 2], [1, 3, 2]])  # of a line's four corners


class Look(NamedTuple):
    """How lines look."""

    width_px: float  # on the screen, at every zoom
    opacity: float = 1.0


class LinesLayer(HeldLayer):
    """Lines on the slide.

    Parameters
    ----------
    viewer
        Where they are shown.
    rank
        Their place among our layers.
    name
        In napari's layer list.
    look
        How they look.
    """

    def __init__(self, viewer: ViewerModel, rank: int, name: str, look: Look) -> None:
        super().__init__(viewer, rank)
        self._name, self._look = name, look
        self._world_yx = np.empty((0, 2, 2))
        self._zoom = float(viewer.scene.camera.zoom)
        self._visible = True

    def show(self, lines_l0_xy: NDArray[np.float64], frame: Frame) -> None:
        """Show lines in place of those before.

        Parameters
        ----------
        lines_l0_xy
            (m, 2, 2) start and end of each line, (x, y) in level-0 pixels.
        frame
            The slide's.
        """
        world_yx = frame.world_yx(lines_l0_xy)
        if self._layer is not None and np.array_equal(world_yx, self._world_yx):
            return
        self._world_yx = world_yx
        if not len(lines_l0_xy):
            self.clear()
        elif self._layer is None:
            active = self._viewer.layers.selection.active
            self._put(self._made(frame))
            self._viewer.layers.selection.active = active
        else:
            self._draw()

    def set_zoom(self, zoom: float) -> None:
        """Keep lines as wide on the screen as they are; `zoom` is screen pixels on a unit of the world."""
        if abs(zoom / self._zoom - 1) >= LEAST_CHANGE:
            self._zoom = zoom
            self._draw()

    def set_visible(self, visible: bool) -> None:
        """Show or hide the lines."""
        shows = visible and not self._visible
        self._visible = visible
        if self._layer is not None:
            if shows:
                self._layer.data = self._mesh()  # it may have changed since
            if self._layer.visible != visible:
                self._layer.visible = visible

    def _draw(self) -> None:
        if self._layer is not None and self._visible:
            self._layer.data = self._mesh()

    def _made(self, frame: Frame) -> Surface:
        layer = Surface(
            self._mesh(),
            name=self._name,
            colormap=Colormap([BLACK, BLACK], name="black lines"),
            contrast_limits=(0.0, 1.0),
            shading="none",
            blending="translucent",
            opacity=self._look.opacity,
            visible=self._visible,
            units=frame.units,
        )
        layer.editable = False
        return layer

    def _mesh(self) -> tuple[NDArray[Any], ...]:
        start, end = self._world_yx[:, 0], self._world_yx[:, 1]
        along = end - start
        length = np.hypot(*along.T)[:, None]
        along = np.divide(along, length, out=np.zeros_like(along), where=length > 0)
        half = self._look.width_px / self._zoom / 2
        aside = along[:, ::-1] * (half, -half)
        along *= half  # so that lines which meet at a corner fill it
        start, end = start - along, end + along
        corners = np.stack([start + aside, start - aside, end + aside, end - aside], axis=1)
        faces = FACES + 4 * np.arange(len(start))[:, None, None]
        return corners.reshape(-1, 2), faces.reshape(-1, 3)
