"""What is still known when the window is opened again."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from qtpy.QtWidgets import QCheckBox
from tests_shared import draw_tissue

from napari_aln.widgets.panels.mpp_dialog import MppDialog


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "Jane Doe 1950.png"
    Image.fromarray(draw_tissue(np.random.default_rng(3))).save(path, compress_level=1)
    return path


@pytest.mark.slow
def test_a_pixel_size_is_asked_for_once_and_can_be_corrected(windows, picture, tmp_path):
    hands = windows()
    hands.drop(picture)
    hands.answer_mpp("0.5")
    hands.until(lambda: hands.state.seen is not None)
    hands = windows()
    moved = picture.rename(tmp_path / "moved.png")  # known by its content, not by its name
    hands.open(moved)
    assert hands.state.slide.info.mpp == (0.5, 0.5)
    assert not [d for d in hands.dock.findChildren(MppDialog) if d.isVisible()]
    assert "given by you" in hands.dock.slide_card.facts.shown_text()
    hands.click(hands.dock.slide_card.mpp_button)
    hands.answer_mpp("0.4")
    hands.until(lambda: hands.state.slide.info.mpp == (0.4, 0.4) and not hands.review.surveying.is_running)
    assert hands.viewer.layers["slide"].scale == pytest.approx((0.4, 0.4))
    hands = windows()
    hands.open(moved)
    assert hands.state.slide.info.mpp == (0.4, 0.4)


def test_names_stay_hidden(windows, picture):
    hands = windows()
    hands.click(hands.part(QCheckBox, "slide_hide_names"))
    hands.drop(picture)
    hands.answer_mpp("0.5")
    hands.until(lambda: hands.state.seen is not None)
    hands = windows()
    hands.open(picture)
    assert hands.dock.slide_card.title.shown_text().startswith("slide-")
    shown = [*hands.shown_texts(hands.dock), *hands.log(), hands.viewer.window._qt_window.windowTitle()]
    shown += [action.text() for action in hands.dock.slide_card.recent_button.menu().actions()]
    shown += [layer.name for layer in hands.viewer.layers]
    assert not [text for text in shown if "Doe" in text]
    picture.unlink()
    hands.drop(picture)
    hands.until(lambda: len(hands.errors()) == 1)
    assert "Doe" not in hands.banner() + " ".join(hands.log())


def test_slides_and_models_come_back_and_a_damaged_model_keeps_no_other_away(
    windows, tissue_slide, ws_bundle, roi_bundle, tmp_path
):
    copy = tmp_path / "copy.alnmodel"
    copy.write_bytes(roi_bundle.read_bytes())
    hands = windows()
    hands.open(tissue_slide)
    hands.load(ws_bundle, copy)
    hands = windows()
    hands.review.models.load_remembered()  # as the program does when it starts
    hands.until(lambda: len(hands.state.bundles) == 2)
    menu = hands.dock.slide_card.recent_button.menu()
    (entry,) = [action for action in menu.actions() if action.text() == tissue_slide.name]
    assert str(tissue_slide.parent) not in entry.text() + entry.toolTip()
    entry.trigger()
    hands.until(lambda: hands.is_open(tissue_slide) and not hands.review.surveying.is_running)
    copy.write_bytes(copy.read_bytes()[:500])
    hands = windows()
    hands.review.models.load_remembered()
    hands.until(lambda: len(hands.errors()) == 1 and not hands.review.models.loading.is_running)
    assert "copy.alnmodel" in hands.banner()
    assert [bundle.card.mode for bundle in hands.state.bundles.values()] == ["dlcnbc-ws"]
