"""Outlines against the pixels they are of; tables and detections written and read back."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
from scipy import ndimage

from napari_aln.annotations import read_annotations
from napari_aln.annotations.statement import MEMBER, Statement
from napari_aln.errors import AnnotationError, StoreError, UsageError
from napari_aln.geometry import Mpp
from napari_aln.nuclei import measure
from napari_aln.nuclei import runs as runs_module
from napari_aln.nuclei.detections import write_detections
from napari_aln.nuclei.outlines import outlines_of
from napari_aln.nuclei.table import holds_nuclei, placed, read_nuclei, write_nuclei, write_nuclei_csv


@pytest.fixture
def labels():
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((150, 200)), 1.5)
    return ndimage.label(noise > 0.1)[0]


@pytest.mark.parametrize("part_runs", [50, 1 << 19])
def test_outlines_follow_the_pixels_and_fill_holes(labels, part_runs, monkeypatch):
    monkeypatch.setattr(runs_module, "PART_RUNS", part_runs)
    found = outlines_of(labels)
    assert shapely.is_valid(found.geometry).all()
    holes = 0
    for label, outline in zip(found.label, found.geometry, strict=True):
        filled = ndimage.binary_fill_holes(labels == label)
        holes += (filled != (labels == label)).any()
        y, x = np.nonzero(filled)
        squares = shapely.union_all(shapely.box(x, y, x + 1, y + 1))
        assert shapely.equals(outline, squares)
        assert not any(len(part.interiors) for part in shapely.get_parts(outline))
    assert holes  # else the test shows nothing of them


def test_a_nucleus_in_pieces_and_one_that_touches_itself_at_a_corner():
    labels = np.zeros((8, 12), int)
    labels[1:3, 1:3] = labels[5:7, 8:10] = 4
    labels[1:3, 7:9] = labels[3:5, 9:11] = 6
    pieces, corner = outlines_of(labels).geometry
    assert (len(shapely.get_parts(pieces)), pieces.area) == (2, 8)
    assert (corner.is_valid, corner.area) == (True, 8)


def test_simplified_outlines_have_fewer_points_and_stay_near(labels):
    exact, simple = outlines_of(labels), outlines_of(labels, simplify_px=0.6)
    assert (
        shapely.get_num_coordinates(simple.geometry).sum()
        < 0.7 * shapely.get_num_coordinates(exact.geometry).sum()
    )
    assert shapely.is_valid(simple.geometry).all()
    assert shapely.hausdorff_distance(exact.geometry, simple.geometry).max() < 1.5


def test_no_outline():
    none = outlines_of(np.zeros((4, 5), int))
    assert len(none.label) == len(none.geometry) == len(none.placed((3, 4), (2.5, 2.5)).geometry) == 0


def test_placed_on_the_slide(labels):
    table = placed(measure(labels, 0.5), (1000.0, 2000.5), (2.5, 4.0))
    on_slide = outlines_of(labels).placed((1000.0, 2000.5), (2.5, 4.0))
    np.testing.assert_allclose(table["x"], 1000 + 2.5 * table["centroid_x_px"])
    np.testing.assert_allclose(table["y"], 2000.5 + 4 * table["centroid_y_px"])
    whole = [len(shapely.get_parts(shape)) == 1 and not shape.interiors for shape in on_slide.geometry]
    boxes = shapely.bounds(on_slide.geometry)[whole]
    x, y = table["x"].to_numpy()[whole], table["y"].to_numpy()[whole]
    assert ((boxes[:, 0] < x) & (x < boxes[:, 2]) & (boxes[:, 1] < y) & (y < boxes[:, 3])).all()


def test_parquet_and_back(labels, tmp_path):
    table = placed(measure(labels, (0.5, 0.25)), (90_000.25, 70_000.75))
    write_nuclei(table, tmp_path / "nuclei.parquet", mpp=Mpp(0.5, 0.25), slide_hash="abc")
    back = read_nuclei(tmp_path / "nuclei.parquet")
    assert (back.mpp, back.slide_hash) == (Mpp(0.5, 0.25), "abc")
    pd.testing.assert_frame_equal(back.table, table, rtol=1e-6)
    assert back.table[["x", "y"]].equals(table[["x", "y"]])


@pytest.mark.parametrize(("damage", "said"), [("cut", "cannot be read"), ("gone", "cannot be read")])
def test_a_damaged_or_missing_table(damage, said, tmp_path):
    path = tmp_path / "nuclei.parquet"
    if damage == "cut":
        path.write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreError, match=said):
        read_nuclei(path)


def test_a_table_whose_names_are_no_text(labels, tmp_path):
    path = tmp_path / "nuclei.parquet"
    write_nuclei(placed(measure(labels, 0.5)), path, mpp=Mpp(0.5, 0.5), slide_hash="abc")
    assert holds_nuclei(path)
    path.write_bytes(path.read_bytes().replace(b"on_border", b"on_b\xffrder"))
    assert not holds_nuclei(path)
    with pytest.raises(StoreError, match="cannot be read"):
        read_nuclei(path)


def test_other_tables_and_newer_ones_are_refused(labels, tmp_path):
    path = tmp_path / "other.parquet"
    pd.DataFrame({"x": [1.0]}).to_parquet(path)
    with pytest.raises(StoreError, match=r"no table of nuclei: it lacks the columns on_border, label"):
        read_nuclei(path)
    write_nuclei(placed(measure(labels, 0.5)), path, mpp=Mpp(0.5, 0.5), slide_hash="abc")
    content = pq.read_table(path)
    pq.write_table(content.replace_schema_metadata({"schema_version": "99"}), path)
    with pytest.raises(StoreError, match="newer version"):
        read_nuclei(path)
    pq.write_table(content.replace_schema_metadata({}), path)
    with pytest.raises(StoreError, match="µm/px"):
        read_nuclei(path)


def test_csv(labels, tmp_path):
    table = placed(measure(labels, 0.5))
    write_nuclei_csv(table, tmp_path / "nuclei.csv")
    assert (tmp_path / "nuclei.csv").read_bytes().startswith(b"\xef\xbb\xbflabel,area_um2,")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "nuclei.csv", encoding="utf-8-sig"), table)


def write(labels, path, origin="level0", bounds_xy=(0.0, 0.0), **more):
    table = measure(labels, 0.5)
    drawn = outlines_of(labels).placed((500.0, 300.0), (2.0, 2.0))
    statement = Statement.to_write(origin, bounds_xy, Mpp(0.25, 0.25), "abc")
    write_detections(
        table,
        drawn,
        path,
        members={MEMBER: statement.as_json()},
        origin_l0_xy=statement.origin_l0_xy,
        **more,
    )
    return table, drawn


@pytest.mark.parametrize("chunk", [7, 10_000])
def test_detections_carry_their_measurements(labels, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_aln.nuclei.detections.CHUNK", chunk)
    table, _ = write(labels, tmp_path / "nuclei.geojson", classification="Tumor")
    features = json.loads((tmp_path / "nuclei.geojson").read_text(encoding="utf-8"))["features"]
    assert len({feature["id"] for feature in features}) == len(table)
    for feature, row in zip(features, table.to_dict("records"), strict=True):
        properties = feature["properties"]
        assert (properties["objectType"], properties["name"]) == ("detection", str(row["label"]))
        assert properties["classification"] == {"name": "Tumor"}
        measured = properties["measurements"]
        assert measured["area_um2"] == pytest.approx(row["area_um2"])
        assert "haematoxylin_mean" not in measured  # NaN is no JSON
        assert ("orientation_rad" in measured) == np.isfinite(row["orientation_rad"])


@pytest.mark.parametrize(("origin", "bounds_xy"), [("level0", (0.0, 0.0)), ("bounds", (128.0, 64.5))])
def test_what_is_written_is_read_where_it_lies(labels, origin, bounds_xy, tmp_path):
    path = tmp_path / "nuclei.geojson"
    _, drawn = write(labels, path, origin, bounds_xy)
    with pytest.raises(AnnotationError, match="holds only detection"):
        read_annotations(path)  # no one outlines those by hand: a ROI they are not
    path.write_text(path.read_text().replace('"detection"', '"annotation"'))
    found = read_annotations(path)
    assert (found.statement.origin, found.statement.slide_hash) == (origin, "abc")
    for region, outline in zip(found.regions, drawn.geometry, strict=True):
        assert shapely.equals(region.geometry, outline)


def test_no_detection(tmp_path):
    write(np.zeros((5, 5), int), tmp_path / "none.geojson")
    assert json.loads((tmp_path / "none.geojson").read_text())["features"] == []


def test_outlines_of_other_nuclei_are_refused(labels, tmp_path):
    with pytest.raises(UsageError, match="not the same nuclei"):
        write_detections(measure(labels, 0.5), outlines_of(labels * 2), tmp_path / "nuclei.geojson")
