"""The circumference of digital shapes by counting how often lines cross them."""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.nuclei.runs import Runs

REACH = 5**0.5  # of square pixels: one column and two rows
"""Lines go from pixel to pixel by at most so many sides of a pixel, the longer ones: 8 directions."""


class Direction(NamedTuple):
    """A set of parallel lines through all pixels."""

    dx: int
    dy: int  # >= 0
    angle_rad: float  # 0 <= angle < pi, in µm
    weight_um: float  # distance of neighbouring lines in µm, times their share of the half circle in radians


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
        apart_um = mpp.x * mpp.y / np.hypot(dx * mpp.x, dy * mpp.y)
        found.append(Direction(dx, dy, float(angle_rad), float(share_rad * apart_um)))
    return tuple(found)


def circumferences_um(runs: Runs, mpp: Mpp, reach: float = REACH) -> NDArray[np.float64]:
    """Return the (n,) circumferences, boundaries of holes included.

    Cauchy and Crofton: the length of a boundary is half the integral, over all lines of the plane, of how
    often a line crosses it. Taken over lines through the pixels in K directions,
    ``P = sum_k w_k d_k (A - C_k)``: w_k the angle that direction k stands for, d_k the distance of its lines,
    A - C_k the pixels whose next along the line is not of the nucleus: each ends one stretch, which crosses
    the boundary twice. After Serra, Image Analysis and Mathematical Morphology, 1982; Legland, Kiêu and
    Devaux, Image Analysis & Stereology 26, 2007, with eight directions and weights for pixels of any shape.
    """
    area = runs.sums(runs.stop - runs.start)
    total = np.zeros(len(runs))
    by_height: dict[int, list[Direction]] = {}
    for direction in directions(mpp, reach):
        by_height.setdefault(direction.dy, []).append(direction)
    for dy, sets in by_height.items():
        if dy == 0:  # along the rows themselves, a stretch is a run
            total += sets[0].weight_um * np.diff(runs.first)
            continue
        of, upper, lower = _pairs(runs, dy)
        start, stop = runs.start[upper], runs.stop[upper]
        next_start, next_stop = runs.start[lower], runs.stop[lower]
        for direction in sets:
            shared = np.minimum(stop, next_stop - direction.dx) - np.maximum(start, next_start - direction.dx)
            np.maximum(shared, 0, out=shared)
            goes_on = np.bincount(of, weights=shared, minlength=len(runs))
            total += direction.weight_um * (area - goes_on)
    return total


def _pairs(runs: Runs, dy: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return label and both members of each pair of runs of one label that lie `dy` rows apart."""
    found = list(_lines_apart(runs, dy))
    upper_line, lower_line = (np.concatenate(column) for column in zip(*found, strict=True))
    line = _lines(runs)
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


def _lines(runs: Runs) -> NDArray[np.intp]:
    """Return the first run of each row of each label."""
    return np.flatnonzero((np.diff(runs.of, prepend=-1) != 0) | (np.diff(runs.row, prepend=-1) != 0))


def _lines_apart(runs: Runs, dy: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the lines of one label that lie `dy` rows apart: at most `dy` places apart in their order."""
    line = _lines(runs)
    of, row = runs.of[line], runs.row[line]
    for places in range(1, dy + 1):
        upper = np.flatnonzero((of[places:] == of[:-places]) & (row[places:] - row[:-places] == dy))
        yield upper, upper + places
