"""Patches of highest and lowest value beside the slide: read, shown, visited, chosen and exported."""

import csv
import sys

import numpy as np
import pytest
from gallery_hands import GalleryHands
from napari.layers import Labels, Shapes
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit, QPushButton

from napari_aln import open_slide
from napari_aln.geometry import Rect
from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE
from napari_aln.widgets.gallery import KeptPatches
from napari_aln.widgets.panels.gallery_panel import shown_value
from napari_aln.workflows.review import steps
from napari_aln.workflows.slide.maps import from_the_bottom, from_the_top

SHIFT, CTRL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def answered(hands, tissue_slide, ws_bundle, roi_bundle, roi_file):
    """Return hands at a window with both runs."""
    hands.open(tissue_slide)
    hands.load(ws_bundle, roi_bundle)
    hands.fill_patient()
    hands.import_roi(roi_file)
    hands.run("roi")
    hands.run("whole-slide")
    return hands


def assert_steps_with(layer, hands, order):
    """The keys go on and back with another's layer in use, whose tools have keys too."""
    hands.viewer.add_layer(layer)
    hands.viewer.layers.selection.active = layer
    here = order.index(hands.review.scene.framed)
    for key, by in ((Qt.Key.Key_N, 1), (Qt.Key.Key_P, 0)):
        hands.key(key, SHIFT)
        assert hands.review.scene.framed == order[(here + by) % len(order)]
        assert hands.viewer.layers.selection.active is layer


@pytest.mark.slow
def test_the_gallery_from_its_key_to_the_next_slide(answered, tissue_slide, monkeypatch, tmp_path):
    hands, state = answered, answered.state
    read = []
    real_read = steps.read_patches

    def counted(info, places):
        read.extend(places)
        return real_read(info, places)

    monkeypatch.setattr(steps, "read_patches", counted)
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_G, SHIFT)
    hands.until(hands.dock.navigation.side_buttons["gallery"].isChecked)
    tiles = GalleryHands(hands)
    hands.until(tiles.full)

    # What is shown: both ends of the shown map, with the slide's own pixels.
    run, name = state.shown
    assert name == "attention_slide"
    scores = state.scores_of(run)
    values = getattr(scores, name)
    for end, order in (("highest", from_the_top(values)), ("lowest", from_the_bottom(values))):
        patches = tiles.patches(end)
        assert [p.rank for p in patches] == list(range(1, 13))
        np.testing.assert_array_equal([p.l0_rect[:2] for p in patches], scores.table.l0_xy[order[:12]])
        np.testing.assert_array_equal([p.value for p in patches], values[order[:12]])
        assert tiles.texts(end)[0] == f"1  {shown_value(values[order[0]])}"
    with open_slide(tissue_slide) as slide:
        for rect in read:
            pixels = slide.read_region(rect[:2], 0, (round(rect.width), round(rect.height)))
            np.testing.assert_array_equal(tiles.gallery.kept.get(slide.info.quick_hash, rect), pixels)
    tip = tiles.panel.strips["highest"].item(0).toolTip()
    first = tiles.patches("highest")[0]
    x, y, *_ = first.l0_rect
    assert f"x {x * 0.5:.0f} µm, y {y * 0.5:.0f} µm" in tip
    assert f"x {x:.0f}, y {y:.0f} px of level 0" in tip
    for quantity in ("attention over the slide", "contribution", "probability"):
        assert quantity in tip
    assert tiles.panel.notice.text() == f"{ATTENTION_NOTICE} {RESEARCH_NOTICE}"
    assert tiles.panel.headings["highest"].text() == "Highest · x uniform"
    window = hands.viewer.window._qt_window
    right = hands.dock.parentWidget().mapTo(window, QPoint()).x()
    below = tiles.gallery.mapTo(window, QPoint(tiles.gallery.width(), 0)).x()
    assert below <= right  # it lies below the slide alone

    # A click flies there; Ctrl and Shift choose several and move nothing; arrow keys go on.
    tiles.click("highest", 1)
    second = tiles.patches("highest")[1].l0_rect
    tiles.assert_looks_at(second)
    room = min(hands.viewer.canvas.size)
    assert 0.3 < 128 * hands.viewer.scene.camera.zoom / room < 0.7  # 256 px at 0.5 µm/px
    assert tiles.chosen() == [("highest", 2)]
    hands.qtbot.keyClick(tiles.panel.strips["highest"], Qt.Key.Key_Right)
    third = tiles.patches("highest")[2].l0_rect
    tiles.assert_looks_at(third)
    assert tiles.chosen() == [("highest", 3)]
    tiles.click("highest", 0, CTRL)
    tiles.click("lowest", 0, CTRL)
    tiles.click("lowest", 2, SHIFT)
    assert tiles.chosen() == [("highest", 1), ("highest", 3), *(("lowest", rank) for rank in (1, 2, 3))]
    assert hands.review.scene.framed == third
    assert tiles.panel.export_button.text() == "Export 5 selected…"
    tiles.click("lowest", 3)
    tiles.assert_looks_at(tiles.patches("lowest")[3].l0_rect)
    assert tiles.chosen() == [("lowest", 4)]

    # Hotspots, from the gallery too; at a magnification at which the patch can be made out it stays.
    order = hands.review.hotspots.found()
    tiles.click("highest", 0)
    hands.qtbot.keyClick(tiles.panel.strips["highest"], Qt.Key.Key_N, SHIFT)
    here = order.index(tiles.patches("highest")[0].l0_rect) + 1
    tiles.assert_looks_at(order[here])
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_2, Qt.KeyboardModifier.AltModifier)
    zoom = hands.viewer.scene.camera.zoom
    for key, by in [(Qt.Key.Key_N, 1)] * 13 + [(Qt.Key.Key_P, -1)] * 3:
        here = (here + by) % 12
        hands.qtbot.keyClick(hands.canvas, key, SHIFT)
        tiles.assert_looks_at(order[here])
        shown = f"Hotspot {here + 1} of 12"
        assert shown in hands.part(QLabel, "magnification").text()
        assert tiles.panel.note.text() == shown
    assert hands.viewer.scene.camera.zoom == zoom
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_0, Qt.KeyboardModifier.AltModifier)
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_N, SHIFT)
    for layer in (Shapes(name="another's", ndim=2, units="µm"), Labels(np.zeros((9, 9), int), units="µm")):
        assert_steps_with(layer, hands, order)

    # The second canvas frames the patch too, and knows the keys.
    hands.viewer.layers.selection.active = hands.viewer.layers["slide"]
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_S, SHIFT)
    hands.until(lambda: hands.dock.split.view is not None)
    second_canvas, model = hands.dock.split.view.widget.canvas.native, hands.dock.split.view.model
    assert model.layers["patch"].visible
    here = (order.index(hands.review.scene.framed) - 1) % 12
    hands.qtbot.keyClick(second_canvas, Qt.Key.Key_P, SHIFT)
    tiles.assert_looks_at(order[here])
    for view in (hands.viewer, model):
        np.testing.assert_array_equal(view.layers["patch"].data[0], hands.viewer.layers["patch"].data[0])
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_S, SHIFT)
    hands.until(lambda: hands.dock.split.view is None)

    # Another map: other patches, the frame goes, and what was read is not read again.
    assert hands.review.scene.framed is not None
    combo = hands.part(QComboBox, "map_name")
    combo.setFocus()
    QTest.keyClick(combo, Qt.Key.Key_Down)
    assert state.shown[1] == "attention_bag"
    assert hands.review.scene.framed is None
    assert not hands.viewer.layers["patch"].visible
    hands.until(lambda: "within bags" in tiles.panel.title.text() and tiles.full())
    assert len(set(read)) == len(read)
    n_read = len(read)
    QTest.keyClick(combo, Qt.Key.Key_Up)
    hands.until(lambda: "over the slide" in tiles.panel.title.text() and tiles.full())
    assert len(read) == n_read
    np.testing.assert_array_equal(
        [p.value for p in tiles.patches("highest")], values[from_the_top(values)[:12]]
    )

    # Values as they would be now.
    for _ in range(combo.findData("contribution")):
        QTest.keyClick(combo, Qt.Key.Key_Down)
    hands.until(lambda: "contribution" in tiles.panel.title.text() and tiles.full())
    assert tiles.panel.notice.text() == RESEARCH_NOTICE
    assert tiles.panel.headings["lowest"].text() == "Lowest · log-odds"
    before = [p.value for p in tiles.patches("highest")]
    hands.write(hands.part(QLineEdit, "clinical_age"), "31")
    hands.until(lambda: [p.value for p in tiles.patches("highest")] != before and tiles.full())
    now = state.scores_of(run).contribution
    assert [p.value for p in tiles.patches("highest")] == sorted(now, reverse=True)[:12]
    assert "as it would be now" in tiles.panel.title.text()

    # Patches of a difference; those chosen are written, then all.
    hands.write(hands.part(QLineEdit, "clinical_age"), "52")
    hands.click(hands.part(QPushButton, "compare_difference"))
    hands.until(lambda: tiles.panel.title.text().startswith("difference of contribution") and tiles.full())
    if sys.platform == "linux":  # elsewhere the system's own file dialog takes no keys of ours
        tiles.click("lowest", 0)
        tiles.click("highest", 1, CTRL)
        tiles.export_to(tmp_path)
        hands.until(lambda: tiles.panel.note.text().startswith("Written to "))
        (place,) = tmp_path.glob("slide-*")
        assert place.name in tiles.panel.note.text()
        with (place / "patches.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["end"], row["rank"]) for row in rows] == [("highest", "2"), ("lowest", "1")]
        assert {row["map"] for row in rows} == {"difference_contribution"}
        assert {row["run"] for row in rows} == {"dlcnbc-ws; dlcnbc"}
        patch = tiles.patches("lowest")[0]
        assert float(rows[1]["value"]) == patch.value < 0
        pixels = tiles.gallery.kept.get(state.slide.info.quick_hash, patch.l0_rect)
        with Image.open(place / rows[1]["file"]) as picture:
            np.testing.assert_array_equal(picture, pixels)
        assert not any(tissue_slide.stem in path.name for path in place.iterdir())
        assert tissue_slide.stem not in (place / "patches.csv").read_text(encoding="utf-8")
        tiles.qtbot.keyClick(tiles.panel.strips["lowest"], Qt.Key.Key_Escape)
        assert tiles.panel.export_button.text() == "Export all…"
        assert hands.review.scene.framed is None
        (tmp_path / "again").mkdir()
        tiles.export_to(tmp_path / "again")
        hands.until(lambda: len(list(tmp_path.glob("again/*/*.png"))) == 24)

    # The slide goes, and with it the patches.
    tiles.click("highest", 0)
    hands.viewer.layers.remove("slide")
    hands.until(lambda: tiles.patches("highest") == [] and not tiles.gallery.reading.is_running)
    assert "patch" not in hands.viewer.layers
    assert not tiles.panel.export_button.isEnabled()
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_N, SHIFT)
    assert "No map is shown" in "\n".join(hands.log())
    assert hands.errors() == []


def test_the_patch_asked_for_longest_ago_goes_first():
    kept, rgb = KeptPatches(most_bytes=2 * 12), np.zeros((2, 2, 3), np.uint8)
    here, there, beyond = (Rect(x, 0, 2, 2) for x in (0, 2, 4))
    kept.put("a", here, rgb)
    kept.put("a", there, rgb)
    kept.put("a", here, rgb + 1)
    kept.put("a", beyond, rgb)
    assert kept.get("a", there) is None
    assert kept.get("a", here).max() == 1
    assert kept.get("b", here) is None  # of another slide
    kept.put("b", here, np.zeros((9, 9, 3), np.uint8))  # larger than all there is room for
    assert kept.get("b", here) is not None
    assert kept.get("a", here) is None


def test_values_are_written_as_the_legend_says_them():
    assert shown_value(-0.03456, "log-odds") == "−0.0346 log-odds"
    assert shown_value(0.5, "0 to 1") == "0.5"
    assert shown_value(float("nan"), "bits") == "none"
