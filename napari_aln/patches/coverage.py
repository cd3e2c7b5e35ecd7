"""How much of each grid cell a polygon covers: one sweep over its edges, whatever the number of cells.

By Green's theorem a polygon's area is the sum of ``x dy`` along its edges. Each edge is cut where it crosses
a grid line; a piece that lies in cell (row, column) and climbs by dy takes ``dy`` from every cell right of it
in that row, and from its own cell the part right of it. One running sum along the rows then gives all shares.
This is how font rasterisers compute coverage (e.g. R. Levien's font-rs), here in float64 and without rounding
to subpixels: shares err by some 1e-12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from napari_aln.records import PatchGrid

    Float64 = NDArray[np.float64]


class Coverage(NamedTuple):
    """Shares of the cells in a window of the grid; every cell beyond it has none."""

    row: int  # of the window's first cell
    column: int
    share: NDArray[np.float64]  # (rows, columns)

    def at(self, row: NDArray[np.int32], column: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the (n,) shares of the cells at n rows and columns of the grid."""
        share = np.zeros(len(row))
        below, right = row - self.row, column - self.column
        rows, columns = self.share.shape
        here = (below >= 0) & (below < rows) & (right >= 0) & (right < columns)
        share[here] = self.share[below[here], right[here]]
        return share


def coverage(grid: PatchGrid, area: BaseGeometry) -> Coverage:
    """Return the share of each cell that a valid polygon or multipolygon in level-0 pixels covers.

    Parameters
    ----------
    grid
        The slide's grid.
    area
        Valid: rings cross neither themselves nor each other.
    """
    empty = Coverage(0, 0, np.zeros((0, 0)))
    if area.is_empty:
        return empty
    step = np.asarray(grid.step_l0)
    left_top, right_bottom = np.reshape(area.bounds, (2, 2)) / step
    first = np.maximum(np.floor(left_top), 0).astype(int)
    size = np.minimum(np.ceil(right_bottom), (grid.columns, grid.rows)).astype(int) - first
    if (size <= 0).any():
        return empty
    columns, rows = size
    start, end = _edges(area)
    start, end = start / step - first, end / step - first
    for axis, n_cells in ((1, rows), (0, columns)):
        start, end = _cut(start, end, axis, n_cells)
    middle = (start + end) / 2
    row = np.floor(middle[:, 1]).astype(int)
    here = (row >= 0) & (row < rows)
    row, climb = row[here], (start - end)[here, 1]
    x = np.clip(middle[here, 0], 0, columns)
    column = np.floor(x).astype(int)  # up to `columns`: what lies right of the window covers nothing in it
    part_right = column + 1 - x
    wide = columns + 2
    flat = row * wide + column
    turned = np.bincount(flat, climb * part_right, rows * wide)
    turned += np.bincount(flat + 1, climb * (1 - part_right), rows * wide)
    share = np.cumsum(turned.reshape(rows, wide), axis=1)[:, :columns]
    return Coverage(int(first[1]), int(first[0]), np.clip(share, 0.0, 1.0))


def _edges(area: BaseGeometry) -> tuple[Float64, Float64]:
    """Return where each edge starts and ends, (m, 2); shells run counter-clockwise, holes clockwise."""
    oriented = shapely.orient_polygons(shapely.get_parts(area), exterior_cw=False)
    rings = shapely.get_rings(oriented)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    joined = ring[1:] == ring[:-1]
    return xy[:-1][joined], xy[1:][joined]


def _cut(start: Float64, end: Float64, axis: int, n_cells: int) -> tuple[Float64, Float64]:
    """Cut edges (m, 2) where one coordinate passes 0, 1, ... n_cells; pieces keep their edge's direction."""
    a, b = start[:, axis], end[:, axis]
    first = np.maximum(np.floor(np.minimum(a, b)).astype(int) + 1, 0)
    last = np.minimum(np.ceil(np.maximum(a, b)).astype(int) - 1, n_cells)
    n_cuts = np.maximum(last - first + 1, 0)
    whole, crossing = np.flatnonzero(n_cuts == 0), np.flatnonzero(n_cuts)
    whole_start, whole_end = start[whole], end[whole]  # of a fine outline nearly all: spared what follows
    start, end, a, b = (values[crossing] for values in (start, end, a, b))
    first, last, n_cuts = (values[crossing] for values in (first, last, n_cuts))
    edge = np.repeat(np.arange(len(a)), n_cuts)
    nth = np.arange(len(edge)) - np.repeat(np.cumsum(n_cuts) - n_cuts, n_cuts)
    line = np.where((b > a)[edge], first[edge] + nth, last[edge] - nth).astype(float)
    along = (line - a[edge]) / (b - a)[edge]
    points = start[edge] + along[:, None] * (end - start)[edge]
    points[:, axis] = line
    # Between the points of an edge stand its pieces: start, cuts in its direction, end.
    at = np.cumsum(n_cuts + 2) - (n_cuts + 2)
    chain = np.empty((len(a) * 2 + len(edge), 2))
    chain[at], chain[at + n_cuts + 1] = start, end
    chain[at[edge] + 1 + nth] = points
    is_piece = np.ones(len(chain), bool)
    is_piece[at + n_cuts + 1] = False
    where = np.flatnonzero(is_piece)
    return np.concatenate([whole_start, chain[where]]), np.concatenate([whole_end, chain[where + 1]])
