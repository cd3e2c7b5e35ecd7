"""Outlines in the table of nuclei: written as GeoParquet, read back equal, only where asked for."""

import json
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from napari_aln.errors import StoreError, UsageError
from napari_aln.geometry import Mpp, Rect
from napari_aln.nuclei import (
    Outlines,
    measure,
    outline_column,
    outlines_of,
    placed,
    read_nuclei,
    write_nuclei,
)
from napari_aln.nuclei.located import LocatedNuclei

MPP = Mpp(0.5, 0.25)


def grid_of_nuclei(columns=20, rows=16):
    """Return table and outlines of squares and ellipses, row by row of a grid, in level-0 pixels."""
    labels = np.zeros((rows * 16, columns * 16), int)
    y, x = np.mgrid[:16, :16]
    square = (abs(x - 7.5) < 5) & (abs(y - 7.5) < 5)
    ellipse = ((x - 7.5) / 6) ** 2 + ((y - 7.5) / 4) ** 2 <= 1
    for row in range(rows):
        for column in range(columns):
            at = np.s_[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
            labels[at][square if (row + column) % 2 else ellipse] = row * columns + column + 1
    corner, by = (70_000.25, 90_000.0), (1.5, 2.5)
    return placed(measure(labels, (0.75, 0.625)), corner, by), outlines_of(labels).placed(corner, by)


@pytest.fixture
def nuclei():
    return grid_of_nuclei()


@pytest.fixture
def path(nuclei, tmp_path, monkeypatch):
    """Return a file with a row group of each row of the grid."""
    monkeypatch.setattr(outline_column, "GROUP_ROWS", 20)
    table, outlines = nuclei
    write_nuclei(table, tmp_path / "nuclei.parquet", mpp=MPP, slide_hash="abc", outlines=outlines)
    return tmp_path / "nuclei.parquet"


def equal(a, b):
    return shapely.equals_exact(a, b, 0.0).all()


def test_outlines_read_back_equal_those_written(nuclei, path):
    table, outlines = nuclei
    back = read_nuclei(path)
    assert back.table[["label", "x", "y"]].equals(table[["label", "x", "y"]])
    assert "geometry" not in back.table
    assert equal(back.outlines.of(np.arange(len(table))), outlines.geometry)
    square = back.outlines.of(np.array([1]))[0]  # 10 x 10 px of 1.5 x 2.5 level-0 px
    assert square.equals(shapely.box(70_028.75, 90_007.5, 70_043.75, 90_032.5))
    shuffled = np.random.default_rng(0).permutation(len(table))
    assert equal(back.outlines.of(shuffled), outlines.geometry[shuffled])


def test_the_file_is_geoparquet(nuclei, path):
    _, outlines = nuclei
    file = pq.ParquetFile(path)
    stated = json.loads(file.metadata.metadata[b"geo"])
    column = stated["columns"]["geometry"]
    assert (stated["version"], stated["primary_column"]) == ("1.1.0", "geometry")
    assert (column["encoding"], column["geometry_types"]) == ("WKB", ["Polygon"])
    assert column["crs"] is None  # a missing one would mean longitude and latitude
    assert "crs" in column
    assert column["bbox"] == list(shapely.total_bounds(outlines.geometry))
    sides = ["xmin", "ymin", "xmax", "ymax"]
    assert column["covering"] == {"bbox": {side: ["bbox", side] for side in sides}}
    assert file.schema_arrow.field("geometry").type == pa.binary()
    assert [(part.name, part.type) for part in file.schema_arrow.field("bbox").type] == [
        (side, pa.float64()) for side in sides
    ]
    boxes = file.read(["bbox"])["bbox"].combine_chunks().flatten()
    np.testing.assert_array_equal(np.stack(boxes, axis=1), shapely.bounds(outlines.geometry))
    assert file.num_row_groups == 16
    names = [file.metadata.row_group(0).column(k).path_in_schema for k in range(file.metadata.num_columns)]
    lows = [file.metadata.row_group(k).column(names.index("bbox.ymin")).statistics.min for k in range(16)]
    assert lows == sorted(lows)  # by which others leave out row groups
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


def test_only_the_row_groups_of_what_is_in_view_are_read(nuclei, path, monkeypatch):
    table, outlines = nuclei
    read = []
    whole = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda file, group, **more: read.append(group) or whole(file, group, **more),
    )
    back = read_nuclei(path)
    nuclei = LocatedNuclei(back.table, MPP, back.outlines)
    view = Rect(70_000, 90_000 + 40 * 5, 20 * 24, 40 * 2)  # the sixth and seventh row of the grid
    rows = nuclei.rows_in(view)
    assert len(rows) == 40
    assert read == []
    assert back.outlines.lacking(rows) == [5, 6]
    assert all(shape is None for shape in back.outlines.at_hand(rows))
    ellipses = nuclei.rings(rows)
    assert len(ellipses.row) == 40
    assert nuclei.row_at((table.x[101], table.y[101])) == 101
    back.outlines.keep(dict(back.outlines.read([5, 6])), [5, 6])
    assert read == [5, 6]
    assert back.outlines.lacking(rows) == []
    assert equal(back.outlines.at_hand(rows), outlines.geometry[rows])
    drawn, known = nuclei.rings(rows), LocatedNuclei(table, MPP, outlines).rings(rows)
    assert all(np.array_equal(*pair) for pair in zip(drawn, known, strict=True))
    # A square's corner is the nucleus's once its outline is at hand; its ellipse does not reach there.
    corner = shapely.bounds(outlines.geometry[102])[:2] + 0.1
    assert nuclei.row_at(corner) == 102
    assert LocatedNuclei(table, MPP).row_at(corner) is None
    mixed = nuclei.rings(np.arange(95, 105))  # of two row groups, one of them unread
    assert sorted(mixed.row) == list(range(95, 105))
    assert len(mixed.first) == 11
    assert mixed.first[-1] == len(mixed.l0_xy)
    assert read == [5, 6]


def test_what_was_read_first_goes_first(path, monkeypatch):
    monkeypatch.setattr(outline_column, "MOST_AT_HAND", 60)
    stored = read_nuclei(path).outlines
    for wanted in ([0, 1], [2, 3], [3, 4, 5, 6]):
        stored.keep(dict(stored.read(stored.lacking(np.array(wanted) * 20))), wanted)
    assert stored.lacking(np.arange(140)) == [0, 1, 2]  # those in view stay, however many they are


def test_nuclei_in_no_order_of_place_are_gathered(nuclei, tmp_path, monkeypatch):
    table, outlines = nuclei
    monkeypatch.setattr(outline_column, "GROUP_ROWS", 20)
    monkeypatch.setattr(outline_column, "SQUARE_UM", 40.0)
    shuffled = np.random.default_rng(3).permutation(len(table))
    path = tmp_path / "nuclei.parquet"
    mixed = table.iloc[shuffled].reset_index(drop=True)
    again = Outlines(mixed.label.to_numpy(), outlines.geometry[shuffled])
    write_nuclei(mixed, path, mpp=MPP, slide_hash="abc", outlines=again)
    back = read_nuclei(path)
    assert not back.table.label.equals(mixed.label)
    label = back.table.label.to_numpy()
    assert sorted(label) == sorted(table.label)
    assert equal(back.outlines.of(np.arange(len(label))), outlines.geometry[label - 1])
    view = LocatedNuclei(back.table, MPP).rows_in(Rect(70_000, 90_000, 24 * 3, 40 * 3))
    assert 1 <= len(back.outlines.lacking(view)) <= 4
    # As another program left them: every view would need every row group.
    content = pq.read_table(path).take(shuffled)
    pq.write_table(content.replace_schema_metadata(pq.read_metadata(path).metadata), path, row_group_size=20)
    assert read_nuclei(path).outlines is None


def test_no_nuclei(tmp_path):
    table, outlines = placed(measure(np.zeros((4, 4), int), 0.5)), outlines_of(np.zeros((4, 4), int))
    write_nuclei(table, tmp_path / "none.parquet", mpp=MPP, slide_hash="abc", outlines=outlines)
    back = read_nuclei(tmp_path / "none.parquet")
    assert len(back.table) == 0
    column = json.loads(pq.read_metadata(tmp_path / "none.parquet").metadata[b"geo"])["columns"]["geometry"]
    assert (column["geometry_types"], "bbox" in column) == ([], False)


def test_outlines_of_other_nuclei_are_not_written(nuclei, tmp_path):
    table, outlines = nuclei
    with pytest.raises(UsageError, match="not the same nuclei"):
        write_nuclei(table[1:], tmp_path / "n.parquet", mpp=MPP, slide_hash="abc", outlines=outlines)


def test_a_file_that_changed_or_went_is_told(nuclei, path):
    table, outlines = nuclei
    stored = read_nuclei(path).outlines
    write_nuclei(table.assign(x=table.x + 1), path, mpp=MPP, slide_hash="abc", outlines=outlines)
    with pytest.raises(StoreError, match="other nuclei than when it was opened"):
        list(stored.read([0]))
    write_nuclei(table[:15], path, mpp=MPP, slide_hash="abc")
    for group in (0, 9):
        with pytest.raises(StoreError, match=r"can no longer be read|other nuclei"):
            list(stored.read([group]))
    path.unlink()
    with pytest.raises(StoreError, match="can no longer be read"):
        stored.of(np.array([3]))


def rewritten(path, geometry=None, geo=None):
    """Write the file's row groups anew with another column, or another statement."""
    file = pq.ParquetFile(path)
    content = file.read()
    if geometry is not None:
        content = content.set_column(content.schema.get_field_index("geometry"), "geometry", geometry)
    stated = dict(file.metadata.metadata) | ({} if geo is None else {b"geo": geo})
    stated.pop(b"ARROW:schema", None)
    pq.write_table(content.replace_schema_metadata(stated), path, row_group_size=20)
    return read_nuclei(path).outlines


def test_what_is_no_outline_is_left_out(nuclei, path):
    table, outlines = nuclei
    wkb = shapely.to_wkb(outlines.geometry)
    wkb[0], wkb[1], wkb[2] = b"\x01\x03", None, shapely.to_wkb(shapely.Point(1, 2))
    wkb[3] = shapely.to_wkb(shapely.Polygon())
    wkb[4] = shapely.to_wkb(shapely.LineString([(0, 0), (np.inf, 1)]))
    deep = struct.pack("<BII", 1, 7, 1) * 200_000  # a collection in a collection in …
    wkb[5], wkb[6] = struct.pack("<BII", 1, 6, 1) + deep, struct.pack("<BII", 1, 6, 2**32 - 1)
    wkb[7] = shapely.to_wkb(shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)]))
    stored = rewritten(path, pa.array(wkb, pa.binary()))
    stored.keep(dict(stored.read([0])), [0])
    at_hand = stored.at_hand(np.arange(20))
    assert [shape is None for shape in at_hand] == [True] * 7 + [False] * 13
    assert len(at_hand[7].geoms) == 2
    drawn = LocatedNuclei(table, MPP, stored).rings(np.arange(20), 0.5)
    assert sorted(drawn.row) == sorted([*range(20), 7])
    with pytest.raises(StoreError, match="damaged"):
        stored.of(np.arange(20))


@pytest.mark.parametrize(
    "geo", [b"", b"[", b"null", b"[1]", b'{"columns": {"geometry": {"encoding": "point"}}}']
)
def test_a_column_of_another_kind_is_passed_over(path, geo):
    assert rewritten(path, geo=geo) is None


def test_a_column_of_text_is_passed_over(path):
    assert rewritten(path, pa.array(["POLYGON EMPTY"] * 320)) is None


def test_a_table_without_outlines_has_none(nuclei, tmp_path):
    write_nuclei(nuclei[0], tmp_path / "n.parquet", mpp=MPP, slide_hash="abc")
    assert read_nuclei(tmp_path / "n.parquet").outlines is None
