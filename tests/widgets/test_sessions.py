"""A review saved, killed or moved is found again as it was; all by mouse and keys."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import shapely
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialogButtonBox, QLineEdit
from window_hands import Hands

from napari_aln.store.autosave import autosave_folder, recoverable

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the system's own file dialog takes no keys of ours"
)

LASSO = [(900, 700), (1900, 700), (1900, 1300), (900, 1300)]


def scores_of(hands):
    return {
        run: (answer.record, {name: getattr(answer.scores, name) for name in FIELDS})
        for run, answer in hands.state.answers.items()
    }


FIELDS = ("attention_slide", "attention_bag", "contribution", "probability", "entropy")


def same_numbers(one, other):
    assert one.keys() == other.keys()
    for run, (record, values) in one.items():
        assert record == other[run][0]
        for name, numbers in values.items():
            np.testing.assert_array_equal(numbers, other[run][1][name])


def picture(hands):
    """Return everything else that must come back."""
    state, scene = hands.state, hands.review.scene
    return {
        "mpp": state.slide.info.mpp,
        "regions": [(shapely.to_wkb(r.geometry), r.name, r.classification) for r in state.regions],
        "clinical": state.clinical,
        "settings": state.settings,
        "chosen": [state.bundles[key].sha256 for key in state.chosen.values()],
        "map": (state.shown, state.scaling, state.threshold, state.colour_map, state.difference),
        "look": (scene.map.visible, scene.map.opacity),
        "camera": scene.camera(),
        "live": {run: state.record_of(run).probabilities for run in state.answers},
        "stale": {run: state.why_stale(run) for run in state.answers},
        "window": hands.dock.window_look.now(),
    }


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


@pytest.fixture
def again(make_dock, qtbot):
    """Return an opener of windows: each closes the one before."""
    opened = []

    def next_window():
        if opened:
            opened.pop().close_window()
        opened.append(Hands(make_dock(), qtbot))
        return opened[0]

    return next_window


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


def test_a_saved_session_brings_everything_back(again, place):
    hands = again()
    assert not hands.dock.slide_card.save_session_button.isEnabled()
    reviewed(hands, place)
    numbers, before = scores_of(hands), picture(hands)
    hands.click(hands.dock.slide_card.save_session_button)
    file = place / "s.alnsession"
    hands.answer_file_dialog(place / "s", QDialogButtonBox.StandardButton.Save)
    hands.until(lambda: "Saved s.alnsession." in hands.banner())
    assert file.exists()

    hands = again()  # the first was closed: nothing is left to recover
    assert recoverable(autosave_folder()) == ()
    assert not hands.dock.recovery.isVisible()
    hands.drop(file)
    hands.until(lambda: "as it was saved" in hands.banner())
    same_numbers(scores_of(hands), numbers)
    after = picture(hands)
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
    same_numbers(scores_of(hands), numbers)  # what is stored stays

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
    assert picture(hands)["regions"] == before["regions"]
    assert picture(hands)["camera"] == before["camera"]

    damaged = place / "damaged.alnsession"
    damaged.write_bytes(file.read_bytes()[:1000])
    hands.drop(damaged)
    hands.until(lambda: "damaged.alnsession is no whole session" in hands.banner())
    assert list(hands.state.answers) == ["dlcnbc"]


PROGRAM = """
import os, signal, sys
from pathlib import Path
from qtpy.QtCore import QTimer
from napari_aln.widgets.window import dock_of, open_window, run

slide, annotations = Path(sys.argv[1]), Path(sys.argv[2])
viewer = open_window([slide, annotations])
dock = dock_of(viewer)
state, keeping = dock.review.state, dock.keeping
changed = []

def look():
    if state.seen is not None and state.regions and not changed:
        dock.clinical._age.line.setText("61")
        changed.append(True)
        QTimer.singleShot(5000, die)

def die():
    dock.clinical._age.line.setText("62")  # lost: younger than the last write
    os.kill(os.getpid(), signal.SIGKILL)

timer = QTimer()
timer.timeout.connect(look)
timer.start(50)
run()
"""


def kill_one(slide, annotations):
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(slide), str(annotations)]
    ended = subprocess.run(command, capture_output=True, timeout=300, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def test_a_killed_window_is_offered_again(again, place, roi_file):
    kill_one(place / "Doe 1950.tif", roi_file)
    (left,) = recoverable(autosave_folder())
    assert "Doe" not in left.name
    second = autosave_folder() / "open-1-1-0badcafe.alnsession"  # another one, older
    raw = json.loads(left.read_text())
    raw["saved_at"], raw["hide_names"] = "2026-01-02T03:04:05+00:00", True
    second.write_text(json.dumps(raw))
    os.utime(second, (1e9, 1e9))

    hands = again()
    bar = hands.dock.recovery
    hands.until(bar.isVisible)
    assert "The review of Doe 1950.tif from 20" in bar.text.shown_text()
    hands.click(bar.button("restore"))
    hands.until(lambda: "as it was saved" in hands.banner())
    assert hands.state.clinical.age_years == 61
    assert len(hands.state.regions) == 1
    assert hands.is_open(place / "Doe 1950.tif")
    hands.until(lambda: not left.exists() and not hands.dock.keeping.writing.is_running)
    assert recoverable(autosave_folder()) == (second,)  # the restored one is this window's own now

    hands = again()  # closed as it should be: only the other one is left
    bar = hands.dock.recovery
    hands.until(bar.isVisible)
    shown = bar.text.shown_text()
    assert "Doe" not in shown
    assert "slide-" in shown
    assert "2026-01-02" in shown
    hands.click(bar.button("discard"))
    assert not bar.isVisible()
    assert recoverable(autosave_folder()) == ()
