"""ASAP's XML: ``ASAP_Annotations / Annotations / Annotation / Coordinates / Coordinate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_aln.annotations.rings import polygon_of
from napari_aln.errors import AnnotationError
from napari_aln.records import Region

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_NO_AREA = frozenset({"dot", "pointset", "measurement"})


def regions_of(root: Element, name: str, shift_xy: tuple[float, float]) -> tuple[Region, ...]:
    """Read the polygons, rectangles and splines (by their vertices); the group is the classification.

    Raises
    ------
    AnnotationError
        An outline is malformed, or there is no area.
    """
    regions: list[Region] = []
    for number, annotation in enumerate(root.iter("Annotation"), start=1):
        if annotation.get("Type", "").lower() in _NO_AREA:
            continue
        where = f"{name}: annotation {number}"
        vertices = sorted(annotation.iter("Coordinate"), key=lambda vertex: _order(vertex, where))
        polygon = polygon_of([[(v.get("X"), v.get("Y")) for v in vertices]], where, shift_xy)
        group = annotation.get("PartOfGroup", "")
        regions.append(
            Region(
                polygon,
                annotation.get("Name", ""),
                "" if group.lower() == "none" else group,
                _color(annotation.get("Color", "")),
            )
        )
    if not regions:
        raise AnnotationError(f"{name} holds no area.", "Draw a polygon in ASAP and save again.")
    return tuple(regions)


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
