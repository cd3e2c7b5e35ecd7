"""Outlines as drawn made into areas: valid polygons, without the points and lines that mending leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon

from napari_aln.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shapely.geometry.base import BaseGeometry

    from napari_aln.records import Region


def mended(geometry: BaseGeometry) -> BaseGeometry:
    """Return the valid areas of a geometry: untouched where it is valid, empty where it has no area.

    What an outline winds around twice stays inside, as someone means who draws on past the start.
    """
    if isinstance(geometry, Polygon | MultiPolygon) and geometry.area > 0 and geometry.is_valid:
        return geometry
    return areas_only(shapely.make_valid(geometry, method="structure", keep_collapsed=False))


def areas_only(geometry: BaseGeometry) -> BaseGeometry:
    """Drop the points and lines that mending or clipping leaves behind."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return shapely.union_all(parts[shapely.area(parts) > 0])


def writable(
    regions: Sequence[Region], origin_l0_xy: tuple[float, float], name_of_file: str
) -> tuple[list[Region], tuple[str, ...]]:
    """Return regions as a file holds them: mended, and counted from its origin.

    Parameters
    ----------
    regions
        In level-0 pixels, as drawn.
    origin_l0_xy
        Level-0 pixel of the file's (0, 0).
    name_of_file
        For messages.

    Returns
    -------
    regions
        Valid, each with an area.
    warnings
        What was mended or left out, a sentence each.

    Raises
    ------
    AnnotationError
        A coordinate is not finite.
    """
    written: list[Region] = []
    warnings: list[str] = []
    for number, region in enumerate(regions, start=1):
        if not np.isfinite(shapely.get_coordinates(region.geometry)).all():
            raise AnnotationError(
                f"{name_of_file} cannot be written: region {number} holds a coordinate that is not a finite "
                "number.",
                "Draw it again.",
            )
        outline = mended(region.geometry)
        if outline.area == 0:
            warnings.append(f"Region {number} has no area and was not written.")
            continue
        if outline is not region.geometry:
            reason = shapely.is_valid_reason(region.geometry)
            warnings.append(f"Region {number} was mended before it was written: {reason}.")
        if any(origin_l0_xy):
            outline = shapely.transform(outline, lambda l0_xy: l0_xy - origin_l0_xy)
        written.append(replace(region, geometry=outline))
    return written, tuple(warnings)
