"""GeoJSON as QuPath writes and reads it."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from shapely.geometry import MultiPolygon, mapping

from napari_aln.annotations.files import replace_file
from napari_aln.annotations.mend import writable
from napari_aln.annotations.rings import polygon_of
from napari_aln.annotations.statement import MEMBER, Statement
from napari_aln.errors import AnnotationError
from napari_aln.records import Region

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from shapely.geometry.base import BaseGeometry

    from napari_aln.annotations.statement import Origin
    from napari_aln.geometry import Mpp

_NOT_DRAWN = frozenset({"detection", "cell", "tile", "tmacore", "root"})
"""QuPath's object types that no one outlines by hand."""

_LEGACY_TYPE = re.compile(r"path(\w+)object|(tmacore)object")
"""How QuPath 0.2 wrote the type: as the feature's id."""


def regions_of(document: Any, name: str, shift_xy: tuple[float, float]) -> tuple[Region, ...]:  # noqa: ANN401
    """Read the areas of a parsed GeoJSON document: collection, bare array, single feature or geometry.

    Parameters
    ----------
    document
        What `json.loads` returned.
    name
        Name of the file, for error messages.
    shift_xy
        Added to every vertex.

    Returns
    -------
    tuple of Region
        Polygons and multipolygons with holes; points, lines and QuPath's detections are left out.

    Raises
    ------
    AnnotationError
        The document is no GeoJSON, or holds no area.
    """
    features = _features(document, name)
    regions: list[Region] = []
    passed_over: set[str] = set()
    for number, feature in enumerate(features, start=1):
        where = f"{name}: feature {number}"
        if not isinstance(feature, dict):
            raise AnnotationError(
                f"{where} is not a GeoJSON object.", "Export the annotations as GeoJSON again."
            )
        properties = feature.get("properties") or {}
        if not isinstance(properties, dict):
            raise AnnotationError(
                f"{where} has malformed properties.", "Export the annotations as GeoJSON again."
            )
        kind = _object_type(feature, properties)
        if kind in _NOT_DRAWN:
            passed_over.add(kind)
            continue
        geometry = feature.get("geometry") if feature.get("type") == "Feature" else feature
        areas = [polygon_of(rings, where, shift_xy) for rings in _areas(geometry, where, passed_over)]
        if areas:
            outline = areas[0] if len(areas) == 1 else MultiPolygon(areas)
            regions.append(_region(outline, properties))
    if not regions:
        held = f"only {', '.join(sorted(passed_over))}" if passed_over else "no feature at all"
        raise AnnotationError(f"{name} holds {held}, and no area.", "Draw a polygon and export it again.")
    return tuple(regions)


def _features(document: Any, name: str) -> list[Any]:  # noqa: ANN401
    if isinstance(document, list):
        return document
    if isinstance(document, dict):
        kind = str(document.get("type"))
        if kind == "FeatureCollection" and isinstance(document.get("features"), list):
            return list(document["features"])
        if kind in {"Feature", "Polygon", "MultiPolygon", "GeometryCollection", *_NO_AREA}:
            return [document]
    raise AnnotationError(
        f"{name} is JSON, but neither GeoJSON nor BCNB's annotation format.",
        "Export the annotations as GeoJSON, for instance from QuPath.",
    )


_NO_AREA = frozenset({"Point", "MultiPoint", "LineString", "MultiLineString"})


def _object_type(feature: dict[str, Any], properties: dict[str, Any]) -> str:
    """Return QuPath's type of an object in lower case, as its versions write it; empty where none is said."""
    legacy = _LEGACY_TYPE.fullmatch(str(feature.get("id", "")).lower())
    stated = properties.get("objectType") or properties.get("object_type") or ""
    return str(stated).lower().replace("_", "") or ((legacy[1] or legacy[2]) if legacy else "")


def _areas(geometry: Any, where: str, passed_over: set[str]) -> Iterator[list[Any]]:  # noqa: ANN401
    """Yield the rings of each polygon in a geometry; note the types that have no area."""
    stated = geometry.get("type") if isinstance(geometry, dict) else None
    kind = stated if isinstance(stated, str) else None
    if kind in _NO_AREA or geometry is None:
        passed_over.add(kind or "features without geometry")
        return
    parts = geometry.get("geometries" if kind == "GeometryCollection" else "coordinates") if kind else None
    if not isinstance(parts, list):
        raise AnnotationError(f"{where} has no geometry that GeoJSON knows.", "Export it as GeoJSON again.")
    if kind == "Polygon":
        yield parts
    elif kind == "MultiPolygon":
        for rings in parts:
            if not isinstance(rings, list):
                raise AnnotationError(f"{where} is a malformed MultiPolygon.", "Export it as GeoJSON again.")
            yield rings
    elif kind == "GeometryCollection":
        for part in parts:
            yield from _areas(part, where, passed_over)
    else:
        raise AnnotationError(f"{where} has the unknown geometry {kind!r}.", "Export it as GeoJSON again.")


def _region(outline: BaseGeometry, properties: dict[str, Any]) -> Region:
    """Attach QuPath's name, class and colour."""
    classification = properties.get("classification")
    color: Any = properties.get("color")
    color = _unpacked(color) or color
    if isinstance(classification, dict):
        color = classification.get("color", _unpacked(classification.get("colorRGB"))) or color
        names = classification.get("names")
        joined = ": ".join(map(str, names)) if isinstance(names, list) else ""
        classification = classification.get("name") or joined
    return Region(
        geometry=outline,
        name=str(properties.get("name") or ""),
        classification=str(classification or ""),
        color_rgb=_color(color),
        locked=properties.get("isLocked") is True,
    )


def _unpacked(packed: Any) -> list[int] | None:  # noqa: ANN401
    """Return the channels of QuPath's older packed (A)RGB integer."""
    return [packed >> 16 & 255, packed >> 8 & 255, packed & 255] if type(packed) is int else None


def _color(channels: Any) -> tuple[int, int, int] | None:  # noqa: ANN401
    if isinstance(channels, list) and len(channels) >= 3 and all(isinstance(c, int) for c in channels):
        red, green, blue = (min(255, max(0, channel)) for channel in channels[:3])
        return red, green, blue
    return None


def write_geojson(
    regions: Sequence[Region],
    path: Path,
    *,
    origin: Origin = "level0",
    bounds_xy: tuple[float, float] = (0.0, 0.0),
    mpp: Mpp | None,
    slide_hash: str,
    mpp_origin: str = "",
) -> tuple[str, ...]:
    """Write regions as a FeatureCollection that QuPath opens.

    The file states its origin, µm/px and slide in an extra top-level member, which GeoJSON allows and others
    ignore; `read_regions` goes by it.

    Parameters
    ----------
    regions
        In level-0 pixels. Invalid outlines are mended.
    path
        File to write; replaced in one step.
    origin
        Where (0, 0) of the file lies: the level-0 corner, or the corner of the slide's bounds, as in QuPath
        for slides that have them (MIRAX).
    bounds_xy
        Corner of the slide's bounds in level-0 pixels; used with ``origin="bounds"``.
    mpp
        µm/px of level 0, None where unknown.
    slide_hash
        Quick hash of the slide.
    mpp_origin
        Where µm/px is from, as in `SlideInfo`; empty where it is not known.

    Returns
    -------
    tuple of str
        What was mended or left out, a sentence each.

    Raises
    ------
    AnnotationError
        A coordinate is not finite, or the file cannot be written.
    """
    statement = Statement.to_write(origin, bounds_xy, mpp, slide_hash, mpp_origin)
    written, warnings = writable(regions, statement.origin_l0_xy, path.name)
    document = {
        "type": "FeatureCollection",
        MEMBER: statement.as_json(),
        "features": [_feature(number, region) for number, region in enumerate(written)],
    }
    replace_file(path, json.dumps(document, indent=1, allow_nan=False).encode())
    return warnings


def _feature(number: int, region: Region) -> dict[str, Any]:
    properties: dict[str, Any] = {"objectType": "annotation"}
    if region.name:
        properties["name"] = region.name
    if region.classification:
        properties["classification"] = {"name": region.classification}
        if region.color_rgb:
            properties["classification"]["color"] = list(region.color_rgb)
    elif region.color_rgb:
        properties["color"] = list(region.color_rgb)
    properties["isLocked"] = region.locked
    content = json.dumps([number, region.name, region.classification, region.geometry.wkb_hex])
    identity = uuid.uuid5(uuid.NAMESPACE_OID, content)  # the same regions give the same file
    return {
        "type": "Feature",
        "id": str(identity),
        "geometry": mapping(region.geometry),
        "properties": properties,
    }
