"""The fast path beside OpenSlide: decode a TIFF's tiles directly, where that gives the very same pixels.

Geometry stays OpenSlide's. A level is read here only when it is a plain grid of 8-bit RGB tiles without gaps,
in a compression whose decoding was compared, and when sample tiles equal OpenSlide's pixels at the opening.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openslide
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile

from napari_aln.errors import SlideError
from napari_aln.geometry import level_to_l0
from napari_aln.slides.tiles import TIFF_ERRORS, TiffLevel, TileReader, tiff_level

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tifffile import TiffPage

_VENDORS = {"aperio", "generic-tiff"}  # plain grids; the others overlap, pad or re-order their tiles
_COMPRESSIONS = {
    COMPRESSION.NONE,
    COMPRESSION.LZW,
    COMPRESSION.JPEG,
    COMPRESSION.ADOBE_DEFLATE,
    COMPRESSION.DEFLATE,
    COMPRESSION.ZSTD,
}
_PHOTOMETRICS = {PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR}
_LARGEST_TILE_PX = 4096


def proven_tiles(path: Path, handle: openslide.OpenSlide) -> TileReader | None:
    """Return a reader of the levels whose tiles decode to OpenSlide's own pixels, or None when none does.

    Parameters
    ----------
    path
        The slide.
    handle
        The same slide, open in OpenSlide.

    Raises
    ------
    SlideError
        The file is truncated, or claims more bytes for a tile than it has.
    openslide.OpenSlideError
        A sample tile is damaged; the handle is of no more use.
    """
    if handle.properties.get("openslide.vendor") not in _VENDORS:
        return None
    try:
        with TiffFile(path) as tiff:
            size = tiff.filehandle.size
            _refuse_absurd_segments(tiff, path, size)
            levels = [_level(tiff, handle, index, path, size) for index in range(handle.level_count)]
    except SlideError:
        raise
    except TIFF_ERRORS:
        return None  # OpenSlide opened it and has the last word
    if not any(levels):
        return None
    reader = TileReader(path, tuple(levels))
    try:
        reader.levels = tuple(
            level if level and _same_pixels(reader, handle, index, level) else None
            for index, level in enumerate(levels)
        )
    except openslide.OpenSlideError:
        reader.close()
        raise
    if any(reader.levels):
        return reader
    reader.close()
    return None


def whole_l0(x: int, y: int, downsample: float) -> tuple[int, int]:
    """Return the whole level-0 pixel nearest to a level's pixel, which is how OpenSlide wants to be asked.

    `downsample` is OpenSlide's own of that level, for it divides by the same again.
    """
    l0_x, l0_y = level_to_l0((x, y), (downsample, downsample)).tolist()
    return round(l0_x), round(l0_y)


def _refuse_absurd_segments(tiff: TiffFile, path: Path, file_bytes: int) -> None:
    """OpenSlide takes memory for as many bytes as a tile or strip claims, and ends the process without."""
    for frame in tiff.pages:
        if max(frame.aspage().databytecounts, default=0) > file_bytes:
            raise SlideError(
                f"{path} is damaged or truncated: a part of it claims more bytes than the whole file has.",
                "Copy or download the file again, whole.",
            )


def _level(
    tiff: TiffFile, handle: openslide.OpenSlide, index: int, path: Path, file_bytes: int
) -> TiffLevel | None:
    """Return the one page that is this level, or None when there is none or its tiles are not plain."""
    size = handle.level_dimensions[index]
    tile = tuple(
        int(handle.properties.get(f"openslide.level[{index}].tile-{side}", 0)) for side in ("width", "height")
    )
    pages = [
        page
        for page in (frame.aspage() for frame in tiff.pages)
        if page.is_tiled
        and (page.imagewidth, page.imagelength) == size
        and (page.tilewidth, page.tilelength) == tile
    ]
    if len(pages) != 1:
        return None
    level = tiff_level(pages[0], path, file_bytes)
    return level if _is_plain(pages[0]) and level.byte_counts.min(initial=1) > 0 else None


def _is_plain(page: TiffPage) -> bool:
    jpeg = page.compression == COMPRESSION.JPEG
    return (
        page.compression in _COMPRESSIONS
        and page.photometric in _PHOTOMETRICS
        and (jpeg or page.photometric == PHOTOMETRIC.RGB)
        and page.dtype == np.uint8
        and page.samplesperpixel == 3
        and page.planarconfig == 1
        and max(page.tilewidth, page.tilelength) <= _LARGEST_TILE_PX
    )


def _same_pixels(reader: TileReader, handle: openslide.OpenSlide, index: int, level: TiffLevel) -> bool:
    """Compare sample tiles with OpenSlide's pixels of the same place."""
    for x, y in _samples(level, handle.level_downsamples[index]):
        width = min(level.tile_width_px, level.width_px - x)
        height = min(level.tile_height_px, level.height_px - y)
        corner = whole_l0(x, y, handle.level_downsamples[index])
        try:
            ours = reader.read(index, x, y, width, height, (255, 255, 255))
            theirs = np.asarray(handle.read_region(corner, index, (width, height)))
        except SlideError:
            return False
        if theirs[..., 3].min() < 255 or not np.array_equal(ours, theirs[..., :3]):
            return False
    return True


def _samples(level: TiffLevel, downsample: float) -> Iterator[tuple[int, int]]:
    """Yield the corners of the first tile and of the one with the most bytes, so the most content.

    OpenSlide is asked in whole level-0 pixels; a corner between two of them would come back blended.
    """
    fullest = int(level.byte_counts.argmax())
    for tile in sorted({0, fullest}):
        x, y = tile % level.columns * level.tile_width_px, tile // level.columns * level.tile_height_px
        l0_xy = level_to_l0((x, y), (downsample, downsample))
        if np.abs(l0_xy - np.round(l0_xy)).max() < 1e-6:
            yield x, y
