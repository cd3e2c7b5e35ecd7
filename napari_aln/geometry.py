"""The only place where frames are converted.

Three frames, all with x to the right and y down, and their names:

``l0_xy``
    Level-0 pixels as floats, origin at the corner of the slide's level 0. Everything stored or passed is in
    this frame; rectangles are (x, y, width, height).
``level_xy``
    Pixels of one pyramid level: ``level_xy = l0_xy / downsample`` with the exact, never rounded, downsample.
``world_yx_um``
    Micrometres as (row, column), the order in which the viewer works.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]

MPP_LIMITS_UM = (0.05, 20.0)
"""µm/px outside these limits counts as missing: no scanner writes it, and unit mix-ups do."""


class Mpp(NamedTuple):
    """Micrometres per pixel along x and y."""

    x: float
    y: float

    @property
    def mean(self) -> float:
        """Geometric mean of both axes, the side of a square pixel of the same area."""
        return math.sqrt(self.x * self.y)


class Rect(NamedTuple):
    """A rectangle: corner, width and height, in the frame its name states."""

    x: float
    y: float
    width: float
    height: float


class ScannerFrame(NamedTuple):
    """Where level 0 lies on the glass, as a scanner states it: nanometres from the physical slide's centre.

    x to the right and y down, as everywhere; Hamamatsu's annotations are drawn in this frame.
    """

    corner_nm: tuple[float, float]  # of the level-0 corner
    nm_per_px: tuple[float, float]  # the scanner's own, whatever µm/px a user gave


def plausible_mpp(x: float | None, y: float | None) -> Mpp | None:
    """Return both µm/px, or None where one is absent, not finite or outside `MPP_LIMITS_UM`."""
    low, high = MPP_LIMITS_UM
    if x is None or y is None or not (low <= x <= high and low <= y <= high):
        return None
    return Mpp(float(x), float(y))


def l0_to_level(l0_xy: ArrayLike, downsample: tuple[float, float]) -> Float64:
    """Convert (..., 2) level-0 pixels to pixels of the level with these exact downsamples (x, y)."""
    return np.divide(l0_xy, downsample, dtype=np.float64)


def level_to_l0(level_xy: ArrayLike, downsample: tuple[float, float]) -> Float64:
    """Convert (..., 2) pixels of a level with these exact downsamples (x, y) to level-0 pixels."""
    return np.multiply(level_xy, downsample, dtype=np.float64)


def l0_to_world_um(l0_xy: ArrayLike, mpp: Mpp) -> Float64:
    """Convert (..., 2) level-0 pixels (x, y) to micrometres (row, column)."""
    world_xy_um: Float64 = np.multiply(l0_xy, mpp, dtype=np.float64)
    return world_xy_um[..., ::-1]


def world_um_to_l0(world_yx_um: ArrayLike, mpp: Mpp) -> Float64:
    """Convert (..., 2) micrometres (row, column) to level-0 pixels (x, y)."""
    l0_xy: Float64 = np.divide(np.asarray(world_yx_um)[..., ::-1], mpp, dtype=np.float64)
    return l0_xy


def length_um(l0_xy: ArrayLike, mpp: Mpp) -> float:
    """Return how long the line through (n, 2) level-0 pixels is, in micrometres."""
    steps_um = np.diff(np.multiply(l0_xy, mpp, dtype=np.float64), axis=0)
    return float(np.hypot(steps_um[:, 0], steps_um[:, 1]).sum())


def px_at(size_px: float, from_mpp: float, to_mpp: float) -> float:
    """Return how many pixels of `to_mpp` span `size_px` pixels of `from_mpp`."""
    return size_px * from_mpp / to_mpp


def scanner_nm_to_l0(nm_xy: ArrayLike, frame: ScannerFrame) -> Float64:
    """Convert (..., 2) nanometres from the physical slide's centre (x, y) to level-0 pixels (x, y)."""
    from_corner: Float64 = np.subtract(nm_xy, frame.corner_nm, dtype=np.float64)
    return from_corner / frame.nm_per_px
