"""A review saved, killed or moved is found again as it was; all by mouse and keys."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import shapely
from kept_review import assert_same_numbers, numbers_of, picture_of
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit

from napari_aln.store.autosave import autosave_folder, recoverable

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the system's own file dialog takes no keys of ours"
)

LASSO = [(900, 700), (1900, 700), (1900, 1300), (900, 1300)]


@pytest.fixture
def place(tmp_path, tissue_slide, ws_bundle, roi_bundle):
    folder = tmp_path / "reading room"
    folder.mkdir()
    for source, name in (
        (tissue_slide, "Doe 1950.tif"),
        (ws_bundle, "ws.alnmodel"),
        (roi_bundle, "roi.alnmodel"),
    ):
        shutil.copy(source, folder / name)
    return folder


def reviewed(hands, place):
    """Do what a reader does before the session is saved: the ROI and a value changed after the runs."""
    hands.open(place / "Doe 1950.tif")
    hands.load(place / "ws.alnmodel", place / "roi.alnmodel")
    hands.fill_patient(size="2.345678901")
    hands.run("whole-slide")
    hands.draw(LASSO)
    hands.run("roi")
    hands.write(hands.part(QLineEdit, "clinical_age"), "61")
    hands.until(lambda: all(hands.state.live.values()))
    spin = hands.dock.map.threshold_slider
    hands.click(spin)
    for key in (Qt.Key.Key_Home, Qt.Key.Key_PageUp):
        hands.qtbot.keyClick(spin, key)
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_Period)
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)  # split
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_2, Qt.KeyboardModifier.AltModifier)


@pytest.mark.slow
def test_a_saved_session_brings_everything_back(windows, place):
    hands = windows()
    assert not hands.dock.slide_card.save_session_button.isEnabled()
    reviewed(hands, place)
    numbers, before = numbers_of(hands), picture_of(hands)
    hands.click(hands.dock.slide_card.save_session_button)
    file = place / "s.alnsession"
    hands.answer_file_dialog(place / "s")
    hands.until(lambda: "Saved s.alnsession." in hands.banner())
    assert file.exists()

    hands = windows()  # the first was closed: nothing is left to recover
    assert recoverable(autosave_folder()) == ()
    assert not hands.dock.recovery.isVisible()
    hands.drop(file)
    hands.until(lambda: "as it was saved" in hands.banner())
    assert_same_numbers(numbers_of(hands), numbers)
    after = picture_of(hands)
    assert after == before
    assert after["window"]["split"]
    assert hands.errors() == []
    assert not hands.review.running.is_running
    assert hands.dock.clinical.clinical() == hands.state.clinical  # every digit is in the form
    assert not hands.dock.roi.undo_button.isEnabled()
    age = hands.part(QLineEdit, "clinical_age")
    hands.write(age, "44")  # asked again from the cache: no run
    hands.until(
        lambda: all(hands.state.record_of(run).clinical["age_years"] == 44 for run in hands.state.answers)
    )
    assert_same_numbers(numbers_of(hands), numbers)  # what is stored stays

    # The slide is renamed and one model is gone: both are said, the rest is there.
    (place / "Doe 1950.tif").rename(place / "moved.tif")
    (place / "ws.alnmodel").unlink()
    hands.click(hands.dock.slide_card.open_session_button)
    hands.answer_file_dialog(file)
    hands.until(lambda: hands.dock.moved.isVisible())
    assert "Doe 1950.tif does not exist" in hands.dock.moved.text.shown_text()
    assert str(place) not in " ".join([hands.dock.moved.text.shown_text(), *hands.log()])
    assert len(hands.state.answers) == 2  # what was open stays open
    hands.click(hands.dock.moved.button("find"))
    hands.answer_file_dialog(place / "moved.tif")
    hands.until(lambda: "not restored whole" in hands.banner())
    assert "is no longer where it was" in hands.banner()
    assert list(hands.state.answers) == ["dlcnbc"]
    assert picture_of(hands)["regions"] == before["regions"]
    assert picture_of(hands)["camera"] == before["camera"]

    damaged = place / "damaged.alnsession"
    damaged.write_bytes(file.read_bytes()[:1000])
    hands.drop(damaged)
    hands.until(lambda: "damaged.alnsession is no whole session" in hands.banner())
    assert list(hands.state.answers) == ["dlcnbc"]


PROGRAM = """
import os, signal, sys
from pathlib import Path
from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit
sys.path.insert(0, sys.argv[3])
from window_hands import Hands
from napari_aln.widgets.window import dock_of, open_window, run

class OwnHands(Hands):
    def until(self, condition):
        while not condition():
            QApplication.processEvents()

viewer = open_window([Path(sys.argv[1]), Path(sys.argv[2])])
hands = OwnHands(dock_of(viewer), QTest)

def work():
    hands.until(lambda: hands.state.seen is not None and hands.state.regions)
    hands.write(hands.part(QLineEdit, "clinical_age"), "61")
    hands.draw([(2200, 1600), (2600, 1600), (2600, 2000), (2200, 2000)])
    hands.click(hands.dock.roi.tools["polygon"])
    for corner in ((200, 1600), (600, 1600), (600, 2000)):  # never ended
        hands.click_slide(*corner)
    QTimer.singleShot(5000, die)

def die():
    hands.write(hands.part(QLineEdit, "clinical_age"), "62")  # lost: younger than the last write
    os.kill(os.getpid(), signal.SIGKILL)

QTimer.singleShot(0, work)
run()
"""


def kill_one(slide, annotations):
    arguments = [str(slide), str(annotations), str(Path(__file__).parent)]
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, *arguments]
    ended = subprocess.run(command, capture_output=True, timeout=300, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.slow
def test_a_killed_window_is_offered_again_with_what_was_just_drawn(windows, place, roi_file):
    kill_one(place / "Doe 1950.tif", roi_file)
    (left,) = recoverable(autosave_folder())
    assert "Doe" not in left.name
    second = autosave_folder() / "open-1-1-0badcafe.alnsession"  # another one, older
    raw = json.loads(left.read_text())
    raw["saved_at"], raw["hide_names"] = "2026-01-02T03:04:05+00:00", True
    second.write_text(json.dumps(raw))
    os.utime(second, (1e9, 1e9))

    hands = windows()
    bar = hands.dock.recovery
    hands.until(bar.isVisible)
    assert "The review of Doe 1950.tif from 20" in bar.text.shown_text()
    hands.click(bar.button("restore"))
    hands.until(lambda: "as it was saved" in hands.banner())
    assert hands.state.clinical.age_years == 61
    whole, half = (
        shapely.box(2200, 1600, 2600, 2000),
        shapely.Polygon([(200, 1600), (600, 1600), (600, 2000)]),
    )
    for drawn in (shapely.box(700, 500, 2100, 1500), whole, half):  # the last had no end yet
        (found,) = (r.geometry for r in hands.state.regions if r.geometry.intersects(drawn))
        assert found.intersection(drawn).area > 0.9 * found.union(drawn).area
    assert len(hands.state.regions) == 3
    assert hands.is_open(place / "Doe 1950.tif")
    hands.until(lambda: not left.exists() and not hands.dock.keeping.writing.is_running)
    assert recoverable(autosave_folder()) == (second,)  # the restored one is this window's own now

    hands = windows()  # closed as it should be: only the other one is left
    bar = hands.dock.recovery
    hands.until(bar.isVisible)
    shown = bar.text.shown_text()
    assert "Doe" not in shown
    assert "slide-" in shown
    assert "2026-01-02" in shown
    hands.click(bar.button("discard"))
    assert not bar.isVisible()
    assert recoverable(autosave_folder()) == ()

    # Closed without a session file, and still not lost: the slide's next opening offers it.
    hands.open(place / "Doe 1950.tif")
    again = hands.dock.left_off_bar
    hands.until(again.isVisible)
    assert hands.state.regions == ()
    hands.click(again.button("restore"))
    hands.until(lambda: len(hands.state.regions) == 3)
    assert hands.state.clinical.age_years == 61
