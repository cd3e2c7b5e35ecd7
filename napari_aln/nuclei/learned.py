"""Nuclei by the small network: its depth takes clumps apart, its probability draws the outlines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from napari_aln.nuclei.resampling import enlarged, filled, repeated, shrunk, whole
from napari_aln.nuclei.splitting import Joins, split_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_aln.runtimes.choice import Choice

    Int32 = NDArray[np.int32]
    Float32 = NDArray[np.float32]
    Run = Callable[[NDArray[np.uint8]], tuple[Float32, ...]]

FOLD = 2  # the depth has half the resolution of the probability
MAX_ENLARGEMENT = 4  # nuclei of coarser pictures are specks whatever is done
MOST_SIDE_PX = 1344
"""Of a window that goes through the network at once: 1 GB at the most."""

_COARSEST = 1.5  # a working pixel over the learned one, at the most, where pictures are fine enough
_CLUMP_UM = 24.0  # how long a clump may be for tiles to take it apart alike


class Rule(NamedTuple):
    """How labels are made of what the network says; chosen on held-out annotated pictures."""

    foreground: float = 0.5
    smooth_um: float = 0.8  # of the surface whose domes are nuclei
    depth_a_um: float = 0.2  # weight in it of the distance to the background; the network's depth has 1
    joins: Joins = Joins(neck_weight=1.0)
    max_hole_um2: float = 20.0
    min_area_um2: float = 6.0
    max_area_um2: float = 500.0
    min_certainty: float = 0.7  # mean probability inside a nucleus


RULE = Rule()


@dataclass(frozen=True)
class Learned:
    """The method of a nucleus model.

    Attributes
    ----------
    compiled
        Gives for (height, width) what runs uint8 (n, height, width, 3) through the network.
    um
        µm/px at which it learned.
    seen_um
        µm/px of the pictures it learned from. Finer ones are softened to it: edges sharper than any it saw
        are taken for something else.
    stride_px, reach_px
        See `network`.
    rule
        How labels are made.
    runs_on
        Runtime, device and precision of the network.
    """

    compiled: Callable[[tuple[int, int]], Run]
    um: float
    stride_px: int
    reach_px: int
    seen_um: float = 0.0
    rule: Rule = RULE
    runs_on: Choice | None = None

    @property
    def halo_um(self) -> float:
        """How far around a nucleus pixels may bear on it."""
        return self.reach_px * self.um * _COARSEST + _CLUMP_UM

    def grain_px(self, mpp: float) -> int:
        """Return the px that corners of tiles must be multiples of."""
        scale = Scale(mpp, self.um)
        return scale.shrink * self.stride_px // math.gcd(self.stride_px, scale.enlarge)

    def adapted(self, samples: Sequence[NDArray[np.uint8]]) -> Learned:
        """Return the method itself."""
        return self

    def labels(self, rgb: NDArray[np.uint8], mpp: float) -> Int32:
        """Label the nuclei of an (H, W, 3) picture, 0 = background."""
        scale = Scale(mpp, self.um)
        probability, depth = self.seen(scale.worked(rgb, self.seen_um))
        return labelled(probability, depth, scale, rgb.shape[:2], self.rule)

    def seen(self, rgb: NDArray[np.uint8]) -> tuple[Float32, Float32]:
        """Return (H, W) probability and (H/2, W/2) depth, rounded up, of a picture at the working resolution.

        Windows overlap by as much as bears on a pixel, so that they do not show.
        """
        height, width = rgb.shape[:2]
        padded = np.pad(
            rgb, [*((0, -side % self.stride_px) for side in (height, width)), (0, 0)], "symmetric"
        )
        rows, columns = (self._cuts(side) for side in padded.shape[:2])
        run = self.compiled((rows[0].length, columns[0].length))
        probability = np.empty(padded.shape[:2], np.float32)
        depth = np.empty((padded.shape[0] // FOLD, padded.shape[1] // FOLD), np.float32)
        for row in rows:
            strip = padded[row.start : row.start + row.length]
            windows = np.stack([strip[:, c.start : c.start + c.length] for c in columns])
            found, deep = run(windows)
            for k, column in enumerate(columns):
                probability[row.to(), column.to()] = found[k][row.of(), column.of()]
                depth[row.to(FOLD), column.to(FOLD)] = deep[k][row.of(FOLD), column.of(FOLD)]
        return probability[:height, :width], depth[: -(-height // FOLD), : -(-width // FOLD)]

    def _cuts(self, side: int) -> list[_Cut]:
        """Return windows of one length over a side, as few and short as will do."""
        overlap = 2 * self.reach_px
        count = 1 if side <= MOST_SIDE_PX else -(-(side - overlap) // (MOST_SIDE_PX - overlap))
        length = -(-(side + overlap * (count - 1)) // (count * self.stride_px)) * self.stride_px
        return list(_cuts(side, length, count, self.reach_px, self.stride_px))


class _Cut(NamedTuple):
    """One window along a side, and the part of it that is kept; pixels of the working resolution."""

    start: int
    length: int
    first: int
    last: int

    def to(self, fold: int = 1) -> slice:
        return slice(self.first // fold, self.last // fold)

    def of(self, fold: int = 1) -> slice:
        return slice((self.first - self.start) // fold, (self.last - self.start) // fold)


def _cuts(side: int, length: int, count: int, reach: int, stride: int) -> Iterator[_Cut]:
    step = (length - 2 * reach) // stride * stride
    starts = [min(k * step, side - length) for k in range(count)]
    borders = [0, *(start + reach for start in starts[1:]), side]
    for start, first, last in zip(starts, borders[:-1], borders[1:], strict=True):
        yield _Cut(start, length, first, last)


class Scale:
    """Whole pixels between a picture and the network's resolution."""

    def __init__(self, mpp: float, um: float) -> None:
        self.shrink = max(1, round(um / mpp))
        self.enlarge = min(MAX_ENLARGEMENT, max(1, round(mpp / um)))
        self.um = mpp * self.shrink / self.enlarge  # per working pixel

    def worked(self, rgb: NDArray[np.uint8], seen_um: float = 0.0) -> NDArray[np.uint8]:
        """Return a picture at the working resolution, no sharper than pictures of `seen_um` µm/px."""
        picture = Image.fromarray(rgb)
        if self.shrink > 1:
            picture = picture.reduce(self.shrink)
        softer = round(seen_um / self.um) if self.enlarge == 1 else 1
        if softer > 1:
            return _softened(picture, softer)
        if self.enlarge > 1:
            size = (picture.width * self.enlarge, picture.height * self.enlarge)
            picture = picture.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(picture)


def _softened(picture: Image.Image, factor: int) -> NDArray[np.uint8]:
    small = picture.reduce(factor)
    size = (small.width * factor, small.height * factor)
    large = small.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(large)[: picture.height, : picture.width]


def labelled(probability: Float32, depth: Float32, scale: Scale, shape: tuple[int, ...], rule: Rule) -> Int32:
    """Return (H, W) labels, at the picture's own resolution, of what the network says."""
    um = scale.um * FOLD
    coarse = shrunk(probability, FOLD)
    mask = filled(coarse > rule.foreground, rule.max_hole_um2 / um**2)
    # The network's depth shows where nuclei touch; in a large pale nucleus it has several domes.
    distance = ndimage.distance_transform_edt(mask).astype(np.float32) * np.float32(um * rule.depth_a_um)
    surface = ndimage.gaussian_filter(depth + distance, rule.smooth_um / um, truncate=3.0)
    pieces = split_by(surface, mask, rule.max_area_um2 / um**2, rule.joins)
    labels, n = pieces.labels, len(pieces.area_px)
    area = pieces.area_px * um**2
    certainty = np.bincount(labels.ravel(), weights=coarse.ravel(), minlength=n) / np.maximum(
        pieces.area_px, 1.0
    )
    good = (area >= rule.min_area_um2) & (certainty >= rule.min_certainty)
    good[0] = False
    labels = np.where(good[labels], labels, 0)
    grown = np.where(labels > 0, labels, ndimage.maximum_filter(labels, size=3))
    inside = labels * (ndimage.minimum_filter(labels, size=3) == labels)
    return whole(_at_full(grown, inside, probability, scale, shape, rule.foreground), n)


def _at_full(
    grown: Int32, inside: Int32, probability: Float32, scale: Scale, shape: tuple[int, ...], level: float
) -> Int32:
    """Return labels where the probability is high enough, and inside of nuclei always."""
    fine = probability.shape
    grown, inside = repeated(grown, FOLD, fine), repeated(inside, FOLD, fine)
    if scale.enlarge > 1:
        middle = scale.enlarge // 2
        grown, inside = (x[middle :: scale.enlarge, middle :: scale.enlarge] for x in (grown, inside))
        probability = shrunk(probability, scale.enlarge)
    if scale.shrink > 1:
        grown, inside = (repeated(x, scale.shrink, shape) for x in (grown, inside))
        probability = enlarged(probability, scale.shrink, shape)
    return np.where((probability > level) | (inside > 0), grown, 0).astype(np.int32)
