"""Which cells of the grid belong to drawn regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

from napari_aln.latest import keep_latest
from napari_aln.patches.coverage import coverage
from napari_aln.records import PatchTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from napari_aln.patches.coverage import Coverage
    from napari_aln.records import PatchGrid, Region

_SHARE_TOLERANCE = 1e-9
"""Areas are sums of rounded products: a box over exactly 0.7 of a cell may come out a few 1e-16 below."""

_UNCLEAR = 1e-6
"""This near to the share wanted, a cell is cut out and measured by itself. The sweep errs by far less."""


def inside(grid: PatchGrid, regions: Sequence[Region], min_roi_share: float) -> PatchTable:
    """Return the cells of which at least a share lies inside the regions, in row-major order.

    Parameters
    ----------
    grid
        The slide's grid.
    regions
        Valid polygons or multipolygons in level-0 pixels. Where they overlap, the area counts once; a hole is
        outside unless another region covers it.
    min_roi_share
        In 0..1: area of the cell inside the union of the regions, over the area of the cell, right to 1e-9.
    """
    union, found = _covered(grid, _outlines(regions))
    at_all = _cells(grid, found, np.ones(found.share.shape, bool))
    return at_all.take(_enough(at_all, found.share.ravel(), union, min_roi_share))


def belongs(table: PatchTable, regions: Sequence[Region], min_roi_share: float) -> NDArray[np.bool_]:
    """Return which patches lie inside the regions by at least `min_roi_share`.

    Parameters
    ----------
    table
        Any n patches. Those of reference patching were cut out of the regions: they all belong.
    regions
        As for `inside`; without any, no patch of the grid belongs.
    min_roi_share
        In 0..1, as for `inside`, which takes the same cells.

    Returns
    -------
    (n,) bool
    """
    if table.origin_l0 is not None:
        return np.ones(len(table), dtype=bool)
    union, found = _covered(table.grid, _outlines(regions))
    return _enough(table, found.at(table.row, table.column), union, min_roi_share)


def _outlines(regions: Sequence[Region]) -> tuple[BaseGeometry, ...]:
    return tuple(region.geometry for region in regions)


@keep_latest  # 8 bytes for each cell of the window that the regions span
def _covered(grid: PatchGrid, outlines: tuple[BaseGeometry, ...]) -> tuple[BaseGeometry, Coverage]:
    """Return the union of outlines and how much of each cell it covers."""
    union = outlines[0] if len(outlines) == 1 else shapely.union_all(outlines)
    found = coverage(grid, union)
    found.share.setflags(write=False)
    return union, found


def _cells(grid: PatchGrid, found: Coverage, where: NDArray[np.bool_]) -> PatchTable:
    """Return the cells at a boolean array over the window of a coverage."""
    row, column = np.nonzero(where)
    return PatchTable(grid, (column + found.column).astype(np.int32), (row + found.row).astype(np.int32))


def _enough(
    table: PatchTable, share: NDArray[np.float64], union: BaseGeometry, min_roi_share: float
) -> NDArray[np.bool_]:
    """Return which cells lie inside by enough: by the sweep's share, or measured where that is near."""
    wanted = min_roi_share - _SHARE_TOLERANCE
    enough: NDArray[np.bool_] = share > wanted
    unclear = np.flatnonzero(np.abs(share - max(wanted, 0.0)) <= _UNCLEAR)
    if len(unclear):
        measured = _share_inside(union, table.take(unclear))
        enough[unclear] = (measured > 0) & (measured >= wanted)
    return enough


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
