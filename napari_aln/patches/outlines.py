"""The grid lines around patches, neighbours joined into lines as long as they go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.records import PatchTable


def outlines(table: PatchTable) -> NDArray[np.float64]:
    """Return the lines that outline each of the patches.

    An edge that two patches share is drawn once, and edges that go on in one line are one. A filled square of
    n patches has 2 (sqrt(n) + 1) lines.

    Parameters
    ----------
    table
        Any patches; of reference patching, each region's by themselves.

    Returns
    -------
    (m, 2, 2) float64
        Start and end of each line, (x, y) in level-0 pixels: lines along x first, from top to bottom.
    """
    if not len(table):
        return np.empty((0, 2, 2))
    step = np.asarray(table.grid.step_l0, np.float64)
    if table.origin_l0 is None:
        return _lines(table.column, table.row) * step
    corners, of_patch = np.unique(table.origin_l0, axis=0, return_inverse=True)
    boxes = (np.flatnonzero(of_patch.ravel() == number) for number in range(len(corners)))
    return np.concatenate(
        [
            _lines(table.column[at], table.row[at]) * step + corner
            for corner, at in zip(corners, boxes, strict=True)
        ]
    )


def _lines(column: NDArray[np.int32], row: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the lines around cells, counted in cells, (m, 2, 2) as (x, y)."""
    left, top = int(column.min()), int(row.min())
    taken = np.zeros((int(row.max()) - top + 1, int(column.max()) - left + 1), bool)
    taken[row - top, column - left] = True
    along_x = _along_rows(taken)
    along_y = _along_rows(taken.T)[..., ::-1]
    lines: NDArray[np.float64] = np.concatenate([along_x, along_y]) + np.array((left, top))
    return lines


def _along_rows(taken: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the lines along the rows of a boolean array, above and below each of its cells."""
    below = np.pad(taken, ((0, 1), (1, 1)))
    above = np.pad(taken, ((1, 0), (1, 1)))
    turn = np.diff((below | above).astype(np.int8), axis=1)
    y, start = np.nonzero(turn == 1)
    end = np.nonzero(turn == -1)[1]  # in the order of the starts: lines of a row do not overlap
    return np.stack([np.column_stack([start, y]), np.column_stack([end, y])], axis=1).astype(float)
