"""Per-patch values as a picture of the grid: what maps on screen, in reports and on disk are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_aln.records import PatchTable

OFF_GRID_SUBDIVISION = 16


def raster(table: PatchTable, values: ArrayLike) -> NDArray[np.float32]:
    """Lay per-patch values out as a (rows, columns) picture of the grid; NaN where no patch lies.

    Patches off the grid (reference patching) are drawn on cells 16 times finer, so that a patch lies within
    1/16 of its side of its true place.
    """
    grid = table.grid
    values = np.asarray(values, np.float32)
    if table.origin_l0 is None:
        picture = np.full((grid.rows, grid.columns), np.nan, np.float32)
        picture[table.row, table.column] = values
        return picture
    fine = OFF_GRID_SUBDIVISION
    picture = np.full((grid.rows * fine, grid.columns * fine), np.nan, np.float32)
    corners = np.rint(table.l0_xy / np.asarray(grid.step_l0) * fine).astype(int)
    for (x, y), value in zip(corners, values, strict=True):
        picture[y : y + fine, x : x + fine] = value
    return picture


def pixel_l0(table: PatchTable) -> tuple[float, float]:
    """Return how many level-0 pixels a pixel of `raster` spans, along x and y."""
    finer = 1 if table.origin_l0 is None else OFF_GRID_SUBDIVISION
    step_x, step_y = table.grid.step_l0
    return step_x / finer, step_y / finer
