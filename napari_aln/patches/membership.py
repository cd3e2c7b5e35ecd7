"""Which cells of the grid belong to drawn regions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import shapely

from napari_aln.records import PatchTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from napari_aln.records import PatchGrid, Region


_SHARE_TOLERANCE = 1e-9
"""Areas are sums of rounded products: a box over exactly 0.7 of a cell may come out a few 1e-16 below."""


def roi_share(grid: PatchGrid, regions: Sequence[Region]) -> tuple[PatchTable, NDArray[np.float64]]:
    """Return the cells that the regions touch, and the share of each that lies inside.

    Parameters
    ----------
    grid
        The slide's grid.
    regions
        Valid polygons or multipolygons in level-0 pixels. Where they overlap, the area counts once; a hole is
        outside unless another region covers it.

    Returns
    -------
    table
        Cells with a share above zero, in row-major order.
    share
        (n,) area of the cell inside the union of the regions, over the area of the cell.
    """
    union = shapely.union_all([region.geometry for region in regions])
    cell = np.unique(
        np.concatenate([_cells_near(grid, part) for part in shapely.get_parts(union)] or [_NONE])
    )
    row, column = np.divmod(cell, max(grid.columns, 1))
    table = PatchTable(grid, column.astype(np.int32), row.astype(np.int32))
    share = _share_inside(union, table)
    touched = share > 0
    return table.take(touched), share[touched]


_NONE = np.empty(0, dtype=np.int64)


def _cells_near(grid: PatchGrid, part: BaseGeometry) -> NDArray[np.int64]:
    """Return the flat indices of the cells that the bounding box of a polygon touches."""
    step_x, step_y = grid.step_l0
    left, top, right, bottom = part.bounds
    columns = np.arange(max(0, math.floor(left / step_x)), min(grid.columns, math.ceil(right / step_x)))
    rows = np.arange(max(0, math.floor(top / step_y)), min(grid.rows, math.ceil(bottom / step_y)))
    flat: NDArray[np.int64] = (rows[:, None].astype(np.int64) * grid.columns + columns).ravel()
    return flat


def _share_inside(union: BaseGeometry, table: PatchTable) -> NDArray[np.float64]:
    """Return the (n,) share of each cell inside a geometry; only cells on its boundary are cut exactly."""
    step_x, step_y = table.grid.step_l0
    x, y = table.column * step_x, table.row * step_y
    boxes = shapely.box(x, y, (table.column + 1) * step_x, (table.row + 1) * step_y)
    shapely.prepare(union)
    share = shapely.contains_properly(union, boxes).astype(np.float64)
    cut = (share == 0) & shapely.intersects(union, boxes)
    share[cut] = shapely.area(shapely.intersection(boxes[cut], union)) / (step_x * step_y)
    at_most_whole: NDArray[np.float64] = np.minimum(share, 1.0)
    return at_most_whole


def inside(grid: PatchGrid, regions: Sequence[Region], min_roi_share: float) -> PatchTable:
    """Return the cells of which at least `min_roi_share` lies inside the regions, in row-major order."""
    table, share = roi_share(grid, regions)
    return table.take(_enough(share, min_roi_share))


def belongs(table: PatchTable, regions: Sequence[Region], min_roi_share: float) -> NDArray[np.bool_]:
    """Return which patches lie inside the regions by at least `min_roi_share`.

    Parameters
    ----------
    table
        Any n patches. Those of reference patching were cut out of the regions: they all belong.
    regions
        As for `roi_share`; without any, no patch of the grid belongs.
    min_roi_share
        In 0..1, as for `inside`, which takes the same cells.

    Returns
    -------
    (n,) bool
    """
    if table.origin_l0 is not None:
        return np.ones(len(table), dtype=bool)
    union = shapely.union_all([region.geometry for region in regions])
    return _enough(_share_inside(union, table), min_roi_share)


def _enough(share: NDArray[np.float64], min_roi_share: float) -> NDArray[np.bool_]:
    enough: NDArray[np.bool_] = (share > 0) & (share >= min_roi_share - _SHARE_TOLERANCE)
    return enough
