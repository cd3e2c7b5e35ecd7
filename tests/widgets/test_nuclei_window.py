"""Nuclei by mouse and keys: found, read under the mouse, chosen, filtered, cancelled, written, opened."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel
from tests_shared import draw_tissue, write_slide

from napari_aln.nuclei import read_nuclei
from napari_aln.nuclei.segmentation import MODEL_NAME
from napari_aln.widgets.nuclei_scene import CHOSEN, OUTLINES, RASTER
from napari_aln.workflows.demo import ROI, SLIDE, sample_path

SHIFT, CTRL, ALT = (getattr(Qt.KeyboardModifier, f"{name}Modifier") for name in ("Shift", "Control", "Alt"))


class NucleiHands:
    """Works the dock of nuclei."""

    def __init__(self, hands):
        self.hands = hands

    @property
    def dock(self):
        return self.hands.dock.side_docks.held("nuclei")

    @property
    def panel(self):
        return self.dock.panel

    def find(self, act) -> None:
        """Start by `act` and wait for the end."""
        act()
        self.hands.until(lambda: self.dock.finding.is_running)
        self.hands.until(lambda: not self.dock.finding.is_running)

    def choose_model(self, path) -> None:
        self.hands.qtbot.mouseClick(self.panel.model_button, self.hands.left)
        self.hands.answer_file_dialog(path)

    def said(self) -> str:
        labels = [at for at in self.hands.canvas.findChildren(QLabel, "nucleus_label") if at.isVisible()]
        return labels[0].text() if labels else ""

    def selected(self) -> list[int]:
        table = self.panel.table
        return [int(index.data()) for index in table.selectionModel().selectedRows()]

    def layer(self, name: str):
        return self.hands.viewer.layers[name]

    def inner(self):
        """Return a nucleus well inside the view: its number in the table, and its place."""
        table = self.dock.shown.nuclei.table
        view = self.dock.view._view_l0()
        middle = np.array([view.x + view.width / 2, view.y + view.height / 2])
        row = int(np.argmin(np.hypot(*(table[["x", "y"]].to_numpy() - middle).T)))
        point = self.dock.shown.nuclei.outlines.geometry[row].representative_point()
        return int(table.label[row]), (point.x, point.y)


@pytest.mark.slow
def test_nuclei_are_found_read_chosen_filtered_and_come_back_from_their_file(hands, tmp_path):
    nuclei = NucleiHands(hands)
    hands.open(sample_path(SLIDE))
    hands.import_roi(sample_path(ROI))
    hands.key(Qt.Key.Key_K, SHIFT)
    assert nuclei.panel.isVisible()
    assert not nuclei.panel.find_buttons["top"].isEnabled()
    assert "Run a model" in nuclei.panel.find_buttons["top"].toolTip()
    centre = hands.state.regions[0].geometry.centroid
    hands.review.scene.set_camera((centre.x, centre.y), 4.0)
    # Those in view.
    nuclei.find(lambda: hands.key(Qt.Key.Key_D, SHIFT))
    assert (hands.errors(), hands.banner()) == ([], "")
    n = len(nuclei.dock.shown.nuclei)
    assert n > 30
    assert nuclei.panel.count_text.shown_text() == f"{n} nuclei"
    assert "In the view" in nuclei.panel.source_text.shown_text()
    assert nuclei.layer(OUTLINES).visible
    assert len(nuclei.layer(OUTLINES).data[1]) > 10 * n
    assert [str(unit) for unit in nuclei.layer(OUTLINES).units] == ["micrometer"] * 2
    # By a model of one's own: others are refused, and the method stays.
    assert nuclei.panel.method_title == "Classical (default)"
    assert "none that ships has a higher one" in nuclei.panel.method_combo.toolTip()
    mine, damaged = tmp_path / "mine.alnmodel", tmp_path / "damaged.alnmodel"
    shutil.copy(sample_path(MODEL_NAME), mine)
    damaged.write_bytes(mine.read_bytes()[:5000])
    for model, fact in (
        (sample_path("dlcnbc-demo.alnmodel"), "dlcnbc-demo.alnmodel is no nucleus model."),
        (damaged, "damaged.alnmodel is no readable .alnmodel file"),
    ):
        nuclei.choose_model(model)
        hands.until(lambda fact=fact: fact in hands.banner())
        assert str(model.parent) not in hands.banner()
        assert nuclei.panel.method == "classical"
    nuclei.choose_model(mine)
    hands.until(lambda: nuclei.panel.method_title == "mine.alnmodel")
    assert hands.banner() == ""  # what was wrong with the others is so no longer
    assert "Learned at 0.25 µm/px" in nuclei.panel.method_combo.toolTip()
    hands.review.scene.set_camera((centre.x, centre.y), 16.0)
    nuclei.find(lambda: hands.key(Qt.Key.Key_D, SHIFT))
    assert "learned: Nuclei" in nuclei.panel.source_text.shown_text()
    assert 1 < len(nuclei.dock.shown.nuclei) < n / 4
    for _ in range(2):  # back to the first
        hands.qtbot.keyClick(nuclei.panel.method_combo, Qt.Key.Key_Up)
    hands.review.scene.set_camera((centre.x, centre.y), 4.0)
    nuclei.find(lambda: hands.key(Qt.Key.Key_D, SHIFT))
    n = len(nuclei.dock.shown.nuclei)
    assert "classical" in nuclei.panel.source_text.shown_text()
    # Coloured by a measure, read under the mouse, chosen by a click, and by the table.
    hands.qtbot.keyClick(nuclei.panel.colours.feature_combo, Qt.Key.Key_Down)
    assert nuclei.panel.colours.quantity.shown_text() == "Area (µm²)"
    number, place = nuclei.inner()
    hands.move(hands.on_canvas(*place))
    area = nuclei.dock.shown.nuclei.table.set_index("label").area_um2[number]
    assert nuclei.said().splitlines()[:2] == [f"Nucleus {number}", f"area: {area:.3g} µm²"]
    assert nuclei.panel.colours.cursor_text.text() == f"At the cursor: {area:.3g} µm²"
    hands.click_slide(*place)
    assert nuclei.selected() == [number]
    assert nuclei.layer(CHOSEN).visible
    table = nuclei.panel.table
    table.scrollToTop()
    before = tuple(hands.viewer.scene.camera.center)
    QTest.mouseClick(table.viewport(), hands.left, pos=table.visualRect(table.model().index(0, 1)).center())
    assert nuclei.selected() == [1]
    assert tuple(hands.viewer.scene.camera.center) != before
    x, y = nuclei.dock.shown.nuclei.l0_xy[0]
    assert (hands.on_canvas(x, y) - hands.canvas.rect().center()).manhattanLength() <= 3
    # A drag is no click; neither is one with a tool in hand.
    hands.drag((x, y), (x + 40, y))
    assert nuclei.selected() == [1]
    hands.click(hands.dock.roi.tools["polygon"])
    hands.click_slide(*place)
    assert nuclei.selected() == [1]
    hands.key(Qt.Key.Key_Escape)
    hands.click(hands.dock.roi.tools["polygon"])
    # Only some.
    hands.write_in(nuclei.panel.filter.least_line, f"{area:.4g}")
    hands.qtbot.keyClick(nuclei.panel.filter.least_line, Qt.Key.Key_Return)
    fewer = int((nuclei.dock.shown.nuclei.table.area_um2 >= float(f"{area:.4g}")).sum())
    assert nuclei.panel.count_text.shown_text() == f"{fewer} of {n} nuclei"
    hands.qtbot.mouseClick(nuclei.panel.filter.clear_button, hands.left)
    # From afar they are a raster, and may be hidden.
    hands.key(Qt.Key.Key_0, ALT)
    hands.until(lambda: RASTER in hands.viewer.layers and nuclei.layer(RASTER).visible)
    assert not nuclei.layer(OUTLINES).visible
    assert "mean in squares of" in nuclei.panel.colours.quantity.shown_text()
    hands.move(hands.on_canvas(x, y))
    assert nuclei.panel.colours.cursor_text.text().endswith("µm²")
    hands.key(Qt.Key.Key_O, SHIFT)
    assert not nuclei.layer(RASTER).visible
    hands.key(Qt.Key.Key_O, SHIFT)
    # Written.
    hands.qtbot.mouseClick(nuclei.panel.export_button, hands.left)
    hands.answer_file_dialog(tmp_path / "nuclei.parquet")
    hands.until(lambda: (tmp_path / "nuclei.parquet").exists() and not nuclei.dock.saving.is_running)
    assert len(read_nuclei(tmp_path / "nuclei.parquet").table) == n
    saved_rings = nuclei.dock.shown.nuclei.rings(np.arange(n))
    # The whole slide, cancelled on the way: what was found stays.
    hands.qtbot.mouseClick(nuclei.panel.find_buttons["slide"], hands.left)
    hands.until(lambda: " nuclei" in nuclei.panel.status.shown_text() and nuclei.dock._n_shown > 0)
    assert "/s" in nuclei.panel.status.shown_text()
    assert hands.viewer.window._qt_window.height() == 800  # it does not grow with what is said
    assert not nuclei.panel.status.visibleRegion().isEmpty()
    hands.qtbot.mouseClick(nuclei.panel.cancel_button, hands.left)
    hands.until(lambda: not nuclei.dock.finding.is_running)
    assert nuclei.panel.status.shown_text().startswith("Cancelled. Shown are")
    assert len(nuclei.dock.shown.nuclei) > 0
    # The file comes back with its outlines; on another slide it is refused, and that one's nuclei are none.
    hands.drop(tmp_path / "nuclei.parquet")
    hands.until(lambda: nuclei.dock.shown is not None and len(nuclei.dock.shown.nuclei) == n)
    assert nuclei.panel.source_text.shown_text().startswith("From nuclei.parquet")
    hands.review.scene.set_camera((centre.x, centre.y), 4.0)
    hands.until(lambda: nuclei.layer(OUTLINES).visible)
    stored = nuclei.dock.shown.nuclei.outlines
    assert stored.lacking(np.arange(n)) == []
    rings = nuclei.dock.shown.nuclei.rings(np.arange(n))
    assert np.array_equal(np.sort(rings.l0_xy, axis=0), np.sort(saved_rings.l0_xy, axis=0))
    hands.click(hands.dock.slide_card.save_session_button)
    hands.answer_file_dialog(tmp_path / "review.alnsession")
    hands.until(lambda: (tmp_path / "review.alnsession").exists())
    other = write_slide(tmp_path / "other.tif", draw_tissue(np.random.default_rng(6)))
    hands.open(other)
    assert nuclei.dock.shown is None
    assert not {RASTER, OUTLINES, CHOSEN} & {layer.name for layer in hands.viewer.layers}
    assert nuclei.panel.count_text.shown_text().startswith("No nuclei yet")
    hands.drop(tmp_path / "nuclei.parquet")
    hands.until(lambda: "of another slide" in hands.banner())
    assert str(tmp_path) not in hands.banner()
    damaged = pq.read_table(tmp_path / "nuclei.parquet").drop_columns(["area_um2"])
    pq.write_table(damaged, tmp_path / "damaged.parquet")
    hands.drop(tmp_path / "damaged.parquet")
    hands.until(lambda: "lacks the columns area_um2" in hands.banner())
    assert nuclei.dock.shown is None
    # The session brings slide and nuclei again; the work list's dock and theirs share a place.
    hands.drop(tmp_path / "review.alnsession")
    hands.until(lambda: nuclei.dock.shown is not None and len(nuclei.dock.shown.nuclei) == n)
    hands.key(Qt.Key.Key_W, SHIFT)
    hands.until(lambda: nuclei.panel.visibleRegion().isEmpty())
    assert nuclei.said() == ""
    hands.key(Qt.Key.Key_K, SHIFT)
    hands.until(lambda: not nuclei.panel.visibleRegion().isEmpty())
