"""Nuclei of a slide by place: in a rectangle, at a point, their outlines, and those within ranges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely

from napari_aln.errors import UsageError
from napari_aln.nuclei.table import L0_XY

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from napari_aln.geometry import Mpp, Rect
    from napari_aln.nuclei.outlines import OutlineSource

    Ranges = Mapping[str, tuple[float | None, float | None]]
    """Feature -> least and greatest value; None: no limit."""

CELL_UM = 64.0
"""Side of the index's cells: dense tissue has about twenty nuclei in one."""

MOST_CELLS = 4_000_000
ELLIPSE_POINTS = 8, 32  # fewest and most of an ellipse


class Rings(NamedTuple):
    """Closed lines around nuclei; the first point is not repeated."""

    l0_xy: NDArray[np.float64]  # (m, 2) points of all rings, one ring after the other
    first: NDArray[np.intp]  # (r + 1,) where each ring begins
    row: NDArray[np.intp]  # (r,) of the table


@dataclass(frozen=True)
class LocatedNuclei:
    """Nuclei of one slide, found by place. Nothing of the table is copied.

    Attributes
    ----------
    table
        From `placed`: n rows with level-0 centroids.
    mpp
        µm/px of level 0.
    outlines
        Of the same nuclei, in level-0 pixels; None: unknown. Ellipses of the same second moments stand for
        those that are not known, or not at hand.
    """

    table: pd.DataFrame
    mpp: Mpp
    outlines: OutlineSource | None = None

    def __post_init__(self) -> None:
        outlines = self.outlines
        if outlines is not None and not np.array_equal(self.table["label"].to_numpy(), outlines.label):
            raise UsageError(
                f"{len(self)} measured nuclei and {len(outlines.label)} outlines are not the same nuclei.",
                "Measure and outline the same label image.",
            )

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def l0_xy(self) -> NDArray[np.float64]:
        """(n, 2) centroids in level-0 pixels."""
        return self.table[list(L0_XY)].to_numpy(np.float64)

    @cached_property
    def typical_um(self) -> float:
        """Median of the nuclei's lengths."""
        return float(np.median(self._major_um)) if len(self) else 0.0

    @cached_property
    def _major_um(self) -> NDArray[np.float64]:
        return self.table["major_axis_um"].to_numpy(np.float64)

    @cached_property
    def _grid(self) -> _Grid:
        return _Grid.of(self.l0_xy, self.mpp)

    def count_near(self, l0_rect: Rect) -> int:
        """Return how many nuclei lie in a rectangle and just outside it, looking at none of them."""
        begin, end = self._grid.runs(l0_rect)
        return int((end - begin).sum())

    def rows_in(self, l0_rect: Rect) -> NDArray[np.intp]:
        """Return the rows of nuclei whose centroid lies in a rectangle, rising."""
        near = self._grid.members(l0_rect)
        x, y, width, height = l0_rect
        inside = (self.l0_xy[near] >= (x, y)) & (self.l0_xy[near] <= (x + width, y + height))
        return np.sort(near[inside.all(axis=1)])

    def row_at(self, l0_xy: ArrayLike, among: NDArray[np.bool_] | None = None) -> int | None:
        """Return the row of the smallest nucleus over a point; None: there is none.

        Parameters
        ----------
        l0_xy
            The point, in level-0 pixels.
        among
            (n,) whether a nucleus counts; None: all do.
        """
        if not len(self):
            return None
        point = np.asarray(l0_xy, float)
        reach_um = self._major_um  # twice as far as the ellipse: a nucleus has corners
        reach_l0 = float(reach_um.max()) / np.asarray(self.mpp)
        near = self._grid.members((*(point - reach_l0), *(2 * reach_l0)))
        if among is not None:
            near = near[among[near]]
        away_um = (self.l0_xy[near] - point) * self.mpp
        close = np.hypot(*away_um.T) <= reach_um[near]
        near, away_um = near[close], away_um[close]
        along, across, half = *self._along_axes(near, away_um), self._half_axes_um(near)
        hit = (along / half[:, 0]) ** 2 + (across / half[:, 1]) ** 2 <= 1
        if self.outlines is not None:
            geometry = self.outlines.at_hand(near)
            known = ~shapely.is_missing(geometry)
            hit[known] = shapely.contains_xy(geometry[known], *point)
        near = near[hit]
        if not len(near):
            return None
        return int(near[np.argmin(self.table["area_um2"].to_numpy()[near])])

    def rings(self, rows: NDArray[np.intp], tolerance_l0: float = 0.0) -> Rings:
        """Return the outlines of some nuclei.

        Parameters
        ----------
        rows
            Of the table.
        tolerance_l0
            How far a line may leave the outline, in level-0 pixels, to have fewer points.
        """
        if self.outlines is None:
            return self._ellipses(rows, tolerance_l0 * self.mpp.mean)
        geometry = self.outlines.at_hand(rows)
        known = ~shapely.is_missing(geometry)
        if known.all():
            return _outlined(geometry, rows, tolerance_l0)
        drawn = _outlined(geometry[known], rows[known], tolerance_l0)
        return _both(drawn, self._ellipses(rows[~known], tolerance_l0 * self.mpp.mean))

    def _ellipses(self, rows: NDArray[np.intp], tolerance_um: float) -> Rings:
        fewest, most = ELLIPSE_POINTS
        share = tolerance_um / max(self.typical_um / 2, 1e-6)  # of the radius that a chord may leave out
        n = int(np.ceil(np.pi / np.arccos(1 - share))) if 0 < share < 1 else most if share <= 0 else fewest
        n = min(max(n, fewest), most)
        turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
        half = self._half_axes_um(rows)
        along, across = half[:, :1] * np.cos(turn), half[:, 1:] * np.sin(turn)
        cosine, sine = (part[:, None] for part in self._direction(rows))
        xy_um = np.stack([along * cosine - across * sine, along * sine + across * cosine], axis=2)
        l0_xy = xy_um / self.mpp + self.l0_xy[rows][:, None]
        return Rings(l0_xy.reshape(-1, 2), np.arange(len(rows) + 1) * n, rows)

    def _half_axes_um(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        axes = self.table["major_axis_um"].to_numpy()[rows], self.table["minor_axis_um"].to_numpy()[rows]
        return np.maximum(np.stack(axes, axis=1) / 2, 1e-6)

    def _direction(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        angle = np.nan_to_num(self.table["orientation_rad"].to_numpy()[rows])  # a disc has none
        return np.cos(angle), np.sin(angle)

    def _along_axes(
        self, rows: NDArray[np.intp], away_um: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        cosine, sine = self._direction(rows)
        x, y = away_um.T
        return x * cosine + y * sine, y * cosine - x * sine


def _outlined(geometry: NDArray[np.object_], rows: NDArray[np.intp], tolerance_l0: float) -> Rings:
    """Return the rings of outlines, with fewer points where lines may leave them."""
    if tolerance_l0 > 0:
        simple = shapely.simplify(geometry, tolerance_l0, preserve_topology=False)
        geometry = np.where(shapely.is_empty(simple), geometry, simple)
    parts, of_part = shapely.get_parts(geometry, return_index=True)
    l0_xy, ring = shapely.get_coordinates(shapely.get_exterior_ring(parts), return_index=True)
    last = np.flatnonzero(np.diff(ring, append=-1))  # repeats the first
    keep = np.ones(len(ring), bool)
    keep[last] = False
    first = np.concatenate([[0], last + 1 - np.arange(1, len(last) + 1)])
    return Rings(l0_xy[keep], first.astype(np.intp), rows[of_part])


def _both(a: Rings, b: Rings) -> Rings:
    first = np.concatenate([a.first, b.first[1:] + len(a.l0_xy)])
    return Rings(np.concatenate([a.l0_xy, b.l0_xy]), first, np.concatenate([a.row, b.row]))


def within(table: pd.DataFrame, ranges: Ranges) -> NDArray[np.bool_]:
    """Return, for each nucleus, whether all its values lie in their ranges; unknown ones do not."""
    kept = np.ones(len(table), bool)
    for name, (least, greatest) in ranges.items():
        values = table[name].to_numpy()
        if least is not None:
            kept &= values >= least
        if greatest is not None:
            kept &= values <= greatest
    return kept


@dataclass(frozen=True)
class _Grid:
    """Nuclei sorted by cell, cells in row-major order."""

    corner: NDArray[np.float64]  # level-0 pixels
    side: NDArray[np.float64]  # of a cell, along x and y
    shape: tuple[int, int]  # rows, columns
    first: NDArray[np.intp]  # (cells + 1,) where each cell's nuclei begin in `order`
    order: NDArray[np.intp]

    @classmethod
    def of(cls, l0_xy: NDArray[np.float64], mpp: Mpp) -> _Grid:
        if not len(l0_xy):
            return cls(np.zeros(2), np.ones(2), (1, 1), np.zeros(2, np.intp), np.zeros(0, np.intp))
        corner, span = l0_xy.min(axis=0), np.ptp(l0_xy, axis=0)
        side = CELL_UM / np.asarray(mpp)
        side *= max(1.0, float(np.sqrt(np.prod(span / side) / MOST_CELLS)))
        at = ((l0_xy - corner) / side).astype(np.int32)
        columns, rows = (int(n) + 1 for n in at.max(axis=0))
        cell = at[:, 1] * np.int32(columns) + at[:, 0]
        first = np.zeros(rows * columns + 1, np.intp)
        np.cumsum(np.bincount(cell, minlength=rows * columns), out=first[1:])
        return cls(corner, side, (rows, columns), first, np.argsort(cell, kind="stable"))

    def runs(self, l0_rect: Rect | tuple[float, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return where in `order` the nuclei of a rectangle's cells begin and end, row by row of cells."""
        x, y, width, height = l0_rect
        rows, columns = self.shape
        low = np.floor((np.array([x, y]) - self.corner) / self.side)
        high = np.floor((np.array([x + width, y + height]) - self.corner) / self.side)
        if (high < 0).any() or low[0] >= columns or low[1] >= rows:
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        left, top = np.maximum(low, 0).astype(int)
        right, bottom = np.minimum(high, (columns - 1, rows - 1)).astype(int)
        begin = np.arange(top, bottom + 1) * columns
        return self.first[begin + left], self.first[begin + right + 1]

    def members(self, l0_rect: Rect | tuple[float, ...]) -> NDArray[np.intp]:
        begin, end = self.runs(l0_rect)
        found = [self.order[a:b] for a, b in zip(begin, end, strict=True) if b > a]
        return np.concatenate(found) if found else np.zeros(0, np.intp)
