"""Tiles of the gallery by themselves: what they say, how they are chosen, what stays when others come."""

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from widget_records import child

from napari_aln.geometry import Mpp, Rect
from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE
from napari_aln.widgets.panels.gallery_panel import NO_MAP, GalleryPanel
from napari_aln.workflows.results.gallery import WEIGHTS, RankedPatch

CTRL = Qt.KeyboardModifier.ControlModifier
TITLE = "attention over the slide (x uniform) · DLCNBC-WS, a model"


def patch(end, rank, x, value=1.5):
    return RankedPatch(
        end, rank, Rect(x, 40, 100, 100), value, dict.fromkeys(WEIGHTS, 0.25) | {"entropy": float("nan")}
    )


def show(panel, highest, lowest, **more):
    ends = [
        [patch(end, rank, x) for rank, x in enumerate(places, 1)]
        for end, places in (("highest", highest), ("lowest", lowest))
    ]
    panel.set_patches(TITLE, "x uniform", Mpp(0.5, 0.25), *ends, **more)


@pytest.fixture
def panel(qtbot):
    panel = GalleryPanel(12)
    qtbot.addWidget(panel)
    panel.resize(900, 260)
    panel.show()
    show(panel, (100, 200, 300), (700, 800), of_attention=True)
    panel.told = []
    panel.visited.connect(lambda shown: panel.told.append((shown.end, shown.rank)))
    panel.left.connect(lambda: panel.told.append("left"))
    return panel


def click(qtbot, panel, end, row, modifier=Qt.KeyboardModifier.NoModifier):
    strip = panel.strips[end]
    place = strip.visualItemRect(strip.item(row)).center()
    qtbot.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, modifier, place)


def chosen(panel):
    return [p.l0_rect.x for p in panel.selected()]


def test_tiles_say_rank_value_place_and_weights(panel):
    strip = panel.strips["highest"]
    assert [item.text() for item in strip.tiles()] == ["1  1.5", "2  1.5", "3  1.5"]
    assert panel.headings["lowest"].text() == "Lowest · x uniform"
    assert strip.item(1).toolTip().splitlines() == [
        "Highest 2: 1.5 x uniform",
        "x 100 µm, y 10 µm",
        "50 x 25 µm",
        "x 200, y 40 px of level 0",
        "attention over the slide: 0.25 x uniform",
        "attention within bags: 0.25 x uniform",
        "contribution to N(+): 0.25 log-odds",
        "N(+) probability, patch alone: 0.25",
        "entropy: none",
        RESEARCH_NOTICE,
    ]
    assert panel.notice.text() == f"{ATTENTION_NOTICE} {RESEARCH_NOTICE}"
    show(panel, (100,), ())
    assert panel.notice.text() == RESEARCH_NOTICE


def test_a_click_visits_and_ctrl_click_chooses(panel, qtbot):
    click(qtbot, panel, "highest", 1)
    click(qtbot, panel, "lowest", 0, CTRL)
    assert panel.told == [("highest", 2)]
    assert chosen(panel) == [200, 700]
    assert panel.export_button.text() == "Export 2 selected…"
    click(qtbot, panel, "lowest", 1)
    assert panel.told[1:] == [("lowest", 2)]
    assert chosen(panel) == [800]
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Return):
        qtbot.keyClick(panel.strips["lowest"], key)
    assert panel.told[2:] == [("lowest", 1), ("lowest", 1)]
    beside = panel.strips["lowest"].viewport().rect().bottomRight() - QPoint(2, 2)
    qtbot.mouseClick(panel.strips["lowest"].viewport(), Qt.MouseButton.LeftButton, pos=beside)
    assert panel.told[-1] == "left"
    assert chosen(panel) == [100, 200, 300, 700, 800]  # all, where none is chosen
    assert panel.export_button.text() == "Export all…"


def test_what_is_chosen_stays_chosen_in_another_order(panel, qtbot):
    click(qtbot, panel, "highest", 2)
    click(qtbot, panel, "highest", 0, CTRL)
    show(panel, (300, 900, 200), (700,))
    assert chosen(panel) == [300]
    show(panel, (900, 200), (700,))
    assert chosen(panel) == [900, 200, 700]


def test_a_patch_framed_elsewhere_is_marked_and_several_chosen_ones_stay(panel, qtbot):
    panel.set_current(Rect(800, 40, 100, 100))
    assert chosen(panel) == [800]
    panel.set_current(Rect(200, 40, 100, 100))
    assert chosen(panel) == [200]
    panel.set_current(None)
    assert panel.export_button.text() == "Export all…"
    click(qtbot, panel, "highest", 0)
    click(qtbot, panel, "lowest", 0, CTRL)
    panel.set_current(None)
    assert chosen(panel) == [100, 700]
    assert panel.told == [("highest", 1)]


def test_a_picture_keeps_its_colours_when_it_is_chosen(panel):
    picture = QPixmap(92, 92)
    picture.fill(QColor("#c878a8"))
    place = Rect(700, 40, 100, 100)
    panel.set_picture(place, picture)
    assert panel.has_picture(place)
    icon = panel.strips["lowest"].item(0).icon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        assert icon.pixmap(92, 92, mode).toImage().pixelColor(46, 46).name() == "#c878a8"
    show(panel, (100,), (500,))
    assert not panel.has_picture(place)  # it is none of the shown ones


def test_controls_are_named_and_writing_keys_are_the_windows(panel, qtbot):
    for name in ("gallery_number", "gallery_size", "gallery_highest", "gallery_lowest"):
        assert child(panel, name).accessibleName()
    for name in ("gallery_number", "gallery_size", "gallery_export"):
        assert child(panel, name).toolTip()
    with qtbot.waitSignal(panel.number_changed) as told:
        child(panel, "gallery_number").setFocus()
        qtbot.keyClick(child(panel, "gallery_number"), Qt.Key.Key_Up)
    assert told.args == [13]
    strip = panel.strips["highest"]
    taken = []
    panel.keyPressEvent = lambda event: taken.append(event.key())
    qtbot.keyClick(strip, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert Qt.Key.Key_N in taken
    before = panel.edge_px
    with qtbot.waitSignal(panel.size_changed):
        panel.size_combo.setFocus()
        qtbot.keyClick(panel.size_combo, Qt.Key.Key_Down)
    assert panel.edge_px > before


def test_without_a_map_there_is_nothing_to_export(panel):
    panel.set_patches("", "", None, (), ())
    assert panel.title.text() == NO_MAP
    assert not panel.export_button.isEnabled()
    assert panel.selected() == []
    show(panel, (100,), ())
    panel.set_exporting(True)
    assert not panel.export_button.isEnabled()
    panel.set_exporting(False)
    assert panel.export_button.isEnabled()
