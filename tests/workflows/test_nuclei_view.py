"""Nuclei files opened for the slide they are of and no other; colours, texts and files of what is shown."""

import json
from dataclasses import replace

import numpy as np
import pytest
import shapely
from tests_shared import MPP, draw_tissue, write_slide

from napari_aln import open_slide
from napari_aln.errors import MppError, StoreError
from napari_aln.geometry import Mpp
from napari_aln.nuclei import FEATURES, measure, outlines_of, placed, read_nuclei, write_nuclei
from napari_aln.nuclei.located import LocatedNuclei
from napari_aln.workflows.nuclei import view as nuclei_view
from napari_aln.workflows.nuclei.view import DENSITY, NUCLEUS_STYLES, SlideNuclei


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    path = tmp_path_factory.mktemp("viewed") / "S2026-1 Jane Doe.tif"
    with open_slide(write_slide(path, draw_tissue(np.random.default_rng(4)))) as slide:
        return slide.info


@pytest.fixture(scope="module")
def labels():
    drawn = np.zeros((200, 300), int)
    for number, (y, x) in enumerate(np.argwhere(np.ones((4, 6))) * 48 + 10, 1):
        drawn[y : y + 10 + number, x : x + 12] = number
    return drawn


@pytest.fixture(scope="module")
def nuclei(labels, info):
    return LocatedNuclei(placed(measure(labels, MPP)), info.mpp, outlines_of(labels))


def last(work):
    """Return what a generator returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_every_measure_has_a_name_a_unit_and_colours():
    assert set(NUCLEUS_STYLES) == {DENSITY, *FEATURES}
    assert all(style.quantity and style.unit for style in NUCLEUS_STYLES.values())


def test_a_file_is_opened_for_its_slide_alone(nuclei, info, tmp_path):
    path = last(nuclei_view.save_nuclei(info, SlideNuclei(nuclei, ""), tmp_path / "nuclei.parquet"))
    opened = last(nuclei_view.open_nuclei(info, path))
    assert opened.nuclei.l0_xy == pytest.approx(nuclei.l0_xy)
    every = np.arange(len(nuclei))
    assert shapely.equals_exact(opened.nuclei.outlines.of(every), nuclei.outlines.geometry).all()
    assert opened.source == "From nuclei.parquet"
    (read,) = [last(nuclei_view.read_outlines_of(opened.nuclei.outlines, [0]))[0]]
    assert shapely.equals_exact(read, nuclei.outlines.geometry).all()
    # What was opened is written again, onto its own file and as QuPath's detections.
    for name in ("nuclei.parquet", "again.geojson"):
        last(nuclei_view.save_nuclei(info, opened, tmp_path / name))
    again = last(nuclei_view.open_nuclei(info, path))
    assert shapely.equals_exact(again.nuclei.outlines.of(every), nuclei.outlines.geometry).all()
    assert len(json.loads((tmp_path / "again.geojson").read_text())["features"]) == len(nuclei)
    # A file of an earlier version holds none.
    bare = SlideNuclei(LocatedNuclei(nuclei.table, nuclei.mpp), "")
    earlier = last(nuclei_view.open_nuclei(info, last(nuclei_view.save_nuclei(info, bare, path))))
    assert earlier.nuclei.outlines is None
    assert "ellipses" in earlier.source
    with pytest.raises(StoreError, match="another slide"):
        last(nuclei_view.open_nuclei(replace(info, quick_hash="0" * 16), path))
    with pytest.raises(StoreError, match=r"measured at 0\.\d+ µm/px; the slide now has 1 µm/px"):
        last(nuclei_view.open_nuclei(replace(info, mpp=Mpp(1.0, 1.0)), path))
    with pytest.raises(MppError):
        last(nuclei_view.open_nuclei(replace(info, mpp=None), path))
    path.write_text("no table")
    with pytest.raises(StoreError, match="cannot be read"):
        last(nuclei_view.open_nuclei(info, path))


def test_outlines_beside_the_file_are_taken_where_they_are_of_the_same_nuclei(nuclei, info, tmp_path):
    from napari_aln.annotations.statement import MEMBER, Statement
    from napari_aln.nuclei import write_detections

    path, beside = tmp_path / "nuclei.parquet", tmp_path / "nuclei.geojson"
    bare = SlideNuclei(LocatedNuclei(nuclei.table, nuclei.mpp), "")  # as by earlier versions
    last(nuclei_view.save_nuclei(info, bare, path))

    def opened():
        return last(nuclei_view.open_nuclei(info, path)).nuclei.outlines

    for bounds_xy in ((0, 0), (120.0, 40.5)):  # QuPath counts from the bounds
        stated = Statement.to_write("bounds", bounds_xy, info.mpp, info.quick_hash)
        members, origin = {MEMBER: stated.as_json()}, stated.origin_l0_xy
        write_detections(nuclei.table, nuclei.outlines, beside, members=members, origin_l0_xy=origin)
        assert shapely.equals_exact(opened().geometry, nuclei.outlines.geometry, 0.02, normalize=True).all()
    write_detections(nuclei.table, nuclei.outlines, beside)  # nobody says where it counts from
    assert opened() is None
    other = {MEMBER: Statement.to_write("level0", (0, 0), info.mpp, "0" * 16).as_json()}
    write_detections(nuclei.table, nuclei.outlines, beside, members=other)
    assert opened() is None
    last(nuclei_view.save_nuclei(info, SlideNuclei(nuclei, ""), beside))
    assert opened() is not None
    beside.write_text(beside.read_text().replace('"name": "3"', '"name": "33"'))
    assert opened() is None
    moved = nuclei.outlines.placed((60.0, 0.0))
    write_detections(nuclei.table, moved, beside, members=members)
    assert opened() is None  # nuclei of the same numbers elsewhere
    for text in ("", "no JSON", '{"type": "FeatureCollection", "features": []}', "[1, 2]"):
        beside.write_text(text)
        assert opened() is None


def test_nuclei_are_written_as_their_names_suffix_says(nuclei, info, tmp_path):
    for name in ("a.parquet", "a.csv", "a.geojson"):
        last(nuclei_view.save_nuclei(info, SlideNuclei(nuclei, ""), tmp_path / name))
    assert len(read_nuclei(tmp_path / "a.parquet").table) == len(nuclei)
    assert len((tmp_path / "a.csv").read_text("utf-8-sig").splitlines()) == len(nuclei) + 1
    document = json.loads((tmp_path / "a.geojson").read_text())
    assert len(document["features"]) == len(nuclei)
    assert document["napari_aln"]["slide_hash"] == info.quick_hash
    assert "Doe" not in (tmp_path / "a.geojson").read_text()
    bare = LocatedNuclei(nuclei.table, nuclei.mpp)
    with pytest.raises(StoreError, match="no outlines"):
        last(nuclei_view.save_nuclei(info, SlideNuclei(bare, ""), tmp_path / "b.geojson"))
    names = {"a.csv", "a.geojson", "a.parquet"}
    assert {file.name for file in tmp_path.iterdir()} == names | {f"{name}.json" for name in names}
    found_by = {"method": "classical", "model_sha256": ""}
    shown = SlideNuclei(nuclei, "", complete=False, found_by=found_by)
    last(nuclei_view.save_nuclei(info, shown, tmp_path / "a.csv"))
    about = json.loads((tmp_path / "a.csv.json").read_text(encoding="utf-8"))
    assert about["slide_quick_hash"] == info.quick_hash
    assert (about["mpp"], about["mpp_origin"]) == (list(info.mpp), info.mpp_origin)
    assert about["nuclei"] == {"n_nuclei": len(nuclei), "complete": False} | found_by
    assert about["versions"]["napari-aln"]
    assert "Doe" not in json.dumps(about)


def test_colours_span_the_nuclei_but_for_the_outermost(nuclei):
    table = nuclei.table
    low, high = nuclei_view.feature_limits(table, "area_um2")
    assert table.area_um2.min() < low < high < table.area_um2.max()
    assert nuclei_view.feature_limits(table, "orientation_rad") == (-np.pi / 2, np.pi / 2)
    assert nuclei_view.feature_limits(table, "haematoxylin_mean") == (0.0, 1.0)  # nobody knows it
    same = nuclei_view.feature_limits(table.assign(circularity=0.5), "circularity")
    assert same == (0.0, 1.0)
    assert "haematoxylin_mean" not in nuclei_view.feature_extents(table)


def test_the_raster_shows_only_what_is_kept(nuclei, info):
    kept = nuclei.table.area_um2.to_numpy() > nuclei.table.area_um2.median()
    every = nuclei_view.nuclei_raster(nuclei, None, DENSITY, info.size_px, 1024.0)
    some = nuclei_view.nuclei_raster(nuclei, kept, DENSITY, info.size_px, 1024.0)
    assert np.nansum(some.picture) == pytest.approx(np.nansum(every.picture) * kept.mean())
    low, high = nuclei_view.density_limits(some)
    assert low == 0 < high <= np.nanmax(some.picture)
    means = nuclei_view.nuclei_raster(nuclei, kept, "area_um2", info.size_px, 1024.0)
    assert means.picture[0, 0] == pytest.approx(nuclei.table.area_um2[kept].mean(), rel=1e-5)


@pytest.fixture
def scored(info):
    """Return scores of a grid of 48 px squares over the drawn nuclei: attention rises to the right."""
    from napari_aln.records import PatchGrid, PatchScores, PatchTable

    row, column = (part.ravel().astype(np.int32) for part in np.mgrid[:4, :6])
    table = PatchTable(PatchGrid(48, 1.0, (48.0, 48.0), 6, 4), column, row)
    rising = column + row / 10
    unknown = np.full(24, np.nan)
    rest = dict.fromkeys(("entropy", "attention_logit", "contribution", "probability"), unknown)
    return PatchScores(table, np.ones(24, bool), attention_slide=unknown, attention_bag=rising, **rest)


def test_nuclei_are_compared_by_attention_where_they_were_measured(nuclei, scored, qtbot, tmp_path):
    from qtpy.QtCore import Qt

    from napari_aln.widgets.panels.contrast_dialog import ContrastDialog
    from napari_aln.workflows.nuclei.view import contrast_by_attention, save_contrast

    every = last(contrast_by_attention(SlideNuclei(nuclei, ""), scored, "dlcnbc"))
    assert (every.n_patches, every.map_name) == (24, "attention_bag")
    left = SlideNuclei(nuclei, "", outline=shapely.box(0, 0, 3.4 * 48, 200))
    assert last(contrast_by_attention(left, scored, "dlcnbc")).n_patches == 12
    dialog = ContrastDialog(every)
    qtbot.addWidget(dialog)
    dialog.show()
    asked = []
    dialog.save_requested.connect(asked.append)
    qtbot.mouseClick(dialog.save_button, Qt.MouseButton.LeftButton)
    assert asked == [every]
    assert dialog.picture.pixmap().width() > 600
    assert "24 measured patches" in dialog.about.shown_text()
    assert "Research use only" in dialog.about.shown_text()
    folder = last(save_contrast(every, tmp_path, "slide-1"))
    assert folder.name == "slide-1-dlcnbc-contrast"
    assert {"contrast.csv", "contrast.json", "contrast.svg"} <= {file.name for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("area_um2", 41.239, "41.2 µm²"),
        ("circularity", 0.7777, "0.778"),
        ("orientation_rad", -0.5, "−0.5 rad"),
        ("nearest_um", float("nan"), "unknown"),
        (DENSITY, 4321.4, "4321 per mm²"),
    ],
)
def test_values_are_said_with_their_unit(name, value, text):
    assert nuclei_view.value_text(name, value) == text


def test_a_file_of_nuclei_is_told_from_other_tables(nuclei, info, tmp_path):
    from napari_aln.nuclei.table import holds_nuclei
    from napari_aln.widgets.dropped import sort_files

    ours, other, broken = tmp_path / "nuclei.parquet", tmp_path / "patients.parquet", tmp_path / "x.parquet"
    write_nuclei(nuclei.table, ours, mpp=info.mpp, slide_hash=info.quick_hash)
    nuclei.table.to_parquet(other)
    broken.write_bytes(b"PAR1")
    assert [holds_nuclei(path) for path in (ours, other, broken)] == [True, False, False]
    files = sort_files([ours, other])
    assert (files.nuclei, files.tables) == ([ours], [other])
