"""Whether outlines lie on the slide as they were read, or would if they counted from the other origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import shapely

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.annotations.statement import Origin
    from napari_aln.geometry import Rect
    from napari_aln.records import Region

_SLACK_PX = 1.0  # other programs round, and clip to the picture's edge
OTHER_ORIGIN: dict[Origin, Origin] = {"level0": "bounds", "bounds": "level0"}
STARTS: dict[Origin, str] = {"level0": "the slide's corner", "bounds": "the corner of its scanned area"}
"""Where an origin lies, in words."""


def other_origin(regions: Sequence[Region], read_from: Origin, bounds: Rect) -> str | None:
    """Say so, where the other origin would bring outlines that lie off the slide onto it.

    Parameters
    ----------
    regions
        In level-0 pixels.
    read_from
        The origin they were read with.
    bounds
        The part of the slide that was scanned, in level-0 pixels.

    Returns
    -------
    str or None
        A sentence that names the other origin. None: the outlines lie on the slide, or would with neither.
    """
    sign = 1 if read_from == "level0" else -1
    if not regions:
        return None
    left, top, right, bottom = shapely.total_bounds([region.geometry for region in regions])
    shift_x, shift_y = sign * bounds.x, sign * bounds.y
    if _inside(bounds, left, top, right, bottom) or not _inside(
        bounds, left + shift_x, top + shift_y, right + shift_x, bottom + shift_y
    ):
        return None
    other = OTHER_ORIGIN[read_from]
    return (
        f"The outlines lie off the scanned area, read as counting from {STARTS[read_from]}. With the origin "
        f"{other} ({STARTS[other]}) they would lie on it: --origin {other}."
    )


def _inside(rect: Rect, left: float, top: float, right: float, bottom: float) -> bool:
    """Whether a box lies in a rectangle; that of empty outlines, NaN, does not."""
    return (
        left >= rect.x - _SLACK_PX
        and top >= rect.y - _SLACK_PX
        and right <= rect.x + rect.width + _SLACK_PX
        and bottom <= rect.y + rect.height + _SLACK_PX
    )
