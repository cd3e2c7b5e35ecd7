"""Decode tiles and strips of a TIFF directly, with a small cache, from several threads at once.

The compressed bytes are read under a lock (microseconds); imagecodecs decodes them without Python's lock.
No file is memory-mapped: a file that shrinks or vanishes must give an error, not a bus fault.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import imagecodecs
import numpy as np
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFileError

from napari_aln.errors import SlideError
from napari_aln.slides.encoded import EncodedLevel, whole_jpeg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from tifffile import TiffPage

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else its remarks go to the user's terminal

TILE_CACHE_BYTES = 64 * 2**20
"""Decoded tiles kept per slide, so that patches across tile borders do not decode a tile four times."""

LARGEST_TILE_BYTES = 2**29  # decoded; 13 000 px a side
LARGEST_STRIP_BYTES = 2**31  # decoded; a single strip may be a whole picture

TIFF_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,  # root of imagecodecs' own errors, and of NotImplementedError
    TiffFileError,
    struct.error,
    imagecodecs.DelayedImportError,
)
"""What tifffile and imagecodecs were seen to raise on damaged files: tags that hold nonsense are met by the
arithmetic that uses them, not by a check."""

_JPEG_END = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class TiffLevel:
    """One picture of a TIFF as tiles; a strip is a tile as wide as the picture."""

    width_px: int
    height_px: int
    tile_width_px: int
    tile_height_px: int
    channels: int
    planes: int  # 1: channels interleaved in a tile; else each channel has tiles of its own
    offsets: NDArray[np.int64]  # (planes * rows * columns,) bytes
    byte_counts: NDArray[np.int64]  # 0: the tile is missing
    decode: Callable[..., tuple[NDArray[Any] | None, Any, Any]]  # tifffile's, bound to the page's compression
    jpeg_tables: bytes | None
    is_jpeg: bool
    jpeg_color: Literal["rgb", "ycbcr"] | None  # of plain tiled 8-bit colour JPEG; None: it is none

    @property
    def columns(self) -> int:
        """Number of tiles along x."""
        return -(-self.width_px // self.tile_width_px)

    @property
    def rows(self) -> int:
        """Number of tiles along y."""
        return -(-self.height_px // self.tile_height_px)


def tiff_level(page: TiffPage, path: Path, file_bytes: int) -> TiffLevel:
    """Describe a page of an open TIFF, so that its tiles can be decoded after the TIFF is closed.

    Raises
    ------
    SlideError
        The file ends before a tile begins, a tile is absurdly large, or the picture has no pixels.
    """
    planes = 1 if page.planarconfig == 1 else page.samplesperpixel
    tile = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.rowsperstrip)
    if min(page.imagewidth, page.imagelength, *tile) < 1:
        raise SlideError(f"{path} claims a picture without pixels.", "Copy or download the file again.")
    level = TiffLevel(
        width_px=page.imagewidth,
        height_px=page.imagelength,
        tile_width_px=tile[0],
        tile_height_px=min(tile[1], page.imagelength) if not page.is_tiled else tile[1],
        channels=page.samplesperpixel,
        planes=planes,
        offsets=np.asarray(page.dataoffsets, np.int64),
        byte_counts=np.asarray(page.databytecounts, np.int64),
        decode=page.decode,
        jpeg_tables=page.jpegtables,
        is_jpeg=page.compression == COMPRESSION.JPEG,
        jpeg_color=_jpeg_color(page),
    )
    needed = planes * level.rows * level.columns
    counted = min(len(level.offsets), len(level.byte_counts)) >= needed
    if not counted or _beyond(level.offsets[:needed], level.byte_counts[:needed], file_bytes):
        raise SlideError(
            f"{path} is truncated: its last tiles are missing.", "Copy or download the file again, whole."
        )
    level = replace(level, offsets=level.offsets[:needed], byte_counts=level.byte_counts[:needed])
    most = LARGEST_TILE_BYTES if page.is_tiled else LARGEST_STRIP_BYTES
    if tile[0] * level.tile_height_px * level.channels > most:
        raise SlideError(
            f"{path} claims tiles of {tile[0]} x {level.tile_height_px} px.",
            "The file is damaged, or untiled and too large: convert it to a tiled TIFF.",
        )
    return level


def _beyond(offsets: NDArray[np.int64], byte_counts: NDArray[np.int64], file_bytes: int) -> bool:
    """Whether a tile begins beyond the end of the file, or is larger than all of it.

    OpenSlide takes memory for as many bytes as a tile claims, and ends the process where it gets none.
    """
    there = byte_counts > 0
    return bool((offsets[there] >= file_bytes).any() or (byte_counts > file_bytes).any())


def _jpeg_color(page: TiffPage) -> Literal["rgb", "ycbcr"] | None:
    """Return what a JPEG page's components are, as tifffile takes it when it decodes them."""
    is_colour = page.samplesperpixel == 3 and page.planarconfig == 1 and page.dtype == np.uint8
    if not (page.compression == COMPRESSION.JPEG and page.is_tiled and is_colour):
        return None
    if page.photometric == PHOTOMETRIC.YCBCR:
        return "ycbcr"
    if page.photometric == PHOTOMETRIC.RGB:  # JFIF is YCbCr, whatever the TIFF says around it
        return "ycbcr" if page.is_jfif else "rgb"
    return None


class TileReader:
    """Tiles of the levels of one TIFF, decoded on request.

    Parameters
    ----------
    path
        The file; it is held open until `close`.
    levels
        Its levels; None for one that is not read here.
    cache_bytes
        Upper limit of the decoded tiles kept; one tile is always kept, however large.
    """

    def __init__(
        self, path: Path, levels: tuple[TiffLevel | None, ...], cache_bytes: int = TILE_CACHE_BYTES
    ) -> None:
        self._path = path
        self.levels = levels
        self._file = path.open("rb", buffering=0)
        self._file_lock = threading.Lock()
        self._cache: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()
        self._cache_lock = threading.Lock()
        self._cache_limit = cache_bytes
        self._cached_bytes = 0

    def read(
        self, level: int, x: int, y: int, width: int, height: int, missing: tuple[int, ...]
    ) -> NDArray[np.uint8]:
        """Return (height, width, channels) pixels of a box inside the level; `missing` fills missing tiles.

        Raises
        ------
        SlideError
            A tile cannot be read or decoded.
        """
        there = self.levels[level]
        if there is None:
            raise SlideError(f"Level {level} of {self._path} has no tiles to decode.", "Read it otherwise.")
        tile_w, tile_h = there.tile_width_px, there.tile_height_px
        out = np.empty((height, width, there.channels), np.uint8)
        for row in range(y // tile_h, (y + height - 1) // tile_h + 1):
            top, bottom = max(y, row * tile_h), min(y + height, (row + 1) * tile_h)
            for column in range(x // tile_w, (x + width - 1) // tile_w + 1):
                left, right = max(x, column * tile_w), min(x + width, (column + 1) * tile_w)
                tile = self._tile(level, there, row * there.columns + column)
                out[top - y : bottom - y, left - x : right - x] = (
                    missing
                    if tile is None
                    else tile[
                        top - row * tile_h : bottom - row * tile_h,
                        left - column * tile_w : right - column * tile_w,
                    ]
                )
        return out

    def encoded(self, level: int) -> EncodedLevel | None:
        """Return the tiles of a level undecoded; None where they are no plain grid of colour JPEG."""
        there = self.levels[level]
        if there is None or there.jpeg_color is None:
            return None
        byte_counts = there.byte_counts[: there.rows * there.columns]
        if byte_counts.min() == 0:
            return None
        row, column = divmod(int(byte_counts.argmax()), there.columns)
        return EncodedLevel(
            width_px=there.width_px,
            height_px=there.height_px,
            tile_width_px=there.tile_width_px,
            tile_height_px=there.tile_height_px,
            stores_rgb=there.jpeg_color == "rgb",
            fullest=(column, row),
            read=partial(self._encoded_tile, there),
        )

    def close(self) -> None:
        """Release the file and the decoded tiles."""
        with self._file_lock:
            self._file.close()
        with self._cache_lock:
            self._cache.clear()
            self._cached_bytes = 0

    def _tile(self, level: int, there: TiffLevel, index: int) -> NDArray[np.uint8] | None:
        key = (level, index)
        with self._cache_lock:
            tile = self._cache.get(key)
            if tile is not None:
                self._cache.move_to_end(key)
                return tile
        area = there.rows * there.columns
        planes = [self._segment(there, index + plane * area) for plane in range(there.planes)]
        whole = [plane for plane in planes if plane is not None]
        if len(whole) < len(planes):
            return None
        tile = whole[0] if len(whole) == 1 else np.concatenate(whole, axis=-1)
        self._keep(key, tile)
        return tile

    def _keep(self, key: tuple[int, int], tile: NDArray[np.uint8]) -> None:
        with self._cache_lock:
            if key in self._cache:
                return
            self._cache[key] = tile
            self._cached_bytes += tile.nbytes
            while self._cached_bytes > self._cache_limit and len(self._cache) > 1:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes

    def _encoded_tile(self, there: TiffLevel, column: int, row: int) -> bytes:
        index = row * there.columns + column
        with self._damage_told(index):
            return whole_jpeg(self._bytes(there, index), there.jpeg_tables)

    def _segment(self, there: TiffLevel, index: int) -> NDArray[np.uint8] | None:
        if there.byte_counts[index] == 0:
            return None
        with self._damage_told(index):
            tables = {"jpegtables": there.jpeg_tables} if there.jpeg_tables else {}
            tile = there.decode(self._bytes(there, index), index, **tables)[0]
        if tile is None or tile.dtype != np.uint8:
            raise SlideError(
                f"Tile {index} of {self._path} holds no 8-bit pixels.", "Convert it to 8-bit RGB."
            )
        pixels: NDArray[np.uint8] = tile[0]  # of depth 1
        return pixels

    def _bytes(self, there: TiffLevel, index: int) -> bytes:
        count = int(there.byte_counts[index])
        with self._file_lock:
            self._file.seek(int(there.offsets[index]))
            data = self._file.read(count)
        if data is None or len(data) < count:
            raise TiffFileError("the file ends within a tile")
        if there.is_jpeg and not data.rstrip(b"\0").endswith(_JPEG_END):
            raise TiffFileError("its JPEG has no end")  # the decoder would fill the rest with grey
        return data

    @contextmanager
    def _damage_told(self, index: int) -> Iterator[None]:
        try:
            yield
        except TIFF_ERRORS as error:
            raise SlideError(
                f"{self._path} failed while being read: tile {index} cannot be decoded ({error}).",
                "The file is damaged or the drive is gone: copy or download it again.",
            ) from error
