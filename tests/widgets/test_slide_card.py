from pathlib import Path

import pytest
from qtpy.QtCore import QPoint, Qt
from widget_records import LONG_NAME, all_texts, child, slide_info

from napari_aln.geometry import Mpp
from napari_aln.widgets.panels.slide_card import SlideCard


@pytest.fixture
def card(qtbot):
    card = SlideCard()
    qtbot.addWidget(card)
    card.show()
    return card


def click(qtbot, control):
    qtbot.mouseClick(control, Qt.MouseButton.LeftButton)


def test_empty_card_asks_for_a_slide(card, qtbot):
    assert "Drop a slide here" in all_texts(card)
    for name in ("slide_set_mpp", "slide_associated", "slide_icc", "slide_facts"):
        assert child(card, name).isHidden(), name
    with qtbot.waitSignal(card.open_requested):
        click(qtbot, child(card, "slide_open"))


def test_facts_with_units(card):
    card.set_slide(slide_info(objective_power=20.0), "case 7")
    facts = child(card, "slide_facts").shown_text().replace("\u202f", " ")
    assert child(card, "slide_name").shown_text() == "case 7"
    assert "46 000 × 32 914 px" in facts
    assert "23.0 × 16.4 mm" in facts
    assert "0.499 µm/px, from the file" in facts
    assert "Objective 20x, as the file states it" in facts
    assert "2 levels · aperio · read by openslide+tiles" in facts


def test_pixels_that_are_not_square(card):
    card.set_slide(slide_info(mpp=Mpp(0.25, 0.5), mpp_origin="user"), "case 7")
    assert "0.25 × 0.5 µm/px, given by you" in child(card, "slide_facts").shown_text()


def test_the_path_is_never_shown(card):
    card.set_slide(slide_info(), "case 7")
    texts = all_texts(card) + "".join(part.toolTip() for part in card.findChildren(type(card.title)))
    assert "Jane Doe" not in texts
    assert "hospital" not in texts


def test_missing_mpp_is_prominent_and_can_be_set(card, qtbot):
    card.set_slide(slide_info(mpp=None, mpp_origin="missing"), "case 7")
    assert child(card, "slide_mpp_missing").isVisible()
    assert " mm" not in child(card, "slide_facts").shown_text()
    with qtbot.waitSignal(card.mpp_requested):
        click(qtbot, child(card, "slide_set_mpp"))


@pytest.mark.parametrize(("origin", "offered"), [("file", False), ("user", True)])
def test_only_a_given_mpp_can_be_corrected(card, origin, offered):
    card.set_slide(slide_info(mpp_origin=origin), "case 7")
    assert child(card, "slide_set_mpp").isVisible() is offered
    assert not child(card, "slide_mpp_missing").isVisible()


def test_label_and_macro_only_where_there_are_any_and_on_a_click(card, qtbot):
    card.set_slide(slide_info(), "case 7")
    assert child(card, "slide_associated").isHidden()
    card.set_slide(slide_info(associated=("label",)), "case 7")
    assert "patient data" in all_texts(card)
    with qtbot.waitSignal(card.associated_requested):
        click(qtbot, child(card, "slide_associated"))


def test_warnings_belong_to_their_slide(card):
    card.set_slide(slide_info(warnings=("The levels contradict each other.",)), "case 7")
    assert "The levels contradict each other." in all_texts(card)
    card.set_slide(slide_info(), "case 8")
    assert "contradict" not in all_texts(card)


def test_a_name_is_never_read_as_rich_text(card):
    card.set_slide(slide_info(), "<b>x</b>")
    assert card.title.textFormat() == Qt.TextFormat.PlainText
    assert card.title.text() == "<b>x</b>"


def test_long_name_fits_a_narrow_dock(card):
    card.set_slide(slide_info(warnings=(LONG_NAME,), associated=("label",), mpp=None), LONG_NAME)
    assert card.minimumSizeHint().width() <= 300


def test_while_opening_nothing_else_can_be_asked(card, qtbot):
    card.set_slide(slide_info(), "case 7")
    card.set_opening("case 8")
    assert child(card, "slide_name").shown_text() == "Opening case 8 …"
    with qtbot.assertNotEmitted(card.open_requested):
        click(qtbot, child(card, "slide_open"))
    card.set_opening(None)
    assert child(card, "slide_name").shown_text() == "case 7"
    with qtbot.waitSignal(card.open_requested):
        click(qtbot, child(card, "slide_open"))


def test_colour_profile(card, qtbot):
    card.set_slide(slide_info(), "case 7")
    box = child(card, "slide_icc")
    card.set_icc_available(True)
    with qtbot.waitSignal(card.icc_toggled) as told:
        qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))
    assert told.args == [True]
    with qtbot.assertNotEmitted(card.icc_toggled):
        card.set_icc(False)
    assert not box.isChecked()


def test_recent_slides_are_asked_for_by_path_and_shown_by_name(card, qtbot):
    assert not child(card, "slide_recent").isEnabled()
    path = Path("/hospital/a.svs")
    card.set_recent([("case 7 & 8", path)])
    action = card.recent_button.menu().actions()[0]
    assert action.text() == "case 7 && 8"  # shown as one &
    with qtbot.waitSignal(card.recent_requested) as told:
        action.trigger()
    assert told.args == [path]
