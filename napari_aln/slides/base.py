"""What all readers share: clipping to the level, both coordinate frames, closing, pickling."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_aln.errors import SlideError, UsageError
from napari_aln.geometry import l0_to_level
from napari_aln.slides.opening import open_slide
from napari_aln.slides.sampling import overview

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.records import SlideInfo


LONGEST_SIDE_PX = 5_000_000  # a metre at 0.2 µm/px; a damaged header claims more
MOST_PX = 10**12  # a square of a quarter of a metre, at 0.25 µm/px


class BaseSlide(ABC):
    """An open slide; readers add how pixels inside a level are got.

    Parameters
    ----------
    info
        Facts of the slide.
    given_mpp
        µm/px the user gave, kept for reopening after pickling.

    Raises
    ------
    SlideError
        The slide claims a size that no slide has.
    """

    _closed = False

    def __init__(self, info: SlideInfo, given_mpp: Mpp | None) -> None:
        if max(info.size_px) > LONGEST_SIDE_PX or info.size_px[0] * info.size_px[1] > MOST_PX:
            raise SlideError(
                f"{info.path} claims {info.size_px[0]} x {info.size_px[1]} px.",
                "The file is damaged: copy or download it again.",
            )
        self._info = info
        self._given_mpp = given_mpp

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide without reading pixels."""
        return self._info

    @abstractmethod
    def _read_inside(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return (height, width, 3) pixels of a box that lies wholly inside the level and is not empty."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of the file; called once."""

    def read_level(
        self, level: int, level_xy: tuple[int, int], size_px: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Return a (height, width, 3) RGB picture of one level; outside it, background colour.

        Raises
        ------
        SlideError
            The slide is closed, or the file cannot be read (any more).
        UsageError
            There is no such level, or a side is negative.
        """
        self._check_open()
        (x, y), (width, height) = level_xy, size_px
        if not 0 <= level < len(self._info.levels) or min(width, height) < 0:
            raise UsageError(
                f"{self._info.path.name} has {len(self._info.levels)} levels; level {level} with "
                f"{width} x {height} px was asked for.",
                "Ask for a level from 0 and a size that is not negative.",
            )
        there = self._info.levels[level]
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, there.width_px), min(y + height, there.height_px)
        if right <= left or bottom <= top:
            return self._glass(width, height)
        try:
            inside = self._read_inside(level, left, top, right - left, bottom - top)
        except MemoryError as error:
            raise self._too_large(f"level {level}") from error
        if inside.shape[:2] == (height, width):
            return inside
        picture = self._glass(width, height)
        picture[top - y : bottom - y, left - x : right - x] = inside
        return picture

    def read_region(
        self, l0_xy: tuple[float, float], level: int, size_px: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Return a (height, width, 3) RGB picture of one level from the level pixel nearest to `l0_xy`."""
        self._check_open()
        if not 0 <= level < len(self._info.levels):
            return self.read_level(level, (0, 0), size_px)
        x, y = l0_to_level(l0_xy, self._info.levels[level].downsample)
        return self.read_level(level, (math.floor(x + 0.5), math.floor(y + 0.5)), size_px)

    def thumbnail(self, max_side_px: int) -> NDArray[np.uint8]:
        """Return the whole slide as RGB, at most `max_side_px` pixels a side."""
        return overview(self, max_side_px=max_side_px)[0]

    def associated_image(self, name: str) -> NDArray[np.uint8]:
        """Return a label, macro or thumbnail image. May show patient data: only on an explicit request.

        Raises
        ------
        SlideError
            The slide has no image of that name.
        """
        self._check_open()
        if name not in self._info.associated:
            raise SlideError(
                f"{self._info.path.name} holds no associated image named '{name}'.",
                f"It holds: {', '.join(self._info.associated) or 'none'}.",
            )
        try:
            return self._read_associated(name)
        except MemoryError as error:
            raise self._too_large(f"its {name} image") from error

    def _too_large(self, what: str) -> SlideError:
        return SlideError(
            f"{self._info.path} needs more memory than there is for {what}.",
            "Close other programs, or convert the file to a tiled pyramid with small tiles.",
        )

    def _read_associated(self, name: str) -> NDArray[np.uint8]:
        raise SlideError(f"{self._info.path.name} holds no image named '{name}'.", "Ask for another one.")

    def color_profile(self) -> bytes | None:
        """Return the ICC profile embedded in the file, for display; None where there is none."""
        return None

    def tile_size(self, level: int) -> tuple[int, int] | None:
        """Return the width and height of the file's own tiles of a level; None where it has none."""
        return None

    def close(self) -> None:
        """Release the file. A second call does nothing; reading afterwards raises `SlideError`."""
        if not self._closed:
            self._closed = True
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        """Travel by path and µm/px; the slide is opened anew on arrival."""
        given = tuple(self._given_mpp) if self._given_mpp else None
        return open_slide, (self._info.path, given)

    def __repr__(self) -> str:
        width, height = self._info.size_px
        return f"<{type(self).__name__} {self._info.path.name} {width} x {height} px>"

    def _check_open(self) -> None:
        if self._closed:
            raise SlideError(f"{self._info.path.name} was closed.", "Open the slide again to read from it.")

    def _glass(self, width: int, height: int) -> NDArray[np.uint8]:
        return np.full((height, width, 3), self._info.background_rgb, np.uint8)
