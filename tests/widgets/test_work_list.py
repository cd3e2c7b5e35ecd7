"""The work list by mouse and keys: read blinded, call first, numbers after; and lists in trouble."""

import csv
import shutil
import sqlite3
import sys

import pytest
from list_hands import ListHands
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QLineEdit, QPushButton, QRadioButton

from napari_aln.records import RESEARCH_NOTICE
from napari_aln.store.worklist import WorkList
from napari_aln.store.worklist_records import NewSlide
from napari_aln.widgets.panels.labels import WarningNote
from napari_aln.workflows.demo import SLIDE, sample_path

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the system's own file dialog takes no keys of ours"
)

COHORT = """patient_id,slide,label,age_years,tumor_size_cm,er,pr,her2
007,{first},N(+),58,2.1,+,+,-
008,{second},N0,44,1.2,-,-,+
"""


@pytest.fixture
def folder(tmp_path, tissue_slide):
    """Return a folder with two slides, a file that is none, and a table of their patients."""
    place = tmp_path / "slides"
    place.mkdir()
    shutil.copy(tissue_slide, place / "a.tif")
    shutil.copy(sample_path(SLIDE), place / "b.tif")
    (place / "c.svs").write_bytes(b"no slide")
    (tmp_path / "cohort.csv").write_text(
        COHORT.format(first=place / "a.tif", second=place / "b.tif"), encoding="utf-8"
    )
    return place


def nothing_is_shown(hands):
    """Whether neither card nor map nor comparison nor a file to be saved says what a model said."""
    dock = hands.dock
    return (
        hands.state.answers == {}
        and dock.results.cards == {}
        and "map" not in hands.viewer.layers
        and not dock.results.save_button.isVisible()
        and dock.map.run_combo.count() == 0
        and not dock.sections["Comparison"].isVisible()
    )


@pytest.mark.slow
def test_a_blinded_list_is_read_call_first_and_exported(hands, folder, ws_bundle, tmp_path):
    own = ListHands(hands)
    own.make(tmp_path / "study", blinded=True)
    path = tmp_path / "study.alnlist"
    hands.until(path.exists)
    assert "blinded first read · 0 of 0 called" in own.said("list_title")[0]
    own.press("list_add_folder")
    hands.answer_file_dialog(folder)
    hands.until(lambda: len(own.rows()) == 3)
    hands.drop(tmp_path / "cohort.csv", onto=own.dock)
    hands.until(lambda: own.rows()[0][2] == "007")
    assert own.rows() == [
        ["1", "a.tif", "007", "new", ""],
        ["2", "b.tif", "008", "new", ""],
        ["3", "c.svs", "", "new", ""],
    ]
    assert hands.errors() == []

    own.open_row(0, folder / "a.tif")
    assert own.rows()[0][3] == "open"
    assert hands.part(QLineEdit, "clinical_age").text() == "58"
    assert own.said("call_hint") == ["Give your reader id above first."]
    own.name_reader("r1")
    hands.load(ws_bundle)
    hands.start("whole-slide")
    hands.until(lambda: not hands.review.running.is_running)
    note = hands.dock.findChild(WarningNote, "results_withheld")
    hands.until(note.isVisible)
    assert note.label.shown_text().startswith("1 run is done. Withheld until your call")
    assert nothing_is_shown(hands)
    assert hands.warnings() == []

    line = own.part(QLineEdit, "call_comment")
    line.setFocus()
    own.press("call_class_1", QRadioButton)
    line.setFocus()
    hands.qtbot.keyClick(line, Qt.Key.Key_Tab)
    assert own.dock.window().focusWidget() is own.part(QPushButton, "call_store")
    own.call(1, "dense")
    hands.until(lambda: "dlcnbc-ws" in hands.dock.results.cards)
    assert not note.isVisible()
    assert "map" in hands.viewer.layers
    assert own.rows()[0][3:] == ["read", "N(+)"]
    assert "N(+), “dense”" in own.said("call_former")[0]
    assert "numbers known" not in own.said("call_former")[0]
    own.call(0)
    assert [("numbers known" in line) for line in own.said("call_former")] == [True, False]

    # Another reader has not called yet: what is shown for the first is taken away.
    own.name_reader("r2")
    assert nothing_is_shown(hands)
    assert own.said("call_former") == []
    own.name_reader("r1")
    assert "dlcnbc-ws" in hands.dock.results.cards

    # The next one without a call, by key; its result waits, however the slide was opened.
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
    own.wait_open(folder / "b.tif")
    assert hands.part(QLineEdit, "clinical_age").text() == "44"
    hands.open(folder / "b.tif")
    hands.start("whole-slide")
    hands.until(lambda: not hands.review.running.is_running)
    assert nothing_is_shown(hands)
    own.call(0)
    hands.until(lambda: "dlcnbc-ws" in hands.dock.results.cards)

    # One colour scale for both slides.
    hands.dock.map.map_combo.setFocus()
    hands.qtbot.keyClick(hands.dock.map.map_combo, Qt.Key.Key_Home)
    own_limits = tuple(hands.viewer.layers["map"].contrast_limits)
    combo = hands.dock.map.scaling_combo
    hands.dock.reveal("Map")
    hands.click(combo)
    hands.qtbot.keyClick(combo.view(), Qt.Key.Key_End)
    hands.qtbot.keyClick(combo.view(), Qt.Key.Key_Return)
    hands.until(lambda: "fixed across 2 slides" in hands.dock.map.quantity.shown_text())
    layer = hands.viewer.layers["map"]
    on_b = tuple(layer.contrast_limits)
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_PageUp, Qt.KeyboardModifier.AltModifier)
    own.wait_open(folder / "a.tif")
    hands.run("whole-slide")
    hands.dock.map.map_combo.setFocus()
    hands.qtbot.keyClick(hands.dock.map.map_combo, Qt.Key.Key_Home)
    assert hands.state.shown == ("dlcnbc-ws", "attention_slide")
    assert tuple(hands.viewer.layers["map"].contrast_limits) == pytest.approx(on_b)
    hands.state.scale_by("unscaled")
    on_a = tuple(hands.viewer.layers["map"].contrast_limits)
    assert on_a != pytest.approx(own_limits)
    assert on_b == pytest.approx((min(on_a[0], own_limits[0]), max(on_a[1], own_limits[1])))

    # What cannot be opened says why and is no longer waited for.
    own.press("list_unread")
    hands.until(lambda: own.rows()[2][3] == "failed")
    assert hands.banner() != ""
    assert str(folder) not in hands.banner()

    own.press("list_export")
    hands.answer_file_dialog(tmp_path / "out.csv")
    hands.until((tmp_path / "out-cases.csv").exists)
    with (tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["rater"] for row in rows][:2] == ["reader r1, first read (blind)", "reader r1, final read"]
    assert rows[2]["rater"].startswith("model DLCNBC-WS, random dlcnbc-ws")
    assert (rows[0]["accuracy"], rows[1]["accuracy"]) == ("1.0", "0.5")
    assert rows[0]["notice"] == RESEARCH_NOTICE
    text = (tmp_path / "out-cases.csv").read_text(encoding="utf-8-sig")
    assert "dense" in text
    assert "a.tif" not in text
    assert len(hands.errors()) == 1


@pytest.mark.slow
def test_lists_in_trouble_and_slides_that_moved(hands, folder, ws_bundle, tmp_path):
    own = ListHands(hands)
    foreign, newer = tmp_path / "foreign.alnlist", tmp_path / "newer.alnlist"
    foreign.write_bytes(b"SQLite format 3 it is not")
    WorkList.create(newer).close()
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    hands.drop(folder, onto=own.dock)
    assert hands.banner().startswith("No work list is open.")
    for path, told in ((foreign, "foreign.alnlist is"), (newer, "newer.alnlist was written by a newer")):
        before = path.read_bytes()
        hands.drop(path)
        assert hands.banner().startswith(told)
        assert path.read_bytes() == before
        assert own.said("list_title")[0].startswith("A work list keeps slides")

    # Not blinded: numbers are shown at once, and the call says that they were known.
    path = tmp_path / "open.alnlist"
    with WorkList.create(path) as made:
        slides = [folder / "a.tif", folder / "b.tif"]
        made.add([NewSlide(slide, "P1") for slide in slides])
    hands.drop(path, onto=own.dock)
    hands.until(lambda: len(own.rows()) == 2)
    assert own.dock.window().focusWidget() is own.part(QLineEdit, "list_reader")
    hands.drop(foreign, onto=own.dock)
    assert own.said("list_title")[0].startswith("open.alnlist · not blinded")  # it stays open
    own.name_reader("r1")
    own.press("list_next")
    own.wait_open(folder / "a.tif")
    hands.load(ws_bundle)
    hands.fill_patient()
    hands.run("whole-slide")
    assert "1 of 2 slides" in own.said("patient_numbers")[0]

    # Another window writes: the call is not lost, and is stored once the file is free.
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    own.call(1, "kept")
    assert "open.alnlist is being written by another window" in hands.banner()
    assert str(tmp_path) not in hands.banner()
    assert own.rows()[0][4] == ""
    other.execute("COMMIT")
    other.close()
    own.press("call_store")
    assert own.rows()[0][4] == "N(+)"
    assert "“kept”, with the model's numbers known" in own.said("call_former")[0]

    # With hidden names nothing says which file or patient it is.
    hands.click(hands.part(QCheckBox, "slide_hide_names"))
    assert own.rows()[0][2] == "Patient 1"
    assert own.rows()[0][1].startswith("slide-")
    assert own.rows()[1][1] == "Slide 2"
    hands.click(hands.part(QCheckBox, "slide_hide_names"))

    # A slide that moved is found by what it holds.
    (folder / "a.tif").rename(tmp_path / "elsewhere.tif")
    hands.drop(path, onto=own.dock)
    hands.until(lambda: own.said("list_missing") == [] and own.part(QPushButton, "list_find").isVisible())
    own.press("list_find")
    hands.answer_file_dialog(tmp_path)
    hands.until(lambda: own.rows()[0][1] == "elsewhere.tif")
    hands.until(lambda: not own.dock.list.looking.is_running)
    assert not own.part(QPushButton, "list_find", shown=False).isVisible()
    with WorkList(path) as after:
        assert [call.comment for call in after.calls(1)] == ["kept"]
        assert after.results(1, "r1")[0].map_limits["probability"] == (0.0, 1.0)
