"""Nuclei of any region of a slide, tile by tile: tiles overlap, each nucleus belongs to exactly one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from napari_aln.errors import RegionError, UsageError
from napari_aln.nuclei.segmentation import DEFAULT_METHOD, checked_mpp, segmenter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_aln.nuclei.segmentation import Segmenter

TILE_PX = 2048
"""At 0.25 µm/px 43 % more pixels are segmented than the region has; at 4096 it would be 21 %."""

SAMPLE_PX, SAMPLES_A_SIDE = 256, 6


class Box(NamedTuple):
    """Whole pixels of the resolution that is segmented."""

    x: int
    y: int
    width: int
    height: int


class Read(Protocol):
    """Gives the pixels of the resolution that is segmented."""

    def __call__(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return (height, width, 3) RGB."""


class NucleiTile(NamedTuple):
    """The nuclei of one tile, whole where they reach over its edge."""

    x: int  # of the corner of labels and rgb
    y: int
    labels: NDArray[np.int32]  # (h, w): only this tile's own, 1..n
    rgb: NDArray[np.uint8]  # (h, w, 3)
    nuclei: int  # how many
    done: int  # tiles, this one included
    total: int


def segment_tiles(  # noqa: PLR0913 - what is read, what is wanted of it, and how, each by name
    read: Read,
    region: Box,
    mpp: float,
    method: str | Segmenter = DEFAULT_METHOD,
    *,
    within: Box | None = None,
    samples: Sequence[NDArray[np.uint8]] | None = None,
    tile_px: int = TILE_PX,
    part_of: Callable[[Box], Box | None] | None = None,
) -> Generator[NucleiTile, None, None]:
    """Segment a region; closing the generator stops it.

    A nucleus is of the region, and of a tile, if its centroid is. Around a tile as much is segmented as bears
    on its nuclei, so that tiles of any size give the nuclei of the whole picture: on drawn and real tissue
    over 99 % of them pixel by pixel, the rest being parts of clumps longer than the overlap.

    Parameters
    ----------
    read
        Gives pixels inside `within`.
    region
        What is segmented.
    mpp
        µm/px of these pixels; never guessed here.
    method
        See `segment`; or the method itself.
    within
        What can be read, such as the whole slide; None: the region alone.
    samples
        (H, W, 3) pictures the method adapts itself to, best of tissue all over the slide; None: a grid of
        squares of the region.
    tile_px
        Side of a tile without its overlap, about.
    part_of
        What is wanted of a tile, such as the tissue in it: a box inside it, or None to pass it over. Only
        nuclei of that box are found. None: all of every tile.

    Raises
    ------
    MppError, UsageError
        See `segment`; or no tile size.
    RegionError
        The region is empty or not inside `within`.
    """
    mpp = checked_mpp(mpp)
    chosen = segmenter(method) if isinstance(method, str) else method
    within = within or region
    _check(region, within, tile_px)
    if samples is None:
        samples = list(_samples(read, region))
    chosen = chosen.adapted(samples)
    grain = chosen.grain_px(mpp)
    side, halo = (-(-math.ceil(px) // grain) * grain for px in (tile_px, chosen.halo_um / mpp))
    tiles = [_common(tile, region) for tile in _tiles(region, within, side)]
    wanted = tiles if part_of is None else [part for part in map(part_of, tiles) if part is not None]
    for done, own in enumerate(wanted, start=1):
        window = _grown(_on_grain(own, within, grain), halo, within)
        rgb = read(*window)
        labels, nuclei = _owned(chosen.labels(rgb, mpp), window, own)
        yield NucleiTile(window.x, window.y, labels, rgb, nuclei, done, len(wanted))


def _check(region: Box, within: Box, tile_px: int) -> None:
    if tile_px < 1:
        raise UsageError(f"A tile of {tile_px} px is empty.", "Give at least 1; 1024 to 4096 is quick.")
    if min(region.width, region.height) < 1 or _common(region, within) != region:
        raise RegionError(
            f"{region} is empty or reaches out of {within}.", "Choose a region inside the slide."
        )


def _samples(read: Read, region: Box) -> Iterator[NDArray[np.uint8]]:
    """Read a grid of small squares, or the region itself where it is no larger than they."""
    if max(region.width, region.height) <= SAMPLE_PX * SAMPLES_A_SIDE:
        yield read(*region)
        return
    wide, high = min(SAMPLE_PX, region.width), min(SAMPLE_PX, region.height)
    for y in np.unique(np.linspace(region.y, region.y + region.height - high, SAMPLES_A_SIDE).astype(int)):
        for x in np.unique(np.linspace(region.x, region.x + region.width - wide, SAMPLES_A_SIDE).astype(int)):
            yield read(int(x), int(y), wide, high)


def _tiles(region: Box, within: Box, side: int) -> Iterator[Box]:
    """Return the tiles that meet the region; their grid starts at the corner of what can be read."""
    rows = range((region.y - within.y) // side, (region.y + region.height - 1 - within.y) // side + 1)
    first, last = (region.x - within.x) // side, (region.x + region.width - 1 - within.x) // side
    for row in rows:
        for column in range(first, last + 1):
            yield Box(within.x + column * side, within.y + row * side, side, side)


def _on_grain(box: Box, within: Box, grain: int) -> Box:
    """Return the smallest box around one whose corners lie on the grain of what can be read."""
    x, y = box.x - (box.x - within.x) % grain, box.y - (box.y - within.y) % grain
    right, low = box.x + box.width, box.y + box.height
    right, low = right + (within.x - right) % grain, low + (within.y - low) % grain
    return Box(x, y, right - x, low - y)


def _grown(box: Box, by: int, within: Box) -> Box:
    return _common(Box(box.x - by, box.y - by, box.width + 2 * by, box.height + 2 * by), within)


def _common(a: Box, b: Box) -> Box:
    x, y = max(a.x, b.x), max(a.y, b.y)
    width = min(a.x + a.width, b.x + b.width) - x
    height = min(a.y + a.height, b.y + b.height) - y
    return Box(x, y, max(width, 0), max(height, 0))


def _owned(labels: NDArray[np.int32], window: Box, own: Box) -> tuple[NDArray[np.int32], int]:
    """Return the labels whose centroid lies in `own`, numbered anew, and their number."""
    n = int(labels.max(initial=0)) + 1
    rows, columns = np.nonzero(labels)
    of = labels[rows, columns]
    area = np.maximum(np.bincount(of, minlength=n), 1)
    # The middle of a pixel lies half a pixel from its corner; a centroid on a border is the later tile's.
    x = np.bincount(of, weights=columns, minlength=n) / area + (window.x + 0.5)
    y = np.bincount(of, weights=rows, minlength=n) / area + (window.y + 0.5)
    mine = (x >= own.x) & (x < own.x + own.width) & (y >= own.y) & (y < own.y + own.height)
    mine[0] = False
    number = np.zeros(n, np.int32)
    number[mine] = np.arange(1, int(mine.sum()) + 1)
    return number[labels], int(mine.sum())
