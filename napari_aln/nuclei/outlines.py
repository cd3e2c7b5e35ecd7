"""The outlines of all nuclei of a label image, along the edges of their pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import shapely

from napari_aln.nuclei.hulls import around, rows_of
from napari_aln.nuclei.runs import runs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_aln.nuclei.runs import Runs


class OutlineSource(Protocol):
    """The outlines of a table's nuclei, row by row, in level-0 pixels; in memory or in a file."""

    @property
    def label(self) -> NDArray[np.int64]:
        """(n,) of the nuclei."""

    def of(self, rows: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the outlines of rows; this may read a file."""

    def at_hand(self, rows: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the outlines of rows without reading; None where one is not at hand."""


@dataclass(frozen=True)
class Outlines:
    """One outline a nucleus, by rising label, as the rows of `measure`."""

    label: NDArray[np.int64]  # (n,)
    geometry: NDArray[np.object_]  # (n,) valid shapely Polygons, MultiPolygons where a nucleus is in pieces

    def of(self, rows: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the outlines of rows."""
        return self.geometry[rows]

    at_hand = of

    def placed(
        self, corner_l0_xy: tuple[float, float] = (0.0, 0.0), downsample: tuple[float, float] = (1.0, 1.0)
    ) -> Outlines:
        """Return them in level-0 pixels; parameters as of `table.placed`."""
        moved = shapely.transform(self.geometry, lambda xy: xy * downsample + corner_l0_xy)
        return Outlines(self.label, moved)


@dataclass(frozen=True, eq=False)
class PackedOutlines:
    """Outlines of a whole slide's nuclei as bytes, which take a quarter of the memory of polygons."""

    label: NDArray[np.int64]  # (n,)
    wkb: pa.LargeBinaryArray = field(repr=False)

    @classmethod
    def of_parts(cls, label: NDArray[np.int64], parts: Sequence[pa.LargeBinaryArray]) -> PackedOutlines:
        """Join parts that `packed` made."""
        return cls(label, pa.concat_arrays(parts) if parts else pa.array([], pa.large_binary()))

    def of(self, rows: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the outlines of rows."""
        found: NDArray[np.object_] = shapely.from_wkb(
            self.wkb.take(pa.array(rows)).to_numpy(zero_copy_only=False)
        )
        return found

    at_hand = of

    @property
    def geometry(self) -> NDArray[np.object_]:
        """(n,) all of them as polygons."""
        return self.of(np.arange(len(self.label)))


def packed(outlines: Outlines) -> pa.LargeBinaryArray:
    """Return outlines as WKB."""
    return pa.array(shapely.to_wkb(outlines.geometry), pa.large_binary())


def outlines_of(labels: NDArray[Any], *, simplify_px: float = 0.0) -> Outlines:
    """Return the outlines of a label image's nuclei, holes filled.

    Parameters
    ----------
    labels
        (H, W) of integers, as for `measure`.
    simplify_px
        How far an outline may leave the pixels' edges to have fewer points; at 0 it follows each of them.
        At 0.75 the steps go.

    Returns
    -------
    Outlines
        In the picture's pixels, (0, 0) its corner.

    Raises
    ------
    UsageError
        It is no label image.
    """
    runs = runs_of(labels)
    parts = [_outlines(part) for part in runs.parts()]
    geometry = np.concatenate(parts) if parts else np.empty(0, object)
    if simplify_px > 0:
        geometry = shapely.simplify(geometry, simplify_px, preserve_topology=True)
    broken = ~shapely.is_valid(geometry)
    geometry[broken] = shapely.make_valid(geometry[broken], method="structure", keep_collapsed=False)
    return Outlines(runs.label, geometry)


def _outlines(runs: Runs) -> NDArray[np.object_]:
    """Outline nuclei of one run a row, nearly all, together; the others one by one."""
    n = len(runs)
    line = rows_of(runs)
    simple = np.bincount(runs.of[line], minlength=n) == np.diff(runs.first)
    after = np.flatnonzero(runs.of[1:] == runs.of[:-1])
    meets = (runs.row[after + 1] - runs.row[after] <= 1) & (
        np.minimum(runs.stop[after + 1], runs.stop[after])
        > np.maximum(runs.start[after + 1], runs.start[after])
    )
    simple[runs.of[after[~meets]]] = False
    found = np.empty(n, object)
    number = np.cumsum(simple) - 1
    taken = simple[runs.of]
    if taken.any():
        of = number[runs.of[taken]]
        right = _stairs(of, runs.row[taken], runs.stop[taken])
        left = _stairs(of, runs.row[taken], runs.start[taken])
        first, xy = around(*right, *left, n=int(simple.sum()))
        ring = np.repeat(np.arange(len(first) - 1), np.diff(first))
        found[simple] = shapely.polygons(shapely.linearrings(xy.astype(float), indices=ring))
    for place in np.flatnonzero(~simple):
        found[place] = _united(runs, slice(runs.first[place], runs.first[place + 1]))
    return found


def _stairs(
    of: NDArray[np.intp], row: NDArray[np.int64], x: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the corners of one side from top to bottom, with their nucleus; none within a straight piece."""
    turns = np.ones(len(of) + 1, bool)
    turns[1:-1] = (of[1:] != of[:-1]) | (x[1:] != x[:-1])
    corner = np.stack([turns[:-1], turns[1:]], axis=1).ravel()
    xy = np.stack([np.repeat(x, 2), np.stack([row, row + 1], axis=1).ravel()], axis=1)
    return np.repeat(of, 2)[corner], xy[corner]


def _united(runs: Runs, at: slice) -> Any:  # noqa: ANN401  (shapely states no types)
    squares = shapely.box(runs.start[at], runs.row[at], runs.stop[at], runs.row[at] + 1)
    pieces = shapely.get_parts(shapely.union_all(squares))
    return shapely.union_all(shapely.polygons(shapely.get_exterior_ring(pieces)))
