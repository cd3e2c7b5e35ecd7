"""The outlines of nuclei as a column of their table: GeoParquet, written and read by row group.

The file follows GeoParquet 1.1: a column of WKB polygons, a covering column of their boxes, and a ``geo``
entry in the file's metadata. Its ``crs`` is null, which says that the frame is no place on earth: without
that entry a reader has to take coordinates for longitude and latitude. Here they are level-0 pixels.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from napari_aln.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.nuclei.outlines import OutlineSource

GEOMETRY, BBOX, GEO = "geometry", "bbox", "geo"
GEO_VERSION = "1.1.0"
GROUP_ROWS = 4096
"""Nuclei of a row group, which is read as a whole: about 1.6 mm² of dense tissue, in some milliseconds."""

MOST_AT_HAND = 25 * GROUP_ROWS
"""Nuclei whose outlines are kept in memory after they were read, beside those in view: about 100 MB."""

SQUARE_UM = 512.0
"""Side of the squares by which nuclei are gathered that come in no order of place."""

_SCATTERED = 4.0  # times the box around all nuclei is what the boxes around row groups may have in all
_SIDES = ("xmin", "ymin", "xmax", "ymax")  # in the order that GeoParquet asks for
_BOX = pa.struct([(side, pa.float64()) for side in _SIDES])
_POLYGONS = {3: "Polygon", 6: "MultiPolygon"}  # shapely's type numbers, and WKB's
_POLYGON, _MULTIPOLYGON = (struct.pack("<BI", 1, kind) for kind in _POLYGONS)  # little-endian
_COUNT = struct.Struct("<I")
_AGAIN = "Measure the slide's nuclei again."


def write_outlined(content: pa.Table, outlines: OutlineSource, path: Path, mpp: Mpp) -> None:
    """Write a table of nuclei with their outlines; only a row group's outlines are encoded at a time.

    Parameters
    ----------
    content
        The table, with its ``label``, ``x`` and ``y``; its metadata is kept.
    outlines
        Of the same nuclei, in level-0 pixels.
    path
        File to write.
    mpp
        µm/px of level 0.

    Raises
    ------
    UsageError
        Table and outlines are not of the same nuclei.
    """
    if not np.array_equal(content["label"].to_numpy(), outlines.label):
        raise UsageError(
            f"{len(content)} measured nuclei and {len(outlines.label)} outlines are not the same nuclei.",
            "Measure and outline the same label image.",
        )
    order = _order_by_place(_l0_xy(content), mpp)
    schema = content.schema.append(pa.field(GEOMETRY, pa.binary())).append(pa.field(BBOX, _BOX))
    kinds: set[int] = set()
    extents = []
    # No two nuclei are alike: dictionaries would only be in the way.
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for begin in range(0, len(order), GROUP_ROWS):
            rows = order[begin : begin + GROUP_ROWS]
            geometry = outlines.of(rows)
            sides = shapely.bounds(geometry)
            kinds |= set(shapely.get_type_id(geometry).tolist())
            extents.append([*sides[:, :2].min(axis=0), *sides[:, 2:].max(axis=0)])
            boxes = pa.StructArray.from_arrays([pa.array(side) for side in sides.T], fields=list(_BOX))
            wkb = pa.array(shapely.to_wkb(geometry, byte_order=1))
            columns = [*content.take(pa.array(rows)).columns, wkb, boxes]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=GROUP_ROWS)
        writer.add_key_value_metadata({GEO: json.dumps(_geo(sorted(kinds), extents))})


def _geo(kinds: Sequence[int], extents: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return what GeoParquet asks a file to say of its column."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": [_POLYGONS[kind] for kind in kinds],
        "crs": None,
        "edges": "planar",
        "covering": {"bbox": {side: [BBOX, side] for side in _SIDES}},
    }
    if extents:
        low, high = np.min(extents, axis=0)[:2], np.max(extents, axis=0)[2:]
        column["bbox"] = [*low.tolist(), *high.tolist()]
    return {"version": GEO_VERSION, "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}


def _order_by_place(l0_xy: NDArray[np.float64], mpp: Mpp) -> NDArray[np.intp]:
    """Return rows in the order to write them: as they are, unless row groups then lie all over the slide."""
    rows = np.arange(len(l0_xy))
    if not _is_scattered(l0_xy, np.append(rows[::GROUP_ROWS], len(rows))):
        return rows
    column, row = np.floor(l0_xy * mpp / SQUARE_UM).T
    return np.lexsort((column, row))


def _is_scattered(l0_xy: NDArray[np.float64], first: NDArray[np.intp]) -> bool:
    """Whether row groups, which begin at `first`, lie over each other's places again and again."""
    every = np.array([0, len(l0_xy)])
    return _reach(l0_xy, first) > _SCATTERED * _reach(l0_xy, every)


def _reach(l0_xy: NDArray[np.float64], first: NDArray[np.intp]) -> float:
    """Return the area of the boxes around row groups, in all."""
    begin = first[:-1][np.diff(first) > 0]
    if not len(begin):
        return 0.0
    sides = np.maximum.reduceat(l0_xy, begin) - np.minimum.reduceat(l0_xy, begin)
    return float(sides.prod(axis=1).sum())


def _l0_xy(content: pa.Table) -> NDArray[np.float64]:
    return np.stack([content[name].to_numpy() for name in ("x", "y")], axis=1).astype(np.float64)


@dataclass(frozen=True, eq=False)
class StoredOutlines:
    """The outlines of a table's nuclei where they lie in its file, and those that were read.

    `read` and `of` may be called on any thread; what is at hand belongs to one.

    Attributes
    ----------
    path
        The file.
    label, l0_xy
        (n,) and (n, 2) of its rows, as they were read.
    first
        (groups + 1,) the rows at which its row groups begin.
    """

    path: Path
    label: NDArray[np.int64]
    l0_xy: NDArray[np.float64]
    first: NDArray[np.intp]
    _kept: dict[int, NDArray[np.object_]] = field(default_factory=dict, repr=False)

    @classmethod
    def of_file(cls, file: pq.ParquetFile, path: Path, content: pa.Table) -> StoredOutlines | None:
        """Return those of a file whose other columns were read; None where it holds none that can be used.

        Row groups that lie all over the slide, as another program may have left them, cannot: each view
        would need them all.
        """
        schema = file.schema_arrow
        if GEOMETRY not in schema.names or not _states_wkb(file.metadata.metadata or {}):
            return None
        kind = schema.field(GEOMETRY).type
        if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            return None
        groups = [file.metadata.row_group(k).num_rows for k in range(file.metadata.num_row_groups)]
        first = np.concatenate([[0], np.cumsum(groups)]).astype(np.intp)
        l0_xy = _l0_xy(content)
        if not np.isfinite(l0_xy).all() or _is_scattered(l0_xy, first):
            return None
        return cls(path, content["label"].to_numpy(), l0_xy, first)

    def groups_of(self, rows: NDArray[np.intp]) -> list[int]:
        """Return the row groups that hold these rows, rising."""
        found = np.searchsorted(self.first, rows, side="right") - 1
        return [int(group) for group in np.unique(found)]

    def lacking(self, rows: NDArray[np.intp]) -> list[int]:
        """Return the row groups that must be read for these rows."""
        return [group for group in self.groups_of(rows) if group not in self._kept]

    def read(self, groups: Sequence[int]) -> Iterator[tuple[int, NDArray[np.object_]]]:
        """Yield row groups and their outlines; None in place of what is no outline. Nothing is kept.

        Raises
        ------
        StoreError
            The file is gone, damaged, or now holds other nuclei.
        """
        try:
            with pq.ParquetFile(self.path) as file:
                for group in groups:
                    part = file.read_row_group(group, columns=["label", "x", "y", GEOMETRY])
                    rows = slice(self.first[group], self.first[group + 1])
                    if not (
                        np.array_equal(part["label"].to_numpy(), self.label[rows])
                        and np.array_equal(_l0_xy(part), self.l0_xy[rows])
                    ):
                        raise StoreError(
                            f"{self.path} holds other nuclei than when it was opened.", "Open it again."
                        )
                    yield group, _polygons(part[GEOMETRY].to_numpy())
        except (OSError, ValueError, IndexError, KeyError, pa.ArrowException) as error:
            if isinstance(error, StoreError):
                raise
            fact = f"The outlines of nuclei in {self.path} can no longer be read: {error}."
            raise StoreError(fact, "Open the file again.") from error

    def of(self, rows: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the outlines of any rows, read from the file.

        Raises
        ------
        StoreError
            As `read`; or some are no outlines.
        """
        found = np.empty(len(rows), object)
        for group, geometry in self.read(self.groups_of(rows)):
            mine = (rows >= self.first[group]) & (rows < self.first[group + 1])
            found[mine] = geometry[rows[mine] - self.first[group]]
        if shapely.is_missing(found).any():
            raise StoreError(f"{self.path} holds outlines that are damaged.", _AGAIN)
        return found

    def at_hand(self, rows: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the outlines of rows; None for those that were not read, or are damaged."""
        found = np.empty(len(rows), object)
        group = np.searchsorted(self.first, rows, side="right") - 1
        for number in np.unique(group):
            if (geometry := self._kept.get(int(number))) is not None:
                mine = group == number
                found[mine] = geometry[rows[mine] - self.first[number]]
        return found

    def keep(self, read: Mapping[int, NDArray[np.object_]], wanted: Sequence[int]) -> None:
        """Have these at hand, and of those before as many as there is room for beside the wanted groups."""
        self._kept.update(read)
        spare = [group for group in self._kept if group not in set(wanted)]  # oldest first
        n_kept = sum(map(len, self._kept.values()))
        for group in spare:
            if n_kept <= MOST_AT_HAND:
                break
            n_kept -= len(self._kept.pop(group))


def _states_wkb(metadata: Mapping[bytes, bytes]) -> bool:
    try:
        stated = json.loads(metadata.get(GEO.encode(), b"null"))
        return bool(stated["columns"][GEOMETRY]["encoding"] == "WKB")
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return False


def _polygons(wkb: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return polygons; None in place of anything else that a file may hold."""
    sound = np.array([value if _is_polygonal(value) else None for value in wkb], object)
    geometry: NDArray[np.object_] = shapely.from_wkb(sound, on_invalid="ignore")
    fit = np.isfinite(shapely.bounds(geometry)).all(axis=1)  # NaN of what is missing or empty
    geometry[~fit] = None
    return geometry


def _is_polygonal(wkb: bytes | None) -> bool:
    """Whether WKB is a polygon, or polygons beside each other; collections in collections end the stack."""
    if wkb is None or wkb[:5] == _POLYGON:
        return wkb is not None
    if wkb[:5] != _MULTIPOLYGON:
        return False
    try:
        (parts,) = _COUNT.unpack_from(wkb, 5)
        at = 9
        for _ in range(parts):
            if wkb[at : at + 5] != _POLYGON:
                return False
            (rings,) = _COUNT.unpack_from(wkb, at + 5)
            at += 9
            for _ in range(rings):
                at += 4 + 16 * _COUNT.unpack_from(wkb, at)[0]
    except struct.error:
        return False
    return at == len(wkb)
