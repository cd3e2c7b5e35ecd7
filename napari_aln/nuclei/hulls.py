"""Convex hulls and smallest rectangles of all nuclei at once, exact for pixels as squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.nuclei.runs import Runs

_TURN = 2 * np.pi


@dataclass(frozen=True)
class Hulls:
    """The hulls of n nuclei: each the corners of its pixels that stand out, clockwise as the picture is seen.

    A hull starts at the right end of its uppermost edge. Corners are integers: pixel (column x, row y) covers
    x..x + 1 and y..y + 1.
    """

    first: NDArray[np.intp]  # (n + 1,) where each hull's corners begin
    xy: NDArray[np.int64]  # (m, 2) px

    @property
    def of(self) -> NDArray[np.intp]:
        """Return the (m,) index of each corner's nucleus."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))


class _Chain(NamedTuple):
    """Points of one side of all nuclei, from top to bottom."""

    of: NDArray[np.intp]
    y: NDArray[np.int64]
    x: NDArray[np.int64]

    def take(self, where: NDArray[Any]) -> _Chain:
        return _Chain(self.of[where], self.y[where], self.x[where])


def hulls(runs: Runs) -> Hulls:
    """Return the convex hull of the pixel squares of each label.

    Integers throughout, so exact. Between the leftmost and rightmost corners at each height, a corner that
    does not stand out over the line between its neighbours is no corner of the hull; all such are dropped at
    once in all nuclei, until none is left.
    """
    line = rows_of(runs)
    of, row = runs.of[line], runs.row[line]
    right = _standing_out(_side(of, row, runs.stop[np.append(line[1:], len(runs.row)) - 1]))
    left = _standing_out(_side(of, row, -runs.start[line]))
    return Hulls(
        *around(
            right.of,
            np.column_stack([right.x, right.y]),
            left.of,
            np.column_stack([-left.x, left.y]),
            n=len(runs),
        )
    )


def rows_of(runs: Runs) -> NDArray[np.intp]:
    """Return the first run of each row of each label."""
    return np.flatnonzero((np.diff(runs.of, prepend=-1) != 0) | (np.diff(runs.row, prepend=-1) != 0))


def around(
    right_of: NDArray[np.intp],
    right_xy: NDArray[np.int64],
    left_of: NDArray[np.intp],
    left_xy: NDArray[np.int64],
    *,
    n: int,
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Join the right and left sides of n nuclei, each from top to bottom, to rings: down right, up left.

    Returns
    -------
    first
        (n + 1,) where each ring begins.
    xy
        (m, 2) corners; no ring repeats its first.
    """
    n_right, n_left = np.bincount(right_of, minlength=n), np.bincount(left_of, minlength=n)
    first = np.concatenate([[0], np.cumsum(n_right + n_left)])
    xy = np.empty((first[-1], 2), np.int64)
    down = np.arange(len(right_of)) - (np.cumsum(n_right) - n_right)[right_of]
    up = np.arange(len(left_of)) - (np.cumsum(n_left) - n_left)[left_of]
    xy[first[right_of] + down] = right_xy
    xy[first[left_of + 1] - 1 - up] = left_xy
    return first, xy


def _side(of: NDArray[np.intp], row: NDArray[np.int64], x: NDArray[np.int64]) -> _Chain:
    """Return one corner for each height: of two rows that meet there, the one farther out."""
    of, y, x = np.repeat(of, 2), np.repeat(row, 2), np.repeat(x, 2)
    y[1::2] += 1
    new = np.ones(len(y), bool)
    new[1:] = (of[1:] != of[:-1]) | (y[1:] != y[:-1])
    begin = np.flatnonzero(new)
    return _Chain(of[begin], y[begin], np.maximum.reduceat(x, begin))


def _standing_out(chain: _Chain) -> _Chain:
    """Drop the points that do not stand out to larger x; a nucleus that loses none is done."""
    done: list[_Chain] = []
    while len(chain.of):
        of, y, x = chain
        stays = np.ones(len(of), bool)
        cross = (x[1:-1] - x[:-2]) * (y[2:] - y[:-2]) - (x[2:] - x[:-2]) * (y[1:-1] - y[:-2])
        stays[1:-1] = (cross > 0) | (of[:-2] != of[2:])
        loses = np.zeros(of[-1] + 1, bool)
        loses[of[~stays]] = True
        goes_on = loses[of]
        done.append(chain.take(~goes_on))
        chain = chain.take(stays & goes_on)
    whole = _Chain(*(np.concatenate(column) for column in zip(*done, strict=True)))
    return whole.take(np.argsort(whole.of, kind="stable"))


def hull_areas_px(hulls: Hulls) -> NDArray[np.float64]:
    """Return the (n,) areas of hulls, px², by the shoelace formula."""
    x, y = (hulls.xy - hulls.xy[hulls.first[:-1]][hulls.of]).T
    after = _after(hulls)
    doubled: NDArray[np.float64] = np.add.reduceat(x * y[after] - x[after] * y, hulls.first[:-1])
    return doubled / 2


def _after(hulls: Hulls) -> NDArray[np.intp]:
    """Return the index of the corner after each, back at the first after a hull's last."""
    after = np.arange(1, len(hulls.xy) + 1)
    after[hulls.first[1:] - 1] = hulls.first[:-1]
    return after


def smallest_rectangles_um2(hulls: Hulls, mpp: Mpp) -> NDArray[np.float64]:
    """Return the (n,) areas of the smallest rectangles, at any angle, around hulls.

    One side of the smallest rectangle lies on an edge of the hull (Freeman and Shapira, Communications of the
    ACM 18, 1975), so each edge is tried. The corners farthest along and across it are where the hull's edges,
    whose directions rise all the way round, have turned by a quarter, a half and three quarters (Toussaint's
    rotating calipers, 1983): looked up in the sorted directions of all hulls.
    """
    xy = (hulls.xy - hulls.xy[hulls.first[:-1]][hulls.of]) * np.asarray(mpp)
    edge = xy[_after(hulls)] - xy
    edge /= np.hypot(edge[:, 0], edge[:, 1])[:, None]
    turned = np.arctan2(edge[:, 1], edge[:, 0])
    turned[turned <= 0] += _TURN  # 0 < turned <= one turn, reached by each hull's last edge, its uppermost
    turned /= _TURN
    of = hulls.of
    directions = of + turned

    def farthest(turns: float) -> NDArray[np.float64]:
        wanted = turned + turns
        wanted[wanted > 1] -= 1
        found: NDArray[np.float64] = xy[np.searchsorted(directions, of + wanted)]
        return found

    along = farthest(0.25) - farthest(0.75)
    across = farthest(0.5) - xy
    length = along[:, 0] * edge[:, 0] + along[:, 1] * edge[:, 1]
    width = across[:, 1] * edge[:, 0] - across[:, 0] * edge[:, 1]
    smallest: NDArray[np.float64] = np.minimum.reduceat(length * width, hulls.first[:-1])
    return smallest
