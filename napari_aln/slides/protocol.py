"""What every slide reader offers, whatever the file format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_aln.records import SlideInfo


class Slide(Protocol):
    """An open slide. Safe to read from several threads; pickled by path and µm/px, reopened on arrival."""

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide without reading pixels."""

    def read_level(
        self, level: int, level_xy: tuple[int, int], size_px: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Return a (height, width, 3) RGB picture of one level; outside it, background colour.

        Parameters
        ----------
        level
            Index into ``info.levels``.
        level_xy
            Upper-left corner in pixels of that level (may be negative).
        size_px
            Width and height in pixels of that level.
        """

    def read_region(
        self, l0_xy: tuple[float, float], level: int, size_px: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Return a (height, width, 3) RGB picture of one level, its corner in level-0 pixels."""

    def thumbnail(self, max_side_px: int) -> NDArray[np.uint8]:
        """Return the whole slide as RGB, at most `max_side_px` pixels a side."""

    def associated_image(self, name: str) -> NDArray[np.uint8]:
        """Return a label, macro or thumbnail image. May show patient data: only on an explicit request."""

    def color_profile(self) -> bytes | None:
        """Return the ICC profile embedded in the file, for display; None where there is none."""

    def tile_size(self, level: int) -> tuple[int, int] | None:
        """Return the width and height of the file's own tiles of a level; None where it has none."""

    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
