import numpy as np
import pytest
import shapely
from napari.qt import QtViewer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QPushButton, QWidget

from napari_aln.records import RESEARCH_NOTICE


@pytest.fixture
def both(hands, tissue_slide, ws_bundle, roi_bundle):
    """Return hands at a window in which both runs are done."""
    hands.drop(tissue_slide, roi_bundle, ws_bundle)
    hands.until(lambda: hands.state.seen is not None and len(hands.state.bundles) == 2)
    hands.fill_patient()
    hands.draw([(700, 500), (2100, 500), (2100, 1500), (700, 1500)])
    hands.run("whole-slide")
    hands.run("roi")
    hands.until(hands.dock.sections["Comparison"].isVisible)
    return hands


def window_of(hands):
    return hands.viewer.window._qt_window


def second(hands):
    return window_of(hands).findChild(QtViewer, "split_view")


def titles(hands):
    found = [t for t in window_of(hands).findChildren(QLabel, "split_title") if t.isVisible()]
    return [title.text() for title in sorted(found, key=lambda t: t.mapToGlobal(QPoint()).x())]


def left_share(hands):
    left, right = hands.canvas.width(), second(hands).canvas.native.width()
    return left / (left + right)


@pytest.mark.slow
def test_split_by_button_linked_both_ways_and_closed_by_key(both):
    hands = both
    window_of(hands).resize(1280, 800)
    hands.dock.take_room()
    hands.dock.reveal("Results")
    port, legend = hands.dock.scroll_area.viewport(), hands.dock.map.legend
    hands.until(lambda: hands.dock.sections["Results"].mapTo(port, QPoint()).y() == 0)
    # Two results and what the colours mean fit a small screen.
    hands.until(lambda: legend.mapTo(port, QPoint(0, legend.height())).y() <= port.height())
    assert second(hands) is None
    hands.click(hands.part(QPushButton, "compare_split"))
    hands.until(lambda: second(hands) is not None and second(hands).isVisible())
    assert hands.errors() == []
    other = second(hands).viewer
    assert [layer.name for layer in other.layers] == ["slide", "map", "tumour ROI"]
    assert other.layers["slide"].data[0] is not hands.viewer.layers["slide"].data[0]
    assert titles(hands)[0].startswith("DLCNBC, inside the ROI")
    assert titles(hands)[1].startswith("DLCNBC-WS, whole slide")
    assert all(RESEARCH_NOTICE in title for title in titles(hands))
    run, _ = hands.state.shown
    assert run == "dlcnbc"
    shown = np.isfinite(other.layers["map"].data).sum()
    assert shown == len(hands.state.scores_of("dlcnbc-ws").table)
    assert other.layers["map"].contrast_limits == hands.viewer.layers["map"].contrast_limits
    # The ROI's outline follows its changes; both canvases tell their scale.
    assert other.canvas.overlays.scale_bar.visible
    n_edges = len(shapely.get_coordinates(hands.state.regions[0].geometry)) - 1
    assert len(other.layers["tumour ROI"].data[1]) == 2 * n_edges  # two triangles each
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert "tumour ROI" not in other.layers
    hands.qtbot.keyClick(
        hands.canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    )
    assert len(other.layers["tumour ROI"].data[1]) == 2 * n_edges
    # Both cameras move together, whichever is moved.
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_3, Qt.KeyboardModifier.AltModifier)
    hands.until(lambda: other.scene.camera.zoom == pytest.approx(hands.viewer.scene.camera.zoom))
    native = second(hands).canvas.native
    before = hands.viewer.scene.camera.center
    middle = native.rect().center()
    QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=middle)
    for step in range(1, 6):
        hands.move(middle + QPoint(8 * step, 4 * step), held=True, over=native)
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=middle + QPoint(40, 20))
    hands.until(lambda: hands.viewer.scene.camera.center != before)
    assert hands.viewer.scene.camera.center == pytest.approx(other.scene.camera.center)
    # Map on or off, and its opacity, are those of both.
    hands.qtbot.keyClick(native, Qt.Key.Key_H, Qt.KeyboardModifier.ShiftModifier)
    assert not other.layers["map"].visible
    assert not hands.viewer.layers["map"].visible
    hands.qtbot.keyClick(native, Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)
    hands.until(lambda: second(hands) is None)
    assert not hands.part(QPushButton, "compare_split").isChecked()
    assert titles(hands) == []
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)
    hands.until(lambda: second(hands) is not None)
    assert hands.part(QPushButton, "compare_split").isChecked()


@pytest.mark.slow
def test_neither_side_gets_less_than_a_quarter_and_the_slide_takes_the_split_along(both, tissue_slide):
    hands = both
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)
    hands.until(lambda: second(hands) is not None and second(hands).width() > 100)
    handle = window_of(hands).findChild(QWidget, "split_handle")
    hands.until(lambda: left_share(hands) == pytest.approx(0.5, abs=0.03))
    labels = window_of(hands).findChildren(QLabel, "split_title")
    for distance, share in ((2000, 0.75), (-3000, 0.25)):
        QTest.mousePress(handle, Qt.MouseButton.LeftButton, pos=QPoint(3, 50))
        hands.move(QPoint(distance, 50), held=True, over=handle)
        QTest.mouseRelease(handle, Qt.MouseButton.LeftButton, pos=QPoint(3, 50))
        hands.until(lambda share=share: left_share(hands) == pytest.approx(share, abs=0.03))
        hands.until(lambda: all(label.parentWidget().rect().contains(label.geometry()) for label in labels))
        assert all(label.height() >= label.heightForWidth(label.width()) for label in labels)  # no line cut
    handle.setFocus()
    hands.qtbot.keyClick(handle, Qt.Key.Key_Right)
    hands.until(lambda: left_share(hands) == pytest.approx(0.3, abs=0.03))
    window = window_of(hands)
    assert (window.width(), window.height()) == (1280, 800)
    hands.open(tissue_slide)  # another look at a slide starts with one view
    hands.until(lambda: second(hands) is None)
    assert not hands.dock.sections["Comparison"].isVisible()


@pytest.mark.slow
def test_closing_the_window_leaves_nothing_of_the_split(both):
    both.qtbot.keyClick(both.canvas, Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)
    both.until(lambda: second(both) is not None)
    both.close_window()


@pytest.mark.slow
def test_beside_a_difference_the_other_view_keeps_the_whole_slide(both):
    both.click(both.part(QPushButton, "compare_split"))
    both.click(both.part(QPushButton, "compare_difference"))
    both.until(lambda: titles(both)[0].startswith("Difference · DLCNBC"))
    assert titles(both)[1].startswith("DLCNBC-WS, whole slide")
    maps = [viewer.layers["map"] for viewer in (both.viewer, second(both).viewer)]
    assert maps[0].colormap.name == "PuOr_r"
    assert np.isfinite(maps[0].data).sum() < np.isfinite(maps[1].data).sum()
