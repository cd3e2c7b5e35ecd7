"""What a run would answer now stands beside its stored result: asked again at once, missing patches read."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import shapely
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QLineEdit
from shapely import box
from tests_shared import drain, draw_tissue, write_slide

from napari_aln import open_slide
from napari_aln.errors import SlideError
from napari_aln.records import Progress
from napari_aln.settings.patches import PatchSettings
from napari_aln.settings.prediction import PredictSettings
from napari_aln.widgets.state import SET_ASIDE, ReviewState
from napari_aln.workflows.predict import predict_slide
from napari_aln.workflows.review import steps
from napari_aln.workflows.slide.prepare import survey

SMALL = box(768, 512, 1536, 1280)


class Held:
    """Stands in for the reading of missing patches until it is let go on."""

    def __init__(self, work) -> None:
        self.work = work
        self.begun, self.closed, self.go_on = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, *args):
        try:
            while not self.go_on.wait(0.02):
                self.begun.set()
                yield Progress("extract", 1, 6, 5.0)
            return (yield from self.work(*args))
        finally:
            self.closed.set()


@pytest.fixture
def held(monkeypatch):
    held = Held(steps.extract_for)
    monkeypatch.setattr(steps, "extract_for", held)
    return held


@pytest.fixture
def small_roi(tmp_path):
    path = tmp_path / "small.geojson"
    path.write_text(shapely.to_geojson(SMALL))
    return path


@pytest.fixture
def prepared(hands, tissue_slide, small_roi):
    """Return hands at a slide with a small ROI and a patient."""
    hands.open(tissue_slide)
    hands.import_roi(small_roi)
    hands.fill_patient()
    return hands


@pytest.fixture
def answered(prepared, roi_bundle):
    """Return hands after a run inside the ROI."""
    prepared.load(roi_bundle)
    prepared.run("roi")
    return prepared


def now(hands, run: str = "dlcnbc") -> str:
    """Return what stands beside a stored result."""
    return hands.dock.results.cards[run].live_note.shown_text()


def assert_as_a_new_run(hands, kind: str) -> None:
    """Compare a live answer with a new run of the question on the screen, bit for bit."""
    with open_slide(hands.state.slide.info.path) as slide:
        result = drain(predict_slide(slide, hands.state.request(kind, None), survey(slide)))
    (record,) = result.runs
    live = hands.state.live[record.run].run
    assert live.record.probabilities == record.probabilities
    assert live.record.bag_probabilities == record.bag_probabilities
    assert live.record.n_patches == record.n_patches
    for column in ("attention_logit", "attention_slide", "contribution", "probability"):
        expected = getattr(result.scores[record.run], column)
        np.testing.assert_array_equal(getattr(live.scores, column), expected)
    assert f"Now {record.classes[-1]} {record.probabilities[record.classes[-1]]:.3f}" in now(
        hands, record.run
    )


def test_all_windows_use_the_networks_that_one_made_ready():
    one, other = ReviewState(), ReviewState()
    assert one.request("roi", None).networks is other.request("roi", None).networks


def thread():
    return next((t for t in threading.enumerate() if t.name.startswith("aln-what-if")), None)


def test_another_age_is_answered_at_once_and_the_first_one_ends_it(prepared, roi_bundle, ws_bundle):
    hands = prepared
    hands.load(roi_bundle, ws_bundle)
    hands.run("roi")
    hands.run("whole-slide")
    stored, shown = dict(hands.state.answers), hands.shown_probabilities()
    age = hands.part(QLineEdit, "clinical_age")
    hands.write(age, "38")
    for kind in ("roi", "whole-slide"):
        assert_as_a_new_run(hands, kind)
    assert hands.state.answers == stored
    assert hands.shown_probabilities() == shown
    hands.write(age, "abc")
    for run in stored:
        assert "Now" not in now(hands, run)
        assert now(hands, run) == hands.state.clinical_problem
    hands.write(age, "52")
    assert [now(hands, run) for run in stored] == ["", ""]
    assert hands.errors() == []


def test_an_outline_is_changed_by_points_and_by_drawing(answered, held, monkeypatch):
    held.go_on.set()
    a_point_is_dragged_and_each_place_of_it_is_answered(answered)
    with_many_patches_the_answer_follows_the_outline(answered, monkeypatch)
    held.go_on.clear()
    a_larger_region_waits_for_its_patches_which_are_read_beside(answered, held)
    why_patches_could_not_be_read_is_said_until_something_changes(answered, monkeypatch)


def a_larger_region_waits_for_its_patches_which_are_read_beside(answered, held):
    hands = answered
    stored, shown = hands.state.answers["dlcnbc"], hands.shown_probabilities()
    n_before = stored.record.n_patches
    assert hands.dock.roi.summary.shown_text().endswith(f", {n_before} patches")
    hands.draw([(1300, 500), (2150, 500), (2150, 1300), (1300, 1300)])
    n_pending = len(hands.state.live["dlcnbc"].pending)
    assert n_pending > 0
    assert f"{n_pending} patches are pending" in now(hands)
    assert hands.dock.roi.summary.shown_text().endswith(f", {n_before + n_pending} patches")
    hands.until(held.begun.is_set)
    assert f"{n_pending} patches are pending" in now(hands)
    held.go_on.set()
    hands.until(lambda: "pending" not in now(hands))
    assert_as_a_new_run(hands, "roi")
    assert hands.state.answers == {"dlcnbc": stored}
    assert hands.shown_probabilities() == shown
    while hands.dock.roi.undo_button.isEnabled() and now(hands):
        hands.click(hands.dock.roi.undo_button)
    assert hands.state.regions[0].geometry.equals(SMALL)
    assert now(hands) == ""
    assert hands.errors() == []


def why_patches_could_not_be_read_is_said_until_something_changes(answered, monkeypatch):
    hands, read = answered, steps.extract_for
    path = hands.state.slide.info.path

    def broken(*_args):
        yield Progress("extract", 1, 6, 5.0)
        raise SlideError(f"{path}: tile 7 cannot be decoded.", "Copy the slide again.")

    monkeypatch.setattr(steps, "extract_for", broken)
    hands.draw([(900, 1100), (1400, 1100), (1400, 1650), (900, 1650)])
    n_pending = len(hands.state.live["dlcnbc"].pending)
    hands.until(lambda: "failed" in now(hands))
    assert f"{n_pending} patches are missing, reading them failed: {path.name}: tile 7" in now(hands)
    assert str(path.parent) not in now(hands)
    assert "being read" not in now(hands)
    assert "tile 7 cannot be decoded" in hands.errors()[-1]
    assert len(hands.errors()) == 1
    monkeypatch.setattr(steps, "extract_for", read)
    hands.write(hands.part(QLineEdit, "clinical_age"), "38")
    hands.until(lambda: "pending" not in now(hands) and "failed" not in now(hands))
    assert_as_a_new_run(hands, "roi")


def a_point_is_dragged_and_each_place_of_it_is_answered(answered):
    hands = answered
    hands.click(hands.dock.roi.tools["vertices"])
    told = [now(hands) for _ in hands.dragging((1536, 1280), (1000, 800))]
    assert all(text.startswith("Now ") for text in told)
    assert len(set(told)) > 1
    assert_as_a_new_run(hands, "roi")
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert hands.state.regions[0].geometry.equals(SMALL)
    assert now(hands) == ""
    hands.click(hands.dock.roi.tools["vertices"])  # put away


def with_many_patches_the_answer_follows_the_outline(answered, monkeypatch):
    hands = answered
    hands.click(hands.dock.roi.tools["vertices"])
    corner = tuple(shapely.get_coordinates(hands.state.roi[0].geometry)[0])
    told = []
    hands.state.live_changed.connect(lambda: told.append(hands.state.roi))
    with monkeypatch.context() as patch:
        patch.setattr("napari_aln.widgets.live.AT_ONCE", 0)
        for _ in hands.dragging(corner, (corner[0] + 200, corner[1] + 150), steps=8):
            pass
        dragged = hands.state.roi
        hands.until(lambda: told and told[-1] is dragged)
    assert len(told) < 8
    assert_as_a_new_run(hands, "roi")
    assert hands.errors() == []
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert hands.state.regions[0].geometry.equals(SMALL)


@pytest.mark.parametrize("why", ["bag", "reference"])
def test_where_nothing_can_be_kept_the_card_says_why(prepared, make_bundle, roi_bundle, why):
    hands = prepared
    if why == "reference":
        hands.state.set_settings(PredictSettings(patches=PatchSettings(roi_patching="reference")))
        hands.load(roi_bundle)
    else:
        hands.load(make_bundle("dlcnbc", seed=2, norm_statistics="bag", encoder="resnet18"))
    hands.run("roi")
    assert now(hands) == ""
    hands.write(hands.part(QLineEdit, "clinical_age"), "38")
    assert now(hands).startswith("No live what-if")
    assert hands.state.live == {"dlcnbc": None}
    hands.write(hands.part(QLineEdit, "clinical_age"), "52")
    assert now(hands) == ""


@pytest.mark.slow
def test_another_slide_while_patches_are_read_leaves_nothing(answered, held, tmp_path):
    hands = answered
    hands.draw([(1300, 500), (2150, 500), (2150, 1300), (1300, 1300)])
    hands.until(held.begun.is_set)
    worker = thread()
    hands.open(write_slide(tmp_path / "other.tif", draw_tissue(np.random.default_rng(4))))
    hands.until(lambda: not worker.is_alive())
    assert held.closed.is_set()
    assert hands.state.live == {}
    assert hands.dock.results.cards == {}
    assert hands.errors() == []


def test_closing_the_window_while_patches_are_read_ends_it(answered, held):
    hands = answered
    hands.draw([(1300, 500), (2150, 500), (2150, 1300), (1300, 1300)])
    hands.until(held.begun.is_set)
    worker = thread()
    hands.close_window()
    hands.until(lambda: not worker.is_alive())
    assert held.closed.is_set()


def tick(hands, place: int) -> None:
    """Click the box of a region in the list."""
    regions = hands.dock.roi.regions
    row = regions.visualItemRect(regions.item(place))
    at = row.topLeft() + QPoint(row.height() // 2, row.height() // 2)
    hands.qtbot.mouseClick(regions.viewport(), Qt.MouseButton.LeftButton, pos=at)


@pytest.mark.slow
def test_a_region_is_set_aside_and_taken_in_again_and_both_are_answered(answered):
    hands, roi = answered, answered.dock.roi
    assert not roi.regions.isVisible()  # one region
    hands.draw([(1700, 500), (2150, 500), (2150, 1300), (1700, 1300)])
    hands.until(lambda: "Now" in now(hands) and "pending" not in now(hands))
    with_both = hands.state.live["dlcnbc"].run.record
    both = hands.state.regions
    assert roi.regions.isVisible()
    assert [roi.regions.item(k).text()[:11] for k in (0, 1)] == ["Region 1 · ", "Region 2 · "]

    tick(hands, 0)
    assert [region.in_use for region in hands.state.regions] == [False, True]
    assert roi.summary.shown_text().startswith("1 of 2 regions, ")
    assert_as_a_new_run(hands, "roi")
    assert hands.state.live["dlcnbc"].run.record.n_patches < with_both.n_patches
    colours = hands.viewer.layers["tumour ROI"].edge_color
    assert not np.array_equal(colours[0], colours[1])
    # What is drawn over it leaves it alone.
    hands.draw([(760, 500), (1000, 500), (1000, 700), (760, 700)])
    assert hands.state.regions[0].geometry.equals(both[0].geometry)
    assert len(hands.state.regions) == 3
    hands.click(roi.undo_button)

    tick(hands, 1)
    assert roi.summary.shown_text().startswith("0 of 2 regions")
    assert hands.state.why_not("roi") == SET_ASIDE
    assert "Now" not in now(hands)
    for _ in range(2):
        hands.click(roi.undo_button)
    assert hands.state.regions == both
    assert hands.state.live["dlcnbc"].run.record.probabilities == with_both.probabilities
    assert np.ptp(hands.viewer.layers["tumour ROI"].edge_color, axis=0).max() == 0
    assert hands.errors() == []
