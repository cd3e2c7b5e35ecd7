"""The circumference of digital shapes by counting how often lines cross them."""

from __future__ import annotations

from functools import cached_property
from math import gcd
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_aln.nuclei.hulls import rows_of

if TYPE_CHECKING:
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
        apart = _RowsApart(runs, dy)
        for direction in sets:
            goes_on = apart.shared_px(direction.dx)
            total += direction.share_rad * direction.apart_um * (n_px - goes_on)
    circumference_um: NDArray[np.float64] = total * (1 + grazed_um2 / (n_px * mpp.x * mpp.y))
    return circumference_um


class _RowsApart:
    """The runs of each nucleus that lie `dy` rows apart, and how far they cover each other when moved."""

    def __init__(self, runs: Runs, dy: int) -> None:
        self.runs, self.line = runs, rows_of(runs)
        of, row = runs.of[self.line], runs.row[self.line]
        places = np.arange(1, dy + 1)  # rows of one nucleus are sorted: at most dy places apart
        found = [np.flatnonzero((of[p:] == of[:-p]) & (row[p:] - row[:-p] == dy)) for p in places]
        upper = np.concatenate(found)
        lower = upper + np.repeat(places, [len(lines) for lines in found])
        count = np.diff(np.append(self.line, len(runs.row)))
        single = (count[upper] == 1) & (count[lower] == 1)
        self.upper, self.lower = self.line[upper[single]], self.line[lower[single]]
        upper, lower = upper[~single], lower[~single]
        n = count[upper]
        within = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
        self.divided = np.repeat(self.line[upper], n) + within  # runs of rows with gaps, there or below
        self.below = np.repeat(lower, n)  # the row below each of them
        self.of = runs.of[np.concatenate([self.upper, self.divided])]

    def shared_px(self, dx: int) -> NDArray[np.float64]:
        """Return the (n,) pixels whose neighbour `dx` columns on and `dy` rows down is of their nucleus."""
        start, stop = self.runs.start[self.upper], self.runs.stop[self.upper]
        next_start, next_stop = self.runs.start[self.lower], self.runs.stop[self.lower]
        shared = np.minimum(stop, next_stop - dx) - np.maximum(start, next_start - dx)
        np.maximum(shared, 0, out=shared)
        if len(self.divided):
            divided = self._covered(self.runs.stop, dx) - self._covered(self.runs.start, dx)
            shared = np.concatenate([shared, divided])
        return np.bincount(self.of, weights=shared, minlength=len(self.runs)).astype(np.float64)

    def _covered(self, ends: NDArray[np.int64], dx: int) -> NDArray[np.int64]:
        """Return how much of the row below lies left of the divided runs' ends, these moved by `dx`."""
        start, length, place, before = self._in_one_line
        x = np.clip(ends[self.divided] + dx, 0, self.wide - 1)
        last = np.searchsorted(place, self.below * self.wide + x, side="right") - 1
        first = self.line[self.below]
        last_of_it = np.maximum(last, first)
        covered = before[last_of_it] - before[first] + np.minimum(x - start[last_of_it], length[last_of_it])
        px: NDArray[np.int64] = np.where(last < first, 0, covered)
        return px

    @cached_property
    def wide(self) -> int:
        """Columns by which rows stand apart when they are laid end to end."""
        return int(self.runs.stop.max()) + 2

    @cached_property
    def _in_one_line(self) -> tuple[NDArray[np.int64], ...]:
        """Return each run's start, length, place with all rows end to end, and the pixels before it."""
        start, length = self.runs.start, self.runs.stop - self.runs.start
        line = np.repeat(np.arange(len(self.line)), np.diff(np.append(self.line, len(start))))
        return start, length, line * self.wide + start, np.cumsum(length) - length
