"""Whatever a person does during a run: the window stays usable and nothing is left behind."""

from __future__ import annotations

import logging
import shutil
import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tests_shared import draw_tissue, write_slide
from window_hands import Hands

from napari_aln.records import Progress
from napari_aln.shipped import sample_path
from napari_aln.store.features import FeatureCache
from napari_aln.widgets.changes import why_stale
from napari_aln.widgets.jobs import JobState
from napari_aln.widgets.state import networks
from napari_aln.workflows.demo import ROI
from napari_aln.workflows.review import steps
from napari_aln.workflows.slide.networks import Engine


class Stoppable:
    """Stands in for a workflow: works in small steps until it is let go on, closed, or told to fail."""

    def __init__(self, work) -> None:
        self.work = work
        self.begun, self.closed, self.go_on = threading.Event(), threading.Event(), threading.Event()
        self.error: Exception | None = None

    def __call__(self, *args):
        try:
            while not self.go_on.wait(0.02):
                self.begun.set()
                yield Progress("extract", 3, 10, 5.0)
                if self.error is not None:
                    raise self.error
            return (yield from self.work(*args))
        finally:
            self.closed.set()


@pytest.fixture
def held(monkeypatch):
    """Return the run's workflow, held up until the test lets it go on."""
    held = Stoppable(steps.predict_file)
    monkeypatch.setattr(steps, "predict_file", held)
    return held


@pytest.fixture
def other_slide(tmp_path):
    return write_slide(tmp_path / "other.tif", draw_tissue(np.random.default_rng(4)), mpp=0.25)


@pytest.fixture
def running(hands, held, tissue_slide, ws_bundle, roi_bundle, roi_file):
    """Return hands at a window with a run under way."""
    hands.open(tissue_slide)
    hands.load(ws_bundle, roi_bundle)
    hands.import_roi(roi_file)
    hands.fill_patient()
    begin(hands, held)
    return hands


def begin(hands, held, kind: str = "whole-slide") -> None:
    """Start a run that is held up."""
    for sign in (held.go_on, held.begun, held.closed):
        sign.clear()
    hands.start(kind)
    hands.until(held.begun.is_set)


def test_a_cancelled_demonstration_asks_no_second_model(hands, held):
    hands.review.open_demo(and_run=True)
    hands.until(held.begun.is_set)
    hands.click(hands.dock.run.cancel_button)
    hands.import_roi(sample_path(ROI))
    assert hands.review.running.state is JobState.CANCELLED


def run_thread():
    return next((t for t in threading.enumerate() if t.name.startswith("aln-run")), None)


def finish(hands, held) -> None:
    """Let runs go on again: the next one must give a result."""
    held.go_on.set()
    if hands.state.clinical.age_years is None:
        hands.fill_patient()
    hands.run("whole-slide")


def test_runs_cancelled_followed_and_failed_and_another_slide_during_one(running, held, other_slide):
    a_second_run_cannot_be_started_by_hand_but_may_follow(running, held)
    begin(running, held)
    cancel_counts_at_once_and_ends_the_thread(running, held)
    for error in (RuntimeError("CUDA error: out of memory"), MemoryError()):
        begin(running, held)
        an_error_inside_the_workflow_is_one_message(running, held, error)
    begin(running, held)
    another_slide_during_a_run_cancels_it_and_says_so(running, held, other_slide)


def test_layers_removed_during_runs(running, held, tissue_slide):
    a_layer_of_ours_removed_during_a_run_harms_nothing(running, held, "map")
    for name in ("tissue mask", "tumour ROI"):
        begin(running, held)
        a_layer_of_ours_removed_during_a_run_harms_nothing(running, held, name)
    begin(running, held)
    the_slide_removed_during_a_run_cancels_it(running, held, tissue_slide)


def test_real_runs_cancelled_by_hand(hands, tissue_slide, ws_bundle, monkeypatch):
    a_real_run_is_cancelled_and_taken_up_again(hands, tissue_slide, ws_bundle, monkeypatch)
    many_hasty_starts_and_cancels_leave_one_result(hands)


def test_slides_one_after_the_other(hands, tissue_slide, other_slide, tmp_path, monkeypatch):
    a_second_slide_while_the_first_is_opening(hands, tissue_slide, other_slide, monkeypatch)
    the_same_slide_on_another_drive_keeps_what_was_typed(hands, tissue_slide, tmp_path)


def cancel_counts_at_once_and_ends_the_thread(running, held):
    thread, panel = run_thread(), running.dock.run
    running.until(lambda: "3 of 10 patches" in panel.status.shown_text())
    assert panel.bar.isVisible()
    running.click(panel.cancel_button)
    assert running.review.running.state is JobState.CANCELLED
    assert panel.status.shown_text().startswith("Cancelled.")
    assert not panel.bar.isVisible()
    running.until(lambda: not thread.is_alive())
    assert held.closed.is_set()
    assert running.errors() == []
    finish(running, held)


def a_real_run_is_cancelled_and_taken_up_again(hands, tissue_slide, ws_bundle, monkeypatch):
    networks.cache_clear()  # those that other windows made ready
    compiled, compile_ = [], Engine.compile
    monkeypatch.setattr(
        Engine, "compile", lambda self, bundle: compiled.append(bundle) or compile_(self, bundle)
    )
    hands.open(tissue_slide)
    hands.load(ws_bundle)
    hands.fill_patient()
    hands.start("whole-slide")
    thread = run_thread()
    hands.until(lambda: "patches" in hands.dock.run.status.shown_text())
    hands.click(hands.dock.run.cancel_button)
    hands.until(lambda: not thread.is_alive())
    assert hands.state.answers == {}
    hands.run("whole-slide")
    FeatureCache().clear()
    hands.run("whole-slide")
    assert len(compiled) == 1  # ready for all runs


def test_closing_the_window_during_a_run_ends_it(running, held):
    thread = run_thread()
    running.close_window()
    running.until(lambda: not thread.is_alive())
    assert held.closed.is_set()


def test_closing_the_dock_during_a_run_ends_it(running, held):
    thread = run_thread()
    running.viewer.window.remove_dock_widget("all")
    running.until(lambda: not thread.is_alive())
    assert held.closed.is_set()
    assert "slide" not in running.viewer.layers
    assert running.viewer.canvas.background_color_override is None


def another_slide_during_a_run_cancels_it_and_says_so(running, held, other_slide):
    thread = run_thread()
    running.open(other_slide)
    running.until(lambda: not thread.is_alive())
    assert any("another slide" in line for line in running.warnings())
    assert running.review.running.state is not JobState.RUNNING
    assert running.state.answers == {}
    assert running.viewer.layers["slide"].scale == pytest.approx((0.25, 0.25))
    finish(running, held)
    assert running.state.answers["dlcnbc-ws"].result.slide.path == other_slide


def a_second_run_cannot_be_started_by_hand_but_may_follow(running, held):
    buttons = running.dock.run.buttons
    assert not any(button.isEnabled() for button in buttons.values())
    running.qtbot.mouseClick(buttons["roi"], Qt.MouseButton.LeftButton)
    first = run_thread()
    running.click(running.dock.run.cancel_button)
    held.go_on.set()
    running.run("roi")
    assert not first.is_alive()
    assert list(running.dock.results.cards) == ["dlcnbc"]


def an_error_inside_the_workflow_is_one_message(running, held, error):
    before = running.errors()
    held.error = error
    running.until(lambda: running.review.running.state is JobState.FAILED)
    (told,) = running.errors()[len(before) :]
    assert type(error).__name__ in told
    assert str(error) in running.banner()
    assert running.banner() == told
    assert "Failed" in running.dock.run.status.shown_text()
    held.error = None
    finish(running, held)


def test_the_window_closed_while_a_slide_is_opening(hands, tissue_slide, monkeypatch):
    opening = Stoppable(steps.open_for_review)
    monkeypatch.setattr(steps, "open_for_review", opening)
    hands.drop(tissue_slide)
    hands.until(opening.begun.is_set)
    assert hands.dock.slide_card.title.shown_text() == f"Opening {tissue_slide.name} …"
    hands.close_window()
    hands.until(opening.closed.is_set)


def test_the_window_closed_while_the_mask_is_edited(hands, tissue_slide, monkeypatch):
    """The canvas goes first, so nothing may be drawn on it any more."""
    said = []
    monkeypatch.setattr(logging.getLogger("vispy"), "handle", said.append)
    hands.open(tissue_slide)
    hands.draw([(600, 500), (1500, 500), (1500, 1300), (600, 1300)])
    hands.click(hands.dock.map.mask_edit_button)
    assert hands.viewer.layers.selection.active is hands.review.scene.mask.layer
    canvas = hands.viewer.window._qt_viewer.canvas._scene_canvas
    hands.until(lambda: not canvas._update_pending)  # else it takes no further update
    hands.close_window()
    assert [record.getMessage() for record in said] == []


def a_second_slide_while_the_first_is_opening(hands, tissue_slide, other_slide, monkeypatch):
    opening = Stoppable(steps.open_for_review)
    monkeypatch.setattr(steps, "open_for_review", opening)
    hands.drop(tissue_slide)
    hands.until(opening.begun.is_set)
    opening.go_on.set()
    hands.open(other_slide)
    assert hands.dock.slide_card.title.shown_text() == other_slide.name
    assert [layer.name for layer in hands.viewer.layers] == ["slide"]


def a_layer_of_ours_removed_during_a_run_harms_nothing(running, held, name):
    held.go_on.set()
    running.until(lambda: not running.review.running.is_running)
    if not running.dock.map.mask_box.isChecked():
        running.click(running.dock.map.mask_box)
    begin(running, held, "roi")
    remove_by_hand(running, name)
    held.go_on.set()
    running.until(lambda: not running.review.running.is_running)
    assert running.errors() == []
    assert "dlcnbc" in running.dock.results.cards
    assert "map" in running.viewer.layers  # of the run that came to its end
    if name == "tumour ROI":
        assert running.state.regions == ()
        assert "the ROI" in why_stale(running.state, "dlcnbc")
    finish(running, held)


def the_slide_removed_during_a_run_cancels_it(running, held, tissue_slide):
    thread = run_thread()
    remove_by_hand(running, "slide")
    running.until(lambda: not thread.is_alive())
    assert running.state.slide is None
    assert any("removed" in line for line in running.warnings())
    assert list(running.viewer.layers) == []
    assert not running.dock.run.buttons["whole-slide"].isEnabled()
    running.open(tissue_slide)
    finish(running, held)


def remove_by_hand(hands, name: str) -> None:
    """Select a layer and press napari's key that deletes it."""
    hands.viewer.layers.selection = {hands.viewer.layers[name]}
    view = hands.viewer.window._qt_viewer.layers
    view.setFocus()
    hands.qtbot.keyClick(view, Qt.Key.Key_Delete)
    if name in hands.viewer.layers:  # the list is hidden: the button below it
        hands.viewer.layers.remove_selected()
    assert name not in hands.viewer.layers


def many_hasty_starts_and_cancels_leave_one_result(hands):
    FeatureCache().clear()
    for _ in range(5):
        hands.start("whole-slide")
        hands.click(hands.dock.run.cancel_button)
    hands.run("whole-slide")
    assert len(hands.state.answers) == 1


def the_same_slide_on_another_drive_keeps_what_was_typed(hands, tissue_slide, tmp_path):
    hands.open(tissue_slide)
    hands.fill_patient(age="61")
    copy = tmp_path / "copy.tif"
    shutil.copy(tissue_slide, copy)
    hands.open(copy)
    assert hands.state.clinical.age_years == 61


@pytest.mark.slow
def test_two_windows_run_side_by_side(make_dock, qtbot, tissue_slide, ws_bundle):
    both = [Hands(make_dock(), qtbot) for _ in range(2)]
    for hands in both:
        hands.open(tissue_slide)
        hands.load(ws_bundle) if not hands.state.bundles else None
        hands.fill_patient()
        hands.start("whole-slide")
    for hands in both:
        hands.until(lambda hands=hands: "dlcnbc-ws" in hands.dock.results.cards)
    first, second = (hands.state.answers["dlcnbc-ws"].record.probabilities for hands in both)
    assert first == second
