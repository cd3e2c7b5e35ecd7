"""Aperio ImageScope's XML: ``Annotations / Annotation / Regions / Region / Vertices / Vertex``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import shapely
from shapely.affinity import scale
from shapely.geometry import Point

from napari_aln.annotations.rings import polygon_of
from napari_aln.errors import AnnotationError
from napari_aln.records import Region

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from shapely.geometry import Polygon

_FREEHAND, _RECTANGLE, _ELLIPSE = "0", "1", "2"


def regions_of(root: Element, name: str, shift_xy: tuple[float, float]) -> tuple[Region, ...]:
    """Read freehand outlines, rectangles and ellipses; the layer's name is the classification.

    A region with ``NegativeROA="1"`` is cut out of the other regions of its layer.

    Raises
    ------
    AnnotationError
        An outline is malformed, or there is no area.
    """
    regions: list[Region] = []
    for layer_number, layer in enumerate(root.iter("Annotation"), start=1):
        drawn: list[tuple[str, Polygon]] = []
        holes: list[Polygon] = []
        for number, region in enumerate(layer.iter("Region"), start=1):
            if region.get("Type", _FREEHAND) not in {_FREEHAND, _RECTANGLE, _ELLIPSE}:
                continue
            outline = _outline(region, f"{name}: layer {layer_number}, region {number}", shift_xy)
            if region.get("NegativeROA") == "1":
                holes.append(outline)
            else:
                drawn.append((region.get("Text", ""), outline))
        cut_out = shapely.union_all(shapely.make_valid(holes)) if holes else None
        classification, color = _class(layer), _color(layer.get("LineColor", ""))
        for text, outline in drawn:
            area = outline if cut_out is None else shapely.make_valid(outline).difference(cut_out)
            regions.append(Region(area, text, classification, color))
    if not regions:
        raise AnnotationError(f"{name} holds no area.", "Draw a region in ImageScope and save again.")
    return tuple(regions)


def _outline(region: Element, where: str, shift_xy: tuple[float, float]) -> Polygon:
    vertices = [(vertex.get("X"), vertex.get("Y")) for vertex in region.iter("Vertex")]
    if region.get("Type") == _ELLIPSE and len(vertices) == 2:  # the corners of its bounding box
        box = polygon_of([[*vertices, (vertices[0][0], vertices[1][1])]], where, shift_xy).envelope
        left, top, right, bottom = box.bounds
        circle = Point((left + right) / 2, (top + bottom) / 2).buffer(1.0, quad_segs=32)
        return scale(circle, (right - left) / 2, (bottom - top) / 2)
    return polygon_of([vertices], where, shift_xy)


def _class(layer: Element) -> str:
    """Return the layer's name, or the description that ImageScope's layer list shows."""
    described = [a.get("Value", "") for a in layer.iter("Attribute") if a.get("Name") == "Description"]
    return layer.get("Name") or (described[0] if described else "")


def _color(text: str) -> tuple[int, int, int] | None:
    """Read Windows' COLORREF integer: red in the lowest byte."""
    try:
        packed = int(text)
    except ValueError:
        return None
    return packed & 255, packed >> 8 & 255, packed >> 16 & 255
