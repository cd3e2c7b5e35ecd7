"""The tumour ROI from an annotation file, and whether it may count from the slide's other origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_aln.annotations.placing import OTHER_ORIGIN, STARTS, other_origin
from napari_aln.annotations.read import read_annotations
from napari_aln.errors import RegionError
from napari_aln.workflows.slide.prepare import usable_roi

if TYPE_CHECKING:
    from pathlib import Path

    from napari_aln.annotations.statement import Origin
    from napari_aln.records import Region
    from napari_aln.slides import Slide


@dataclass(frozen=True)
class RoiFile:
    """What a file gave.

    Attributes
    ----------
    path
        The file.
    regions
        In level-0 pixels, mended and clipped to the slide; none where nothing lies on it as it was read.
    warnings
        What was done to them.
    other
        The origin that it may count from instead; None: it says so itself, or the slide has no other.
    about_origin
        What speaks for the other one, in a sentence; empty without one.
    """

    path: Path
    regions: tuple[Region, ...]
    warnings: tuple[str, ...]
    other: Origin | None = None
    about_origin: str = ""


def read_roi(slide: Slide, path: Path, origin: Origin | None = None) -> RoiFile:
    """Read a file's tumour regions.

    Parameters
    ----------
    slide
        Whose regions they are.
    path
        The file.
    origin
        What its coordinates start at, as the user says, unless the file says so itself. None: level 0.

    Raises
    ------
    AnnotationError, RegionError
        The file cannot be read; or nothing of it lies on the slide, whatever origin it counts from.
    """
    about, other = _about_origin(slide, path, origin)
    try:
        regions, warnings = usable_roi(slide, path, origin)
    except RegionError:
        if other is None:
            raise
        regions, warnings = (), ()
    warnings = tuple(warning for warning in warnings if not warning.startswith("origin: "))  # see `about`
    return RoiFile(path, regions, warnings, other, about)


def _about_origin(slide: Slide, path: Path, origin: Origin | None) -> tuple[str, Origin | None]:
    """Return what speaks for the other origin, and which it is; nothing where there is no other."""
    info = slide.info
    bounds_xy, read_from = (info.bounds.x, info.bounds.y), origin or "level0"
    if bounds_xy == (0, 0):
        return "", None
    read = read_annotations(path, origin=read_from, bounds_xy=bounds_xy, scanner=info.scanner)
    if read.states_origin:
        return "", None
    start = STARTS[read_from]
    if other_origin(read.regions, read_from, info.bounds) is not None:
        about = f"The outlines lie off the scanned area, read as counting from {start}."
    elif origin is None:
        about = (
            f"The file does not say what it counts from: it was read as from {start}. "
            f"QuPath counts from {STARTS['bounds']}."
        )
    else:
        about = f"Read as counting from {start}."
    return about, OTHER_ORIGIN[read_from]
