"""Opens an annotation file of any known format, told by its content."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_aln.annotations import asap, bcnb, geojson, imagescope, ndpa
from napari_aln.annotations.files import content_of, xml_root
from napari_aln.annotations.statement import Statement
from napari_aln.errors import AnnotationError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_aln.annotations.statement import Origin
    from napari_aln.geometry import ScannerFrame
    from napari_aln.records import Region

_KNOWN = "Known are GeoJSON, BCNB JSON, ASAP XML, ImageScope XML and Hamamatsu NDPA."


@dataclass(frozen=True)
class AnnotationFile:
    """What an annotation file holds, and what it says of itself."""

    regions: tuple[Region, ...]  # in level-0 pixels, as drawn: not mended, not clipped, of every class
    format: str  # "GeoJSON", "BCNB JSON", "ASAP XML", "ImageScope XML" or "NDPA"
    statement: Statement  # empty, for a file of another program

    @property
    def states_origin(self) -> bool:
        """Whether the file itself says where it counts from: ours do, and NDPA counts from the glass."""
        return self.statement.origin is not None or self.format == "NDPA"


def read_regions(
    path: Path,
    *,
    origin: Origin = "level0",
    bounds_xy: tuple[float, float] = (0.0, 0.0),
    scanner: ScannerFrame | None = None,
) -> tuple[Region, ...]:
    """Return the regions of an annotation file; see `read_annotations`."""
    return read_annotations(path, origin=origin, bounds_xy=bounds_xy, scanner=scanner).regions


def read_annotations(
    path: Path,
    *,
    origin: Origin = "level0",
    bounds_xy: tuple[float, float] = (0.0, 0.0),
    scanner: ScannerFrame | None = None,
) -> AnnotationFile:
    """Read all areas of an annotation file.

    Parameters
    ----------
    path
        GeoJSON, BCNB JSON, ASAP XML, ImageScope XML or NDPA.
    origin
        Where (0, 0) of the file lies: the level-0 corner, or that of the slide's bounds (QuPath, MIRAX).
        A file that states its own origin, as ours do, is read by that instead.
    bounds_xy
        Corner of the slide's bounds in level-0 pixels; used with ``origin="bounds"``.
    scanner
        Where the slide's level 0 lies on the glass; NDPA cannot be read without.

    Returns
    -------
    AnnotationFile
        Regions in level-0 pixels, as drawn: not mended, not clipped, of every class. See `usable_regions`.

    Raises
    ------
    AnnotationError
        The file is missing, unreadable, of no known format, malformed, or holds no area; or it is NDPA, and
        the slide's place on the glass is not known.
    """
    shift_xy = bounds_xy if origin == "bounds" else (0.0, 0.0)
    content = content_of(path)
    if _is_xml(content):
        return _of_xml(content, path, shift_xy, scanner)
    document = _json(content, path)
    if bcnb.is_bcnb(document):
        return AnnotationFile(bcnb.regions_of(document, path.name, shift_xy), "BCNB JSON", Statement())
    statement = Statement.of_json(document)
    shift_xy = statement.origin_l0_xy if statement.origin else shift_xy
    return AnnotationFile(geojson.regions_of(document, path.name, shift_xy), "GeoJSON", statement)


def _of_xml(
    content: bytes, path: Path, shift_xy: tuple[float, float], scanner: ScannerFrame | None
) -> AnnotationFile:
    root = xml_root(content, path)
    statement = Statement.of_xml(root)
    shift_xy = statement.origin_l0_xy if statement.origin else shift_xy
    if root.tag == asap.ROOT:
        return AnnotationFile(asap.regions_of(root, path.name, shift_xy), "ASAP XML", statement)
    if root.tag == imagescope.ROOT:
        return AnnotationFile(imagescope.regions_of(root, path.name, shift_xy), "ImageScope XML", statement)
    if root.tag == ndpa.ROOT:
        return AnnotationFile(ndpa.regions_of(root, path.name, scanner), "NDPA", Statement())
    raise AnnotationError(f"{path} is XML with the unknown root {root.tag!r}.", _KNOWN)


def _is_xml(content: bytes) -> bool:
    """Whether a file starts as XML does, in UTF-8 or UTF-16 with a byte order mark or without."""
    start = content[:64].replace(b"\x00", b"")
    for mark in (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"):
        start = start.removeprefix(mark)
    return start.lstrip()[:1] == b"<"


def _json(content: bytes, path: Path) -> Any:  # noqa: ANN401
    try:
        return json.loads(content)  # in UTF-8, 16 or 32, told by its start
    except RecursionError:
        raise AnnotationError(f"{path} is nested too deeply to be an annotation.", _KNOWN) from None
    except ValueError as error:
        raise AnnotationError(f"{path} is neither JSON nor XML ({error}).", _KNOWN) from None
