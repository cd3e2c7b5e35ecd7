"""napari's own File menu: in the program's window what it opens becomes the slide, elsewhere not."""

from __future__ import annotations

import numpy as np
import tifffile
from qtpy.QtCore import QTimer
from tests_shared import draw_tissue, write_slide
from window_hands import Hands

from napari_aln.workflows.demo import SLIDE, sample_path

PLUGIN = "napari-aln"


def open_by_menu(hands, path):
    """Choose the first entry of the File menu that opens files, and answer its dialog."""
    entries = hands.viewer.window.file_menu.actions()
    action = next(entry for entry in entries if entry.text().startswith("Open File(s)"))
    QTimer.singleShot(0, hands.dock, lambda: hands.answer_file_dialog(path))  # the entry waits for its dialog
    action.trigger()


def names(hands):
    return [layer.name for layer in hands.viewer.layers]


def test_the_file_menu_of_the_program(hands, tissue_slide, tmp_path, monkeypatch):
    asked = []  # napari would ask which reader is to be used, and wait
    monkeypatch.setattr("napari._qt.qt_viewer.handle_gui_reading", lambda *about, **_: asked.append(about))
    hands.open(tissue_slide)
    a_slide_takes_the_place_of_the_one_before(hands, tmp_path)
    a_picture_that_is_no_slide_is_refused(hands, tmp_path)
    our_sample_takes_the_slide_s_place(hands)
    a_picture_laid_over_the_slide_is_told(hands)
    the_menu_is_napari_s_again_without_the_review(hands)
    assert asked == []


def a_slide_takes_the_place_of_the_one_before(hands, tmp_path):
    other = write_slide(tmp_path / "other.svs", draw_tissue(np.random.default_rng(4)))
    open_by_menu(hands, other)
    hands.until(lambda: hands.is_open(other) and not hands.review.surveying.is_running)
    assert names(hands) == ["slide"]
    assert hands.log() == []


def a_picture_that_is_no_slide_is_refused(hands, tmp_path):
    before = hands.state.slide
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 60, 60), np.uint8))
    open_by_menu(hands, tmp_path / "stack.tif")
    hands.until(lambda: "stack.tif holds no single 8-bit RGB" in hands.banner())
    assert hands.state.slide is before
    assert names(hands) == ["slide"]


def our_sample_takes_the_slide_s_place(hands):
    hands.viewer.open_sample(PLUGIN, "demo-slide")
    hands.until(lambda: hands.is_open(sample_path(SLIDE)) and not hands.review.surveying.is_running)
    assert names(hands) == ["slide"]
    assert hands.banner() == ""


def a_picture_laid_over_the_slide_is_told(hands):
    hands.viewer.add_image(np.zeros((50, 50)), name="drawn", units=("µm", "µm"))
    assert names(hands) == ["slide", "drawn"]
    assert hands.banner().startswith("A picture that is not the slide lies over it.")
    assert hands.is_open(sample_path(SLIDE))
    hands.viewer.layers.remove("drawn")


def the_menu_is_napari_s_again_without_the_review(hands):
    qt_viewer = hands.viewer.window._qt_viewer
    assert "_qt_open" in vars(qt_viewer)
    hands.viewer.window.remove_dock_widget("all")
    hands.until(lambda: "_qt_open" not in vars(qt_viewer))


def test_inside_another_napari_a_second_slide_lies_beside_the_first(make_dock, qtbot, tissue_slide, tmp_path):
    hands = Hands(make_dock(as_program=False), qtbot)
    assert "_qt_open" not in vars(hands.viewer.window._qt_viewer)
    hands.open(tissue_slide)
    other = write_slide(tmp_path / "other.tif", draw_tissue(np.random.default_rng(4)))
    hands.viewer.open(str(other), plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(hands.viewer.layers) == 2)
    hands.qtbot.wait(200)
    assert hands.is_open(tissue_slide)
    assert len(hands.viewer.layers) == 2
    assert hands.banner() == ""
