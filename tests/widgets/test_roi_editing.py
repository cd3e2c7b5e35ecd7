"""The tumour ROI drawn and changed by mouse and keys, and changes taken back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import shapely
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from roi_hands import RoiHands
from shapely import box
from tests_shared import MPP, draw_tissue, write_slide

from napari_aln.patches.outlines import outlines
from napari_aln.widgets.roi_patches import LEAST_PATCH_PX

ROI = box(700, 500, 2100, 1500)
INNER = box(1100, 800, 1500, 1200)
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def overlap(area, expected) -> float:
    return area.intersection(expected).area / area.union(expected).area


@pytest.fixture
def drawing(hands, tissue_slide):
    """Return the tools on an open slide."""
    hands.open(tissue_slide)
    return RoiHands(hands)


@pytest.fixture
def drawn(drawing):
    """Return the tools after one region was drawn."""
    drawing.lasso(ROI)
    return drawing


def shown_rings(hands) -> int:
    return len(hands.viewer.layers["tumour ROI"].data)


def test_what_is_drawn_is_added_taken_away_or_alone_kept_and_taken_back(drawn, hands):
    assert overlap(drawn.area, ROI) > 0.95
    first = hands.state.regions

    drawn.choose("subtract")
    drawn.lasso(INNER)
    assert len(drawn.area.interiors) == 1
    assert overlap(drawn.area, ROI - INNER) > 0.95
    assert shown_rings(hands) == 2  # outline and hole
    holed = hands.state.regions

    drawn.choose("intersect")
    drawn.lasso(box(600, 400, 1300, 1600))
    assert overlap(drawn.area, box(700, 500, 1300, 1500) - INNER) > 0.95
    kept = hands.state.regions

    drawn.choose("add")
    drawn.lasso(box(2200, 1600, 2600, 2000))  # apart from the first
    assert len(hands.state.regions) == 2
    assert drawn.summary.startswith("2 regions, ")
    both = hands.state.regions

    for regions in (kept, holed, first, ()):
        hands.click(drawn.panel.undo_button)
        assert hands.state.regions == regions
    assert not drawn.panel.undo_button.isEnabled()
    assert drawn.summary == "No tumour ROI yet."
    assert shown_rings(hands) == 0
    for regions in (first, holed, kept, both):
        drawn.key(Qt.Key.Key_Z, CTRL | SHIFT)
        assert hands.state.regions == regions
    assert not drawn.panel.redo_button.isEnabled()
    drawn.key(Qt.Key.Key_Z, CTRL)
    assert hands.state.regions == kept
    hands.click(drawn.panel.redo_button)
    assert hands.state.regions == both
    assert shown_rings(hands) == 2
    hands.click(drawn.panel.clear_button)
    assert hands.state.regions == ()
    drawn.key(Qt.Key.Key_Z, CTRL)
    assert hands.state.regions == both
    assert hands.errors() == []


def test_a_polygon_by_clicks_ends_with_a_double_click_and_another_follows(drawing, hands):
    drawing.take("polygon")
    drawing.click_corners([(700, 500), (2100, 500), (2100, 1500), (700, 1500)])
    hands.until(lambda: len(hands.state.regions) == 1)
    assert overlap(drawing.area, ROI) > 0.95
    assert drawing.tool == ["polygon"]
    drawing.click_corners([(2200, 1600), (2600, 1600), (2600, 2000)])
    hands.until(lambda: len(hands.state.regions) == 2)
    assert shown_rings(hands) == 2
    drawn = hands.state.regions
    for corner in ((300, 1700), (500, 1700)):
        hands.click_slide(*corner)
    drawing.move(hands.on_canvas(500, 1900))
    assert drawing.summary.startswith("3 regions, ")
    assert len(hands.review.roi.so_far) == 3
    drawing.key(Qt.Key.Key_Escape)  # two corners are no area
    assert drawing.summary.startswith("2 regions, ")
    assert hands.review.roi.so_far == hands.state.regions == drawn
    hands.click(drawing.panel.tools["polygon"])  # put away: clicks draw no more
    assert drawing.tool == []
    drawing.click_corners([(100, 100), (400, 100), (400, 300)])
    assert len(hands.state.regions) == 2


def test_area_and_patches_are_told_while_drawing(drawing, hands, roi_bundle):
    hands.load(roi_bundle)
    drawing.take("lasso")
    drawing.press((700, 500))
    for start, end in pairwise([(700, 500), (2100, 500), (2100, 1500), (700, 1500), (700, 510)]):
        drawing.drag_to(start, end)
    while_drawing = drawing.summary
    outlined_while_drawing = len(hands.viewer.layers["patch outlines"].data[1])
    assert hands.state.regions == ()
    drawing.release((700, 510))
    hands.until(lambda: bool(hands.state.regions))
    outlined = hands.viewer.layers["patch outlines"]
    assert outlined.visible
    assert [str(unit) for unit in outlined.units] == ["micrometer"] * 2
    n_lines = len(outlines(hands.review.roi.show_patches(hands.state.regions)))
    assert len(outlined.data[1]) == 2 * n_lines  # two triangles each
    hands.click(drawing.panel.outlines_box)
    assert not outlined.visible
    hands.click(drawing.panel.outlines_box)
    assert outlined.visible
    zoom = hands.viewer.scene.camera.zoom
    hands.viewer.scene.camera.zoom = 0.9 * LEAST_PATCH_PX / 128  # of a patch's 128 µm
    assert not outlined.visible
    hands.viewer.scene.camera.zoom = zoom
    assert outlined.visible
    n_patches = int((np.array([2100 - 700, 1500 - 500]) // 256).prod())
    area_mm2 = drawing.area.area * MPP**2 * 1e-6
    assert drawing.summary.startswith(f"1 region, {area_mm2:.2f} mm², ")
    assert while_drawing.split(", ")[0] == "1 region"
    assert outlined_while_drawing > 0
    told_mm2 = float(while_drawing.split(", ")[1].removesuffix(" mm²"))
    assert told_mm2 == pytest.approx(area_mm2, abs=0.02)
    assert abs(int(drawing.summary.split(", ")[2].removesuffix(" patches")) - n_patches) <= 8
    drawing.take("polygon")
    for corner in ((2200, 1600), (2600, 1600), (2600, 2000)):
        hands.click_slide(*corner)
    assert drawing.summary.startswith("2 regions, ")
    first = hands.state.regions
    assert len(first) == 1
    drawing.key(Qt.Key.Key_Z, CTRL)  # drops what is half drawn, and no step of the regions
    assert hands.state.regions == first
    assert drawing.summary.startswith("1 region, ")
    assert shown_rings(hands) == 1
    assert drawing.tool == ["polygon"]
    for corner in ((2200, 1700), (2600, 1700), (2600, 2000)):
        hands.click_slide(*corner)
    drawing.key(Qt.Key.Key_Escape)
    hands.until(lambda: len(hands.state.regions) == 2)
    drawing.key(Qt.Key.Key_Z, CTRL)
    assert hands.state.regions == first
    # Several shapes that come at once, as pasted ones do, are all taken.
    hands.viewer.layers["tumour ROI"].add(
        [np.array([(1600, x), (1600, x + 150), (1900, x)]) for x in (100, 400)], shape_type="polygon"
    )
    hands.until(lambda: len(hands.state.regions) > 1)
    added = drawing.area.area - first[0].geometry.area
    assert added == pytest.approx(2 * 150 * 300 / 2, rel=0.01)


def test_the_brush_adds_and_takes_away_and_its_keys_are_the_rois(drawn, hands):
    before = hands.state.regions
    drawn.take("brush")
    drawn.stroke([(2050, 700), (2500, 700)])
    hands.until(lambda: hands.state.regions != before)
    (grown,) = hands.state.regions
    assert grown.geometry.covers(box(2100, 690, 2480, 710))
    assert grown.geometry.area > before[0].geometry.area
    drawn.choose("subtract")
    drawn.stroke([(1200, 1000), (1500, 1000)])
    hands.until(lambda: hands.state.regions != (grown,))
    (eaten,) = hands.state.regions
    assert len(eaten.geometry.interiors) == 1
    assert not eaten.geometry.intersects(box(1220, 990, 1480, 1010))
    assert not np.asarray(hands.viewer.layers["ROI brush"].data).any()  # strokes become areas at once
    drawn.key(Qt.Key.Key_Z, CTRL)
    assert hands.state.regions == (grown,)
    drawn.key(Qt.Key.Key_Z, CTRL)
    assert hands.state.regions == before
    drawn.key(Qt.Key.Key_Z, CTRL | SHIFT)
    assert hands.state.regions == (grown,)
    assert not np.asarray(hands.viewer.layers["ROI brush"].data).any()
    drawn.take("lasso")
    assert "ROI brush" not in hands.viewer.layers
    assert not hands.viewer.canvas.overlays._brush_circle.box  # it would stay on the tissue
    assert hands.errors() == []


def test_a_dragged_point_changes_the_region_while_it_is_dragged(drawn, hands):
    before = hands.state.regions
    corner = tuple(shapely.get_coordinates(drawn.area)[0])
    drawn.take("vertices")
    drawn.press(corner)
    drawn.drag_to(corner, (200, 200))
    midway = hands.state.regions
    assert overlap(midway[0].geometry, before[0].geometry) < 0.95
    stayed = set(before[0].geometry.exterior.coords[1:-1])
    assert stayed <= set(map(tuple, shapely.get_coordinates(midway[0].geometry)))  # to the last bit
    moving, resting = (hands.viewer.layers[f"tumour ROI, {part}"] for part in ("moving", "resting"))
    assert moving.visible
    assert resting.visible
    assert (len(moving.faces), len(resting.faces)) == (2 * 2, 2 * (len(stayed) - 1))  # of two triangles each
    assert drawn.summary.startswith(f"1 region, {midway[0].geometry.area * MPP**2 * 1e-6:.2f} mm²")
    drawn.drag_to((200, 200), (2400, 1900))  # across: the outline crosses itself
    assert shapely.is_valid(drawn.area)
    drawn.release((2400, 1900))
    assert not moving.visible
    assert not resting.visible
    assert hands.viewer.layers["tumour ROI"].edge_color[:, -1].min() == 1.0
    assert all(region.geometry.is_valid for region in hands.state.regions)
    assert hands.state.regions != before
    drawn.key(Qt.Key.Key_Z, CTRL)  # the whole drag is one step
    assert hands.state.regions == before
    drawn.press(corner)
    drawn.drag_to(corner, (200, 200))
    drawn.key(Qt.Key.Key_Z, CTRL)  # with the button still down: the region goes, and its point with it
    drawn.drag_to((200, 200), (300, 300))
    drawn.release((300, 300))
    assert hands.state.regions == ()
    hands.click(drawn.panel.redo_button)
    assert hands.state.regions == before
    assert hands.errors() == []
    hands.click(drawn.panel.tools["vertices"])  # put away: no shape is chosen any more
    drawn.key(Qt.Key.Key_Delete)
    assert hands.state.regions == before


@pytest.mark.slow
def test_a_point_is_dragged_of_a_shape_that_was_moved_as_a_whole(drawn, hands):
    before = drawn.area
    drawn.take("vertices")
    layer = hands.viewer.layers["tumour ROI"]
    layer.mode = "select"  # napari's own tool
    hands.drag((1400, 1000), (1500, 1060))
    moved = drawn.area
    assert moved.bounds != before.bounds
    layer.mode = "direct"
    corner = moved.exterior.coords[0]
    hands.drag(corner, (corner[0] + 150, corner[1] - 90))
    assert drawn.area.bounds != moved.bounds
    assert set(moved.exterior.coords[1:-1]) <= set(drawn.area.exterior.coords)
    assert hands.errors() == []


def test_regions_imported_kept_with_their_slide_and_simplified(drawn, hands, roi_file, tissue_slide):
    an_import_is_a_step_that_can_be_taken_back(drawn, hands, roi_file)
    the_same_slide_opened_again_keeps_its_regions_on_the_screen(hands, tissue_slide)
    hands.click(drawn.panel.clear_button)
    simplify_drops_points_and_moves_no_outline_far(drawn, hands)


def simplify_drops_points_and_moves_no_outline_far(drawing, hands):
    drawing.take("brush")
    drawing.stroke([(900, 700), (1900, 800)])
    hands.until(lambda: bool(hands.state.regions))
    before = drawing.area
    hands.click(drawing.panel.simplify_button)
    assert len(shapely.get_coordinates(drawing.area)) < len(shapely.get_coordinates(before))
    assert shapely.hausdorff_distance(drawing.area.exterior, before.exterior) <= 4 / MPP + 1e-6
    hands.click(drawing.panel.undo_button)
    assert drawing.area.equals(before)


def an_import_is_a_step_that_can_be_taken_back(drawn, hands, roi_file):
    own = hands.state.regions
    hands.drop(roi_file)
    hands.until(lambda: hands.state.regions != own)
    assert drawn.area.equals(ROI)
    hands.click(drawn.panel.undo_button)
    assert hands.state.regions == own
    hands.click(drawn.panel.redo_button)
    assert drawn.area.equals(ROI)


@pytest.mark.slow
def test_another_slide_begins_anew_even_in_the_middle_of_a_shape(drawn, hands, tmp_path):
    drawn.take("polygon")
    for corner in ((2200, 1600), (2600, 1600)):
        QTest.mouseClick(hands.canvas, hands.left, pos=hands.on_canvas(*corner))
        QApplication.processEvents()
    other = write_slide(tmp_path / "other.tif", draw_tissue(np.random.default_rng(4)))
    hands.open(other)
    drawn.move(hands.on_canvas(2600, 2000))
    assert drawn.tool == []
    assert hands.state.regions == ()
    assert not drawn.panel.undo_button.isEnabled()
    drawn.key(Qt.Key.Key_Z, CTRL)
    assert hands.state.regions == ()
    drawn.lasso(INNER)
    assert overlap(drawn.area, INNER) > 0.9
    drawn.take("brush")
    hands.open(drawn_slide(hands, tmp_path))
    assert "ROI brush" not in hands.viewer.layers
    assert hands.errors() == []


def drawn_slide(hands, tmp_path):
    return write_slide(tmp_path / "third.tif", draw_tissue(np.random.default_rng(5)))


def the_same_slide_opened_again_keeps_its_regions_on_the_screen(hands, tissue_slide):
    before, slide = hands.state.regions, hands.state.slide
    hands.drop(tissue_slide)
    hands.until(lambda: hands.state.slide is not slide)
    hands.until(lambda: not hands.review.surveying.is_running)
    assert hands.state.regions == before
    assert shown_rings(hands) == 1


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["polygon", "vertices"])
def test_the_user_may_remove_the_rois_layer_with_a_tool_in_hand(drawn, hands, tool):
    before = hands.state.regions
    drawn.take(tool)
    if tool == "polygon":
        QTest.mouseClick(hands.canvas, hands.left, pos=hands.on_canvas(2200, 1600))
        drawn.move(hands.on_canvas(2600, 1600))
    hands.viewer.layers.remove("tumour ROI")
    assert hands.state.regions == ()
    assert drawn.tool == []
    drawn.key(Qt.Key.Key_Z, CTRL)
    assert hands.state.regions == before
    assert shown_rings(hands) == 1
    drawn.choose("subtract")
    drawn.lasso(INNER)
    assert len(drawn.area.interiors) == 1
    assert hands.errors() == []


@pytest.mark.slow
def test_the_user_may_remove_the_brush_with_the_brush_in_hand(drawn, hands):
    before = hands.state.regions
    drawn.take("brush")
    drawn.press((2050, 700))
    drawn.drag_to((2050, 700), (2300, 700))
    hands.viewer.layers.remove("ROI brush")
    drawn.drag_to((2300, 700), (2400, 700))
    drawn.release((2400, 700))
    assert drawn.tool == []
    assert hands.state.regions == before
    drawn.take("brush")
    drawn.stroke([(2050, 700), (2500, 700)])
    hands.until(lambda: hands.state.regions != before)
    assert hands.errors() == []


def test_hiding_names_keeps_the_tool_and_what_can_be_undone(drawn):
    drawn.hands.click(drawn.hands.dock.slide_card.hide_names_box)
    assert drawn.tool == ["lasso"]
    drawn.hands.key(Qt.Key.Key_Z, CTRL)
    assert drawn.state.regions == ()
