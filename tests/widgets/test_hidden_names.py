"""With Hide names a whole review shows and writes nothing of who the patient is."""

from __future__ import annotations

import numpy as np
import pytest
from gallery_hands import GalleryHands
from list_hands import ListHands
from marked_slides import MARK, write_svs
from planted import marked_folder, marked_model, marked_roi
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QAbstractItemView, QApplication, QCheckBox, QComboBox, QTableView, QWidget
from tests_shared import draw_tissue
from written import leaks

SHIFT = Qt.KeyboardModifier.ShiftModifier
TEXTS = (
    *("text", "toPlainText", "title", "windowTitle", "windowFilePath", "placeholderText", "shown_text"),
    *("toolTip", "statusTip", "whatsThis", "accessibleName", "accessibleDescription"),
)
ROLES = (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole)


def names_in(hands):
    """Return each text of the window, seen at present or not, that says who the patient is."""
    found = [("title", hands.viewer.title), ("status", str(hands.viewer.status))]
    for window in QApplication.topLevelWidgets():
        for part in [window, *window.findChildren(QWidget), *window.findChildren(QAction)]:
            what = f"{type(part).__name__} {part.objectName()}"
            asked = ((name, getattr(part, name, None)) for name in TEXTS)
            found += [(f"{what} {name}", say()) for name, say in asked if callable(say)]
            if isinstance(part, QComboBox):
                found += [(f"{what} {row}", part.itemText(row)) for row in range(part.count())]
            if isinstance(part, QAbstractItemView) and part.model() is not None:
                model = part.model()
                top = QModelIndex()
                columns = range(model.columnCount(top) if isinstance(part, QTableView) else 1)
                cells = [model.index(row, column) for row in range(model.rowCount(top)) for column in columns]
                found += [(f"{what} cell", str(cell.data(role))) for cell in cells for role in ROLES]
    found += [(f"layer {number}", layer.name) for number, layer in enumerate(hands.viewer.layers)]
    return [(where, text) for where, text in found if MARK.lower() in str(text).lower()]


@pytest.mark.slow
def test_a_review_with_hidden_names_shows_and_writes_none(hands, ws_bundle, tmp_path):
    folder, out = marked_folder(tmp_path), tmp_path / "out"
    slide, bundle, roi = folder / f"{MARK} 4711.svs", marked_model(ws_bundle, folder), marked_roi(folder)
    write_svs(slide, draw_tissue(np.random.default_rng(5)))
    for place in (out, out / "patches"):
        place.mkdir()
    hands.click(hands.part(QCheckBox, "slide_hide_names"))
    review_and_run(hands, slide, bundle, roi)
    assert names_in(hands) == []
    write_everything(hands, out)
    make_a_list(hands, slide, tmp_path / "study.alnlist", out / "study.csv")
    assert names_in(hands) == []
    give_what_cannot_be_used(hands, folder)
    assert names_in(hands) == []
    assert leaks(out) == []
    assert leaks(tmp_path / "napari") == []  # its own settings
    # Where they are shown, the search finds them.
    hands.click(hands.part(QCheckBox, "slide_hide_names"))
    assert names_in(hands) != []


def review_and_run(hands, slide, bundle, roi):
    hands.open(slide)
    hands.load(bundle)
    hands.import_roi(roi)
    hands.fill_patient()
    hands.run("whole-slide")


def write_everything(hands, out):
    """Result, patches, session, saved layers and a picture of the window."""
    hands.click(hands.dock.results.save_button)
    hands.answer_file_dialog(out)
    hands.until(lambda: "report.html" in hands.dock.results.saved_note.shown_text())
    hands.key(Qt.Key.Key_G, SHIFT)
    tiles = GalleryHands(hands)
    hands.until(tiles.full)
    tiles.click("highest", 1)
    tiles.export_to(out / "patches")
    hands.until(lambda: any((out / "patches").iterdir()) and not tiles.gallery.exporting.is_running)
    hands.click(hands.dock.slide_card.save_session_button)
    hands.answer_file_dialog(out / "review.alnsession")
    hands.until(lambda: "Saved the session." in hands.banner())
    layers = hands.viewer.layers
    layers.selection = {hands.review.scene.regions.layer}
    layers.save(str(out / "regions.geojson"), selected=True, plugin="napari-aln")
    layers["map"].save(str(out / "map.tif"))
    hands.viewer.screenshot(str(out / "window.png"), canvas_only=False, flash=False)


def make_a_list(hands, slide, path, study):
    """A list from a cohort table that names the patient; one call; the reader study."""
    table = slide.with_name(f"{MARK} cohort.csv")
    table.write_text(f"patient_id,slide,label\n{MARK} Jane,{slide.name},N0\n", encoding="utf-8")
    own = ListHands(hands)
    own.make(path, blinded=False)
    own.name_reader("r1")
    own.press("list_add_files")
    hands.answer_file_dialog(table)
    hands.until(lambda: len(own.rows()) == 1)
    assert own.rows()[0][2] == "Patient 1"
    own.open_row(0, slide)
    own.call(1)
    own.press("list_export")
    hands.answer_file_dialog(study)
    hands.until(study.exists)


def give_what_cannot_be_used(hands, folder):
    """A slide, a model, an outline and a table that are damaged: what is said of them names none."""
    bad = {".svs": b"II*\0 no", ".alnmodel": b"PK no", ".geojson": b"{"}
    bad[".csv"] = f"patient_id,age_years\n{MARK} Jane,570\n".encode()
    for suffix, content in bad.items():
        path, said = folder / f"{MARK} bad{suffix}", len(hands.log())
        path.write_bytes(content)
        hands.drop(path)
        hands.until(lambda said=said: len(hands.log()) > said)
