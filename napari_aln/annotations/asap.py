"""ASAP's XML: ``ASAP_Annotations / Annotations / Annotation / Coordinates / Coordinate``.

ASAP knows neither holes nor regions of several parts. So each ring is written as an annotation of its own;
a hole belongs to the group ``<group> hole`` below its outline's group, which ASAP shows and, by the order of
groups, burns into a mask after it. Attributes of ours say which rings make a region (`parts`). ASAP drops
them when it saves: then a hole is cut out of the outline of its group that encloses it, of several one of its
own name before others and the smallest before larger ones, and parts become regions.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

import shapely

from napari_aln.annotations.files import replace_file, xml_bytes, xml_text
from napari_aln.annotations.mend import mended, writable
from napari_aln.annotations.parts import (
    COLOR,
    HOLE,
    NO_COLOR,
    OUTLINE,
    ROLE,
    Ring,
    joined,
    link_of,
    parts_of,
    vertices_of,
)
from napari_aln.annotations.rings import polygon_of
from napari_aln.annotations.statement import Statement
from napari_aln.errors import AnnotationError
from napari_aln.records import Region

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shapely.geometry import Polygon
    from shapely.geometry.base import BaseGeometry

    from napari_aln.annotations.statement import Origin
    from napari_aln.geometry import Mpp

ROOT = "ASAP_Annotations"
_NO_AREA = frozenset({"dot", "pointset", "measurement"})
_NO_GROUP = "None"
_HOLE_GROUP = " hole"
_COLOR = "#F4FA58"  # ASAP's own for new annotations


def regions_of(root: Element, name: str, shift_xy: tuple[float, float]) -> tuple[Region, ...]:
    """Read the polygons, rectangles and splines (by their vertices); the group is the classification.

    Raises
    ------
    AnnotationError
        An outline is malformed, or there is no area.
    """
    rings: list[Ring] = []
    for number, annotation in enumerate(root.findall("Annotations/Annotation"), start=1):
        if annotation.get("Type", "").lower() in _NO_AREA:
            continue
        rings.append(_ring(annotation, f"{name}: annotation {number}", shift_xy))
    regions = joined(ring for ring in rings if ring.link or not ring.is_hole)
    holes = [ring for ring in rings if ring.is_hole and not ring.link]
    if holes:
        regions = _cut_out(holes, regions)
    if not regions:
        raise AnnotationError(f"{name} holds no area.", "Draw a polygon in ASAP and save again.")
    return tuple(regions)


def _ring(annotation: Element, where: str, shift_xy: tuple[float, float]) -> Ring:
    vertices = annotation.findall("Coordinates/Coordinate")
    vertices.sort(key=lambda vertex: _order(vertex, where))
    polygon = polygon_of([[(v.get("X"), v.get("Y")) for v in vertices]], where, shift_xy)
    group = annotation.get("PartOfGroup", "")
    group = "" if group.lower() == _NO_GROUP.lower() else group
    role = annotation.get(ROLE) or (HOLE if f" {group}".lower().endswith(_HOLE_GROUP) else OUTLINE)
    if role == HOLE:
        group = f" {group}"[: -len(_HOLE_GROUP)].strip()
    color = None if annotation.get(COLOR) == NO_COLOR else _color(annotation.get("Color", ""))
    return Ring(polygon, link_of(annotation), role == HOLE, annotation.get("Name", ""), group, color)


def _cut_out(holes: list[Ring], regions: list[Region]) -> list[Region]:
    """Cut each hole out of the smallest region of its group and, if any, name that encloses it.

    A hole that none encloses stays, as a region.
    """
    outlines = [mended(region.geometry) for region in regions]
    tree = shapely.STRtree(outlines)
    cuts: dict[int, list[BaseGeometry]] = {}
    alone: list[Region] = []
    for hole in holes:
        area = mended(hole.area)
        around = [
            (regions[number].name != hole.name, outlines[number].area, int(number))
            for number in tree.query(area, predicate="covered_by")
            if regions[number].classification == hole.classification and outlines[number].area > area.area
        ]
        if around:
            cuts.setdefault(min(around)[-1], []).append(area)
        else:
            alone.append(Region(hole.area, hole.name, f"{hole.classification}{_HOLE_GROUP}".strip()))
    left = list(regions)
    for number, areas in cuts.items():
        left[number] = replace(
            regions[number], geometry=outlines[number].difference(shapely.union_all(areas))
        )
    return left + alone


def _order(vertex: Element, where: str) -> float:
    try:
        return float(vertex.get("Order", "0"))
    except ValueError:
        raise AnnotationError(f"{where} has a vertex out of order.", "Save it in ASAP again.") from None


def _color(text: str) -> tuple[int, int, int] | None:
    """Read ``#RRGGBB``."""
    try:
        red, green, blue = bytes.fromhex(text.removeprefix("#"))
    except ValueError:
        return None
    return red, green, blue


def write_asap(
    regions: Sequence[Region],
    path: Path,
    *,
    origin: Origin = "level0",
    bounds_xy: tuple[float, float] = (0.0, 0.0),
    mpp: Mpp | None,
    slide_hash: str,
    mpp_origin: str = "",
) -> tuple[str, ...]:
    """Write regions as ASAP reads them; parameters, result and errors are those of `write_geojson`.

    Origin, µm/px and slide stand in attributes of the root, which ASAP ignores. A region without a colour
    gets ASAP's yellow, and an attribute that says so.
    """
    statement = Statement.to_write(origin, bounds_xy, mpp, slide_hash, mpp_origin)
    written, warnings = writable(regions, statement.origin_l0_xy, path.name)
    root = Element(ROOT, statement.as_attributes())
    annotations = SubElement(root, "Annotations")
    groups: dict[str, tuple[str, str]] = {}  # name -> parent and colour
    for number, region in enumerate(written, start=1):
        group, color = xml_text(region.classification), _hex(region.color_rgb)
        if group:
            groups.setdefault(group, (_NO_GROUP, color))
        for area, attributes in chain.from_iterable(parts_of(number, region)):
            if attributes[ROLE] == HOLE:
                within = f"{group}{_HOLE_GROUP}".strip()
                groups.setdefault(within, (group or _NO_GROUP, color))
            else:
                within = group or _NO_GROUP
            _append(annotations, xml_text(region.name), within, color, area, attributes)
    listed = SubElement(root, "AnnotationGroups")
    for group, (parent, color) in groups.items():
        entry = SubElement(listed, "Group", {"Name": group, "PartOfGroup": parent, "Color": color})
        SubElement(entry, "Attributes")
    replace_file(path, xml_bytes(root))
    return warnings


def _append(
    annotations: Element, name: str, group: str, color: str, area: Polygon, attributes: dict[str, str]
) -> None:
    own = {"Name": name, "Type": "Polygon", "PartOfGroup": group, "Color": color}
    annotation = SubElement(annotations, "Annotation", own | attributes)
    coordinates = SubElement(annotation, "Coordinates")
    for order, (x, y) in enumerate(vertices_of(area)):
        SubElement(coordinates, "Coordinate", {"Order": str(order), "X": x, "Y": y})


def _hex(color_rgb: tuple[int, int, int] | None) -> str:
    return f"#{bytes(color_rgb).hex().upper()}" if color_rgb else _COLOR
