"""JPEG tiles as they lie in a file, for whoever decodes them elsewhere than here: on a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"


@dataclass(frozen=True)
class EncodedLevel:
    """A level that is one grid of JPEG tiles, all of one size and none missing.

    Tiles at the right and lower edge are as large as the others and reach beyond the level.
    """

    width_px: int
    height_px: int
    tile_width_px: int
    tile_height_px: int
    stores_rgb: bool  # the components are red, green and blue as they are; else they are Y, Cb and Cr
    fullest: tuple[int, int]  # column and row of the tile with the most bytes, so the most content
    read: Callable[[int, int], bytes]  # (column, row) -> a JPEG that stands alone; raises SlideError


@runtime_checkable
class KeepsJpeg(Protocol):
    """A slide that can hand out its tiles undecoded."""

    def encoded_level(self, level: int) -> EncodedLevel | None:
        """Return the level's tiles; None where they are no plain JPEG, or not proven to be."""


def whole_jpeg(segment: bytes, tables: bytes | None) -> bytes:
    """Return a TIFF's JPEG segment as a JPEG that stands alone.

    Parameters
    ----------
    segment
        A tile's bytes: an abbreviated JPEG where the TIFF keeps tables, else a whole one.
    tables
        The TIFF's tag `JPEGTables` (TIFF Technical Note 2): tables between a start and an end of their own.
    """
    if not tables:
        return segment
    inner = tables[len(_JPEG_START) : tables.rindex(_JPEG_END)]
    return _JPEG_START + inner + segment[len(_JPEG_START) :]
