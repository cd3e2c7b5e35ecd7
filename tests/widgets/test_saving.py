"""A finished review saved from the window: one folder for both runs, which names the slide's file nowhere."""

import sys
from pathlib import Path

import pytest
from qtpy.QtGui import QDesktopServices

from napari_aln.store.result import RESULT_JSON, read_document

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the system's own file dialog takes no keys of ours"
)


def save_into(hands, folder):
    hands.click(hands.dock.results.save_button)
    hands.answer_file_dialog(folder)


def test_both_runs_are_saved_as_one_result(
    hands, tissue_slide, ws_bundle, roi_bundle, roi_file, tmp_path, monkeypatch
):
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
    save_into(hands, out)
    hands.until(lambda: "report.html" in hands.dock.results.saved_note.shown_text())
    (place,) = out.iterdir()
    assert place.name.startswith("slide-")
    assert {run.run for run in read_document(place).runs} == {"dlcnbc", "dlcnbc-ws"}
    assert tissue_slide.stem not in (place / "report.html").read_text(encoding="utf-8")
    assert place.name in hands.dock.results.saved_note.shown_text()
    assert hands.errors() == []

    shown = []
    monkeypatch.setattr(
        QDesktopServices, "openUrl", lambda url: shown.append(Path(url.toLocalFile())) or False
    )
    hands.click(hands.dock.results.report_button)
    assert shown == [place / "report.html"]
    assert "in a browser" in hands.dock.results.saved_note.shown_text()  # there was none to show it

    before = (place / RESULT_JSON).read_bytes()
    place.rename(out / "moved")
    place.mkdir()
    (place / "another's.txt").write_text("kept")
    save_into(hands, out)
    hands.until(lambda: hands.errors() != [])  # a folder of somebody else's is not overwritten
    assert (place / "another's.txt").read_text() == "kept"
    assert (out / "moved" / RESULT_JSON).read_bytes() == before
    assert hands.dock.results.save_button.isEnabled()
    assert not hands.dock.results.report_button.isVisible()

    hands.drop(out / "moved")  # a result is no slide
    hands.until(lambda: "moved is a result of this program, no slide" in hands.banner())
    assert hands.is_open(tissue_slide)
