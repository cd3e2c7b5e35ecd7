"""``annotations convert`` as a user meets it."""

import contextlib
import json
from dataclasses import replace
from functools import partial

import pytest
from shapely.geometry import Polygon, box
from tests_shared import MPP

from napari_aln.annotations import read_annotations, read_regions, write_geojson
from napari_aln.geometry import Mpp, Rect, ScannerFrame
from napari_aln.records import Region
from napari_aln.slides import first_open, open_slide

REGION = Region(
    Polygon(box(600, 500, 900, 800).exterior, [box(650, 550, 700, 600).exterior]),
    "core",
    "Tumor",
    (200, 0, 0),
)
QUPATH = {
    "type": "Feature",
    "geometry": {"type": "Polygon", "coordinates": [[[10, 10], [60, 10], [60, 60], [10, 10]]]},
    "properties": {"objectType": "annotation", "classification": {"name": "Tumor", "color": [200, 0, 0]}},
}
BOUNDS = Rect(400, 300, 2000, 1500)
NDPA = """<annotations><ndpviewstate id="1"><title>tumour</title><coordformat>nanometers</coordformat>
<annotation type="freehand" color="#ff0000"><closed>1</closed><pointlist>
<point><x>0</x><y>0</y></point><point><x>50000</x><y>0</y></point><point><x>50000</x><y>50000</y></point>
</pointlist></annotation></ndpviewstate></annotations>"""


@pytest.fixture
def call(call):
    return partial(call, "annotations", "convert")


@pytest.fixture
def bounded(monkeypatch):
    """Give every slide bounds that start elsewhere, as MIRAX has them, and a place on the glass."""
    really_open = first_open.open_untried

    @contextlib.contextmanager
    def open_bounded(path, mpp=None):
        with really_open(path, mpp) as slide:
            scanner = ScannerFrame((-100_000.0, -200_000.0), (500.0, 500.0))
            slide._info = replace(slide.info, bounds=BOUNDS, scanner=scanner)
            yield slide

    monkeypatch.setattr(first_open, "open_untried", open_bounded)


@pytest.fixture
def ours(tmp_path):
    path = tmp_path / "ours.geojson"
    write_geojson([REGION], path, mpp=Mpp(0.25, 0.25), slide_hash="abc")
    return path


@pytest.fixture
def qupath(tmp_path):
    path = tmp_path / "qupath.geojson"
    path.write_text(json.dumps(QUPATH))
    return path


def refused(outcome, *words):
    code, _, err = outcome
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith("Error: ")
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("name", "options", "read_as"),
    [
        ("o.geojson", [], "GeoJSON"),
        ("o.JSON", [], "GeoJSON"),
        ("o.xml", [], "ASAP XML"),
        ("o.xml", ["--format", "imagescope"], "ImageScope XML"),
        ("o.txt", ["--format", "asap"], "ASAP XML"),
    ],
)
def test_the_suffix_or_the_option_says_what_is_written(call, ours, tmp_path, name, options, read_as):
    code, out, err = call(ours, tmp_path / name, *options)
    assert (code, err) == (0, "")
    assert out == f"Wrote {tmp_path / name}: 1 region as {read_as}, read as GeoJSON; origin level0.\n"
    read = read_annotations(tmp_path / name)
    assert read.format == read_as
    assert read.regions[0].geometry.equals(REGION.geometry)
    assert (read.regions[0].name, read.regions[0].classification, read.regions[0].color_rgb) == (
        "core",
        "Tumor",
        (200, 0, 0),
    )
    assert (read.statement.mpp, read.statement.slide_hash) == (Mpp(0.25, 0.25), "abc")  # what IN states


def test_the_slide_gives_resolution_and_hash(call, qupath, tissue_slide, tmp_path):
    code, _, err = call(qupath, tmp_path / "o.xml", "--slide", tissue_slide)
    assert (code, err) == (0, "")
    with open_slide(tissue_slide) as slide:
        stated = read_annotations(tmp_path / "o.xml").statement
        assert (stated.mpp, stated.slide_hash) == (Mpp(MPP, MPP), slide.info.quick_hash)
    assert tissue_slide.stem not in (tmp_path / "o.xml").read_text(encoding="utf-8")


def test_another_slide_than_the_one_it_was_drawn_on_is_said(call, ours, tissue_slide, tmp_path):
    code, _, err = call(ours, tmp_path / "o.xml", "--slide", tissue_slide)
    assert code == 0
    assert err == "Warning: The file says that it was drawn on another slide.\n"


def test_from_the_bounds_and_back(call, qupath, tissue_slide, bounded, tmp_path):
    l0, back = tmp_path / "l0.geojson", tmp_path / "back.geojson"
    assert call(qupath, l0, "--slide", tissue_slide, "--origin", "bounds")[0] == 0
    assert read_regions(l0)[0].geometry.bounds == (410, 310, 460, 360)
    code, out, err = call(l0, back, "--slide", tissue_slide, "--write-origin", "bounds")
    assert (code, err) == (0, "")
    assert out.endswith("origin bounds.\n")
    document = json.loads(back.read_text())
    assert document["features"][0]["geometry"]["coordinates"][0][0] == [10, 10]
    assert document["napari_aln"]["origin_l0_xy"] == [400, 300]
    assert read_regions(back)[0].geometry.bounds == (410, 310, 460, 360)


def test_the_files_own_word_on_its_origin_counts_more_than_the_option(
    call, ours, tissue_slide, bounded, tmp_path
):
    _, _, err = call(ours, tmp_path / "o.xml", "--slide", tissue_slide, "--origin", "bounds")
    assert "states its origin itself (level0), and was read by that" in err
    assert read_regions(tmp_path / "o.xml")[0].geometry.equals(REGION.geometry)


def test_outlines_off_the_slide_offer_the_other_origin(call, qupath, tissue_slide, bounded, tmp_path):
    code, _, err = call(qupath, tmp_path / "o.xml", "--slide", tissue_slide)
    assert code == 0
    assert "Warning: The outlines lie off the scanned area" in err
    assert err.endswith("they would lie on it: --origin bounds.\n")
    assert read_regions(tmp_path / "o.xml")[0].geometry.bounds == (10, 10, 60, 60)


def test_ndpa_needs_a_slide_that_says_where_it_lies(call, tissue_slide, tmp_path):
    source = tmp_path / "a.ndpi.ndpa"
    source.write_text(NDPA)
    needs = ("a.ndpi.ndpa counts in nanometres", "--slide")
    refused(call(source, tmp_path / "o.geojson"), *needs)
    refused(call(source, tmp_path / "o.geojson", "--slide", tissue_slide), *needs)
    assert not (tmp_path / "o.geojson").exists()


def test_ndpa_with_such_a_slide(call, tissue_slide, bounded, tmp_path):
    source = tmp_path / "a.ndpi.ndpa"
    source.write_text(NDPA)
    code, out, _ = call(source, tmp_path / "o.geojson", "--slide", tissue_slide)
    assert code == 0
    assert "read as NDPA" in out
    assert read_regions(tmp_path / "o.geojson")[0].geometry.bounds == (200, 400, 300, 500)


def test_wrong_calls_are_one_clear_line_and_write_nothing(call, ours, qupath, tmp_path):
    refused(call(ours, tmp_path / "o.tif"), "o.tif has no suffix", ".geojson", "--format")
    refused(call(ours, ours), "is the file that is read")
    refused(call(tmp_path / "none.xml", tmp_path / "o.xml"), "none.xml cannot be read")
    refused(call(tmp_path / "none.xml", ours), "none.xml cannot be read")
    refused(call(ours, tmp_path / "no" / "o.xml"), "cannot be written")
    refused(call(ours, tmp_path / "o.xml", "--write-origin", "bounds"), "--slide")
    refused(
        call(qupath, tmp_path / "o.xml", "--origin", "bounds"), "counts from the slide's bounds", "--slide"
    )
    refused(call(ours, tmp_path / "o.xml", "--slide", tmp_path / "none.svs"), "none.svs")
    (tmp_path / "empty.json").touch()
    refused(call(tmp_path / "empty.json", tmp_path / "o.xml"), "empty.json is empty")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.json", "ours.geojson", "qupath.geojson"]
    assert read_regions(ours)[0].geometry.equals(REGION.geometry)


def test_what_was_mended_is_said(call, tmp_path):
    source = tmp_path / "knot.json"
    source.write_text('{"type": "Polygon", "coordinates": [[[0, 0], [10, 10], [10, 0], [0, 10]]]}')
    code, _, err = call(source, tmp_path / "o.xml")
    assert code == 0
    assert err == "Warning: Region 1 was mended before it was written: Self-intersection[5 5].\n"
