"""Nuclei from afar: how many lie in each square of tissue, or what they are like there in the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.nuclei.measured_area import MeasuredArea

CELLS_UM = (32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Sides of the squares; the smallest holds about five nuclei of dense tissue."""

LEAST_CELL_PX = 6.0  # on the screen
MOST_CELLS = 4_000_000
LEAST_MEASURED = 0.25
"""Share of a square; of less, one nucleus more or less is a density of its own."""


@dataclass(frozen=True)
class Raster:
    """One value a square, from the slide's level-0 corner on.

    Attributes
    ----------
    picture
        (rows, columns) float32; NaN where no nucleus lies.
    pixel_l0
        Level-0 pixels that a square spans along x and y.
    """

    picture: NDArray[np.float32]
    pixel_l0: tuple[float, float]


def cell_um(px_per_um: float, size_l0: tuple[int, int], mpp: Mpp) -> float:
    """Return the side of the squares for a zoom: the smallest that can be told apart on the screen.

    Parameters
    ----------
    px_per_um
        Screen pixels on a micrometre.
    size_l0
        Width and height of the slide in level-0 pixels.
    mpp
        µm/px of level 0.
    """
    area_um2 = size_l0[0] * size_l0[1] * mpp.x * mpp.y
    for side in CELLS_UM:
        if side * px_per_um >= LEAST_CELL_PX and area_um2 / side**2 <= MOST_CELLS:
            return side
    return CELLS_UM[-1]


def density_raster(
    l0_xy: NDArray[np.float64],
    size_l0: tuple[int, int],
    mpp: Mpp,
    side_um: float,
    measured: MeasuredArea | None = None,
) -> Raster:
    """Count nuclei per mm² of what was measured, in squares of a side in µm.

    Parameters
    ----------
    l0_xy
        (n, 2) centroids in level-0 pixels.
    size_l0
        Width and height of the slide in level-0 pixels; squares at its far edges are cut off there.
    mpp
        µm/px of level 0.
    side_um
        Side of the squares.
    measured
        What was; squares of which less than `LEAST_MEASURED` was are NaN. None: not known, then the squares.
    """
    grid = _Squares(l0_xy, size_l0, mpp, side_um)
    area_mm2 = grid.area_mm2()
    count = grid.sums(None)
    shown = count > 0
    if measured is not None:
        share = measured.of_squares(grid.pixel_l0, grid.shape)
        shown &= share >= LEAST_MEASURED
        area_mm2 = share * side_um**2 / 1e6
    return grid.raster(np.divide(count, area_mm2, out=np.full(grid.shape, np.nan), where=shown))


def mean_raster(
    l0_xy: NDArray[np.float64],
    values: NDArray[np.floating],
    size_l0: tuple[int, int],
    mpp: Mpp,
    side_um: float,
    *,
    axial: bool = False,
) -> Raster:
    """Average (n,) values of nuclei in squares; unknown ones are left out. See `density_raster`.

    `axial`: values are directions of axes in radians, the same after half a turn: their mean is
    ``arg(sum exp(2i o)) / 2``, in (-pi/2, pi/2].
    """
    known = np.isfinite(values)
    values = values[known]
    grid = _Squares(l0_xy[known], size_l0, mpp, side_um)
    count = grid.sums(None)
    if axial:
        cosine, sine = grid.sums(np.cos(2 * values)), grid.sums(np.sin(2 * values))
        return grid.raster(np.where(count > 0, np.arctan2(sine, cosine) / 2, np.nan))
    mean = np.divide(grid.sums(values), count, out=np.full(grid.shape, np.nan), where=count > 0)
    return grid.raster(mean)


class _Squares:
    """Which square each nucleus lies in; those off the slide lie in none."""

    def __init__(
        self, l0_xy: NDArray[np.float64], size_l0: tuple[int, int], mpp: Mpp, side_um: float
    ) -> None:
        self._size_um = np.multiply(size_l0, mpp)
        self._side_um = side_um
        self.pixel_l0 = side_um / mpp.x, side_um / mpp.y
        columns, rows = (max(1, int(np.ceil(um / side_um))) for um in self._size_um)
        self.shape = rows, columns
        at = np.floor(l0_xy / self.pixel_l0).astype(np.int64)
        self._inside = ((at >= 0) & (at < (columns, rows))).all(axis=1)
        self._cell = (at[:, 1] * columns + at[:, 0])[self._inside]

    def sums(self, values: NDArray[np.floating] | None) -> NDArray[np.float64]:
        weights = None if values is None else values[self._inside]
        n = self.shape[0] * self.shape[1]
        return np.bincount(self._cell, weights, minlength=n).reshape(self.shape).astype(float)

    def area_mm2(self) -> NDArray[np.float64]:
        rows, columns = self.shape
        width, height = (
            np.minimum(self._side_um, um - self._side_um * np.arange(n))
            for um, n in zip(self._size_um, (columns, rows), strict=True)
        )
        return np.outer(height, width) / 1e6

    def raster(self, picture: NDArray[np.float64]) -> Raster:
        return Raster(picture.astype(np.float32), self.pixel_l0)
