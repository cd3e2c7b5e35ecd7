"""Checked construction of polygons from the vertex lists of any file format."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from shapely.geometry import Polygon

from napari_aln.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_COORDINATE_PX = 1e7
"""No slide is ten million pixels wide; such a coordinate is in another unit, or damaged."""


def polygon_of(
    rings: Sequence[object],
    where: str,
    shift_xy: tuple[float, float] = (0.0, 0.0),
    unit_px: tuple[float, float] = (1.0, 1.0),
) -> Polygon:
    """Build a polygon from vertex lists; it may still be self-intersecting or empty of area.

    Parameters
    ----------
    rings
        Outer ring, then holes; each a list of at least three (x, y), closed or not. Further coordinates of a
        vertex are ignored.
    where
        File and region, for the error message.
    shift_xy
        Added to every vertex, in level-0 pixels.
    unit_px
        Level-0 pixels of the file's unit along x and y.

    Raises
    ------
    AnnotationError
        A ring is no list of number pairs, has fewer than three vertices, or holds NaN, infinite or huge
        values.
    """
    if not rings:
        raise AnnotationError(f"{where} has no vertices.", "Draw it again, or remove it from the file.")
    shell, *holes = [_ring(ring, where, unit_px) + shift_xy for ring in rings]
    return Polygon(shell, holes)


def _ring(
    ring: object, where: str, unit_px: tuple[float, float]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the (k, 2) vertices of one ring, in pixels."""
    try:
        vertices = np.array([(float(x), float(y)) for x, y, *_ in ring])  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        raise AnnotationError(
            f"{where} holds vertices that are not pairs of numbers.", "Export the annotations again."
        ) from None
    if not np.isfinite(vertices).all():
        raise AnnotationError(
            f"{where} holds a coordinate that is not a finite number.", "Export the annotations again."
        )
    if len(vertices) < 3:
        raise AnnotationError(
            f"{where} has {len(vertices)} vertices, and an area needs three.",
            "Draw it again, or remove it from the file.",
        )
    vertices = vertices * unit_px
    if np.abs(vertices).max() > MAX_COORDINATE_PX:
        raise AnnotationError(
            f"{where} holds the coordinate {np.abs(vertices).max():g}, more pixels than any slide has.",
            "Export the annotations in level-0 pixels, not in nanometres or another unit.",
        )
    return vertices
