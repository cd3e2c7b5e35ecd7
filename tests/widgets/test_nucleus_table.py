"""The table of nuclei and the ranges, by mouse and keys, without a viewer; outlines as a mesh."""

import numpy as np
import pandas as pd
import pytest
import shapely
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from shapely.geometry import Point

from napari_aln.nuclei.located import Rings
from napari_aln.widgets.layers.rings_layer import COLOURS_FROM, Band, ring_mesh
from napari_aln.widgets.panels.nucleus_table import COLUMNS, NucleusTableView, cell_text
from napari_aln.widgets.panels.range_filter import RangeFilter, range_text
from napari_aln.workflows.nuclei.view import FEATURE_NAMES

LEFT = Qt.MouseButton.LeftButton


def table_of(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: rng.random(n) * 50 for name in FEATURE_NAMES})
    table.insert(0, "label", np.arange(1, n + 1))
    return table


@pytest.fixture
def view(qtbot):
    shown = NucleusTableView()
    qtbot.addWidget(shown)
    shown.resize(500, 300)
    shown.show()
    return shown


def column(view, name: str) -> list[str]:
    at = COLUMNS.index(name)
    return [view.model().index(line, at).data() for line in range(view.model().rowCount())]


def click(view, line: int, modifiers=Qt.KeyboardModifier.NoModifier) -> None:
    where = view.visualRect(view.model().index(line, 1)).center()
    QTest.mouseClick(view.viewport(), LEFT, modifiers, where)


def sort_by(view, name: str) -> None:
    header = view.horizontalHeader()
    where = QPoint(header.sectionViewportPosition(COLUMNS.index(name)) + 8, header.height() // 2)
    QTest.mouseClick(header.viewport(), LEFT, pos=where)


def test_rows_are_sorted_filtered_and_told_by_the_row_of_the_table(view, qtbot):
    table = table_of(30)
    table.loc[3, "area_um2"] = np.nan
    view.set_table(table)
    assert column(view, "label") == [str(n) for n in range(1, 31)]
    told = []
    view.chosen.connect(lambda rows: told.append(rows.tolist()))
    click(view, 4)
    assert told[-1] == [4]
    sort_by(view, "area_um2")
    order = np.argsort(table.area_um2.to_numpy(), kind="stable")
    assert column(view, "label") == [str(row + 1) for row in order]
    assert column(view, "area_um2")[-1] == ""  # not known: last
    click(view, 2)
    click(view, 5, Qt.KeyboardModifier.ShiftModifier)
    assert sorted(told[-1]) == sorted(order[2:6].tolist())
    kept = table.area_um2.to_numpy() > 25
    view.keep(kept)
    assert column(view, "label") == [str(row + 1) for row in order if kept[row]]
    assert view.shown_text(30) == f"{kept.sum()} of 30 nuclei"
    click(view, 0)
    QTest.keyClick(view, Qt.Key.Key_Down)
    assert told[-1] == [order[kept[order]][1]]
    # Chosen on the slide: selected and in view, nothing is told back.
    n = len(told)
    view.choose(int(order[-2]))
    (index,) = view.selectionModel().selectedRows()
    assert index.data() == str(order[-2] + 1)
    assert view.viewport().rect().contains(view.visualRect(index).center())
    view.choose(int(np.flatnonzero(~kept)[0]))  # one that is not listed
    assert view.selectionModel().selectedRows() == []
    assert len(told) == n
    view.set_table(None)
    assert view.model().rowCount() == 0


@pytest.mark.parametrize(
    ("value", "text"), [(np.int64(12), "12"), (3.14159, "3.142"), (-0.5, "−0.5"), (np.nan, "")]
)
def test_cells_have_four_digits(value, text):
    assert cell_text(value) == text


@pytest.fixture
def ranges(qtbot):
    panel = RangeFilter()
    qtbot.addWidget(panel)
    panel.resize(320, 90)
    panel.show()
    panel.set_extents({"area_um2": (10.0, 110.0), "circularity": (0.2, 1.0)})
    return panel


def test_ranges_of_several_measures_hold_together(ranges, qtbot):
    told = []
    ranges.changed.connect(told.append)

    def write(line, text):
        line.selectAll()
        qtbot.keyClicks(line, text)
        qtbot.keyClick(line, Qt.Key.Key_Return)

    write(ranges.least_line, "20,5")
    assert told[-1] == {"area_um2": (20.5, None)}
    assert ranges.slider.value() == pytest.approx((20.5, 110.0))
    write(ranges.greatest_line, "15")  # the wrong way round
    assert told[-1] == {"area_um2": (15.0, 20.5)}
    qtbot.keyClick(ranges.feature_combo, Qt.Key.Key_End)
    assert ranges.feature != "area_um2"
    qtbot.keyClick(ranges.feature_combo, Qt.Key.Key_Home)
    for _ in range(FEATURE_NAMES.index("circularity")):
        qtbot.keyClick(ranges.feature_combo, Qt.Key.Key_Down)
    write(ranges.greatest_line, "0.5")
    assert told[-1] == {"area_um2": (15.0, 20.5), "circularity": (None, 0.5)}
    assert ranges.active_text.shown_text() == "area 15 to 20.5 µm²; circularity up to 0.5"
    n = len(told)
    write(ranges.least_line, "much")  # no number: no limit
    assert (len(told), ranges.least_line.text()) == (n, "")
    qtbot.mouseClick(ranges.clear_button, LEFT)
    assert told[-1] == {}
    assert ranges.greatest_line.text() == ""
    assert not ranges.clear_button.isEnabled()


def test_dragging_an_end_of_the_range_sets_a_limit_and_back_takes_it_away(ranges, qtbot):
    told = []
    ranges.changed.connect(told.append)
    slider = ranges.slider
    middle = slider.height() // 2

    def drag(start, end):
        QTest.mousePress(slider, LEFT, pos=QPoint(start, middle))
        for x in np.linspace(start, end, 6):
            qtbot.mouseMove(slider, QPoint(round(x), middle))
        QTest.mouseRelease(slider, LEFT, pos=QPoint(end, middle))

    drag(6, slider.width() // 2)
    least, greatest = told[-1]["area_um2"]
    assert greatest is None
    assert 40 < least < 80
    assert float(ranges.least_line.text()) == pytest.approx(least, rel=1e-3)
    drag(slider.width() // 2, 0)
    assert told[-1] == {}


def test_ranges_stay_while_more_nuclei_of_the_same_work_come(ranges, qtbot):
    ranges.least_line.setText("30")
    qtbot.keyClick(ranges.least_line, Qt.Key.Key_Return)
    ranges.set_extents({"area_um2": (5.0, 200.0)}, keep=True)
    assert ranges.ranges() == {"area_um2": (30.0, None)}
    assert ranges.least_line.text() == "30"
    ranges.set_extents({})
    assert not ranges.isEnabled()


@pytest.mark.parametrize(
    ("name", "limits", "text"),
    [
        ("area_um2", (None, 60.0), "area up to 60 µm²"),
        ("solidity", (0.8, None), "solidity from 0.8"),
    ],
)
def test_ranges_are_said_in_words(name, limits, text):
    assert range_text(name, *limits) == text


@pytest.mark.parametrize("clockwise", [False, True])
def test_lines_have_their_width_on_the_screen_and_bands_their_side(clockwise):
    disc = np.array(Point(100, 80).buffer(30, quad_segs=16).exterior.coords)[:-1]
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], float)
    parts = [part[::-1] if clockwise else part for part in (disc, square)]
    rings = Rings(np.concatenate(parts), np.array([0, 64, 68]), np.array([4, 9]))
    zoom = 2.0
    bands = (Band(-1.0, 1.0), Band(1.0, 4.0, 1.0))
    vertices, faces, values = ring_mesh(rings, rings.l0_xy[:, ::-1], np.array([0.5, np.nan]), bands, zoom)
    triangles = shapely.polygons(vertices[faces])
    of_band = np.repeat([0, 1], len(faces) // 2)
    of_disc = vertices[faces][:, :, 0].max(axis=1) > 40
    line = shapely.union_all(triangles[(of_band == 0) & of_disc])
    assert line.area == pytest.approx(2 * np.pi * 30 * 2 / zoom, rel=0.01)
    outside = shapely.union_all(triangles[(of_band == 1) & of_disc])
    assert outside.area == pytest.approx(np.pi * (32**2 - 30.5**2), rel=0.01)
    corner = shapely.union_all(triangles[(of_band == 1) & ~of_disc])
    assert corner.bounds == pytest.approx((-2, -2, 12, 12))  # corners are pointed, not cut
    seen = values[faces].max(axis=1)
    assert set(seen[(of_band == 0) & of_disc]) == {COLOURS_FROM + (1 - COLOURS_FROM) * 0.5}
    assert set(seen[(of_band == 0) & ~of_disc]) == {0.0}  # of what is not known
    assert set(seen[of_band == 1]) == {1.0}
