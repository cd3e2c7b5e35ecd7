"""A line dragged on the slide tells its length, whatever layer is active and whatever tool is in hand."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QPushButton
from tests_shared import MPP, draw_tissue, write_slide

from napari_aln.widgets.panels.labels import length_text


@pytest.mark.parametrize(
    ("um", "text"),
    [
        (0.04, "0.0 µm"),
        (12.34, "12.3 µm"),
        (99.96, "100 µm"),
        (999.4, "999 µm"),
        (999.6, "1.00 mm"),
        (12345, "12.35 mm"),
    ],
)
def test_lengths_are_in_micrometres_below_a_millimetre(um, text):
    assert length_text(um) == text


class Ruler:
    """Measures by mouse and reads what is said."""

    def __init__(self, hands):
        self.hands, self.panel = hands, hands.dock.navigation

    def drag(self, start, end):
        """Measure; return the lengths that were told on the way."""
        return [self.um for _ in self.hands.dragging(start, end)]

    @property
    def told(self) -> str:
        return self.panel.measured_text.shown_text()

    @property
    def on_slide(self) -> str:
        labels = [
            label for label in self.hands.canvas.findChildren(QLabel, "measured_label") if label.isVisible()
        ]
        return labels[0].text() if labels else ""

    @property
    def um(self) -> float:
        """Return the length that is told, in both places."""
        assert self.told == self.on_slide
        number, unit = self.told.split()
        return float(number) * {"µm": 1, "mm": 1000}[unit]


@pytest.mark.slow
def test_a_line_is_measured_over_any_layer_and_drawing_goes_on_afterwards(hands, tissue_slide, tmp_path):
    hands.open(tissue_slide)
    ruler, camera = Ruler(hands), hands.viewer.scene.camera
    px_um = 1 / camera.zoom
    # A polygon is half drawn.
    hands.click(hands.dock.roi.tools["polygon"])
    corners = [(700, 500), (2100, 500), (2100, 1500)]
    for corner in corners:
        hands.click_slide(*corner)
    half_drawn = np.array(hands.viewer.layers["tumour ROI"].data[0])
    assert len(half_drawn) >= 3
    center, zoom = tuple(camera.center), camera.zoom
    hands.click(hands.part(QPushButton, "measure"))
    on_the_way = ruler.drag((800, 600), (1100, 1000))
    assert on_the_way == pytest.approx([share * 500 * MPP for share in (0.25, 0.5, 0.75, 1)], abs=3 * px_um)
    assert ruler.um == pytest.approx(500 * MPP, abs=2 * px_um)
    assert (tuple(camera.center), camera.zoom) == (center, zoom)  # the slide stayed where it was
    ruler.drag((200, 200), (2400, 200))
    assert ruler.told.endswith(" mm")
    assert ruler.um == pytest.approx(2200 * MPP, abs=2 * px_um + 5)
    assert [layer.name for layer in hands.viewer.layers].count("measured line") == 1  # the last alone
    assert hands.state.regions == ()
    # Esc ends measuring, not the polygon; then the polygon goes on and ends.
    hands.key(Qt.Key.Key_Escape)
    assert not hands.part(QPushButton, "measure").isChecked()
    assert hands.state.regions == ()
    assert hands.viewer.layers["tumour ROI"].data[0] == pytest.approx(half_drawn)
    hands.key(Qt.Key.Key_Escape)
    hands.until(lambda: len(hands.state.regions) == 1)
    assert ruler.told == ruler.on_slide != ""
    hands.click(hands.part(QPushButton, "measure_clear"))
    assert (ruler.told, ruler.on_slide) == ("", "")
    assert "measured line" not in hands.viewer.layers
    # By key, over another layer; a click is no line.
    hands.click(hands.dock.roi.tools["polygon"])
    hands.click(hands.dock.map.mask_box)
    hands.viewer.layers.selection.active = hands.viewer.layers["tissue mask"]
    hands.key(Qt.Key.Key_M, Qt.KeyboardModifier.ShiftModifier)
    assert hands.part(QPushButton, "measure").isChecked()
    ruler.drag((1000, 800), (1000, 1000))
    assert ruler.um == pytest.approx(200 * MPP, abs=2 * px_um)
    hands.viewer.layers.remove("measured line")  # by the user, in napari's list
    assert (ruler.told, ruler.on_slide) == ("", "")
    QTest.mouseClick(hands.canvas, hands.left, pos=hands.on_canvas(900, 900))
    assert (ruler.told, ruler.on_slide) == ("", "")
    # Another slide, without µm/px.
    ruler.drag((1000, 800), (1000, 1000))
    unknown = write_slide(tmp_path / "unknown.tif", draw_tissue(np.random.default_rng(6)), mpp=None)
    hands.drop(unknown)
    hands.mpp_dialog().reject()
    assert (ruler.told, ruler.on_slide) == ("", "")
    assert not hands.part(QPushButton, "measure").isChecked()
    hands.click(hands.part(QPushButton, "measure"))
    hands.drag((1000, 800), (1000, 1000))
    assert ruler.told == ruler.on_slide == "No length: µm/px is missing, set it under Slide"
    assert hands.errors() == []
