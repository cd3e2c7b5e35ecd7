"""A finished review saved from the window: one folder for both runs, which names the slide's file nowhere."""

import sys

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QFileDialog, QLineEdit

from napari_aln.store.result import RESULT_JSON, read_document

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the system's own file dialog takes no keys of ours"
)


def pick_folder(hands, folder):
    hands.click(hands.dock.results.save_button)
    hands.until(lambda: any(d.isVisible() for d in hands.dock.findChildren(QFileDialog)))
    dialog = next(d for d in hands.dock.findChildren(QFileDialog) if d.isVisible())
    line = dialog.findChild(QLineEdit, "fileNameEdit")
    QApplication.clipboard().setText(str(folder))
    hands.qtbot.keyClick(line, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    hands.qtbot.keyClick(line, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    accept = dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Open)
    hands.qtbot.mouseClick(accept, hands.left)
    assert not dialog.isVisible()


def test_both_runs_are_saved_as_one_result(hands, tissue_slide, ws_bundle, roi_bundle, roi_file, tmp_path):
    assert not hands.dock.results.save_button.isVisible()
    hands.open(tissue_slide)
    hands.load(ws_bundle, roi_bundle)
    hands.fill_patient()
    hands.run("whole-slide")
    hands.drop(roi_file)
    hands.until(lambda: len(hands.state.regions) == 1)
    hands.run("roi")
    out = tmp_path / "out"
    out.mkdir()
    pick_folder(hands, out)
    hands.until(lambda: "report.html" in hands.dock.results.saved_note.shown_text())
    (place,) = out.iterdir()
    assert place.name.startswith("slide-")
    assert {run.run for run in read_document(place).runs} == {"dlcnbc", "dlcnbc-ws"}
    assert tissue_slide.stem not in (place / "report.html").read_text(encoding="utf-8")
    assert place.name in hands.dock.results.saved_note.shown_text()
    assert hands.errors() == []

    before = (place / RESULT_JSON).read_bytes()
    place.rename(out / "moved")
    place.mkdir()
    (place / "another's.txt").write_text("kept")
    pick_folder(hands, out)
    hands.until(lambda: hands.errors() != [])  # a folder of somebody else's is not overwritten
    assert (place / "another's.txt").read_text() == "kept"
    assert (out / "moved" / RESULT_JSON).read_bytes() == before
    assert hands.dock.results.save_button.isEnabled()
