"""What is written is read again: in every format, from both origins, with holes, parts, names and colours."""

import re

import numpy as np
import pytest
import shapely
from defusedxml.ElementTree import fromstring
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon, box

from napari_aln.annotations import read_annotations, read_regions, write_asap, write_geojson, write_imagescope
from napari_aln.annotations.statement import Statement
from napari_aln.errors import AnnotationError
from napari_aln.geometry import Mpp
from napari_aln.records import Region

WRITERS = {"GeoJSON": write_geojson, "ASAP XML": write_asap, "ImageScope XML": write_imagescope}
ALL = pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)
LIMIT_PX = 0.5


def holed(x, y, side):
    """Return a square with a hole, and an island in the hole."""
    hole = box(x + side / 4, y + side / 4, x + side / 2, y + side / 2)
    island = box(x + side * 0.3, y + side * 0.3, x + side * 0.4, y + side * 0.4)
    return MultiPolygon([Polygon(box(x, y, x + side, y + side).exterior, [hole.exterior]), island])


REGIONS = (
    Region(holed(10, 20, 100), "core 1", "Tumor", (200, 0, 1)),
    Region(box(37, 47, 40, 50), "in its hole", "Tumor", (200, 0, 1)),
    Region(box(300, 300, 400, 400), "", "Tumor", (200, 0, 1)),
    Region(Polygon(box(500, 0, 600, 90).exterior, [box(510, 10, 520, 20).exterior]), "größer <&\"'>", ""),
    Region(box(0.125, 1 / 3, 2, 3), "", "Stroma", None),
)


def same(regions, again, limit_px=LIMIT_PX):
    assert len(regions) == len(again)
    for one, other in zip(regions, again, strict=True):
        assert (one.name, one.classification, one.color_rgb) == (
            other.name,
            other.classification,
            other.color_rgb,
        )
        assert shapely.hausdorff_distance(one.geometry.boundary, other.geometry.boundary) <= limit_px
        assert one.geometry.area == pytest.approx(other.geometry.area)
        assert holes_of(one) == holes_of(other)


def holes_of(region):
    return sorted(len(part.interiors) for part in shapely.get_parts(region.geometry))


@ALL
@pytest.mark.parametrize("origin", ["level0", "bounds"])
def test_every_format_keeps_outlines_holes_parts_names_classes_and_colours(tmp_path, name, write, origin):
    path = tmp_path / "regions"
    warnings = write(
        REGIONS, path, origin=origin, bounds_xy=(1234.5, -7.25), mpp=Mpp(0.25, 0.26), slide_hash="abc"
    )
    assert warnings == ()
    read = read_annotations(path, origin="bounds", bounds_xy=(999, 999))  # the file's own word counts
    same(REGIONS, read.regions, limit_px=1e-9)
    xy = (1234.5, -7.25) if origin == "bounds" else (0.0, 0.0)
    assert read.statement == Statement(origin, xy, Mpp(0.25, 0.26), "abc")
    assert read.format == name
    assert [p.name for p in tmp_path.iterdir()] == ["regions"]


@ALL
def test_other_programs_find_the_coordinates_counted_from_the_origin_asked_for(tmp_path, name, write):
    path = tmp_path / "r"
    write(REGIONS[2:3], path, origin="bounds", bounds_xy=(100, 50), mpp=None, slide_hash="")
    text = re.sub(r"napari_aln\w*=\"[^\"]*\"", "", path.read_text(encoding="utf-8"))
    path.write_text(text.replace('"napari_aln"', '"dropped"'), encoding="utf-8")
    assert read_regions(path)[0].geometry.bounds == (200, 250, 300, 350)
    assert read_regions(path, origin="bounds", bounds_xy=(100, 50))[0].geometry.bounds == (300, 300, 400, 400)


numbers = st.floats(0, 2e5, allow_nan=False)


@st.composite
def drawn(draw):
    """Regions as discs with holes, some overlapping, in one or two parts."""
    regions = []
    for _ in range(draw(st.integers(1, 4))):
        x, y, radius = draw(numbers), draw(numbers), draw(st.floats(1, 5e3))
        disc = shapely.Point(x, y).buffer(radius, quad_segs=draw(st.integers(2, 16)))
        for angle in draw(st.lists(st.sampled_from([0.0, 2.0, 4.0]), unique=True)):
            hole = shapely.Point(x + radius / 2 * np.cos(angle), y + radius / 2 * np.sin(angle))
            disc = disc.difference(hole.buffer(radius / 5, quad_segs=3))
        if draw(st.booleans()):
            disc = shapely.union(disc, shapely.Point(x + 3 * radius, y).buffer(radius / 3))
        text = st.text(st.characters(codec="utf-8"), max_size=8)
        color = draw(st.none() | st.tuples(*[st.integers(0, 255)] * 3))
        regions.append(Region(disc, draw(text), draw(text.filter(is_plain_class)), color))
    return regions


def is_plain_class(text):
    """Formats have words of their own for no class."""
    return text.strip() == text and text.lower() != "none"


@ALL
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(regions=drawn(), bounds_x=numbers, bounds_y=numbers, origin=st.sampled_from(["level0", "bounds"]))
def test_no_outline_moves_by_half_a_pixel(tmp_path_factory, name, write, regions, bounds_x, bounds_y, origin):
    path = tmp_path_factory.mktemp("trip") / "r"
    write(regions, path, origin=origin, bounds_xy=(bounds_x, bounds_y), mpp=None, slide_hash="")
    again = read_regions(path)
    allowed = regions if name == "GeoJSON" else [in_xml(region) for region in regions]
    same(allowed, again)


def in_xml(region):
    """Return a region as XML can name it."""
    name, classification = (
        re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
        for text in (region.name, region.classification)
    )
    return Region(region.geometry, name, classification, region.color_rgb)


@ALL
def test_files_are_valid_whatever_was_drawn(tmp_path, name, write):
    bow_tie = Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    overshoot = Polygon(
        [(50, 50), (150, 50), (150, 150), (50, 150), (50, 40), (80, 40), (80, 80), (40, 80), (40, 50)]
    )
    line = Polygon([(0, 0), (5, 5), (9, 9)])
    path = tmp_path / "r"
    warnings = write([Region(bow_tie), Region(line), Region(overshoot)], path, mpp=None, slide_hash="")
    knot, loop = read_regions(path)
    assert knot.geometry.is_valid
    assert knot.geometry.area == 50
    assert loop.geometry.is_valid
    assert loop.geometry.area == 10_600  # the corner wound around twice stays inside
    assert [w[:8] for w in warnings] == ["Region 1", "Region 2", "Region 3"]
    assert "mended" in warnings[0]
    assert "not written" in warnings[1]


@ALL
def test_coordinates_that_are_no_numbers_are_not_written(tmp_path, name, write):
    path = tmp_path / "r"
    path.write_text("as it was")
    with pytest.raises(AnnotationError, match="not a finite number"):
        write([Region(Polygon([(0, 0), (5, float("nan")), (9, 0)]))], path, mpp=None, slide_hash="")
    assert path.read_text() == "as it was"


@ALL
def test_an_unwritable_place_is_named(tmp_path, name, write):
    with pytest.raises(AnnotationError, match="cannot be written"):
        write(REGIONS, tmp_path / "none" / "r", mpp=None, slide_hash="")


@ALL
def test_text_that_no_file_can_hold_does_not_spoil_it(tmp_path, name, write):
    path = tmp_path / "r"
    write([Region(box(0, 0, 9, 9), "a\x00\ud800b", "c\x1b")], path, mpp=None, slide_hash="")
    (region,) = read_regions(path)
    assert region.name[0] + region.name[-1] == "ab"


OURS = re.compile(r' napari_aln\w*="[^"]*"')


def re_saved(path):
    """Do what ASAP and ImageScope do: keep what they know, drop our attributes."""
    text = path.read_text(encoding="utf-8")
    assert OURS.search(text)
    path.write_text(OURS.sub("", text), encoding="utf-8")


@pytest.mark.parametrize("write", [write_asap, write_imagescope])
def test_holes_outlive_another_program(tmp_path, write):
    path = tmp_path / "r.xml"
    write(REGIONS, path, mpp=None, slide_hash="")
    re_saved(path)
    again = read_regions(path)
    whole = shapely.union_all([region.geometry for region in REGIONS])
    assert shapely.equals(shapely.union_all([region.geometry for region in again]), whole)
    assert len(again) == len(REGIONS) + 1  # the island has become a region
    assert {(r.name, r.classification) for r in again} == {(r.name, r.classification) for r in REGIONS}


@pytest.mark.parametrize("write", [write_asap, write_imagescope])
def test_what_fills_a_hole_outlives_another_program(tmp_path, write):
    hole = box(20, 20, 40, 40)
    regions = [Region(hole), Region(box(0, 0, 100, 100).difference(hole)), Region(hole)]
    path = tmp_path / "r.xml"
    write(regions, path, mpp=None, slide_hash="")
    re_saved(path)
    assert [region.geometry.area for region in read_regions(path)] == [400, 9600, 400]


def test_an_asap_hole_is_cut_from_the_outline_of_its_name(tmp_path):
    hole = box(20, 20, 40, 40)
    regions = [Region(box(10, 10, 50, 50), "small"), Region(box(0, 0, 100, 100).difference(hole), "large")]
    path = tmp_path / "r.xml"
    write_asap(regions, path, mpp=None, slide_hash="")
    re_saved(path)
    assert [region.geometry.area for region in read_regions(path)] == [1600, 9600]


def test_an_asap_hole_is_a_group_of_its_own_below_the_outlines_group(tmp_path):
    path = tmp_path / "r.xml"
    write_asap(REGIONS[:1], path, mpp=None, slide_hash="")
    root = fromstring(path.read_bytes())
    drawn = [(a.get("Name"), a.get("Type"), a.get("PartOfGroup")) for a in root.iter("Annotation")]
    assert drawn == [
        ("core 1", "Polygon", "Tumor"),
        ("core 1", "Polygon", "Tumor hole"),
        ("core 1", "Polygon", "Tumor"),
    ]
    groups = [(g.get("Name"), g.get("PartOfGroup"), g.get("Color")) for g in root.iter("Group")]
    assert groups == [("Tumor", "None", "#C80001"), ("Tumor hole", "Tumor", "#C80001")]


def test_an_asap_hole_around_nothing_stays_in_sight(tmp_path):
    path = tmp_path / "r.xml"
    write_asap([Region(box(0, 0, 10, 10), "a", "Tumor hole"), REGIONS[2]], path, mpp=None, slide_hash="")
    same([Region(box(0, 0, 10, 10), "a", "Tumor hole"), REGIONS[2]], read_regions(path))
    re_saved(path)
    outline, hole = read_regions(path)
    assert outline.geometry.area == 10_000
    assert (hole.geometry.area, hole.classification) == (100, "Tumor hole")


def test_an_imagescope_hole_is_a_negative_region_and_erases_no_neighbour(tmp_path):
    path = tmp_path / "r.xml"
    write_imagescope(REGIONS, path, mpp=Mpp(0.5, 0.5), slide_hash="")
    root = fromstring(path.read_bytes())
    layers = [
        (a.get("Name"), a.get("LineColor"), [r.get("NegativeROA") for r in a.iter("Region")]) for a in root
    ]
    red, green = str(200 + (1 << 16)), "65280"
    assert layers == [
        ("Tumor", red, ["0", "1"]),
        ("Tumor", red, ["0", "0", "0"]),  # island, and two regions without holes
        ("", green, ["0", "1"]),
        ("Stroma", green, ["0"]),
    ]
    assert root.get("MicronsPerPixel") == "0.5"
    square = next(r for r in root.iter("Region") if r.get("Area") == "10000.0")
    assert (square.get("AreaMicrons"), square.get("LengthMicrons")) == ("2500.0", "200.0")


@pytest.mark.parametrize(("write", "tag"), [(write_asap, "Annotation"), (write_imagescope, "Region")])
def test_a_copied_outline_is_a_region_too(tmp_path, write, tag):
    path = tmp_path / "r.xml"
    write(REGIONS[2:3], path, mpp=None, slide_hash="")
    text = path.read_text(encoding="utf-8")
    start, end = text.index(f"<{tag} "), text.index(f"</{tag}>") + len(tag) + 3
    path.write_text(text[:end] + text[start:end] + text[end:], encoding="utf-8")
    assert [region.geometry.area for region in read_regions(path)] == [10_000, 10_000]


@ALL
def test_no_file_names_the_slide_or_a_path(tmp_path, name, write):
    folder = tmp_path / "Roe, Jane"
    folder.mkdir()
    write(REGIONS, folder / "roe_jane.out", mpp=Mpp(0.25, 0.25), slide_hash="abc")
    text = (folder / "roe_jane.out").read_text(encoding="utf-8").lower()
    assert "roe" not in text
    assert "jane" not in text


def test_qupaths_lock_is_kept(tmp_path):
    path = tmp_path / "r.geojson"
    write_geojson(
        [Region(box(0, 0, 9, 9), locked=True), Region(box(0, 0, 9, 9))], path, mpp=None, slide_hash=""
    )
    assert [region.locked for region in read_regions(path)] == [True, False]
    ids = re.findall(r'"id": "([0-9a-f-]{36})"', path.read_text())
    assert len(set(ids)) == 2  # QuPath drops the second of two objects with one id
