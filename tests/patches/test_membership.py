"""Shares of cells inside regions, by hand and against the polygons' own areas."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, Polygon, box

from napari_aln.patches.membership import belongs, inside
from napari_aln.records import PatchGrid, PatchTable, Region

GRID = PatchGrid(256, 0.5, (100.0, 50.0), columns=10, rows=20)  # a slide of 1000 x 1000 px


def cells(table):
    return list(zip(table.row.tolist(), table.column.tolist(), strict=True))


def test_a_rectangle_by_hand():
    regions = [Region(box(50, 50, 230, 100))]  # half of a cell, a whole one, 0.3 of a third
    assert cells(inside(GRID, regions, 0.3)) == [(1, 0), (1, 1), (1, 2)]
    assert cells(inside(GRID, regions, 0.5)) == [(1, 0), (1, 1)]
    assert cells(inside(GRID, regions, 0.5001)) == [(1, 1)]


def test_a_hole_is_outside_unless_another_region_covers_it():
    ring = Polygon(box(0, 0, 300, 50).exterior, [box(100, 0.001, 200, 49.999).exterior])
    assert cells(inside(GRID, [Region(ring)], 1e-3)) == [(0, 0), (0, 2)]
    covered = [Region(ring), Region(box(100, 0, 150, 50))]
    assert cells(inside(GRID, covered, 0.5)) == [(0, 0), (0, 1), (0, 2)]
    assert cells(inside(GRID, covered, 0.501)) == [(0, 0), (0, 2)]


def test_overlaps_count_once():
    twice = [Region(box(0, 0, 60, 50)), Region(box(40, 0, 80, 50))]
    assert cells(inside(GRID, twice, 0.8)) == [(0, 0)]
    assert cells(inside(GRID, twice, 0.8001)) == []


def test_the_share_wanted_includes_its_own_value():
    regions = [Region(box(0, 0, 70, 50)), Region(box(200, 0, 269, 50))]
    assert cells(inside(GRID, regions, 0.7)) == [(0, 0)]
    assert cells(inside(GRID, regions, 0.69)) == [(0, 0), (0, 2)]


@pytest.mark.parametrize("step", [100.0, 256.0, 256 * 0.4990 / 0.2527, 512 / 3])
def test_rounding_leaves_out_no_cell_that_is_covered_by_just_the_share_wanted(step):
    grid = PatchGrid(256, 0.5, (step, step), columns=30, rows=1)
    covered = [box(c * step, 0, (c + 0.7) * step, step) for c in range(30)]
    too_little = [box(c * step, 0, (c + 0.7 - 1e-6) * step, step) for c in range(30)]
    missed = [c for c in range(30) if len(inside(grid, [Region(covered[c])], 0.7)) != 1]
    assert missed == []
    assert all(len(inside(grid, [Region(outline)], 0.7)) == 0 for outline in too_little)


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(1, 400), st.floats(0.01, 1))
def test_which_of_any_patches_belong_agrees_with_the_cells_inside(x, y, radius, min_share):
    regions = [Region(Point(x, y).buffer(radius)), Region(box(x, y, x + 70, y + 50))]
    row, column = np.divmod(np.random.default_rng(0).permutation(200)[:150].astype(np.int32), 10)
    table = PatchTable(GRID, column, row)
    expected = np.isin(table.cell, inside(GRID, regions, min_share).cell)
    np.testing.assert_array_equal(belongs(table, regions, min_share), expected)


def test_no_regions_hold_nothing_and_reference_patches_all_belong():
    some = np.arange(3, dtype=np.int32)
    assert not belongs(PatchTable(GRID, some, some), [], 0.7).any()
    corner = [Region(box(0, 0, 1, 1))]
    assert belongs(PatchTable(GRID, some, some), corner, 1e-12).tolist() == [True, False, False]
    assert belongs(PatchTable(GRID, some, some, np.zeros((3, 2))), corner, 0.7).all()
    assert len(belongs(PatchTable(GRID, some[:0], some[:0]), corner, 0.7)) == 0


def test_touching_an_edge_is_not_being_inside():
    assert cells(inside(GRID, [Region(box(100, 0, 200, 50))], 1e-9)) == [(0, 1)]


def test_only_grid_cells_count():
    table = inside(GRID, [Region(box(-500, -500, 2000, 2000))], 1.0)
    assert len(table) == 200
    assert (np.diff(table.cell) == 1).all()
    assert len(inside(GRID, [Region(box(1100, 0, 1200, 50))], 1e-9)) == 0


def test_no_regions_and_no_cells():
    assert len(inside(GRID, [], 1e-9)) == 0
    empty = PatchGrid(256, 0.5, (100.0, 50.0), columns=0, rows=0)
    assert len(inside(empty, [Region(box(0, 0, 10, 10))], 1e-9)) == 0


def test_multipolygons_are_tested_part_by_part():
    far_apart = shapely.MultiPolygon([box(0, 0, 100, 50), box(900, 950, 1000, 1000)])
    assert cells(inside(GRID, [Region(far_apart)], 1.0)) == [(0, 0), (19, 9)]


def test_a_moved_vertex_changes_only_cells_near_it():
    before = Polygon([(0, 0), (500, 0), (500, 500), (0, 500)])
    after = Polygon([(0, 0), (500, 0), (600, 600), (0, 500)])
    kept = set(cells(inside(GRID, [Region(before)], 0.7)))
    assert kept < set(cells(inside(GRID, [Region(after)], 0.7)))
