"""The circumference of digital shapes by counting how often lines cross them."""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_aln.nuclei.hulls import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.nuclei.runs import Runs

REACH = 10**0.5  # of square pixels: one column and three rows
"""Lines go from pixel to pixel by at most so many sides of a pixel, the longer ones: 12 directions."""


class Direction(NamedTuple):
    """A set of parallel lines through all pixels."""

    dx: int
    dy: int  # >= 0
    angle_rad: float  # 0 <= angle < pi, in µm
    step_um: float  # from pixel to pixel along a line
    share_rad: float  # of the half circle, for which it stands
    apart_um: float  # distance of neighbouring lines


def directions(mpp: Mpp, reach: float = REACH) -> tuple[Direction, ...]:
    """Return the sets of lines, by angle.

    Each stands for the angles nearer to its own than to its neighbours'; angles and distances are those in
    µm, so that pixels need not be square.
    """
    reach_um = reach * max(mpp) * (1 + 1e-9)
    columns, rows = int(reach_um / mpp.x), int(reach_um / mpp.y)
    steps = [
        (dx, dy)
        for dy in range(rows + 1)
        for dx in range(-columns, columns + 1)
        if gcd(dx, dy) == 1 and (dy > 0 or dx > 0) and np.hypot(dx * mpp.x, dy * mpp.y) <= reach_um
    ]
    angle = np.array([np.arctan2(dy * mpp.y, dx * mpp.x) for dx, dy in steps])
    order = np.argsort(angle)
    around = angle[order]
    share = (np.append(around[1:], around[0] + np.pi) - np.append(around[-1] - np.pi, around[:-1])) / 2
    found = []
    for i, angle_rad, share_rad in zip(order, around, share, strict=True):
        dx, dy = steps[i]
        step_um = float(np.hypot(dx * mpp.x, dy * mpp.y))
        found.append(Direction(dx, dy, float(angle_rad), step_um, float(share_rad), mpp.x * mpp.y / step_um))
    return tuple(found)


def circumferences_um(runs: Runs, mpp: Mpp, reach: float = REACH) -> NDArray[np.float64]:
    """Return the (n,) circumferences, boundaries of holes included.

    Cauchy and Crofton: the length of a boundary is half the integral, over all lines of the plane, of how
    often a line crosses it. Taken over lines through the pixels in K directions,
    ``P = sum_k w_k d_k (n - c_k)``: w_k the angle that direction k stands for, d_k the distance of its lines,
    n the nucleus's pixels and c_k those whose next along the line is of it too; each other ends one stretch,
    which crosses the boundary twice. After Serra, Image Analysis and Mathematical Morphology, 1982, and
    Legland, Kiêu and Devaux, Image Analysis & Stereology 26, 2007, with more directions and with pixels of
    any shape.

    A line that only grazes the nucleus may pass between two pixels. Where the boundary has the curvature k,
    lines with steps of s lose ``k s^2 / 24`` of each side; the mean curvature by direction is at least
    ``P / 2A`` (Gage, Duke Mathematical Journal 50, 1983; a disc has just that). That much is put back: the
    factor ``1 + sum_k w_k s_k^2 / 24 A``, 1.003 for a disc of 8 px.

    Seen with 300 shapes each, off the raster and at random rotations, from a radius of 8 px and axes of up to
    4 : 1: within 1.5 %, mean error below 0.2 %.
    """
    n_px = runs.sums(runs.stop - runs.start)
    total, grazed_um2 = np.zeros(len(runs)), 0.0
    by_height: dict[int, list[Direction]] = {}
    for direction in directions(mpp, reach):
        by_height.setdefault(direction.dy, []).append(direction)
        grazed_um2 += direction.share_rad * direction.step_um**2 / 24
    for dy, sets in by_height.items():
        if dy == 0:  # along the rows themselves, a stretch is a run
            total += sets[0].share_rad * sets[0].apart_um * np.diff(runs.first)
            continue
        of, upper, lower = _pairs(runs, dy)
        start, stop = runs.start[upper], runs.stop[upper]
        next_start, next_stop = runs.start[lower], runs.stop[lower]
        for direction in sets:
            shared = np.minimum(stop, next_stop - direction.dx) - np.maximum(start, next_start - direction.dx)
            np.maximum(shared, 0, out=shared)
            goes_on = np.bincount(of, weights=shared, minlength=len(runs))
            total += direction.share_rad * direction.apart_um * (n_px - goes_on)
    circumference_um: NDArray[np.float64] = total * (1 + grazed_um2 / (n_px * mpp.x * mpp.y))
    return circumference_um


def _pairs(runs: Runs, dy: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return label and both members of each pair of runs of one label that lie `dy` rows apart."""
    found = list(_lines_apart(runs, dy))
    upper_line, lower_line = (np.concatenate(column) for column in zip(*found, strict=True))
    line = rows_of(runs)
    count = np.diff(np.append(line, len(runs.row)))
    n_upper, n_lower = count[upper_line], count[lower_line]
    single = (n_upper == 1) & (n_lower == 1)
    upper, lower = line[upper_line[single]], line[lower_line[single]]
    many = ~single
    if many.any():
        n, of_pair = n_upper[many] * n_lower[many], np.arange(int(many.sum()))
        of_pair = np.repeat(of_pair, n)
        within = np.arange(len(of_pair)) - np.repeat(np.cumsum(n) - n, n)
        width = n_lower[many][of_pair]
        upper = np.append(upper, line[upper_line[many]][of_pair] + within // width)
        lower = np.append(lower, line[lower_line[many]][of_pair] + within % width)
    return runs.of[upper], upper, lower


def _lines_apart(runs: Runs, dy: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the lines of one label that lie `dy` rows apart: at most `dy` places apart in their order."""
    line = rows_of(runs)
    of, row = runs.of[line], runs.row[line]
    for places in range(1, dy + 1):
        upper = np.flatnonzero((of[places:] == of[:-places]) & (row[places:] - row[:-places] == dy))
        yield upper, upper + places
