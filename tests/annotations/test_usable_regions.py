"""From regions as drawn to regions a run can use."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, Polygon, box

from napari_aln.annotations import other_origin, usable_regions
from napari_aln.errors import RegionError
from napari_aln.geometry import Rect
from napari_aln.records import Region

SIZE = (1000, 800)


def test_good_regions_pass_untouched_and_without_warnings():
    regions = (
        Region(box(10, 10, 50, 50), "a"),
        Region(Polygon(box(0, 0, 9, 9).exterior, [box(1, 1, 2, 2).exterior])),
    )
    usable, warnings = usable_regions(regions, SIZE, "f.geojson")
    assert warnings == ()
    for region, again in zip(regions, usable, strict=True):
        assert region.geometry.equals(again.geometry)
        assert region.name == again.name


def test_a_self_intersection_is_mended_and_said():
    bow_tie = Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])
    (region,), warnings = usable_regions([Region(bow_tie, "knot")], SIZE, "f.geojson")
    assert region.geometry.is_valid
    assert region.geometry.area == 5000
    assert warnings == ("Region 1 of the ROI crosses itself and was mended: Self-intersection[50 50].",)


def test_a_loop_drawn_over_itself_stays_inside():
    # Freehand that runs on past its start: the corner that it winds around twice belongs to the region.
    overshoot = [(0, 0), (100, 0), (100, 100), (0, 100), (0, -10), (30, -10), (30, 30), (-10, 30), (-10, 0)]
    shifted = Polygon([(x + 50, y + 50) for x, y in overshoot])
    (region,), _ = usable_regions([Region(shifted)], SIZE, "f")
    assert region.geometry.is_valid
    assert region.geometry.covers(box(50, 50, 150, 150))
    assert region.geometry.area == 10_600


def test_what_reaches_over_the_edge_is_clipped_and_said():
    (region,), (warning,) = usable_regions([Region(box(-100, 700, 100, 900))], SIZE, "f.geojson")
    assert region.geometry.equals(box(0, 700, 100, 800))
    assert "75.0%" in warning


def test_regions_without_use_are_left_out_and_said():
    line = Polygon([(0, 0), (5, 5), (9, 9)])
    regions = [Region(line), Region(box(2000, 0, 2100, 100)), Region(box(1, 1, 2, 2), "kept")]
    usable, warnings = usable_regions(regions, SIZE, "f")
    assert [region.name for region in usable] == ["kept"]
    assert any("Region 1 of the ROI has no area" in warning for warning in warnings)
    assert any("Region 2 of the ROI lies wholly outside" in warning for warning in warnings)


def test_warnings_name_neither_the_file_nor_what_someone_called_a_region():
    shapes = {
        "other class": Region(box(0, 0, 9, 9), "Jane Roe", "Stroma"),
        "no area": Region(Polygon([(0, 0), (5, 5), (9, 9)]), "Jane Roe"),
        "crossing": Region(Polygon([(0, 0), (100, 100), (100, 0), (0, 100)]), "Jane Roe"),
        "outside": Region(box(2000, 0, 2100, 100), "Jane Roe"),
        "over the edge": Region(box(-100, 700, 100, 900), "Jane Roe"),
    }
    _, warnings = usable_regions(list(shapes.values()), SIZE, "roe_jane.geojson")
    assert len(warnings) == len(shapes)
    assert "roe" not in " ".join(warnings).lower()


BOUNDS = Rect(400, 300, 500, 400)
BY_BOUNDS = "With the origin bounds (the corner of its scanned area) they would lie on it: --origin bounds."
BY_LEVEL0 = "With the origin level0 (the slide's corner) they would lie on it: --origin level0."


@pytest.mark.parametrize(
    ("outline", "read_from", "offered"),
    [
        (box(10, 10, 90, 90), "level0", BY_BOUNDS),
        (box(0, 0, 500, 400), "level0", BY_BOUNDS),
        (box(450, 350, 800, 600), "level0", None),  # on it
        (box(10, 10, 501.5, 90), "level0", None),  # off it either way
        (box(850, 650, 950, 750), "bounds", BY_LEVEL0),
        (box(450, 350, 800, 600), "bounds", None),
        (box(850, 650, 1400, 750), "bounds", None),
    ],
)
def test_the_other_origin_is_offered_only_where_all_would_lie_on_the_slide(outline, read_from, offered):
    regions = [Region(outline), Region(outline.centroid.buffer(1))]
    assert (other_origin(regions, read_from, BOUNDS) or "").endswith(offered or "")
    assert (other_origin(regions, read_from, BOUNDS) is not None) == (offered is not None)


def test_a_slide_without_bounds_of_its_own_has_no_other_origin():
    assert other_origin([Region(box(-9, -9, 5, 5))], "level0", Rect(0, 0, *SIZE)) is None
    assert other_origin([], "level0", BOUNDS) is None


def test_outlines_off_the_scanned_area_are_used_with_a_warning_that_offers_the_other_origin():
    drawn = [Region(box(10, 10, 90, 90))]
    (region,), (warning,) = usable_regions(drawn, SIZE, "f", read_from="level0", bounds=BOUNDS)
    assert region.geometry.bounds == (10, 10, 90, 90)
    assert warning.startswith("origin: ")
    assert warning.endswith(BY_BOUNDS)
    assert usable_regions(drawn, SIZE, "f", bounds=BOUNDS)[1] == ()  # drawn here, or the file's own word


def test_outlines_off_the_slide_are_refused_with_the_other_origin_as_next_step():
    off = [Region(box(1050, 810, 1150, 850))]
    with pytest.raises(RegionError) as caught:
        usable_regions(off, SIZE, "f", read_from="bounds", bounds=Rect(400, 300, 600, 500))
    assert "no region lies on the slide" in caught.value.fact
    assert caught.value.next_step.endswith(BY_LEVEL0)


def test_a_region_that_touches_the_slide_at_its_edge_only_is_outside():
    with pytest.raises(RegionError, match="1000 x 800 px"):
        usable_regions([Region(box(1000, 0, 1100, 100))], SIZE, "f.geojson")


def test_lines_left_by_clipping_are_dropped():
    # A comb whose back lies outside: the slide keeps two teeth, and a line along its edge.
    comb = Polygon(
        [(900, 0), (1000, 0), (1000, 50), (1050, 50), (1050, 200), (1000, 200), (1000, 100), (900, 100)]
    )
    (region,), _ = usable_regions([Region(comb)], SIZE, "f")
    assert region.geometry.equals(box(900, 0, 1000, 100))
    mixed = GeometryCollection([box(0, 0, 10, 10), LineString([(20, 20), (30, 30)])])
    (region,), _ = usable_regions([Region(mixed)], SIZE, "f")
    assert region.geometry.equals(box(0, 0, 10, 10))


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("Tumor", True),
        ("tumour", True),
        ("tumour ROI", True),
        ("Tumour_ROI", True),
        ("Tumor region", True),
        ("tumour region", True),
        ("Invasive TUMOUR", True),
        ("invasive tumor", True),
        ("Invasive carcinoma", True),
        ("positive", True),
        ("Positive", True),
        ("ROI", True),
        ("roi_1", True),
        ("Tumor 2", True),
        ("", True),
        (" ", True),
        (" Tumor ", True),
        ("Stroma", False),
        ("negative", False),
        ("Non-tumor", False),
        ("non tumour", False),
        ("nontumor", False),
        ("No tumor", False),
        ("tumour-free", False),
        ("peritumoral stroma", False),
        ("outside tumour", False),
        ("adjacent to tumor", False),
        ("Stroma: Positive", False),
        ("ER positive", False),
        ("ROI negative", False),
        ("Tumor stroma", False),
        ("Steroid", False),
    ],
)
def test_which_classes_are_the_roi(name, used):
    kept = Region(box(0, 0, 10, 10), "kept", "tumour")
    usable, warnings = usable_regions([Region(box(20, 20, 30, 30), "asked", name), kept], SIZE, "f")
    assert ([region.name for region in usable] == ["asked", "kept"]) == used
    assert (warnings == ()) == used
    if not used:  # by number: what someone called it may be a name
        assert "1 of 2 regions (numbers 1)" in warnings[0]


ERRORS = {
    "none": ([], "holds no region"),
    "other classes only": (
        [Region(box(0, 0, 9, 9), "", "Stroma"), Region(box(0, 0, 9, 9), "", "Fat")],
        "holds no region whose class is a tumour ROI, only: Fat, Stroma.",
    ),
    "a class that only speaks of tumour": ([Region(box(0, 0, 9, 9), "", "No tumor")], "only: No tumor."),
    "outside": ([Region(box(5000, 0, 5100, 10))], "no region lies on the slide, which is 1000 x 800 px"),
    "outside, or without area": (
        [Region(box(5000, 0, 5100, 10)), Region(LineString([(0, 0), (5, 5)]))],
        "no region lies on the slide",
    ),
    "left of it": ([Region(box(-20, 0, -10, 10))], "no region lies on the slide"),
    "no area": ([Region(Polygon([(0, 0), (5, 5), (9, 9)]))], "no region has an area"),
    "empty": ([Region(Polygon())], "no region has an area"),
    "a line": ([Region(LineString([(0, 0), (5, 5)]))], "no region has an area"),
    "NaN": ([Region(Polygon([(0, 0), (5, math.nan), (9, 0)]))], "not a finite number"),
    "infinite": ([Region(box(0, 0, math.inf, 10))], "not a finite number"),
}


@pytest.mark.parametrize(("regions", "fact"), ERRORS.values(), ids=ERRORS)
def test_unusable_regions_name_the_file_the_fact_and_the_next_step(regions, fact):
    with pytest.raises(RegionError) as caught:
        usable_regions(regions, SIZE, "f.geojson")
    assert fact in caught.value.fact
    assert "f.geojson" in caught.value.fact
    assert caught.value.next_step


vertices = st.lists(st.tuples(st.floats(-500, 1500), st.floats(-500, 1500)), min_size=3, max_size=12)


@settings(deadline=None, max_examples=150)
@given(st.lists(vertices, min_size=1, max_size=3))
def test_whatever_is_drawn_the_result_is_valid_and_on_the_slide(drawn):
    slide = box(0, 0, *SIZE)
    regions = [Region(Polygon(ring)) for ring in drawn]
    try:
        usable, _ = usable_regions(regions, SIZE, "f")
    except RegionError:
        return
    for region in usable:
        assert region.geometry.is_valid
        assert isinstance(region.geometry, Polygon | MultiPolygon)
        assert region.geometry.area > 0
        assert slide.buffer(1e-6).covers(region.geometry)
