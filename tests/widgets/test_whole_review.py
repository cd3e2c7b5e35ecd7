"""A whole review by mouse and keys alone: from the work list to the report, and the session reopened."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import shapely
from gallery_hands import GalleryHands
from kept_review import assert_same_numbers, numbers_of, picture_of
from list_hands import ListHands
from napari.qt import QtViewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QLineEdit, QPushButton
from window_hands import real

from napari_aln.records import RESEARCH_NOTICE
from napari_aln.store.result import read_document
from napari_aln.widgets.panels.labels import length_text
from napari_aln.workflows.demo import BUNDLES, SLIDE, sample_path

if TYPE_CHECKING:
    from pathlib import Path

    from window_hands import Hands

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the system's own file dialog takes no keys of ours"
)

SHIFT, ALT = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier
RUNS = ("dlcnbc-ws", "dlcnbc")


@dataclass(frozen=True)
class Case:
    """A slide, the models for it, and where its tumour is taken to lie, in level-0 pixels."""

    slide: Path
    bundles: list[Path]
    outline_l0_xy: list[tuple[float, float]]
    opened_by_key: bool


@pytest.fixture(params=["demo slide", "real slide"])
def case(request):
    if request.param == "demo slide":
        outline = [(250, 1700), (1800, 1700), (1800, 4250), (250, 4250)]
        return Case(sample_path(SLIDE), [sample_path(name) for name in BUNDLES], outline, opened_by_key=False)
    bundles = [request.getfixturevalue(name) for name in ("ws_bundle", "roi_bundle")]
    outline = [(400, 400), (1800, 400), (1800, 2500), (400, 2500)]
    return Case(real("slides/CMU-1-Small-Region.svs"), bundles, outline, opened_by_key=True)


@pytest.mark.slow
def test_a_review_from_the_work_list_to_the_report_and_back(windows, case, tmp_path):
    hands = windows()
    own = make_list(hands, case, tmp_path / "study.alnlist")
    run_both(hands, case)
    compare_both(hands)
    ask_what_if(hands)
    look_at_patches(hands)
    measure(hands, case)
    call(own)
    place = save_result(hands, tmp_path)
    assert_is_reported(place, hands, case)
    reopen(hands, windows, tmp_path / "reviewed.alnsession", tmp_path / "study.alnlist")


def make_list(hands: Hands, case: Case, path: Path) -> ListHands:
    own = ListHands(hands)
    own.make(path, blinded=False)
    hands.until(path.exists)
    own.name_reader("r1")
    own.press("list_add_files")
    hands.answer_file_dialog(case.slide)
    hands.until(lambda: len(own.rows()) == 1)
    if case.opened_by_key:
        hands.key(Qt.Key.Key_U, SHIFT)
        own.wait_open(case.slide)
    else:
        own.open_row(0, case.slide)
    assert own.rows()[0][1:4] == [case.slide.name, "", "open"]
    return own


def run_both(hands: Hands, case: Case) -> None:
    for number, bundle in enumerate(case.bundles, 1):
        hands.click(hands.dock.models.add_button)
        hands.answer_file_dialog(bundle)
        hands.until(lambda number=number: len(hands.state.bundles) == number)
    hands.fill_patient()
    hands.run("whole-slide")
    hands.draw(case.outline_l0_xy)
    drawn, outline = hands.state.regions[0].geometry, shapely.Polygon(case.outline_l0_xy)
    assert drawn.intersection(outline).area > 0.95 * drawn.union(outline).area  # where the mouse was
    hands.run("roi")
    assert list(hands.dock.results.cards) == list(RUNS)
    for card in hands.dock.results.cards.values():
        assert RESEARCH_NOTICE in hands.shown_texts(card)


def compare_both(hands: Hands) -> None:
    hands.until(hands.dock.sections["Comparison"].isVisible)
    whole, inside = (hands.state.answers[run].record.probabilities for run in RUNS)
    lines = compared(hands, "probability").replace("\N{MINUS SIGN}", "-").splitlines()
    told = {name: float(number) for name, number in (line.rsplit(" ", 1) for line in lines)}
    assert told == pytest.approx({name: inside[name] - whole[name] for name in inside}, abs=6e-4)
    for name in ("inside", "overlap", "correlation", "patches"):
        assert any(digit in compared(hands, name) for digit in "0123456789")

    hands.click(hands.part(QPushButton, "compare_difference"))
    layer = hands.viewer.layers["map"]
    assert layer.colormap.name == "PuOr_r"
    assert layer.contrast_limits[0] == -layer.contrast_limits[1]
    assert "difference" in hands.dock.map.quantity.shown_text().lower()
    hands.click(hands.part(QPushButton, "compare_difference"))

    hands.click(hands.part(QPushButton, "compare_split"))
    window = hands.viewer.window._qt_window
    hands.until(lambda: window.findChild(QtViewer, "split_view") is not None)
    other = window.findChild(QtViewer, "split_view").viewer
    assert other.layers["map"].contrast_limits == hands.viewer.layers["map"].contrast_limits
    assert np.isfinite(other.layers["map"].data).sum() != np.isfinite(hands.viewer.layers["map"].data).sum()
    hands.key(Qt.Key.Key_S, SHIFT)
    hands.until(lambda: window.findChild(QtViewer, "split_view") is None)


def compared(hands: Hands, name: str) -> str:
    return hands.part(QLabel, f"compare_{name}").shown_text()


def ask_what_if(hands: Hands) -> None:
    """Drag a vertex, then type another age: the live numbers follow, the stored ones stay."""
    stored, shown = dict(hands.state.answers), hands.shown_probabilities()
    outline = hands.state.regions[0].geometry
    corner = shapely.get_coordinates(outline)[0]
    inwards = corner + 0.6 * (np.array(outline.centroid.coords[0]) - corner)
    hands.click(hands.dock.roi.tools["vertices"])
    told = [now(hands, "dlcnbc") for _ in hands.dragging(corner, inwards)]
    hands.click(hands.dock.roi.tools["vertices"])
    assert hands.state.regions[0].geometry.area < 0.95 * outline.area
    assert all(text.startswith("Now ") for text in told)
    assert len(set(told)) > 1
    assert now(hands, "dlcnbc-ws") == ""  # the whole slide asks nothing of the ROI

    dragged = now(hands, "dlcnbc")
    hands.write(hands.part(QLineEdit, "clinical_age"), "38")
    assert all(now(hands, run).startswith("Now ") for run in RUNS)
    assert now(hands, "dlcnbc") != dragged
    assert hands.state.answers == stored
    assert hands.shown_probabilities() == shown
    hands.until(lambda: "Now" in hands.part(QLabel, "compare_live").shown_text())


def now(hands: Hands, run: str) -> str:
    return hands.dock.results.cards[run].live_note.shown_text()


def look_at_patches(hands: Hands) -> None:
    hands.key(Qt.Key.Key_G, SHIFT)
    tiles = GalleryHands(hands)
    hands.until(tiles.full)
    tiles.click("highest", 1)
    second = tiles.patches("highest")[1].l0_rect
    tiles.assert_looks_at(second)
    hotspots = hands.review.hotspots.found()
    hands.key(Qt.Key.Key_N, SHIFT)
    here = hotspots.index(second) + 1 if second in hotspots else 0
    tiles.assert_looks_at(hotspots[here % len(hotspots)])
    hands.key(Qt.Key.Key_P, SHIFT)
    tiles.assert_looks_at(hotspots[(here - 1) % len(hotspots)])


def measure(hands: Hands, case: Case) -> None:
    hands.key(Qt.Key.Key_0, ALT)  # the whole slide
    px_um = 1 / hands.viewer.scene.camera.zoom
    (x0, y0), (x1, y1) = case.outline_l0_xy[0], case.outline_l0_xy[2]
    mpp = hands.state.slide.info.mpp
    hands.key(Qt.Key.Key_M, SHIFT)
    hands.drag((x0, y0), (x1, y1))
    length_um = float(np.hypot((x1 - x0) * mpp.x, (y1 - y0) * mpp.y))
    told = hands.dock.navigation.measured_text.shown_text()
    number, unit = told.split()
    assert unit == length_text(length_um).split()[1]
    assert float(number) * {"µm": 1, "mm": 1000}[unit] == pytest.approx(length_um, abs=2 * px_um + 5)
    hands.key(Qt.Key.Key_Escape)
    assert not hands.part(QPushButton, "measure").isChecked()


def call(own: ListHands) -> None:
    own.call(1, "dense infiltrate", sure_percent=80)
    assert own.rows()[0][3:] == ["read", "N(+)"]
    (former,) = own.said("call_former")
    assert "N(+), 80 %, “dense infiltrate”, with the model's numbers known" in former


def save_result(hands: Hands, folder: Path) -> Path:
    out = folder / "results"
    out.mkdir()
    hands.click(hands.dock.results.save_button)
    hands.answer_file_dialog(out)
    hands.until(lambda: "report.html" in hands.dock.results.saved_note.shown_text())
    (place,) = out.iterdir()
    return place


def assert_is_reported(place: Path, hands: Hands, case: Case) -> None:
    """The folder holds the stored numbers, not what would be answered now, and no file name."""
    document = read_document(place)
    assert {run.run for run in document.runs} == set(RUNS)
    for run in document.runs:
        assert run.probabilities == hands.state.answers[run.run].record.probabilities
    report = (place / "report.html").read_text(encoding="utf-8")
    assert RESEARCH_NOTICE in report
    for run in RUNS:
        assert run.upper() in report
        for shown in hands.shown_probabilities()[run]:
            assert shown.split(" ")[0] in report
    assert case.slide.name not in report


def reopen(hands: Hands, windows, file: Path, work_list: Path) -> None:
    hands.click(hands.dock.slide_card.save_session_button)
    hands.answer_file_dialog(file)
    hands.until(lambda: f"Saved {file.name}." in hands.banner())
    assert hands.errors() == []
    slide, numbers, before, shown = (
        hands.state.slide.info,
        numbers_of(hands),
        picture_of(hands),
        hands.shown_probabilities(),
    )

    hands = windows()
    hands.click(hands.dock.slide_card.open_session_button)
    hands.answer_file_dialog(file)
    hands.until(lambda: "as it was saved" in hands.banner())
    assert hands.state.slide.info == slide
    assert_same_numbers(numbers_of(hands), numbers)
    assert hands.shown_probabilities() == shown
    hands.until(lambda: picture_of(hands) == before)
    assert all(now(hands, run).startswith("Now ") for run in RUNS)
    assert "map" in hands.viewer.layers
    own = hands.dock.side_docks.held("work_list").list
    assert own.work_list.path == work_list
    assert own.current.path == slide.path
    assert not hands.review.running.is_running
    assert hands.errors() == []
