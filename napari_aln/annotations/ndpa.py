"""Hamamatsu's NDPA: ``annotations / ndpviewstate / annotation``, in nanometres from the slide's centre.

The slide is the piece of glass: where its centre lies in level-0 pixels, only the NDPI or VMS file says. The
conversion is that of OpenSlide's mailing list (Gilbert, November 2014) and of QuPath's import scripts::

    level-0 px = (nm - offset of the picture's centre from the slide's centre) / nm per px + size in px / 2
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import shapely
from shapely.geometry import Polygon

from napari_aln.annotations.rings import polygon_of
from napari_aln.errors import AnnotationError
from napari_aln.geometry import scanner_nm_to_l0
from napari_aln.records import Region

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from napari_aln.geometry import ScannerFrame

ROOT = "annotations"
_HOLE = "clear"
"""Title and details of a hole, as QuPath's script for NDPA export writes them, after its outline."""
_QUARTER_SEGMENTS = 32


def regions_of(root: Element, name: str, scanner: ScannerFrame | None) -> tuple[Region, ...]:
    """Read closed freehand outlines, rectangles and circles; the title is both name and classification.

    Open lines, rulers, pins and pointers have no area and are left out.

    Raises
    ------
    AnnotationError
        The slide's place on the glass is not known, an outline is malformed, or there is no area.
    """
    if scanner is None:
        raise AnnotationError(
            f"{name} counts in nanometres from the centre of the glass, and no slide was given that states "
            "its own place there and its µm/px.",
            "Open the NDPI or VMS slide that it was drawn on, or name it with --slide.",
        )
    regions: list[Region] = []
    for number, view in enumerate(root.findall("ndpviewstate"), start=1):
        where = f"{name}: annotation {number}"
        outline = _outline(view, where, scanner)
        if outline is None:
            continue
        title, details = (view.findtext(tag, "").strip() for tag in ("title", "details"))
        if title == details == _HOLE and regions:
            regions[-1] = _with_hole(regions[-1], outline)
            continue
        drawn = view.find("annotation")
        color = _color(drawn.get("color", "") if drawn is not None else "")
        regions.append(Region(outline, title, title or details, color))
    if not regions:
        raise AnnotationError(
            f"{name} holds no area.", "Draw a closed freehand outline in NDP.view and save again."
        )
    return tuple(regions)


def _outline(view: Element, where: str, scanner: ScannerFrame) -> Polygon | None:
    """Return what was drawn as an area in level-0 pixels, None where it has none."""
    drawn = view.find("annotation")
    kind = "" if drawn is None else drawn.get("type", "").lower()
    if drawn is None or kind not in {"freehand", "circle"}:
        return None
    unit = view.findtext("coordformat", "nanometers").strip().lower()
    if unit != "nanometers":
        raise AnnotationError(f"{where} counts in {unit!r}, not in nanometres.", "Save it in NDP.view again.")
    ring: list[tuple[object, object]]
    if kind == "freehand":
        if drawn.findtext("closed", "1").strip() == "0":
            return None
        points = drawn.findall("pointlist/point")
        ring = [(point.findtext("x"), point.findtext("y")) for point in points]
    else:
        ring = _circle(drawn, where)
    shift_xy = tuple(scanner_nm_to_l0((0.0, 0.0), scanner))
    unit_px = (1 / scanner.nm_per_px[0], 1 / scanner.nm_per_px[1])
    return polygon_of([ring], where, shift_xy, unit_px)


def _circle(drawn: Element, where: str) -> list[tuple[object, object]]:
    try:
        x, y, radius = (float(drawn.findtext(tag, "")) for tag in ("x", "y", "radius"))
    except ValueError:
        raise AnnotationError(
            f"{where} is a circle without centre or radius.", "Save it in NDP.view again."
        ) from None
    if not all(map(math.isfinite, (x, y, radius))):
        raise AnnotationError(
            f"{where} holds a value that is not a finite number.", "Save it in NDP.view again."
        )
    disc = shapely.Point(x, y).buffer(radius, quad_segs=_QUARTER_SEGMENTS)
    return [(px, py) for px, py in shapely.get_coordinates(disc).tolist()]


def _with_hole(region: Region, hole: Polygon) -> Region:
    outline = region.geometry
    rings = [*outline.interiors, hole.exterior]
    return Region(Polygon(outline.exterior, rings), region.name, region.classification, region.color_rgb)


def _color(text: str) -> tuple[int, int, int] | None:
    """Read ``#RRGGBB``."""
    try:
        red, green, blue = bytes.fromhex(text.removeprefix("#"))
    except ValueError:
        return None
    return red, green, blue
