"""Clinical values from a table: by the slide's name where it is an id, else chosen by a person."""

from __future__ import annotations

import numpy as np
import pytest
from bcnb_download import clinical_row, write_workbook
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QLineEdit
from tests_shared import draw_tissue, write_slide
from widget_records import all_texts

from napari_aln.records import Clinical
from napari_aln.widgets.panels.clinical_table_dialog import ClinicalTableDialog

PATIENTS = {f"{i:03}": Clinical(30.0 + i) for i in range(200)} | {"7": Clinical(61, 2.4, er=True, pr=False)}
TABLE = """patient_id,age_years,tumor_size_cm,er,pr,her2
007,61,2.4,+,-,
7,44,1.1,,,
8,570,2,+,+,-
"""


@pytest.fixture
def dialog(qtbot):
    dialog = ClinicalTableDialog("c.csv has no patient x.", PATIENTS, ["line 4: no.", "line 5: no."])
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)  # so that it can be looked at afterwards
    qtbot.addWidget(dialog)
    dialog.open()
    return dialog


def test_a_patient_is_searched_and_taken_only_when_chosen(dialog, qtbot):
    chosen = []
    dialog.patient_chosen.connect(chosen.append)
    assert not dialog.ok_button.isEnabled()
    assert "2 lines are left out: line 4" in all_texts(dialog)
    qtbot.keyClicks(dialog.search_line, "19")
    assert dialog.list.model().rowCount() == 12
    assert dialog.patient() is None  # none of them is 19 itself
    qtbot.keyClick(dialog, Qt.Key.Key_Return)
    assert dialog.isVisible()
    dialog.search_line.clear()
    qtbot.keyClicks(dialog.search_line, "7")
    assert dialog.patient() == "7"  # not 007, which it is a part of
    assert dialog.values.shown_text() == "61 years, 2.4 cm, ER +, PR −, HER2 unknown"
    place = dialog.list.visualRect(dialog.list.model().index(0, 0)).center()
    qtbot.mouseClick(dialog.list.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(20, place.y()))
    assert dialog.patient() == "007"
    assert "37 years, tumour size unknown" in dialog.values.shown_text()
    qtbot.keyClick(dialog, Qt.Key.Key_Return)
    assert chosen == ["007"]


def test_cancelled_nothing_is_taken(dialog, qtbot):
    qtbot.keyClicks(dialog.search_line, "7")
    with qtbot.assertNotEmitted(dialog.patient_chosen):
        qtbot.keyClick(dialog, Qt.Key.Key_Escape)


def open_dialog(hands):
    hands.until(lambda: any(d.isVisible() for d in hands.dock.findChildren(ClinicalTableDialog)))
    return next(d for d in hands.dock.findChildren(ClinicalTableDialog) if d.isVisible())


def test_values_of_a_table_in_the_window(hands, tmp_path):
    slides = [tmp_path / name for name in ("007.tif", "Doe.tif", "12.tif")]
    drawn = draw_tissue(np.random.default_rng(3))
    for i, slide in enumerate(slides):
        write_slide(slide, np.roll(drawn, 8 * i, axis=0))
    table = tmp_path / "cohort.csv"
    table.write_text(TABLE, encoding="utf-8")
    form, state = hands.dock.clinical, hands.state
    assert not form.patient_button.isVisible()
    hands.open(slides[0])
    hands.drop(table)
    hands.until(lambda: state.clinical == Clinical(61.0, 2.4, er=True, pr=False))
    assert form.clinical() == state.clinical
    assert form.source.shown_text() == "From cohort.csv, patient 007."
    assert any("line 4, column age_years: '570'" in line for line in hands.warnings())
    hands.write(hands.part(QLineEdit, "clinical_age"), "62")
    assert state.clinical.age_years == 62
    assert form.source.shown_text() == "From cohort.csv, patient 007; changed since."

    hands.open(slides[1])  # no patient of that name: nothing is taken, nothing pops up
    assert state.clinical == Clinical()
    assert form.source.shown_text() == "cohort.csv has no patient Doe: choose the patient."
    assert not hands.dock.findChildren(ClinicalTableDialog)
    hands.click(form.patient_button)
    dialog = open_dialog(hands)
    hands.qtbot.keyClicks(dialog.search_line, "7")
    hands.qtbot.mouseClick(dialog.ok_button, hands.left)
    assert state.clinical == Clinical(44.0, 1.1)
    assert form.source.shown_text() == "From cohort.csv, patient 7."
    hands.click(hands.dock.slide_card.hide_names_box)
    assert form.source.shown_text() == "From the table."

    hands.click(form.table_button)  # the BCNB workbook, whose columns are its own; names are hidden
    workbook = tmp_path / "patient-clinical-data.xlsx"
    write_workbook(workbook, clinical_row("12", 0), clinical_row("13", 3))
    hands.answer_file_dialog(workbook)
    dialog = open_dialog(hands)
    assert "Doe" not in all_texts(dialog)
    hands.qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert state.clinical == Clinical(44.0, 1.1)  # what was there stays until another is chosen
    hands.open(slides[2])
    assert state.clinical.age_years is not None
    assert form.source.shown_text() == "From the table."
    shown = [*hands.shown_texts(hands.dock), *hands.log()]
    assert not [text for text in shown if "Doe" in text]

    table.write_text("name\nx\n")
    hands.drop(table)
    hands.until(lambda: "no column patient_id" in hands.banner())
    assert state.clinical.age_years is not None
    table.write_text("patient_id,age_years\n12,570\n")
    hands.drop(table)
    hands.until(lambda: "No line of the table can be used" in hands.banner())


def test_a_table_and_its_slide_dropped_at_once(hands, tmp_path):
    """The table is asked for the slide that comes with it, which may be a copy of the one before."""
    slides = [tmp_path / name for name in ("Doe.tif", "7.tif", "Roe.tif")]
    drawn = draw_tissue(np.random.default_rng(3))
    write_slide(slides[0], drawn)
    slides[1].write_bytes(slides[0].read_bytes())
    write_slide(slides[2], drawn[::-1])
    table = tmp_path / "patients-of-both.csv"
    table.write_text(TABLE, encoding="utf-8")
    form, state = hands.dock.clinical, hands.state
    hands.open(slides[0])
    hands.drop(slides[1], table)
    hands.until(lambda: hands.is_open(slides[1]) and not hands.dock.clinical_values.reading.is_running)
    assert state.clinical == Clinical(44.0, 1.1)
    assert form.source.shown_text() == "From patients-of-both.csv, patient 7."
    assert not hands.dock.findChildren(ClinicalTableDialog)

    hands.drop(slides[2], table)
    dialog = open_dialog(hands)
    assert "has no patient Roe" in all_texts(dialog)
    hands.qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert state.clinical == Clinical()

    hands.open(slides[1])
    assert form.source.shown_text() == "From patients-of-both.csv, patient 7."
