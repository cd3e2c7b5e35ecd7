"""Regions in formats that know single rings only: taken apart when written, joined again when read.

Each ring of ours carries attributes that say which region and which part it belongs to and whether it is a
hole; other programs ignore them. A program that saves the file anew drops them, and each format then falls
back on a convention of its own, which its module states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import shapely
from shapely.geometry import MultiPolygon, Polygon

from napari_aln.annotations.statement import MEMBER
from napari_aln.records import Region

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from xml.etree.ElementTree import Element

REGION, PART, ROLE, COLOR = (f"{MEMBER}_{name}" for name in ("region", "part", "role", "color"))
OUTLINE, HOLE, NO_COLOR = "outline", "hole", "none"


class Link(NamedTuple):
    """Which region and part of it a ring belongs to, as its file numbers them."""

    region: str
    part: str


class Ring(NamedTuple):
    """One ring as a file holds it."""

    area: Polygon
    link: Link | None
    is_hole: bool
    name: str
    classification: str
    color_rgb: tuple[int, int, int] | None


def parts_of(number: int, region: Region) -> Iterator[list[tuple[Polygon, dict[str, str]]]]:
    """Yield each part of a region: its rings as areas, outline first, with the attributes that link them."""
    for part, polygon in enumerate(shapely.get_parts(region.geometry), start=1):
        attributes = {REGION: str(number), PART: str(part)}
        if region.color_rgb is None:
            attributes[COLOR] = NO_COLOR
        outline = (Polygon(polygon.exterior), attributes | {ROLE: OUTLINE})
        yield [outline, *((Polygon(hole), attributes | {ROLE: HOLE}) for hole in polygon.interiors)]


def vertices_of(area: Polygon) -> Iterator[tuple[str, str]]:
    """Yield the vertices of a polygon's outline as text, exact, the first not again as the last."""
    for x, y in shapely.get_coordinates(area.exterior)[:-1].tolist():
        yield repr(x), repr(y)


def link_of(element: Element) -> Link | None:
    """Return which region and part a ring belongs to, None in files of others."""
    region, part = element.get(REGION), element.get(PART)
    return Link(region, part) if region and part else None


def joined(rings: Iterable[Ring]) -> list[Region]:
    """Join linked rings to regions with parts and holes; a ring without a link is a region by itself.

    Regions come in the order of their first outline. A hole without its outline is left out.
    """
    outlines: dict[object, dict[object, Ring]] = {}
    holes: dict[Link, list[Polygon]] = {}
    for number, ring in enumerate(rings):
        if ring.is_hole:
            if ring.link:
                holes.setdefault(ring.link, []).append(ring.area)
        elif ring.link is None or ring.link.part in outlines.get(ring.link.region, {}):  # the latter: a copy
            outlines[number] = {None: ring}
        else:
            outlines.setdefault(ring.link.region, {})[ring.link.part] = ring
    return [_region(list(parts.values()), holes) for parts in outlines.values()]


def _region(parts: Sequence[Ring], holes: dict[Link, list[Polygon]]) -> Region:
    polygons = [
        Polygon(
            ring.area.exterior, [hole.exterior for hole in holes.get(ring.link, [])] if ring.link else None
        )
        for ring in parts
    ]
    outline = polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
    first = parts[0]
    return Region(outline, first.name, first.classification, first.color_rgb)
