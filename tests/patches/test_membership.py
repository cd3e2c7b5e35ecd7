"""Shares of cells inside regions, by hand and against the polygons' own areas."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, Polygon, box

from napari_aln.patches.membership import inside, roi_share
from napari_aln.records import PatchGrid, Region

GRID = PatchGrid(256, 0.5, (100.0, 50.0), columns=10, rows=20)  # a slide of 1000 x 1000 px


def cells(table):
    return list(zip(table.row.tolist(), table.column.tolist(), strict=True))


def test_a_rectangle_by_hand():
    table, share = roi_share(GRID, [Region(box(50, 50, 230, 100))])
    assert cells(table) == [(1, 0), (1, 1), (1, 2)]
    np.testing.assert_allclose(share, [0.5, 1.0, 0.3])


def test_a_hole_is_outside_unless_another_region_covers_it():
    ring = Polygon(box(0, 0, 300, 50).exterior, [box(100, 0.001, 200, 49.999).exterior])
    table, share = roi_share(GRID, [Region(ring)])
    assert dict(zip(cells(table), share.round(3).tolist(), strict=True)) == {(0, 0): 1, (0, 1): 0, (0, 2): 1}
    _, covered = roi_share(GRID, [Region(ring), Region(box(100, 0, 150, 50))])
    np.testing.assert_allclose(covered, [1.0, 0.5, 1.0], atol=1e-4)


def test_overlaps_count_once():
    twice = [Region(box(0, 0, 60, 50)), Region(box(40, 0, 80, 50))]
    _, share = roi_share(GRID, twice)
    np.testing.assert_allclose(share, [0.8])


def test_the_share_wanted_includes_its_own_value():
    regions = [Region(box(0, 0, 70, 50)), Region(box(200, 0, 269, 50))]
    assert cells(inside(GRID, regions, 0.7)) == [(0, 0)]
    assert cells(inside(GRID, regions, 0.69)) == [(0, 0), (0, 2)]


def test_touching_an_edge_is_not_being_inside():
    table, _ = roi_share(GRID, [Region(box(100, 0, 200, 50))])
    assert cells(table) == [(0, 1)]


def test_only_grid_cells_count():
    table, share = roi_share(GRID, [Region(box(-500, -500, 2000, 2000))])
    assert len(table) == 200
    assert (np.diff(table.cell) == 1).all()
    np.testing.assert_array_equal(share, 1.0)
    beyond, _ = roi_share(GRID, [Region(box(1100, 0, 1200, 50))])
    assert len(beyond) == 0


def test_no_regions_and_no_cells():
    assert len(roi_share(GRID, [])[0]) == 0
    empty = PatchGrid(256, 0.5, (100.0, 50.0), columns=0, rows=0)
    assert len(roi_share(empty, [Region(box(0, 0, 10, 10))])[0]) == 0


def test_multipolygons_are_tested_part_by_part():
    far_apart = shapely.MultiPolygon([box(0, 0, 100, 50), box(900, 950, 1000, 1000)])
    assert cells(roi_share(GRID, [Region(far_apart)])[0]) == [(0, 0), (19, 9)]


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(1, 400), st.floats(0.1, 0.95), st.floats(0.1, 300))
def test_shares_add_up_to_the_area_on_the_slide(x, y, radius, hole, side):
    disc = Point(x, y).buffer(radius)
    ring = disc.difference(Point(x, y).buffer(radius * hole))
    regions = [Region(ring), Region(box(x, y, x + side, y + side))]
    table, share = roi_share(GRID, regions)
    covered = shapely.union_all([r.geometry for r in regions]).intersection(box(0, 0, 1000, 1000)).area
    assert share.sum() * 5000 == pytest.approx(covered, rel=1e-6, abs=1e-6)
    assert ((share > 0) & (share <= 1)).all()
    assert (np.diff(table.cell) > 0).all()


def test_a_moved_vertex_changes_only_cells_near_it():
    before = Polygon([(0, 0), (500, 0), (500, 500), (0, 500)])
    after = Polygon([(0, 0), (500, 0), (600, 600), (0, 500)])
    kept = set(cells(inside(GRID, [Region(before)], 0.7)))
    assert kept < set(cells(inside(GRID, [Region(after)], 0.7)))
