"""Aperio ImageScope's XML: ``Annotations / Annotation / Regions / Region / Vertices / Vertex``.

A hole is a region with ``NegativeROA="1"``, cut out of all others of its layer. So a part with holes is
written to a layer of its own; what lies inside its hole stays whole. ImageScope has no regions of several
parts: attributes of ours say which belong together (`parts`), and where a program drops them when it saves,
parts become regions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

import shapely
from shapely.affinity import scale
from shapely.geometry import Point

from napari_aln.annotations.files import replace_file, xml_bytes, xml_text
from napari_aln.annotations.mend import mended, writable
from napari_aln.annotations.parts import (
    COLOR,
    HOLE,
    NO_COLOR,
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

    from napari_aln.annotations.statement import Origin
    from napari_aln.geometry import Mpp

ROOT = "Annotations"
_FREEHAND, _RECTANGLE, _ELLIPSE = "0", "1", "2"
_COLOR = "65280"  # ImageScope's own green for new layers
_HEADERS = ("Region", "Length", "Area", "Text")


def regions_of(root: Element, name: str, shift_xy: tuple[float, float]) -> tuple[Region, ...]:
    """Read freehand outlines, rectangles and ellipses; the layer's name is the classification.

    A region with ``NegativeROA="1"`` is cut out of the other regions of its layer.

    Raises
    ------
    AnnotationError
        An outline is malformed, or there is no area.
    """
    ours: list[Ring] = []
    regions: list[Region] = []
    for layer_number, layer in enumerate(root.findall("Annotation"), start=1):
        rings = _rings(layer, f"{name}: layer {layer_number}", shift_xy)
        ours += [ring for ring in rings if ring.link]
        regions += _of_layer([ring for ring in rings if not ring.link])
    regions = joined(ours) + regions
    if not regions:
        raise AnnotationError(f"{name} holds no area.", "Draw a region in ImageScope and save again.")
    return tuple(regions)


def _rings(layer: Element, where: str, shift_xy: tuple[float, float]) -> list[Ring]:
    classification = _class(layer)
    color = None if layer.get(COLOR) == NO_COLOR else _color(layer.get("LineColor", ""))
    rings = []
    for number, region in enumerate(layer.findall("Regions/Region"), start=1):
        if region.get("Type", _FREEHAND) not in {_FREEHAND, _RECTANGLE, _ELLIPSE}:
            continue
        outline = _outline(region, f"{where}, region {number}", shift_xy)
        is_hole = region.get("NegativeROA") == "1"
        rings.append(Ring(outline, link_of(region), is_hole, region.get("Text", ""), classification, color))
    return rings


def _of_layer(rings: list[Ring]) -> list[Region]:
    """Return the regions of a layer as ImageScope draws them, its negative ones cut out of all others."""
    holes = [mended(ring.area) for ring in rings if ring.is_hole]
    cut_out = shapely.union_all(holes) if holes else None
    return [
        Region(
            ring.area if cut_out is None else mended(ring.area).difference(cut_out),
            ring.name,
            ring.classification,
            ring.color_rgb,
        )
        for ring in rings
        if not ring.is_hole
    ]


def _outline(region: Element, where: str, shift_xy: tuple[float, float]) -> Polygon:
    vertices = [(vertex.get("X"), vertex.get("Y")) for vertex in region.findall("Vertices/Vertex")]
    if region.get("Type") == _ELLIPSE and len(vertices) == 2:  # the corners of its bounding box
        box = polygon_of([[*vertices, (vertices[0][0], vertices[1][1])]], where, shift_xy).envelope
        left, top, right, bottom = box.bounds
        circle = Point((left + right) / 2, (top + bottom) / 2).buffer(1.0, quad_segs=32)
        return scale(circle, (right - left) / 2, (bottom - top) / 2)
    return polygon_of([vertices], where, shift_xy)


def _class(layer: Element) -> str:
    """Return the layer's name, or the description that ImageScope's layer list shows."""
    attributes = layer.findall("Attributes/Attribute")
    described = [a.get("Value", "") for a in attributes if a.get("Name") == "Description"]
    return layer.get("Name") or (described[0] if described else "")


def _color(text: str) -> tuple[int, int, int] | None:
    """Read Windows' COLORREF integer: red in the lowest byte."""
    try:
        packed = int(text)
    except ValueError:
        return None
    return packed & 255, packed >> 8 & 255, packed >> 16 & 255


def write_imagescope(
    regions: Sequence[Region],
    path: Path,
    *,
    origin: Origin = "level0",
    bounds_xy: tuple[float, float] = (0.0, 0.0),
    mpp: Mpp | None,
    slide_hash: str,
    mpp_origin: str = "",
) -> tuple[str, ...]:
    """Write regions as ImageScope reads them; parameters, result and errors are those of `write_geojson`.

    Origin, µm/px and slide stand in attributes of the root, which ImageScope ignores. A region without a
    colour gets ImageScope's green, and an attribute that says so.
    """
    statement = Statement.to_write(origin, bounds_xy, mpp, slide_hash, mpp_origin)
    written, warnings = writable(regions, statement.origin_l0_xy, path.name)
    root = Element(ROOT, statement.as_attributes())
    if mpp is not None:
        root.set("MicronsPerPixel", repr(mpp.mean))
    shared: tuple[object, ...] | None = None  # look of the layer that further parts may join
    layer = root
    for number, region in enumerate(written, start=1):
        look = (region.classification, region.color_rgb)
        for rings in parts_of(number, region):
            has_holes = len(rings) > 1
            if has_holes or look != shared:
                layer = _new_layer(root, region)
            shared = None if has_holes else look
            for area, attributes in rings:
                _append(layer, xml_text(region.name), area, attributes, mpp)
    replace_file(path, xml_bytes(root))
    return warnings


def _new_layer(root: Element, region: Region) -> Element:
    """Append a layer that looks like a region."""
    name, color = xml_text(region.classification), _colorref(region.color_rgb)
    look = {"Id": str(len(root) + 1), "Name": name, "Type": "4", "LineColor": color, "Visible": "1"}
    layer = SubElement(root, "Annotation", look | ({} if region.color_rgb else {COLOR: NO_COLOR}))
    described = SubElement(layer, "Attributes")
    SubElement(described, "Attribute", {"Name": "Description", "Id": "0", "Value": name})
    headers = SubElement(SubElement(layer, "Regions"), "RegionAttributeHeaders")
    for identity, header in zip(range(9999, 0, -1), _HEADERS, strict=False):
        SubElement(headers, "AttributeHeader", {"Id": str(identity), "Name": header, "ColumnWidth": "-1"})
    return layer


def _append(layer: Element, name: str, area: Polygon, attributes: dict[str, str], mpp: Mpp | None) -> None:
    regions = layer[-1]
    identity = str(len(regions))  # the headers stand before them
    own = {
        "Id": identity,
        "DisplayId": identity,
        "Type": _FREEHAND,
        "Text": name,
        "NegativeROA": "1" if attributes[ROLE] == HOLE else "0",
        "Length": repr(area.length),
        "Area": repr(area.area),
    }
    if mpp is not None:
        own |= {"LengthMicrons": repr(area.length * mpp.mean), "AreaMicrons": repr(area.area * mpp.x * mpp.y)}
    region = SubElement(regions, "Region", own | attributes)
    vertices = SubElement(region, "Vertices")
    for x, y in vertices_of(area):
        SubElement(vertices, "Vertex", {"X": x, "Y": y, "Z": "0"})


def _colorref(color_rgb: tuple[int, int, int] | None) -> str:
    return str(int.from_bytes(color_rgb, "little")) if color_rgb else _COLOR
