"""The ROI and other shapes saved by napari's own menu, and annotations opened by it, beside a slide."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely.geometry import Polygon, box
from tests_shared import MPP

from napari_aln.annotations import read_annotations, write_geojson
from napari_aln.geometry import Mpp, Rect
from napari_aln.records import Region

PLUGIN = "napari-aln"
HOLED = Region(
    Polygon(box(700.25, 500.5, 2100, 1500).exterior, [box(900, 700, 1000.125, 800).exterior]),
    "core 1",
    "Tumor",
    (200, 0, 0),
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "roi.geojson"
    write_geojson([HOLED], path, mpp=Mpp(MPP, MPP), slide_hash="")
    return path


def test_regions_saved_and_opened_beside_a_slide(hands, tissue_slide, file, tmp_path):
    hands.open(tissue_slide)
    the_roi_is_saved_with_hole_name_class_and_slide(hands, tissue_slide, file, tmp_path)
    shapes_of_the_users_own_are_saved_where_they_lie_on_the_slide(hands, tmp_path)
    annotations_opened_by_napari_lie_on_the_slide(hands, file)


def the_roi_is_saved_with_hole_name_class_and_slide(hands, tissue_slide, file, tmp_path):
    hands.import_roi(file)
    out = tmp_path / "saved.geojson"
    hands.viewer.layers.selection = {hands.review.scene.regions.layer}
    assert hands.viewer.layers.save(str(out), selected=True, plugin=PLUGIN) == [str(out)]
    saved = read_annotations(out)
    (region,) = saved.regions
    assert shapely.equals(region.geometry, HOLED.geometry)
    assert (region.name, region.classification, region.color_rgb) == ("core 1", "Tumor", (200, 0, 0))
    info = hands.state.slide.info
    assert (saved.statement.mpp, saved.statement.slide_hash) == (info.mpp, info.quick_hash)
    assert tissue_slide.stem not in out.read_text(encoding="utf-8")


def shapes_of_the_users_own_are_saved_where_they_lie_on_the_slide(hands, tmp_path):
    corners_um = np.array([(100, 200), (100, 300), (150, 300), (150, 200)])
    layer = hands.viewer.add_shapes([corners_um], shape_type="polygon", units=("µm", "µm"))
    out = tmp_path / "own.geojson"
    hands.viewer.layers.selection = {layer}
    assert hands.viewer.layers.save(str(out), selected=True, plugin=PLUGIN) == [str(out)]
    assert read_annotations(out).regions[0].geometry.bounds == pytest.approx((400, 200, 600, 300))


def annotations_opened_by_napari_lie_on_the_slide(hands, file):
    (layer,) = hands.viewer.open(str(file), plugin=PLUGIN)
    low, high = layer.extent.world
    assert low.tolist() == pytest.approx([500.5 * MPP, 700.25 * MPP], abs=MPP)
    assert high.tolist() == pytest.approx([1500 * MPP, 2100 * MPP], abs=MPP)


def test_the_other_origin_is_offered_where_the_outlines_lie_off(hands, tissue_slide, tmp_path, monkeypatch):
    from napari_aln.slides import openslide_reader

    monkeypatch.setattr(openslide_reader, "_bounds", lambda *_: Rect(900, 700, 2000, 1400))
    path = tmp_path / "Doe.geojson"
    ring = "[[100,100],[600,100],[600,500],[100,500],[100,100]]"
    path.write_text('{"type": "Polygon", "coordinates": [' + ring + "]}")
    hands.open(tissue_slide)
    hands.import_roi(path)
    offer = hands.dock.roi.origin
    hands.until(offer.isVisible)
    assert "lie off the scanned area" in offer.text.shown_text()
    for other, corner in (("bounds", (1000, 800)), ("level0", (100, 100))):
        assert f"({other})" in offer.button(other).text()
        hands.click(offer.button(other))
        hands.until(lambda corner=corner: hands.state.regions[0].geometry.bounds[:2] == corner)
        hands.until(offer.isVisible)
    hands.click(offer.dismiss_button)
    assert not offer.isVisible()
    hands.click(hands.dock.roi.undo_button)  # an import like any other
    assert hands.state.regions[0].geometry.bounds[:2] == (1000, 800)
    assert "--origin" not in " ".join(hands.log())
