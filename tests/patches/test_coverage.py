"""Shares of cells by the sweep, against numbers by hand and against shapely cell by cell."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, Polygon, box

from napari_aln.patches.coverage import coverage
from napari_aln.patches.membership import inside
from napari_aln.records import PatchGrid, Region

GRID = PatchGrid(256, 0.5, (100.0, 50.0), columns=10, rows=20)


def all_shares(grid, area):
    row, column = np.divmod(np.arange(grid.rows * grid.columns), grid.columns)
    return coverage(grid, area).at(row, column)


def cut_out(grid, area):
    """Return the share of every cell by cutting each one out of the area."""
    row, column = np.divmod(np.arange(grid.rows * grid.columns), grid.columns)
    (dx, dy), shares = grid.step_l0, []
    for c, r in zip(column, row, strict=True):
        cell = box(c * dx, r * dy, (c + 1) * dx, (r + 1) * dy)
        shares.append(cell.intersection(area).area / cell.area)
    return np.array(shares)


def test_a_triangle_by_hand():
    # Legs along two cells: the diagonal halves the third part of each differently.
    found = coverage(GRID, Polygon([(0, 0), (200, 0), (0, 50)]))
    assert (found.row, found.column) == (0, 0)
    np.testing.assert_allclose(found.share, [[0.75, 0.25]], atol=1e-15)


def test_a_hole_takes_its_area_whatever_way_the_rings_run():
    shell, hole = box(0, 0, 200, 50).exterior.coords, box(50, 0.5, 150, 49.5).exterior.coords
    for outer in (shell, shell[::-1]):
        for inner in (hole, hole[::-1]):
            share = coverage(GRID, Polygon(outer, [inner])).share
            np.testing.assert_allclose(share, [[0.51, 0.51]], atol=1e-14)


def test_a_cell_beyond_the_window_has_no_share():
    found = coverage(GRID, box(300, 200, 400, 300))
    row, column = np.array([3, 4, 5, 6, 4, 4]), np.array([3, 3, 3, 3, 2, 4])
    assert found.at(row, column).tolist() == [0, 1, 1, 0, 0, 0]


def test_what_lies_beyond_the_grid_counts_for_no_cell():
    around = all_shares(GRID, Polygon([(-500, -700), (3000, -700), (3000, 1e6), (-500, 1e6)]))
    np.testing.assert_allclose(around, 1.0)
    for beyond in (box(-50, -50, -1, 2000), box(1000, 0, 1200, 900), box(0, 1000, 900, 2000)):
        assert not all_shares(GRID, beyond).any()
    assert not all_shares(GRID, Polygon()).any()


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(1, 400), st.floats(0.1, 0.95), st.floats(0.1, 300))
def test_shares_add_up_to_the_area_on_the_slide(x, y, radius, hole, side):
    disc = Point(x, y).buffer(radius)
    ring = disc.difference(Point(x, y).buffer(radius * hole))
    area = ring.union(box(x, y, x + side, y + side))
    share = coverage(GRID, area).share
    on_slide = area.intersection(box(0, 0, 1000, 1000)).area
    assert share.sum() * 5000 == pytest.approx(on_slide, rel=1e-6, abs=1e-6)
    assert ((share >= 0) & (share <= 1)).all()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(-4, 24), st.integers(-4, 24)), min_size=3, max_size=12, unique=True),
    st.sampled_from([1.0, 50.0, 49.9]),
    st.floats(1, 300),
)
def test_any_polygons_agree_with_shapely(corners, unit, radius):
    drawn = shapely.make_valid(Polygon(np.array(corners) * unit), method="structure", keep_collapsed=False)
    area = shapely.symmetric_difference(drawn, Point(480, 510).buffer(radius))
    parts = [part for part in shapely.get_parts(area) if part.area > 0]
    area = shapely.union_all(parts)
    expected = cut_out(GRID, area)
    np.testing.assert_allclose(all_shares(GRID, area), expected, atol=1e-9)
    for wanted in (0.7, 0.5, 1.0):
        np.testing.assert_array_equal(
            inside(GRID, [Region(area)], wanted).cell, np.flatnonzero(expected >= wanted - 1e-9)
        )
