"""Opens an annotation file of any known format, told by its content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from napari_aln.annotations import asap, bcnb, geojson, imagescope
from napari_aln.errors import AnnotationError

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from napari_aln.records import Region

_KNOWN = "Known are GeoJSON, BCNB JSON, ASAP XML and ImageScope XML."


def read_regions(
    path: Path,
    *,
    origin: Literal["level0", "bounds"] = "level0",
    bounds_xy: tuple[float, float] = (0.0, 0.0),
) -> tuple[Region, ...]:
    """Read all areas of an annotation file.

    Parameters
    ----------
    path
        GeoJSON, BCNB JSON, ASAP XML or ImageScope XML.
    origin
        Where (0, 0) of the file lies: the level-0 corner, or that of the slide's bounds (QuPath, MIRAX).
        A file written by `write_geojson` states its own origin, which is then used instead.
    bounds_xy
        Corner of the slide's bounds in level-0 pixels; used with ``origin="bounds"``.

    Returns
    -------
    tuple of Region
        In level-0 pixels, as drawn: not mended, not clipped, of every class. See `usable_regions`.

    Raises
    ------
    AnnotationError
        The file is missing, unreadable, of no known format, malformed, or holds no area.
    """
    shift_xy = bounds_xy if origin == "bounds" else (0.0, 0.0)
    content = _content(path)
    if not content.strip():
        raise AnnotationError(f"{path} is empty.", "Export the annotations again.")
    if _is_xml(content):
        root = _xml(content, path)
        if root.tag == "ASAP_Annotations":
            return asap.regions_of(root, path.name, shift_xy)
        if root.tag == "Annotations":
            return imagescope.regions_of(root, path.name, shift_xy)
        raise AnnotationError(f"{path} is XML with the unknown root {root.tag!r}.", _KNOWN)
    document = _json(content, path)
    if bcnb.is_bcnb(document):
        return bcnb.regions_of(document, path.name, shift_xy)
    return geojson.regions_of(document, path.name, geojson.recorded_shift(document) or shift_xy)


def recorded_slide_hash(path: Path) -> str | None:
    """Return the quick hash of the slide that an annotation file was drawn on, or None where it states none.

    Only files of `write_geojson` state it. Others are not parsed for it.

    Raises
    ------
    AnnotationError
        The file cannot be read, or looks like one of ours and is no JSON.
    """
    content = _content(path)
    if _is_xml(content) or f'"{geojson.MEMBER}"'.encode() not in content:
        return None
    return geojson.recorded_slide_hash(_json(content, path))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AnnotationError(
            f"{path} cannot be read: {error.strerror or error}.", "Check the path and your rights to it."
        ) from error


def _is_xml(content: bytes) -> bool:
    utf_16 = content[:2] in {b"\xff\xfe", b"\xfe\xff"}
    return utf_16 or content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def _xml(content: bytes, path: Path) -> Element:
    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except DefusedXmlException:
        raise AnnotationError(
            f"{path} defines XML entities or a document type, which annotation files never need.",
            "Do not trust this file; export the annotations again.",
        ) from None
    except (ParseError, ValueError, LookupError) as error:
        raise AnnotationError(
            f"{path} is not well-formed XML ({error}).", "Export the annotations again."
        ) from None
    return root


def _json(content: bytes, path: Path) -> Any:  # noqa: ANN401
    try:
        return json.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise AnnotationError(f"{path} is nested too deeply to be an annotation.", _KNOWN) from None
    except ValueError as error:
        raise AnnotationError(f"{path} is neither JSON nor XML ({error}).", _KNOWN) from None
