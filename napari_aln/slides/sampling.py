"""Resampling: one patch from a float rectangle, and the whole slide as a small picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from napari_aln.errors import UsageError
from napari_aln.geometry import l0_to_level

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.geometry import Rect
    from napari_aln.records import Level
    from napari_aln.slides.protocol import Slide

_FINE_ENOUGH = 1.01
"""A level may be this much coarser than asked for: 4.0013 serves for 4, and no quality is lost."""

_ALIGNED_PX = 1e-3  # a rectangle this close to whole level pixels is taken as lying on them
_STRIP_BYTES = 32 * 2**20
_MOST_STRIP_BYTES = 256 * 2**20  # of one reduced much at once; a wider one is cut into blocks

AREA_LIKE = Image.Resampling.HAMMING
"""Filter of overviews: as local as a box, without the box's jumps of up to half a pixel at odd ratios."""


@runtime_checkable
class Reduces(Protocol):
    """A slide that can make a small picture of itself in a cheaper way than by reading a level."""

    def reduced(self, size_px: tuple[int, int]) -> NDArray[np.uint8] | None:
        """Return the whole slide as (height, width, 3) RGB of `size_px`; None where there is no cheap way."""


def level_for(levels: tuple[Level, ...], downsample: tuple[float, float]) -> int:
    """Return the coarsest level whose pixels are at least as fine as `downsample` (x, y); 0 if none is."""
    fitting = [
        index
        for index, level in enumerate(levels)
        if all(have <= want * _FINE_ENOUGH for have, want in zip(level.downsample, downsample, strict=True))
    ]
    return max(fitting, key=lambda index: levels[index].downsample, default=0)


class Window(NamedTuple):
    """The whole pixels of one level that a rectangle is resampled from."""

    level: int
    left: int  # level pixels; with the others, it may reach over the level's edge
    top: int
    width: int
    height: int
    box: tuple[float, float, float, float] | None
    """The rectangle's exact left, top, right and lower edge in the window; None: the window is the result."""


def window_of(levels: tuple[Level, ...], l0_rect: Rect, size_px: tuple[int, int]) -> Window:
    """Return what to read for a level-0 rectangle at `size_px` (width, height), see `read_resampled`.

    Raises
    ------
    UsageError
        The rectangle or the result is empty.
    """
    if not (l0_rect.width > 0 and l0_rect.height > 0 and min(size_px) > 0):
        raise UsageError(f"A patch of {l0_rect} at {size_px} px is empty.", "Give a rectangle with an area.")
    wanted = (l0_rect.width / size_px[0], l0_rect.height / size_px[1])
    level = level_for(levels, wanted)
    corner, span = l0_to_level((l0_rect[:2], l0_rect[2:]), levels[level].downsample)
    edges = np.concatenate([corner, corner + span])
    whole = np.round(edges)
    if np.abs(edges - whole).max() <= _ALIGNED_PX:
        edges = whole
    left, top = math.floor(edges[0]), math.floor(edges[1])
    width, height = math.ceil(edges[2]) - left, math.ceil(edges[3]) - top
    if (width, height) == size_px and edges is whole:
        return Window(level, left, top, width, height, None)
    box = (edges[0] - left, edges[1] - top, edges[2] - left, edges[3] - top)
    return Window(level, left, top, width, height, box)


def read_patch(slide: Slide, l0_rect: Rect, size_px: int) -> NDArray[np.uint8]:
    """Return the level-0 rectangle resampled to a square of `size_px`; see `read_resampled`."""
    return read_resampled(slide, l0_rect, (size_px, size_px))


def read_resampled(slide: Slide, l0_rect: Rect, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the level-0 rectangle resampled to `size_px`, width and height.

    The coarsest level that is fine enough is read and resampled by Pillow's antialiased bilinear filter with
    the exact float box. Where the rectangle lies on whole pixels of that level and spans `size_px` of them,
    the pixels come back unchanged. Beyond the slide: background.

    Parameters
    ----------
    slide
        An open slide.
    l0_rect
        Rectangle in level-0 pixels, floats; it may reach over the edge.
    size_px
        Width and height of the result.

    Returns
    -------
    uint8, (height, width, 3)
        RGB.
    """
    window = window_of(slide.info.levels, l0_rect, size_px)
    pixels = slide.read_level(window.level, (window.left, window.top), (window.width, window.height))
    if window.box is None:
        return pixels
    picture = Image.fromarray(pixels).resize(size_px, Image.Resampling.BILINEAR, box=window.box)
    return np.array(picture)


def overview(
    slide: Slide,
    downsample: float | None = None,
    *,
    um_per_px: float | None = None,
    max_side_px: int | None = None,
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Return the whole slide as a small picture, for masks and maps, without holding a full level.

    Parameters
    ----------
    slide
        An open slide.
    downsample
        Level-0 pixels per overview pixel asked for.
    um_per_px
        Resolution asked for instead; the slide must know its µm/px.
    max_side_px
        Upper limit of both sides; alone, or with one of the others. The picture is never enlarged.

    Returns
    -------
    rgb : uint8, (height, width, 3)
        Antialiased.
    downsample : (x, y)
        Exact level-0 pixels per overview pixel: level-0 size / overview size.

    Raises
    ------
    UsageError
        Two resolutions, µm/px of a slide that has none, or a resolution that is not positive.
    SlideError
        The slide cannot be read.
    """
    width, height = slide.info.size_px
    by_x, by_y = _asked_downsample(slide, downsample, um_per_px, max_side_px)
    size = (max(1, round(width / by_x)), max(1, round(height / by_y)))
    exact = (width / size[0], height / size[1])
    rgb = slide.reduced(size) if isinstance(slide, Reduces) else None
    return (_in_strips(slide, size) if rgb is None else rgb), exact


def _asked_downsample(
    slide: Slide, downsample: float | None, um_per_px: float | None, max_side_px: int | None
) -> tuple[float, float]:
    for value in (downsample, um_per_px, max_side_px):
        if value is not None and not value > 0:
            raise UsageError(f"An overview at {value} cannot be made.", "Give a value above 0.")
    by_x = by_y = 1.0
    if um_per_px is not None:
        if slide.info.mpp is None or downsample is not None:
            raise UsageError(
                f"An overview of {slide.info.path.name} at {um_per_px} µm/px needs the slide's own µm/px and "
                "no second resolution.",
                "Give the slide's µm/px, or ask by downsample.",
            )
        by_x, by_y = um_per_px / slide.info.mpp.x, um_per_px / slide.info.mpp.y
    elif downsample is not None:
        by_x = by_y = downsample
    by_x, by_y = max(by_x, 1.0), max(by_y, 1.0)
    if max_side_px is not None:
        width, height = slide.info.size_px
        grow = max(1.0, width / by_x / max_side_px, height / by_y / max_side_px)
        by_x, by_y = by_x * grow, by_y * grow
    return by_x, by_y


def _in_strips(slide: Slide, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Reduce the best level strip by strip, each with the pixels around it that the filter looks at."""
    width, height = slide.info.size_px
    level = level_for(slide.info.levels, (width / size[0], height / size[1]))
    there = slide.info.levels[level]
    per_column, per_row = there.width_px / size[0], there.height_px / size[1]
    rows = max(1, int(_STRIP_BYTES / (3 * there.width_px * per_row)))
    strip_rows = min(there.height_px, (rows + 2) * per_row + 4)
    columns = max(1, min(size[0], int(_MOST_STRIP_BYTES / (3 * strip_rows * per_column)) - 2))
    rgb = np.empty((size[1], size[0], 3), np.uint8)
    for first in range(0, size[1], rows):
        last = min(first + rows, size[1])
        y0, y1, top, bottom = _span(first, last, per_row, there.height_px)
        for start in range(0, size[0], columns):
            end = min(start + columns, size[0])
            x0, x1, left, right = _span(start, end, per_column, there.width_px)
            block = slide.read_level(level, (x0, y0), (x1 - x0, y1 - y0))
            rgb[first:last, start:end] = np.asarray(
                Image.fromarray(block).resize(
                    (end - start, last - first), AREA_LIKE, box=(left, top, right, bottom)
                )
            )
    return rgb


def _span(first: int, last: int, per_px: float, length_px: int) -> tuple[int, int, float, float]:
    """Return what to read along one axis for pixels `first` to `last`, and where these lie in it."""
    around = math.ceil(max(per_px, 1.0)) + 1
    start, end = first * per_px, min(last * per_px, length_px)
    low = max(0, math.floor(start) - around)
    return low, min(length_px, math.ceil(end) + around), start - low, end - low
