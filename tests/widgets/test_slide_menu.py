"""The right mouse button: a click opens a menu of what lies there, a drag stays napari's zoom."""

from __future__ import annotations

from dataclasses import replace

import pytest
from menu_hands import RightHand
from qtpy.QtWidgets import QApplication, QCheckBox
from roi_hands import RoiHands
from shapely import box
from tests_shared import MPP

LARGE, SMALL = box(700, 500, 1500, 1500), box(1700, 1000, 2100, 1500)


@pytest.fixture
def right(hands):
    """Return a right hand at the window."""
    return RightHand(hands)


def test_the_menu_of_the_right_mouse_button(hands, right, tissue_slide):
    assert right.click(0, 0) == []  # no slide yet
    hands.open(tissue_slide)
    the_menu_of_a_place(hands, right)
    drawing = RoiHands(hands)
    drawing.lasso(LARGE)
    drawing.lasso(SMALL)
    hands.click(drawing.panel.tools["lasso"])
    the_menu_of_a_region(hands, right, drawing)
    names_stay_hidden(hands, right)
    no_menu_comes_between_the_corners_of_a_shape(hands, right, drawing)
    assert hands.errors() == []


def the_menu_of_a_place(hands, right):
    nothing_drawn = ["5x here", "10x here", "20x here", "40x here", "Whole slide", "Copy the position"]
    pixel_l0 = 1 / hands.review.scene.camera()[1] / MPP  # of the screen
    assert right.click(1000, 800) == nothing_drawn
    right.choose("20x here")
    middle_l0_xy, _ = hands.review.scene.camera()
    assert middle_l0_xy == pytest.approx((1000, 800), abs=pixel_l0)
    assert hands.review.scene.power() == pytest.approx(20)
    right.click(1000, 800)
    right.choose("Whole slide")
    assert hands.review.scene.power() < 20
    before = hands.review.scene.power()
    right.drag((1000, 800), (1200, 1400))
    assert right.menu() is None
    assert hands.review.scene.power() != before
    hands.review.scene.fit()
    right.click(1000, 800)
    right.choose("Copy the position")
    text = QApplication.clipboard().text()
    x, y = (int(word.strip(",")) for word in text.split()[1:4:2])
    assert (x, y) == pytest.approx((1000, 800), abs=pixel_l0)
    assert text.endswith(" µm)")
    x_um, y_um = (float(word.strip("(,")) for word in text.split()[-3:-1])
    assert (x_um, y_um) == pytest.approx((x * MPP, y * MPP), abs=MPP)


def the_menu_of_a_region(hands, right, drawing):
    large, small = hands.state.regions
    offered = right.click(1900, 1250)
    assert offered[:4] == ["Region 2", "Show all of it", "Set aside", "Remove"]
    right.choose("Show all of it")
    (x, y), _ = hands.review.scene.camera()
    assert (x, y) == pytest.approx(small.geometry.envelope.centroid.coords[0], abs=1)
    corners = [hands.on_canvas(*corner) for corner in small.geometry.envelope.exterior.coords]
    assert all(hands.canvas.rect().contains(corner) for corner in corners)
    right.click(1900, 1250)
    right.choose("Set aside")
    assert [region.in_use for region in hands.state.regions] == [True, False]
    assert right.click_row(1) == ["Region 2", "Show all of it", "Use again", "Remove"]
    right.choose("Use again")
    assert [region.in_use for region in hands.state.regions] == [True, True]
    right.click_row(0)
    right.choose("Remove")
    assert hands.state.regions == (small,)
    hands.click(drawing.panel.undo_button)
    assert hands.state.regions == (large, small)
    hands.review.scene.fit()


def names_stay_hidden(hands, right):
    large, small = hands.state.regions
    hands.state.set_regions((replace(large, name="Jane Doe"), small))
    assert right.click(1000, 800)[0] == "Jane Doe"
    right.leave()
    hands.click(hands.part(QCheckBox, "slide_hide_names"))
    assert right.click(1000, 800)[0] == "Region 1"
    right.leave()
    hands.click(hands.part(QCheckBox, "slide_hide_names"))


def no_menu_comes_between_the_corners_of_a_shape(hands, right, drawing):
    drawing.take("polygon")
    hands.click_slide(300, 300)
    hands.click_slide(600, 300)
    assert right.click(600, 600) == []
