"""Which levels the viewer gets, and how one the file lacks is made: as the area mean of the next finer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.slides.protocol import Slide

COARSEST_PX = 1024
"""Levels are halved until the picture is at most this wide and high; that one is always in memory."""

_JUMP = 2.8  # two levels this far apart get one between them; at 2.5 and below, halves would gain little
_TILE_PX = 512  # where the file has no tiles of its own
_SMALLEST_TILE_PX, _LARGEST_TILE_PX = 256, 1024


@dataclass(frozen=True, slots=True)
class PlannedLevel:
    """One level of the viewer's pyramid."""

    width_px: int
    height_px: int
    tile_width_px: int
    tile_height_px: int
    file_level: int | None  # None: the area mean of the level before it

    @property
    def columns(self) -> int:
        """Number of tiles along x."""
        return -(-self.width_px // self.tile_width_px)

    @property
    def rows(self) -> int:
        """Number of tiles along y."""
        return -(-self.height_px // self.tile_height_px)

    def tile_box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Return x0, y0, x1, y1 of a tile in pixels of this level; the last ones end with the picture."""
        x, y = column * self.tile_width_px, row * self.tile_height_px
        return x, y, min(x + self.tile_width_px, self.width_px), min(y + self.tile_height_px, self.height_px)


def plan_levels(slide: Slide) -> tuple[PlannedLevel, ...]:
    """Return the levels, finest first, each smaller than the one before.

    A viewer places a level by the ratio of its size to level 0's, for each axis. So a level's size is level
    0's divided by its exact downsample; for nearly all files that is the size the file states. Made levels
    have half the size, rounded up, and are averaged over exactly the pixels that this ratio gives.
    """
    width, height = slide.info.size_px
    levels: list[PlannedLevel] = []
    for index, level in enumerate(slide.info.levels):
        by_x, by_y = level.downsample
        size = (max(1, round(width / by_x)), max(1, round(height / by_y)))
        if levels and not _smaller(size, levels[-1]):
            continue
        while levels and min(levels[-1].width_px / size[0], levels[-1].height_px / size[1]) > _JUMP:
            levels.append(_half(levels[-1]))
        levels.append(PlannedLevel(*size, *_tile(slide.tile_size(index)), index))
    while max(levels[-1].width_px, levels[-1].height_px) > COARSEST_PX:
        levels.append(_half(levels[-1]))
    return tuple(levels)


def source_box(
    finer: PlannedLevel, level: PlannedLevel, box: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    """Return the box of the finer level that a box of the level is the mean of."""
    x0, y0, x1, y1 = box
    return (
        x0 * finer.width_px // level.width_px,
        y0 * finer.height_px // level.height_px,
        -(-x1 * finer.width_px // level.width_px),
        -(-y1 * finer.height_px // level.height_px),
    )


def area_mean(
    pixels: NDArray[np.uint8], finer: PlannedLevel, level: PlannedLevel, box: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """Return a box of a level as the mean of the finer level's pixels, weighted by the area they share.

    Parameters
    ----------
    pixels
        (height, width, 3), what lies in `source_box` of the finer level.
    finer, level
        Two levels whose sizes differ at most by a factor of 2 on each axis.
    box
        x0, y0, x1, y1 in pixels of the level.

    Returns
    -------
    uint8, (y1 - y0, x1 - x0, 3)
        Rounded to the nearest value.
    """
    x0, y0, x1, y1 = box
    if finer.width_px == 2 * level.width_px and finer.height_px == 2 * level.height_px:
        return _mean_of_fours(pixels)
    rows = _mean_along(pixels, 0, finer.height_px, level.height_px, (y0, y1))
    mean = _mean_along(rows, 1, finer.width_px, level.width_px, (x0, x1))
    return (mean + np.float32(0.5)).astype(np.uint8)


def _mean_of_fours(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the mean of each 2 x 2 block, colour by colour: inner loops over 3 colours would be slow."""
    pairs = np.add(pixels[0::2], pixels[1::2], dtype=np.uint16)
    fours = np.empty((pairs.shape[0], pairs.shape[1] // 2, 3), np.uint16)
    for color in range(3):
        np.add(pairs[:, 0::2, color], pairs[:, 1::2, color], out=fours[..., color])
    fours += 2
    fours >>= 2
    return fours.astype(np.uint8)


def _mean_along(
    pixels: NDArray[np.generic], axis: int, n_fine: int, n_coarse: int, span: tuple[int, int]
) -> NDArray[np.float32]:
    """Average along one axis; a coarse pixel shares area with three fine ones at most.

    Counted in units of 1 / n_coarse of a fine pixel, so that all edges are whole numbers.
    """
    coarse = np.arange(*span, dtype=np.int64)
    start, end = coarse * n_fine, (coarse + 1) * n_fine
    first = start // n_coarse
    mean = np.zeros((), np.float32)
    for tap in range(3):
        shared = np.minimum(end, (first + tap + 1) * n_coarse) - np.maximum(start, (first + tap) * n_coarse)
        weight = (shared.clip(0) / n_fine).astype(np.float32)
        if weight.any():
            at = np.minimum(first + tap - first[0], pixels.shape[axis] - 1)
            mean = mean + pixels.take(at, axis) * weight.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    return mean


def _smaller(size: tuple[int, int], than: PlannedLevel) -> bool:
    return size[0] <= than.width_px and size[1] <= than.height_px and size != (than.width_px, than.height_px)


def _half(level: PlannedLevel) -> PlannedLevel:
    size = (-(-level.width_px // 2), -(-level.height_px // 2))
    tile = (level.tile_width_px, level.tile_height_px)
    if level.file_level is not None:  # then a tile is made of one of the file's; more would be read unseen
        tile = (-(-tile[0] // 2), -(-tile[1] // 2))
    return PlannedLevel(*size, *tile, None)


def _tile(in_file: tuple[int, int] | None) -> tuple[int, int]:
    """Return the file's own tile, or a few of them where they are small."""
    if in_file is None or max(in_file) > _LARGEST_TILE_PX:
        return _TILE_PX, _TILE_PX
    return tuple(side * max(1, _SMALLEST_TILE_PX // side) for side in in_file)  # type: ignore[return-value]
