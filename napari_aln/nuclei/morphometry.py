"""The morphometry of nuclei: one row a nucleus, in micrometres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from napari_aln.errors import MppError
from napari_aln.geometry import MPP_LIMITS_UM, Mpp, plausible_mpp
from napari_aln.nuclei.crofton import circumferences_um
from napari_aln.nuclei.hulls import hull_areas_px, hulls, smallest_rectangles_um2
from napari_aln.nuclei.intensity import checked_rgb, haematoxylin_of
from napari_aln.nuclei.runs import runs_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.nuclei.runs import Runs
    from napari_aln.nuclei.stain import Stain

SHAPE_FEATURES = (
    "area_um2",
    "circumference_um",
    "major_axis_um",
    "minor_axis_um",
    "orientation_rad",
    "circularity",
    "rectangularity",
    "solidity",
    "eccentricity",
)
PLACE = ("centroid_x_px", "centroid_y_px")
STAIN_FEATURES = ("haematoxylin_mean", "haematoxylin_texture")
NEIGHBOUR_FEATURES = ("nearest_um", "second_nearest_um", "third_nearest_um")
FEATURES = (*SHAPE_FEATURES, *STAIN_FEATURES, *NEIGHBOUR_FEATURES)
"""What is measured of a nucleus. `orientation_rad` is an axis: its plain mean says nothing."""

COLUMNS = ("label", *SHAPE_FEATURES[:7], *PLACE, *SHAPE_FEATURES[7:], *STAIN_FEATURES, *NEIGHBOUR_FEATURES)

_ROUND = 1e-9
"""Axes that differ by less than this share have no direction."""


class _Moments(NamedTuple):
    """Of each of n nuclei, over its pixels as squares, in pixels."""

    area: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    xx: NDArray[np.float64]  # central, over the area
    yy: NDArray[np.float64]
    xy: NDArray[np.float64]


def measure(
    labels: NDArray[Any],
    mpp: float | tuple[float, float],
    rgb: NDArray[np.uint8] | None = None,
    *,
    stain: Stain | None = None,
) -> pd.DataFrame:
    """Measure every nucleus of a label image.

    A nucleus is the union of its pixels as squares, in one piece or several. Holes count to its
    circumference and not to its area; `segment` leaves none.

    Parameters
    ----------
    labels
        (H, W) of integers: 0 background, each nucleus its number; numbers may be skipped.
    mpp
        µm/px, or those along x and y.
    rgb
        (H, W, 3) uint8: the picture, for the haematoxylin columns; without it they are NaN.
    stain
        The slide's stain, so that pictures of one slide can be compared; without it, the picture's own.

    Returns
    -------
    DataFrame
        One row a nucleus, by rising label:

        ``area_um2``
            A, pixels times the area of one.
        ``circumference_um``
            P by Cauchy and Crofton's formula, see `crofton.circumferences_um`: without the bias of counted
            pixel edges, within 2 % for discs and ellipses from a radius of 8 px at any rotation.
        ``major_axis_um``, ``minor_axis_um``
            Full axes of the ellipse of the same second moments: ``4 sqrt(l1)``, ``4 sqrt(l2)``, l1 >= l2 the
            eigenvalues of the covariance in µm, whose diagonal holds 1/12 px² for the extent of a pixel
            (Haralick and Shapiro, Computer and Robot Vision I, 1992, appendix A; as MATLAB's regionprops,
            while scikit-image's leaves the 1/12 out).
        ``orientation_rad``
            Direction of the major axis, ``atan2(2 Sxy, Sxx - Syy) / 2`` (Hu, IRE Transactions on Information
            Theory 8, 1962). Zero along +x, to the right; positive towards +y, down: clockwise as the picture
            is seen. In (-pi/2, pi/2]; NaN where both axes are equal.
        ``circularity``
            ``4 pi A / P^2`` (Cox, Journal of Paleontology 1, 1927), 1 for a disc. As P is an estimate, small
            discs come out a little above 1; they are not cut off there, which would bias means.
        ``rectangularity``
            A over the area of the smallest rectangle, at any angle, around the pixels' corners (Rosin,
            Machine Vision and Applications 11, 1999): 1 for a rectangle, pi/4 for an ellipse.
        ``centroid_x_px``, ``centroid_y_px``
            In the picture's pixels, counted from its corner: the first pixel's middle is (0.5, 0.5), as
            everywhere in this program.
        ``on_border``
            Whether it touches the picture's border and may be cut off there.
        ``solidity``
            A over the area of the convex hull of the pixels' corners.
        ``eccentricity``
            ``sqrt(1 - l2 / l1)``, 0 for a disc.
        ``haematoxylin_mean``, ``haematoxylin_texture``
            Mean and standard deviation of haematoxylin's optical density over the nucleus; see `stain`.
        ``nearest_um``, ``second_nearest_um``, ``third_nearest_um``
            From centroid to centroid of the nearest nuclei; NaN where there are fewer.

    Raises
    ------
    MppError
        µm/px is missing or impossible.
    UsageError
        `labels` is no label image, or `rgb` does not match it.
    """
    per_px = known_mpp(mpp)
    runs = runs_of(labels)
    height, width = np.shape(labels)
    rgb = None if rgb is None else checked_rgb(rgb, (height, width))
    parts = [_shapes(part, per_px, (height, width)) for part in runs.parts()] or [
        _shapes(None, per_px, (0, 0))
    ]
    table = pd.DataFrame(
        {"label": runs.label} | {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    )
    found = (
        (np.full(len(runs), np.nan),) * 2
        if rgb is None or not len(runs)
        else haematoxylin_of(runs, rgb, stain)
    )
    table["haematoxylin_mean"], table["haematoxylin_texture"] = found
    distances = neighbour_distances_um(table[list(PLACE)].to_numpy(), per_px)
    for name, column in zip(NEIGHBOUR_FEATURES, distances.T, strict=True):
        table[name] = column
    return table[[*COLUMNS, "on_border"]]


def known_mpp(mpp: float | tuple[float, float] | None) -> Mpp:
    """Return µm/px along x and y.

    Raises
    ------
    MppError
        It is missing or impossible.
    """
    both = tuple(mpp) if isinstance(mpp, tuple | list | np.ndarray) else (mpp, mpp)
    per_px = plausible_mpp(*both) if len(both) == 2 else None
    if per_px is None:
        low, high = MPP_LIMITS_UM
        raise MppError(
            f"Nuclei cannot be measured at {mpp} µm/px.",
            f"Give the picture's µm/px, between {low} and {high}: one number, or one for x and one for y.",
        )
    return per_px


def neighbour_distances_um(
    xy_px: NDArray[np.float64], mpp: Mpp, count: int = len(NEIGHBOUR_FEATURES)
) -> NDArray[np.float64]:
    """Return the (n, count) distances to each nucleus's nearest neighbours, nearest first; NaN: no such one.

    Parameters
    ----------
    xy_px
        (n, 2) centroids in pixels.
    mpp
        µm/px of these.
    count
        Neighbours wanted.
    """
    from scipy.spatial import KDTree

    found = np.full((len(xy_px), count), np.nan)
    if len(xy_px) > 1:
        xy_um = xy_px * np.asarray(mpp)
        distance, _ = KDTree(xy_um).query(xy_um, k=count + 1, workers=-1)
        found[:] = np.where(np.isfinite(distance), distance, np.nan)[:, 1:]
    return found


def _shapes(runs: Runs | None, mpp: Mpp, shape: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """Return the columns that follow from the pixels' places; without runs, empty ones."""
    if runs is None:
        flags: dict[str, NDArray[Any]] = {"on_border": np.zeros(0, bool)}
        return {name: np.zeros(0) for name in (*SHAPE_FEATURES, *PLACE)} | flags
    moments = _moments(runs)
    area_um2 = moments.area * mpp.x * mpp.y
    around = hulls(runs)
    circumference_um = circumferences_um(runs, mpp)
    sxx, syy = (moments.xx + 1 / 12) * mpp.x**2, (moments.yy + 1 / 12) * mpp.y**2
    sxy = moments.xy * mpp.x * mpp.y
    middle, half = (sxx + syy) / 2, np.hypot((sxx - syy) / 2, sxy)
    large, small = middle + half, middle - half
    orientation = np.arctan2(2 * sxy, sxx - syy) / 2
    orientation[half <= _ROUND * middle] = np.nan
    border = (runs.row == 0) | (runs.row == shape[0] - 1) | (runs.start == 0) | (runs.stop == shape[1])
    return {
        "area_um2": area_um2,
        "circumference_um": circumference_um,
        "major_axis_um": 4 * np.sqrt(large),
        "minor_axis_um": 4 * np.sqrt(small),
        "orientation_rad": orientation,
        "circularity": 4 * np.pi * area_um2 / circumference_um**2,
        "rectangularity": area_um2 / smallest_rectangles_um2(around, mpp),
        "centroid_x_px": moments.x,
        "centroid_y_px": moments.y,
        "solidity": moments.area / hull_areas_px(around),
        "eccentricity": np.sqrt(np.maximum(1 - small / large, 0.0)),
        "on_border": np.logical_or.reduceat(border, runs.first[:-1]),
    }


def _moments(runs: Runs) -> _Moments:
    """Sum 1, x, y, x², y² and xy over pixels, run by run in closed form."""
    left, top = np.minimum.reduceat(runs.start, runs.first[:-1]), runs.row[runs.first[:-1]]
    start = (runs.start - left[runs.of]).astype(np.float64)  # from each nucleus's own corner: small numbers
    row = (runs.row - top[runs.of]).astype(np.float64)
    n = (runs.stop - runs.start).astype(np.float64)
    sum_x = n * (2 * start + n - 1) / 2
    sum_xx = n * start**2 + start * n * (n - 1) + (n - 1) * n * (2 * n - 1) / 6
    area = runs.sums(n)
    x, y = runs.sums(sum_x) / area, runs.sums(n * row) / area
    return _Moments(
        area,
        left + x + 0.5,
        top + y + 0.5,
        runs.sums(sum_xx) / area - x**2,
        runs.sums(n * row**2) / area - y**2,
        runs.sums(sum_x * row) / area - x * y,
    )
