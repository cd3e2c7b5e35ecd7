"""Nuclei without a learned model.

The haematoxylin density is cut at several levels above its local background; at each, clumps are taken apart
by shape. Every piece is a candidate, rated by how convex it is, how steep its edge, how plausible its size;
the best of those that overlap stays. So a dark lymphocyte and the pale vesicular nucleus beside it each get
the level that suits them. This is done at about 0.5 µm/px; outlines are then re-taken from the full
resolution. Constants and weights were chosen on annotated pictures of breast and nine other organs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from napari_aln.nuclei.resampling import around, enlarged, filled, repeated, shrunk, whole
from napari_aln.nuclei.splitting import DIRECTIONS, Pieces, edge_pixels, split
from napari_aln.nuclei.stain import MIN_CONTRAST, Stain, fit_stain, haematoxylin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Bool = NDArray[np.bool_]
    Int32 = NDArray[np.int32]
    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]

WORKING_UM = 0.5  # per pixel, at the finest that whole pixels make
LEVELS = (0.2, 0.4, 0.65, 1.0)
"""Thresholds, in units of the stain's contrast above the local background."""

MIN_AREA_UM2, MAX_AREA_UM2 = 8.0, 350.0
MIN_RATING = 0.4
MIN_SHAPE_RATING = 0.5  # where size does not count
_MIN_PX = 12  # of the working resolution; smaller has no shape
MIN_FREE_SHARE = 0.8  # of a candidate, beside those already chosen

BACKGROUND_HALF_UM = 25.0
_BACKGROUND_PRIOR = 0.3  # how much area without nuclei, as a share of the window, the slide's mean stands for
_SMOOTH_UM = 0.45
_DOME_SMOOTH_UM = 0.8
_OUTLINE_SMOOTH_UM = 0.25
OUTLINE_LEVEL = 0.45
"""From the background (0) to the nucleus (1). A blurred edge has 0.5; annotators draw a little wider."""
_OUTER_PX = 2  # of the working resolution
_MAX_HOLE_UM2 = 60.0  # the pale inside of a vesicular nucleus
_MAX_EXCESS = 1.2  # contrasts; darker is just dark
_SURROUNDINGS_UM = 1.0
_FLAT_EDGE = 0.1  # contrasts per µm
TYPICAL_AREA_UM2 = 30.0

_RATING_WEIGHTS = {
    "solidity": -1.207,
    "solidity²": 1.306,
    "aspect": -0.017,
    "darkness": 0.47,
    "darkness²": -0.291,
    "steepness": 0.764,
    "steepness²": -0.413,
    "flat edge": -0.199,
    "rim": -0.532,
    "surroundings": -0.413,
    "free edge": 0.034,
    "log area": 0.092,
    "log area²": -0.09,
    "raggedness": -0.061,
    "level": 0.829,
}
_RATING_CONSTANT = 0.237
"""Least squares of a candidate's IoU with the annotated nucleus it meets best."""


@dataclass(frozen=True, slots=True)
class Classical:
    """The default method; `stain` None: read from each picture."""

    stain: Stain | None = None
    halo_um: float = 2 * BACKGROUND_HALF_UM

    @property
    def runs_on(self) -> None:
        """No network."""
        return

    def adapted(self, samples: Sequence[NDArray[np.uint8]]) -> Classical:
        """Return the method for the slide that these (H, W, 3) pictures are of."""
        return replace(self, stain=fit_stain(samples))

    def grain_px(self, mpp: float) -> int:
        """Return the px that corners of tiles must be multiples of."""
        return _Scale(mpp).grain_px

    def labels(self, rgb: NDArray[np.uint8], mpp: float) -> Int32:
        """Label the nuclei of an (H, W, 3) picture, 0 = background."""
        stain = self.stain or fit_stain([rgb])
        scale = _Scale(mpp)
        if stain.contrast < MIN_CONTRAST or min(rgb.shape[:2]) < 2 * scale.shrink:
            return np.zeros(rgb.shape[:2], np.int32)
        density = haematoxylin(rgb, stain)
        excess, background = _excess(density, stain, scale)
        chosen = _chosen([_candidates(excess, level, scale) for level in LEVELS], scale)
        return _outlined(chosen, density, background, stain, scale)


class _Scale:
    """Pixels of the picture and of the working resolution."""

    def __init__(self, mpp: float) -> None:
        self.mpp = mpp
        self.shrink = max(1, round(WORKING_UM / mpp))
        self.um = mpp * self.shrink  # per working pixel
        half = BACKGROUND_HALF_UM / self.um
        self.coarse = max(1, int(half / 12))
        self.window = 2 * int(half / self.coarse) + 1
        self.grain_px = self.shrink * self.coarse


class _Candidates(NamedTuple):
    pieces: Pieces
    rating: Float64  # (n + 1,)
    level: float


class _Chosen(NamedTuple):
    labels: Int32  # working resolution, 1..n
    level: Float32  # (n + 1,)


def _excess(density: Float32, stain: Stain, scale: _Scale) -> tuple[Float32, Float32]:
    """Return density over local background in contrasts, and the background, both at working resolution."""
    work = shrunk(density, scale.shrink)
    work = ndimage.gaussian_filter(work, _SMOOTH_UM / scale.um, truncate=3.0)
    coarse = shrunk(work, scale.coarse)
    below = (coarse < stain.threshold).astype(np.float32)
    share = ndimage.uniform_filter(below, scale.window)
    total = ndimage.uniform_filter(below * coarse, scale.window)
    mean = (total + _BACKGROUND_PRIOR * stain.rest) / (share + _BACKGROUND_PRIOR)
    background = enlarged(mean.astype(np.float32), scale.coarse, work.shape)
    return np.minimum((work - background) / np.float32(stain.contrast), np.float32(_MAX_EXCESS)), background


def rated_areas_px(rgb: NDArray[np.uint8], mpp: float, stain: Stain) -> tuple[Float64, Float64]:
    """Return the areas, in pixels of the picture, and ratings of what looks like nuclei whatever its size."""
    scale = _Scale(mpp)
    if stain.contrast < MIN_CONTRAST or min(rgb.shape[:2]) < 2 * scale.shrink:
        return np.zeros(0), np.zeros(0)
    excess, _ = _excess(haematoxylin(rgb, stain), stain, scale)
    areas, ratings = [], []
    for level in LEVELS[1::2]:  # all of them take twice as long and do no better
        pieces = _pieces(excess, level, scale, np.inf)
        rating = _rating(piece_features(pieces, excess, level, scale.um), without=("log area", "log area²"))
        good = (rating > MIN_SHAPE_RATING) & (pieces.area_px >= _MIN_PX)
        good[0] = False
        areas.append(pieces.area_px[good] * scale.shrink**2)
        ratings.append(rating[good])
    return np.concatenate(areas), np.concatenate(ratings)


def _pieces(excess: Float32, level: float, scale: _Scale, max_area_um2: float) -> Pieces:
    mask = filled(excess > level, _MAX_HOLE_UM2 / scale.um**2)
    return split(mask, _DOME_SMOOTH_UM / scale.um, max_area_um2 / scale.um**2)


def _rating(features: dict[str, Float64], without: tuple[str, ...] = ()) -> Float64:
    rating = np.full(len(features["level"]), _RATING_CONSTANT)
    for name, weight in _RATING_WEIGHTS.items():
        if name not in without:
            rating += weight * features[name]
    return rating


def _candidates(excess: Float32, level: float, scale: _Scale) -> _Candidates:
    pieces = _pieces(excess, level, scale, MAX_AREA_UM2)
    rating = _rating(piece_features(pieces, excess, level, scale.um))
    area = pieces.area_px * scale.um**2
    rating[(area < MIN_AREA_UM2) | (area > MAX_AREA_UM2) | (pieces.area_px < _MIN_PX)] = -1.0
    rating[0] = -1.0
    return _Candidates(pieces, rating, level)


def piece_features(pieces: Pieces, excess: Float32, level: float, um: float) -> dict[str, Float64]:
    """Return what candidates are rated by; each (n + 1,), entry 0 meaningless."""
    labels, n = pieces.labels, len(pieces.area_px)
    inside = np.flatnonzero(labels)
    of = labels.ravel()[inside]
    area = np.maximum(pieces.area_px, 1.0)
    mean = np.bincount(of, weights=excess.ravel()[inside], minlength=n) / area
    at = np.flatnonzero(edge_pixels(labels))
    of = labels.ravel()[at]
    steepness = _slope(excess, at) / um
    length = np.maximum(np.bincount(of, minlength=n), 1)
    steep = np.bincount(of, weights=steepness, minlength=n) / length
    flat = np.bincount(of, weights=steepness < _FLAT_EDGE, minlength=n) / length
    rim = np.bincount(of, weights=excess.ravel()[at], minlength=n) / length
    near = ndimage.maximum_filter(labels, size=2 * max(1, round(_SURROUNDINGS_UM / um)) + 1)
    at = np.flatnonzero((near > 0) & (labels == 0))
    of = near.ravel()[at]
    around = np.bincount(of, minlength=n)
    surroundings = np.bincount(of, weights=excess.ravel()[at], minlength=n) / np.maximum(around, 1)
    half = DIRECTIONS // 2
    width = pieces.reach_px[:, :half] + pieces.reach_px[:, half:]
    solidity = pieces.solidity
    size = np.log(area * um**2 / TYPICAL_AREA_UM2)
    return {
        "solidity": solidity,
        "solidity²": solidity**2,
        "aspect": width.min(axis=1) / np.maximum(width.max(axis=1), 1.0),
        "darkness": mean,
        "darkness²": mean**2,
        "steepness": steep,
        "steepness²": steep**2,
        "flat edge": flat,
        "rim": rim,
        "surroundings": surroundings,
        "free edge": around / length,
        "log area": size,
        "log area²": size**2,
        "raggedness": length**2 / (4 * np.pi * area),
        "level": np.full(n, level),
    }


def _slope(excess: Float32, at: NDArray[np.intp]) -> Float32:
    """Return the slope, per pixel, at flat indices, from the pixels on both sides."""
    rows, columns = np.divmod(at, excess.shape[1])
    last_row, last_column = excess.shape[0] - 1, excess.shape[1] - 1
    down = excess[np.minimum(rows + 1, last_row), columns] - excess[np.maximum(rows - 1, 0), columns]
    right = excess[rows, np.minimum(columns + 1, last_column)] - excess[rows, np.maximum(columns - 1, 0)]
    slope: Float32 = np.hypot(down, right) / np.float32(2)
    return slope


def _chosen(found: list[_Candidates], scale: _Scale) -> _Chosen:
    """Take candidates from the best on, each without the pixels of better ones."""
    entries = []
    for index, (pieces, rating, _) in enumerate(found):
        boxes = ndimage.find_objects(pieces.labels)
        good = np.flatnonzero(rating > MIN_RATING).tolist()
        entries += [(-rating[label], index, label, boxes[label - 1]) for label in good]
    entries.sort(key=lambda entry: entry[:3])
    labels = np.zeros(found[0].pieces.labels.shape, np.int32)
    levels = [0.0]
    for _, index, label, box in entries:
        pieces = found[index].pieces
        part = (pieces.labels[box] == label) & (labels[box] == 0)
        if np.count_nonzero(part) >= MIN_FREE_SHARE * pieces.area_px[label]:
            labels[box][part] = len(levels)
            levels.append(found[index].level)
    return _Chosen(labels, np.array(levels, np.float32))


def _outlined(chosen: _Chosen, density: Float32, background: Float32, stain: Stain, scale: _Scale) -> Int32:
    """Return the labels at full resolution.

    The inside is certain; in a rim of one working pixel to both sides the density of the picture itself
    decides, against a level between the background and the outer part of the nucleus: its middle may be pale.
    """
    shape = density.shape
    least = around(chosen.labels, np.minimum)
    inside = (least == chosen.labels) & (chosen.labels > 0)
    outer = inside & (ndimage.minimum_filter(least, size=2 * _OUTER_PX + 1) != chosen.labels)
    work = shrunk(density, scale.shrink) - background
    n = len(chosen.level)
    of = chosen.labels[outer]
    pixels = np.bincount(of, minlength=n)
    own = np.bincount(of, weights=work[outer], minlength=n) / np.maximum(pixels, 1)
    level = np.where(pixels > 0, OUTLINE_LEVEL * own, stain.contrast * chosen.level).astype(np.float32)

    grown = np.where(chosen.labels > 0, chosen.labels, around(chosen.labels, np.maximum))
    labels = repeated(grown, scale.shrink, shape)
    limit = enlarged(background, scale.shrink, shape) + level[labels]
    smooth = ndimage.gaussian_filter(density, _OUTLINE_SMOOTH_UM / scale.mpp, truncate=3.0)
    labels[~((smooth > limit) | repeated(inside, scale.shrink, shape))] = 0
    return whole(labels, n)
