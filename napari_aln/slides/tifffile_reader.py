"""Reader of TIFF files that OpenSlide declines: OME-TIFF, untiled and single-level TIFF."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from napari_aln.geometry import Mpp
    from napari_aln.slides.base import BaseSlide


def try_open(path: Path, given_mpp: Mpp | None) -> BaseSlide | None:
    """Return the slide, or None when the file is no TIFF."""
    return None
