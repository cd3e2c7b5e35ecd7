"""GeoJSON: QuPath's exports in, files that QuPath opens out, and everything that is not GeoJSON."""

import json
import math
from importlib.metadata import version

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon, box, shape

from napari_aln.annotations import read_annotations, read_regions, write_geojson
from napari_aln.annotations.statement import Statement
from napari_aln.errors import AnnotationError
from napari_aln.geometry import Mpp
from napari_aln.records import Region

SQUARE = [[0, 0], [100, 0], [100, 100], [0, 100], [0, 0]]
HOLE = [[20, 20], [40, 20], [40, 40], [20, 40], [20, 20]]
POLYGON = {"type": "Polygon", "coordinates": [SQUARE, HOLE]}
QUPATH = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": "d8f5e9b1-5d1f-4d3c-9a4b-0d6f0f7c1a2b",
            "geometry": POLYGON,
            "properties": {
                "objectType": "annotation",
                "name": "core 1",
                "classification": {"name": "Tumor", "color": [200, 0, 0]},
                "isLocked": False,
            },
        },
        {
            "type": "Feature",
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [[SQUARE], [[[200, 200], [300, 200], [200, 300]]]],
            },
            "properties": {
                "objectType": "annotation",
                "classification": {"name": "Stroma", "colorRGB": -6895466},
            },
        },
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [HOLE]},
            "properties": {"objectType": "cell"},
        },
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [5, 5]}, "properties": {}},
        {"type": "Feature", "geometry": POLYGON, "properties": None},
    ],
}


@pytest.fixture
def written(tmp_path):
    def write(document, name="regions.geojson"):
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return path

    return write


def test_qupath_export(written):
    tumour, stroma, unclassified = read_regions(written(QUPATH))
    assert tumour.geometry.area == 100 * 100 - 20 * 20
    assert (tumour.name, tumour.classification, tumour.color_rgb) == ("core 1", "Tumor", (200, 0, 0))
    assert stroma.geometry.geom_type == "MultiPolygon"
    assert stroma.geometry.area == 10_000 + 5_000
    assert (stroma.classification, stroma.color_rgb) == ("Stroma", (150, 200, 150))
    assert (unclassified.name, unclassified.classification, unclassified.color_rgb) == ("", "", None)


@pytest.mark.parametrize(
    "document",
    [
        QUPATH["features"],
        QUPATH["features"][0],
        POLYGON,
        {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1, 1]}, POLYGON]},
    ],
    ids=["bare array", "single feature", "bare geometry", "geometry collection"],
)
def test_other_shapes_of_geojson(written, document):
    assert read_regions(written(document))[0].geometry.area == 9600


def test_a_byte_order_mark_a_third_coordinate_and_an_open_ring(written):
    document = {"type": "Polygon", "coordinates": [[[0, 0, 7], [10, 0, 7], [10, 10, 7], [0, 10, 7]]]}
    path = written("\ufeff" + json.dumps(document))
    assert read_regions(path)[0].geometry.area == 100


def test_what_qupath_did_not_let_a_person_draw_is_left_out_in_each_of_its_versions(written):
    hidden = [
        {"properties": {"objectType": "tmaCore"}},
        {"properties": {"object_type": "tma_core"}},
        {"properties": {"objectType": "cell"}},
        {"id": "PathCellObject", "properties": {}},
        {"id": "PathTileObject", "properties": {}},
        {"id": "TMACoreObject", "properties": {}},
    ]
    drawn = {"id": "PathAnnotationObject", "properties": {"name": "drawn", "color": -3670016}}
    features = [{"type": "Feature", "geometry": POLYGON} | rest for rest in (*hidden, drawn)]
    (region,) = read_regions(written(features))
    assert (region.name, region.color_rgb) == ("drawn", (200, 0, 0))


def test_newer_qupath_classes_of_several_names(written):
    feature = {
        "type": "Feature",
        "geometry": POLYGON,
        "properties": {"classification": {"names": ["Tumor", "A"]}},
    }
    assert read_regions(written(feature))[0].classification == "Tumor: A"


def test_origin_at_the_bounds(written):
    (region,) = read_regions(written(POLYGON), origin="bounds", bounds_xy=(1000.5, 200.25))
    assert region.geometry.bounds == (1000.5, 200.25, 1100.5, 300.25)
    (untouched,) = read_regions(written(POLYGON), origin="level0", bounds_xy=(1000.5, 200.25))
    assert untouched.geometry.bounds == (0, 0, 100, 100)


def ring(*vertices):
    return {"type": "Polygon", "coordinates": [list(vertices)]}


BAD = {
    "empty file": ("", "is empty"),
    "not JSON": ("hello", "neither JSON nor XML"),
    "cut off": ('{"type": "FeatureCollection", "features": [', "neither JSON nor XML"),
    "not UTF-8": ('{"type": "ünknown"}'.encode("latin-1"), "neither JSON nor XML"),
    "binary": (bytes(range(256)), "neither JSON nor XML"),
    "a number": (3, "neither GeoJSON nor BCNB"),
    "another schema": ({"shapes": [], "imagePath": "a.png"}, "neither GeoJSON nor BCNB"),
    "no list of features": ({"type": "FeatureCollection", "features": {}}, "neither GeoJSON nor BCNB"),
    "no feature": ({"type": "FeatureCollection", "features": []}, "no feature at all"),
    "an empty array": ([], "no feature at all"),
    "points and lines only": (
        [
            {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}},
            {"type": "LineString", "coordinates": [[0, 0], [5, 5]]},
        ],
        "only LineString, Point",
    ),
    "no geometry": ({"type": "Feature", "geometry": None, "properties": {}}, "features without geometry"),
    "cells only": (
        {"type": "Feature", "geometry": POLYGON, "properties": {"objectType": "cell"}},
        "only cell",
    ),
    "features of text": (["Polygon"], "feature 1 is not a GeoJSON object"),
    "properties of text": (
        {"type": "Feature", "geometry": POLYGON, "properties": "a"},
        "malformed properties",
    ),
    "unknown geometry": ({"type": "Feature", "geometry": {"type": "Circle", "coordinates": []}}, "'Circle'"),
    "no coordinates": ({"type": "Polygon"}, "no geometry that GeoJSON knows"),
    "a polygon of nothing": ({"type": "Polygon", "coordinates": []}, "has no vertices"),
    "a multipolygon of numbers": ({"type": "MultiPolygon", "coordinates": [1]}, "malformed MultiPolygon"),
    "two vertices": (ring([0, 0], [5, 5]), "has 2 vertices"),
    "text for numbers": (ring(["a", 0], [5, 5], [5, 0]), "not pairs of numbers"),
    "one number a vertex": (ring([1], [2], [3]), "not pairs of numbers"),
    "numbers for vertices": (ring(1, 2, 3), "not pairs of numbers"),
    "NaN": ('{"type": "Polygon", "coordinates": [[[0, NaN], [5, 5], [5, 0]]]}', "not a finite number"),
    "infinity": ('{"type": "Polygon", "coordinates": [[[0, 1e999], [5, 5], [5, 0]]]}', "not a finite number"),
    "huge integers": (ring([10**400, 0], [5, 5], [5, 0]), "not pairs of numbers"),
    "nanometres": (ring([0, 0], [4e9, 0], [4e9, 4e9]), "more pixels than any slide"),
    "nested without end": ("[" * 200_000, "nested too deeply"),
}


@pytest.mark.parametrize(("content", "fact"), BAD.values(), ids=BAD)
def test_bad_files_are_named_with_the_fact_and_a_next_step(tmp_path, content, fact):
    path = tmp_path / "bad.geojson"
    path.write_bytes(
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    with pytest.raises(AnnotationError) as caught:
        read_regions(path)
    assert fact in caught.value.fact
    assert "bad.geojson" in caught.value.fact
    assert caught.value.next_step.endswith(".")


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.geojson", tmp_path):
        with pytest.raises(AnnotationError, match="cannot be read"):
            read_regions(path)


RING = Polygon(SQUARE, [HOLE])
TWO = MultiPolygon([box(0.5, 0.25, 10, 10), box(20, 20, 30.125, 30)])


@pytest.mark.parametrize("origin", ["level0", "bounds"])
def test_what_is_written_is_read_back(tmp_path, origin):
    regions = (
        Region(RING, "core 1", "Tumor", (200, 0, 0)),
        Region(TWO, "", "tumour ROI"),
        Region(box(1, 2, 3, 4), "größer", "", (1, 2, 3)),
    )
    path = tmp_path / "out.geojson"
    write_geojson(regions, path, origin=origin, bounds_xy=(7.5, 3.0), mpp=Mpp(0.25, 0.26), slide_hash="abc")
    back = read_regions(path)
    for region, again in zip(regions, back, strict=True):
        assert shapely.equals(region.geometry, again.geometry)
        assert (region.name, region.classification, region.color_rgb) == (
            again.name,
            again.classification,
            again.color_rgb,
        )
    assert [p.name for p in tmp_path.iterdir()] == ["out.geojson"]


def test_our_files_say_which_slide_they_were_drawn_on(tmp_path):
    ours = tmp_path / "ours.geojson"
    write_geojson([Region(RING)], ours, mpp=Mpp(0.25, 0.26), slide_hash="abc")
    assert read_annotations(ours).statement == Statement("level0", (0.0, 0.0), Mpp(0.25, 0.26), "abc")
    re_ordered = tmp_path / "sorted.geojson"
    re_ordered.write_text(json.dumps(json.loads(ours.read_text()), sort_keys=True))
    assert read_annotations(re_ordered).statement.slide_hash == "abc"


@pytest.mark.parametrize(
    "note",
    [
        "abc",
        {"slide_hash": 7},
        {"origin": "level0"},
        {"origin": "elsewhere", "origin_l0_xy": [5, 5]},
        {"origin": "bounds", "origin_l0_xy": [5]},
        {"origin": "bounds", "origin_l0_xy": ["a", 5]},
        {"origin": "bounds", "origin_l0_xy": [math.nan, 5]},
        {"origin": "bounds", "origin_l0_xy": [1e300, 5]},
        {"origin": "bounds", "origin_l0_xy": 5, "mpp": [0.25, 9e9]},
    ],
)
def test_a_damaged_statement_counts_as_none(written, note):
    read = read_annotations(written(POLYGON | {"napari_aln": note}), origin="bounds", bounds_xy=(7, 7))
    assert read.statement == Statement()
    assert read.regions[0].geometry.bounds == (7, 7, 107, 107)


def test_the_file_states_origin_resolution_and_slide_and_has_qupath_names(tmp_path):
    path = tmp_path / "out.geojson"
    write_geojson(
        [Region(RING, "a", "Tumor", (200, 0, 0))],
        path,
        origin="bounds",
        bounds_xy=(50, 10),
        mpp=Mpp(0.25, 0.26),
        slide_hash="abc",
        mpp_origin="user",
    )
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["type"] == "FeatureCollection"
    assert document["napari_aln"] == {
        "origin": "bounds",
        "origin_l0_xy": [50, 10],
        "unit": "level-0 pixels",
        "mpp": [0.25, 0.26],
        "mpp_origin": "user",
        "slide_hash": "abc",
        "program": f"napari-aln {version('napari-aln')}",
    }
    assert read_annotations(path).statement.mpp_origin == "user"
    (feature,) = document["features"]
    assert feature["properties"] == {
        "objectType": "annotation",
        "name": "a",
        "classification": {"name": "Tumor", "color": [200, 0, 0]},
        "isLocked": False,
    }
    assert shape(feature["geometry"]).bounds == (-50, -10, 50, 90)
    ours_wins = read_regions(path, origin="bounds", bounds_xy=(999, 999))
    assert ours_wins[0].geometry.bounds == RING.bounds


def test_the_same_regions_give_the_same_file(tmp_path):
    for name in ("a", "b"):
        write_geojson([Region(RING)], tmp_path / name, mpp=None, slide_hash="")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_crossing_outline_is_written_valid(tmp_path):
    bow_tie = Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    path = tmp_path / "out.geojson"
    write_geojson([Region(bow_tie)], path, mpp=None, slide_hash="")
    geometry = shape(json.loads(path.read_text(encoding="utf-8"))["features"][0]["geometry"])
    assert geometry.is_valid
    assert geometry.area == 50


def test_an_unwritable_place_is_named(tmp_path):
    with pytest.raises(AnnotationError, match="cannot be written"):
        write_geojson([Region(RING)], tmp_path / "none" / "out.geojson", mpp=None, slide_hash="")


finite = st.floats(0, 1e5, allow_nan=False)


@settings(deadline=None, max_examples=40)
@given(finite, finite, st.floats(0.5, 5e3), finite, finite)
def test_no_vertex_moves_through_the_file(tmp_path_factory, x, y, radius, bounds_x, bounds_y):
    disc = shapely.Point(x, y).buffer(radius)
    path = tmp_path_factory.mktemp("trip") / "r.geojson"
    write_geojson(
        [Region(disc)], path, origin="bounds", bounds_xy=(bounds_x, bounds_y), mpp=None, slide_hash=""
    )
    (region,) = read_regions(path)
    difference = shapely.get_coordinates(region.geometry) - shapely.get_coordinates(disc)
    assert np.abs(difference).max() < 1e-9 * max(1.0, x + y + radius + bounds_x + bounds_y)
    assert math.isclose(region.geometry.area, disc.area, rel_tol=1e-6)
