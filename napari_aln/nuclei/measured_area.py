"""How much of any square of a slide was measured: its tissue, inside the regions or patches looked at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_aln.patches.coverage import coverage
from napari_aln.patches.grid import tissue_share
from napari_aln.records import PatchGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from napari_aln.records import PatchTable


@dataclass(frozen=True, eq=False)
class MeasuredArea:
    """The area to which densities refer.

    Attributes
    ----------
    share
        (H, W) share of each pixel of the slide's overview that was measured, 0..1.
    downsample
        Level-0 pixels that one of them spans along x and y.
    """

    share: NDArray[np.float64]
    downsample: tuple[float, float]

    @classmethod
    def of(
        cls, tissue: NDArray[np.bool_], downsample: tuple[float, float], outline: BaseGeometry | None
    ) -> MeasuredArea:
        """Return the tissue inside an outline in level-0 pixels; None: all tissue."""
        if outline is None:
            return cls(tissue.astype(np.float64), downsample)
        rows, columns = tissue.shape
        pixels = PatchGrid(patch_px=1, mpp=1.0, step_l0=downsample, columns=columns, rows=rows)
        found = coverage(pixels, outline)
        height, width = found.share.shape
        window = np.s_[found.row : found.row + height, found.column : found.column + width]
        share = np.zeros(tissue.shape)
        share[window] = found.share * tissue[window]
        return cls(share, downsample)

    @property
    def l0_px(self) -> float:
        """Its area in level-0 pixels."""
        return float(self.share.sum()) * self.downsample[0] * self.downsample[1]

    def of_squares(self, pixel_l0: tuple[float, float], shape: tuple[int, int]) -> NDArray[np.float64]:
        """Return the share of each of (rows, columns) squares from the slide's corner on."""
        rows, columns = shape
        grid = PatchGrid(patch_px=1, mpp=1.0, step_l0=pixel_l0, columns=columns, rows=rows)
        return tissue_share(grid, self.share, self.downsample)

    def of_patches(self, patches: PatchTable) -> NDArray[np.float64]:
        """Return the (n,) share of each patch, on the slide's grid or not."""
        step = np.asarray(patches.grid.step_l0, float)
        (left, top), (right, low) = patches.l0_xy.T, (patches.l0_xy + step).T
        covered = self._to(right, low) - self._to(left, low) - self._to(right, top) + self._to(left, top)
        share: NDArray[np.float64] = np.clip(covered * np.prod(self.downsample) / np.prod(step), 0.0, 1.0)
        return share

    @cached_property
    def _integral(self) -> NDArray[np.float64]:
        sums: NDArray[Any] = np.zeros((self.share.shape[0] + 1, self.share.shape[1] + 1))
        np.cumsum(np.cumsum(self.share, axis=0), axis=1, out=sums[1:, 1:])
        return sums

    def _to(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what was measured left of and above (n,) level-0 places, in pixels of the overview."""
        at = np.stack([y / self.downsample[1], x / self.downsample[0]])
        sums: NDArray[np.float64] = ndimage.map_coordinates(self._integral, at, order=1, mode="nearest")
        return sums
