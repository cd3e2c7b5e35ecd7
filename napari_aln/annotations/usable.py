"""From regions as drawn to regions a run can use."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import shapely

from napari_aln.annotations.mend import areas_only, mended
from napari_aln.annotations.placing import other_origin
from napari_aln.errors import RegionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.annotations.statement import Origin
    from napari_aln.geometry import Rect
    from napari_aln.records import Region

ROI_CLASS = re.compile(
    r"""
    | roi (\ ?\d+)?
    | (invasive\ )? tumou?r (\ (roi|region|area|bed))? (\ ?\d+)?
    | (invasive\ )? (breast\ )? (carcinoma|cancer)
    | invasive\ (ductal|lobular)\ carcinoma
    | positive  # as in the BCNB data set
    """,
    re.VERBOSE,
)
"""The whole name of a tumour ROI's class, in lower case and with single blanks; none is one too.

The whole name, because parts of it mislead: no tumor, peritumoral stroma, ER positive.
"""

MAX_NAMED = 12
_ELSEWHERE = "Draw it on the tissue; a file must belong to this slide and state the right origin."


def usable_regions(
    regions: Sequence[Region],
    slide_size_px: tuple[int, int],
    name_of_file: str,
    *,
    read_from: Origin | None = None,
    bounds: Rect | None = None,
) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    """Choose the tumour regions, mend them, and clip them to the slide.

    Parameters
    ----------
    regions
        As read or drawn, in level-0 pixels.
    slide_size_px
        Width and height of level 0.
    name_of_file
        Where they come from, for messages.
    read_from
        The origin a file was read with, where it does not state its own: another one is offered where the
        outlines lie off the slide and would then lie on it. None: nothing to offer.
    bounds
        The slide's bounds in level-0 pixels; used with `read_from`.

    Returns
    -------
    regions
        Valid, non-empty polygons or multipolygons inside the slide. Regions of classes that name no tumour
        (see `ROI_CLASS`) are left out.
    warnings
        What was left out, mended or clipped, one sentence each. Results keep them, so they name a region by
        its number, never by the file or by what someone called it or its class: that may be a patient's name.

    Raises
    ------
    RegionError
        No tumour region; a coordinate is not finite; or nothing of the regions lies on the slide.
    """
    chosen, warnings = _tumour_regions(regions, name_of_file)
    offer = other_origin(regions, read_from, bounds) if read_from and bounds else None
    if offer:
        warnings.append(f"origin: {offer}")
    any_area = False
    slide = shapely.box(0, 0, *slide_size_px)
    width, height = slide_size_px
    usable: list[Region] = []
    for number, region in chosen:
        where = f"Region {number} of the ROI"
        if not np.isfinite(shapely.get_coordinates(region.geometry)).all():
            raise RegionError(
                f"{name_of_file}: region {number} holds a coordinate that is not a finite number.",
                "Draw it again.",
            )
        outline = mended(region.geometry)
        if outline.area == 0:
            warnings.append(f"{where} has no area and was left out.")
            continue
        any_area = True
        if outline is not region.geometry:
            reason = shapely.is_valid_reason(region.geometry)
            warnings.append(f"{where} crosses itself and was mended: {reason}.")
        left, top, right, bottom = outline.bounds
        is_inside = left >= 0 and top >= 0 and right <= width and bottom <= height  # as most are: no cut
        clipped = outline if is_inside else areas_only(outline.intersection(slide))
        if clipped.area == 0:
            warnings.append(f"{where} lies wholly outside the slide and was left out.")
            continue
        if not is_inside:
            outside = 1 - clipped.area / outline.area
            warnings.append(
                f"{where} lies outside the slide by {outside:.1%} of its area, which was cut off."
            )
        usable.append(replace(region, geometry=clipped))
    if not usable:
        why = f"lies on the slide, which is {width} x {height} px" if any_area else "has an area"
        raise RegionError(f"{name_of_file}: no region {why}.", offer or _ELSEWHERE)
    return tuple(usable), tuple(warnings)


def _tumour_regions(
    regions: Sequence[Region], name_of_file: str
) -> tuple[list[tuple[int, Region]], list[str]]:
    """Return the tumour regions with their numbers, and a warning that says which are left out."""
    if not regions:
        raise RegionError(
            f"{name_of_file} holds no region.", "Draw a tumour region, or use the whole-slide mode."
        )
    chosen = [(n, r) for n, r in enumerate(regions, start=1) if is_tumour(r.classification)]
    others = sorted({r.classification.strip() for r in regions if not is_tumour(r.classification)})
    if not chosen:
        raise RegionError(
            f"{name_of_file} holds no region whose class is a tumour ROI, only: {', '.join(others)}.",
            "Give the tumour regions the class Tumor or ROI, or none.",
        )
    if not others:
        return chosen, []
    left_out = [str(n) for n, r in enumerate(regions, start=1) if not is_tumour(r.classification)]
    shown = ", ".join(left_out[:MAX_NAMED]) + (" and others" if len(left_out) > MAX_NAMED else "")
    return chosen, [
        f"Left out of the ROI, because their class is another: {len(left_out)} of {len(regions)} regions "
        f"(numbers {shown})."
    ]


def is_tumour(classification: str) -> bool:
    """Whether a class is a tumour ROI's, see `ROI_CLASS`; no class is one too."""
    return ROI_CLASS.fullmatch(" ".join(classification.lower().replace("_", " ").split())) is not None
