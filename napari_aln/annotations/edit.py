"""Changing a set of regions: each function takes regions and returns the changed ones, valid and in order.

All geometry is in level-0 pixels. A region that a change leaves without an area is gone; one that it cuts in
two stays one region of two parts. What is drawn changes the regions in use alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import shapely

from napari_aln.annotations.mend import mended
from napari_aln.records import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

Regions = tuple[Region, ...]


def added(regions: Sequence[Region], drawn: BaseGeometry) -> Regions:
    """Add an area. What it touches grows into one region under the first one's name; else it is a new one."""
    area = mended(drawn)
    if area.is_empty:
        return tuple(regions)
    touched = [region for region in regions if region.in_use and region.geometry.intersects(area)]
    if not touched:
        return (*regions, Region(area))
    grown = shapely.union_all([area, *(region.geometry for region in touched)])
    kept = [region for region in regions if region is touched[0] or region not in touched]
    return tuple(replace(r, geometry=mended(grown)) if r is touched[0] else r for r in kept)


def subtracted(regions: Sequence[Region], drawn: BaseGeometry) -> Regions:
    """Take an area away; inside a region it leaves a hole. Regions it does not touch stay, to the bit."""
    area = mended(drawn)
    changed = (
        replace(r, geometry=mended(shapely.difference(r.geometry, area)))
        if r.in_use and r.geometry.intersects(area)
        else r
        for r in regions
    )
    return tuple(region for region in changed if not region.geometry.is_empty)


def intersected(regions: Sequence[Region], drawn: BaseGeometry) -> Regions:
    """Keep only what lies inside an area."""
    area = mended(drawn)
    kept = (
        replace(r, geometry=mended(shapely.intersection(r.geometry, area))) if r.in_use else r
        for r in regions
    )
    return tuple(region for region in kept if not region.geometry.is_empty)


def simplified(regions: Sequence[Region], tolerance_px: float) -> Regions:
    """Drop vertices: no outline moves by more than `tolerance_px` level-0 pixels (Douglas, Peucker 1973)."""
    kept = (replace(r, geometry=mended(shapely.simplify(r.geometry, tolerance_px))) for r in regions)
    return tuple(region for region in kept if not region.geometry.is_empty)


def edges(regions: Sequence[Region]) -> NDArray[np.float64]:
    """Return the (m, 2, 2) start and end of each edge of the outlines and holes, (x, y) in level-0 pixels."""
    rings = shapely.get_rings(shapely.get_parts([region.geometry for region in regions]))
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    joined = ring[1:] == ring[:-1]
    return np.stack([xy[:-1][joined], xy[1:][joined]], axis=1)


def area_of_mask(
    mask: NDArray[np.bool_], pixel_l0: tuple[float, float], l0_xy: tuple[float, float] = (0.0, 0.0)
) -> BaseGeometry:
    """Return the area that a brush painted, its stairs of single pixels smoothed away.

    Parameters
    ----------
    mask
        (H, W), the painted pixels.
    pixel_l0
        Level-0 pixels that one of its pixels spans, x and y.
    l0_xy
        Its upper-left corner in level-0 pixels.

    Returns
    -------
    A polygon, a multipolygon or nothing, in level-0 pixels; no outline lies further than one mask pixel from
    the painted one.
    """
    step = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, left = np.nonzero(step == 1)
    right = np.nonzero(step == -1)[1]  # in the order of the starts: runs of a row do not overlap
    runs = shapely.box(left, row, right, row + 1)
    stairs = shapely.union_all(runs)
    # Normalised, a ring starts at a true corner: its start is the one vertex that simplifying never drops.
    smooth = mended(shapely.simplify(shapely.normalize(stairs), 1.0))
    return shapely.transform(smooth, lambda xy: xy * np.asarray(pixel_l0) + np.asarray(l0_xy))
