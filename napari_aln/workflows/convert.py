"""One annotation format into another, without changing what was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from napari_aln.annotations import (
    other_origin,
    read_annotations,
    without_names,
    write_asap,
    write_geojson,
    write_imagescope,
)
from napari_aln.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_aln.annotations import AnnotationFile, Origin
    from napari_aln.records import SlideInfo

Format = Literal["geojson", "asap", "imagescope"]

_WRITERS = {"geojson": write_geojson, "asap": write_asap, "imagescope": write_imagescope}
_NAMES = {"geojson": "GeoJSON", "asap": "ASAP XML", "imagescope": "ImageScope XML"}
_BY_SUFFIX: dict[str, Format] = {".geojson": "geojson", ".json": "geojson", ".xml": "asap"}


@dataclass(frozen=True)
class Conversion:
    """What was converted."""

    regions: int
    read_as: str
    written_as: str
    warnings: tuple[str, ...]


def convert(
    source: Path,
    target: Path,
    info: SlideInfo | None = None,
    *,
    origin: Origin | None = None,
    write_origin: Origin = "level0",
    written_as: Format | None = None,
    private: bool = False,
) -> Conversion:
    """Read an annotation file and write its regions in another format: all of them, whatever their class.

    Parameters
    ----------
    source
        File of any format that `read_annotations` knows.
    target
        File to write; replaced in one step.
    info
        The slide they were drawn on: gives µm/px, hash and bounds. Without it, what `source` states is kept.
    origin
        Where `source` counts from, unless it says so itself. None: the level-0 corner.
    write_origin
        Where `target` counts from.
    written_as
        None: by the suffix of `target`; ``.xml`` is ASAP's.
    private
        Leave the regions' names out, see `without_names`.

    Raises
    ------
    AnnotationError
        A file cannot be read or written, or NDPA is read without a slide that says where it lies.
    UsageError
        The format to write is not clear, both files are one, or the slide's bounds are asked for and no slide
        is given.
    """
    written_as = written_as or _format_of(target)
    if source.exists() and target.exists() and target.samefile(source):
        raise UsageError(f"{target} is the file that is read.", "Write to another file.")
    if info is None and write_origin == "bounds":
        raise UsageError("The bounds to write from are the slide's, and none was given.", "Name it: --slide.")
    bounds_xy = (info.bounds.x, info.bounds.y) if info else (0.0, 0.0)
    read = read_annotations(
        source, origin=origin or "level0", bounds_xy=bounds_xy, scanner=info.scanner if info else None
    )
    if info is None and origin == "bounds" and not read.states_origin:
        raise UsageError(
            f"{source} counts from the slide's bounds, and no slide was given.", "Name it: --slide."
        )
    notes = _WRITERS[written_as](
        without_names(read.regions) if private else read.regions,
        target,
        origin=write_origin,
        bounds_xy=bounds_xy,
        mpp=info.mpp if info else read.statement.mpp,
        slide_hash=info.quick_hash if info else read.statement.slide_hash,
        mpp_origin=info.mpp_origin if info else read.statement.mpp_origin,
    )
    warnings = (*_doubts(read, info, origin), *notes)
    return Conversion(len(read.regions), read.format, _NAMES[written_as], warnings)


def _format_of(target: Path) -> Format:
    known = _BY_SUFFIX.get(target.suffix.lower())
    if known is None:
        raise UsageError(
            f"{target} has no suffix that names a format to write.",
            f"End it in {', '.join(_BY_SUFFIX)}, or give --format {'|'.join(get_args(Format))}.",
        )
    return known


def _doubts(read: AnnotationFile, info: SlideInfo | None, origin: Origin | None) -> list[str]:
    """Say what may put the outlines on the wrong slide or the wrong place."""
    doubts = []
    if read.statement.origin and origin and read.statement.origin != origin:
        doubts.append(f"The file states its origin itself ({read.statement.origin}), and was read by that.")
    if info is None:
        return doubts
    if read.statement.slide_hash not in ("", info.quick_hash):
        doubts.append("The file says that it was drawn on another slide.")
    if not read.states_origin:
        offer = other_origin(read.regions, origin or "level0", info.bounds)
        doubts += [offer] if offer else []
    return doubts
