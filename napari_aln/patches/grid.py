"""The one grid of a slide, and which of its cells hold tissue."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_aln.geometry import l0_to_level, px_at
from napari_aln.records import PatchGrid, PatchTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.patches.tissue import TissueMask
    from napari_aln.settings.patches import PatchSettings

MAX_PEN_SHARE = 0.001
"""A cell with more pen than this is no patch.

A thousandth of a 128 µm patch is 16 µm², a quarter of one pixel of the finest overview (8 x 8 µm): a drawn
line excludes every cell that it enters, while a pen pixel that merely abuts a cell's edge does not.
"""

_CELL_TOLERANCE = 1e-9
"""Cells. 2560 px are ten columns in steps of 255.99999999999997 px as well as of 256.00000000000006."""


def patch_grid(size_px: tuple[int, int], slide_mpp: Mpp, patch_px: int, mpp: float) -> PatchGrid:
    """Lay the grid of `patch_px` squares at `mpp` µm/px over a slide.

    Parameters
    ----------
    size_px
        Width and height of level 0 in pixels.
    slide_mpp
        µm/px of level 0; x and y may differ.
    patch_px
        Side of a patch in pixels at `mpp`.
    mpp
        The model's µm/px.

    Returns
    -------
    PatchGrid
        Anchored at the level-0 corner; a slide smaller than one cell gives zero columns or rows.

    Raises
    ------
    ValueError
        `patch_px` or `mpp` is not positive.
    """
    if patch_px <= 0 or not mpp > 0:
        message = f"A grid needs a positive patch size and µm/px, not {patch_px} px at {mpp} µm/px."
        raise ValueError(message)
    step_l0 = px_at(patch_px, mpp, slide_mpp.x), px_at(patch_px, mpp, slide_mpp.y)
    columns, rows = (
        math.floor(size / step + _CELL_TOLERANCE) for size, step in zip(size_px, step_l0, strict=True)
    )
    return PatchGrid(patch_px=patch_px, mpp=mpp, step_l0=step_l0, columns=columns, rows=rows)


def tissue_share(
    grid: PatchGrid, mask: NDArray[np.bool_ | np.float64], mask_downsample: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the share of each cell that the mask covers.

    Parameters
    ----------
    grid
        The slide's grid.
    mask
        (H, W) boolean overview, or shares of its pixels in 0..1; what lies beyond it counts as empty.
    mask_downsample
        Level-0 pixels that one mask pixel spans along x and y.

    Returns
    -------
    (rows, columns) float64
        Exact area-weighted share in 0..1: a mask pixel that a cell's edge cuts counts with the part inside.
        Read from the integral image, which is bilinear between pixel corners.
    """
    integral: NDArray[Any] = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    np.cumsum(mask, axis=0, dtype=np.float64, out=integral[1:, 1:])
    np.cumsum(integral, axis=1, out=integral)
    step_x, step_y = l0_to_level(grid.step_l0, mask_downsample)
    edges_x, edges_y = np.arange(grid.columns + 1) * step_x, np.arange(grid.rows + 1) * step_y
    corners = _at(_at(integral, edges_y).T, edges_x).T
    covered = np.diff(np.diff(corners, axis=0), axis=1)
    share: NDArray[np.float64] = np.clip(covered / (step_x * step_y), 0.0, 1.0)
    return share


def _at(table: NDArray[Any], position: NDArray[Any]) -> NDArray[np.float64]:
    """Interpolate the rows of a table linearly at fractional positions, held at its last row."""
    position = np.minimum(position, table.shape[0] - 1)
    below = np.minimum(position.astype(np.intp), table.shape[0] - 2)
    fraction = (position - below)[:, None]
    interpolated: NDArray[np.float64] = table[below] * (1 - fraction) + table[below + 1] * fraction
    return interpolated


def candidates(
    grid: PatchGrid, mask: TissueMask, mask_downsample: tuple[float, float], settings: PatchSettings
) -> PatchTable:
    """Return the cells with enough tissue and no pen, in row-major order.

    Parameters
    ----------
    grid
        The slide's grid.
    mask
        Tissue and pen of the overview.
    mask_downsample
        Level-0 pixels that one overview pixel spans along x and y.
    settings
        `min_tissue_share` is applied here; entropy needs the patches' pixels and is applied later.
    """
    enough = tissue_share(grid, mask.tissue, mask_downsample) >= settings.min_tissue_share
    clean = tissue_share(grid, mask.pen, mask_downsample) <= MAX_PEN_SHARE
    row, column = np.nonzero(enough & clean)
    return PatchTable(grid, column.astype(np.int32), row.astype(np.int32))
