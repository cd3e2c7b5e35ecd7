from dataclasses import replace

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapely.geometry import LineString, Polygon, box

from napari_aln.annotations.edit import added, area_of_mask, edges, intersected, simplified, subtracted
from napari_aln.records import Region

A = Region(box(0, 0, 10, 10), name="a", classification="tumour")
B = Region(box(20, 0, 30, 10), name="b")


def areas(regions):
    return [region.geometry.area for region in regions]


def test_an_area_beside_is_a_new_region_and_leaves_the_others_alone():
    regions = added((A, B), box(0, 20, 5, 25))
    assert regions[:2] == (A, B)
    assert areas(regions) == [100, 100, 25]
    assert regions[2].classification == "tumour ROI"


def test_what_is_drawn_leaves_regions_that_are_set_aside_alone():
    aside = replace(A, in_use=False)
    over_both = box(5, 5, 25, 15)
    assert areas(added((aside, B), over_both)) == [100, 100 + 200 - 25]
    assert areas(subtracted((aside, B), over_both)) == [100, 75]
    assert areas(intersected((aside, B), over_both)) == [100, 25]


def test_an_area_over_two_regions_joins_them_under_the_first_name():
    (joined,) = added((A, B), box(5, 5, 25, 15))
    assert (joined.name, joined.classification) == ("a", "tumour")
    assert joined.geometry.area == 100 + 100 + 200 - 25 - 25


def test_what_is_taken_out_of_the_middle_is_a_hole():
    (left, other) = subtracted((A, B), box(4, 4, 6, 6))
    assert left.geometry.area == 96
    assert len(left.geometry.interiors) == 1
    assert other is B


def test_a_region_taken_away_whole_is_gone():
    assert subtracted((A, B), box(-1, -1, 11, 11)) == (B,)


def test_a_cut_leaves_one_region_of_two_parts():
    (left,) = subtracted((A,), box(4, -1, 6, 11))
    assert left.name == "a"
    assert len(shapely.get_parts(left.geometry)) == 2


def test_intersecting_keeps_the_inside_only():
    (left,) = intersected((A, B), box(5, 5, 15, 15))
    assert left.geometry.equals(box(5, 5, 10, 10))


def test_a_bow_tie_counts_as_its_two_halves_and_a_line_as_nothing():
    bow_tie = Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    (region,) = added((), bow_tie)
    assert region.geometry.is_valid
    assert region.geometry.area == 8
    assert added((A,), LineString([(0, 0), (5, 5)])) == (A,)


def test_simplifying_moves_no_outline_further_than_asked():
    circle = Region(shapely.Point(0, 0).buffer(100, quad_segs=64))
    (plain,) = simplified((circle,), 2.0)
    assert len(plain.geometry.exterior.coords) < len(circle.geometry.exterior.coords) / 4
    assert shapely.hausdorff_distance(plain.geometry.exterior, circle.geometry.exterior) <= 2.0


def test_a_painted_rectangle_comes_back_where_it_was_painted():
    mask = np.zeros((20, 30), bool)
    mask[5:15, 10:25] = True
    painted = area_of_mask(mask, (4.0, 8.0), (1000.0, 2000.0))
    assert painted.equals(box(1040, 2040, 1100, 2120))


def test_a_painted_ring_has_a_hole():
    yy, xx = np.mgrid[:60, :60]
    distance = np.hypot(yy - 29.5, xx - 29.5)
    ring = area_of_mask((distance < 25) & (distance > 10), (1.0, 1.0))
    assert len(ring.interiors) == 1
    assert abs(ring.area - np.pi * (25**2 - 10**2)) < 0.03 * ring.area


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_any_painted_mask_gives_valid_areas_near_the_paint(mask):
    area = area_of_mask(mask, (1.0, 1.0))
    assert area.is_valid
    row, column = np.nonzero(mask)
    paint = shapely.union_all(shapely.box(column, row, column + 1, row + 1))
    if not area.is_empty:
        assert paint.buffer(1.0 + 1e-9).covers(area)
    assert shapely.get_type_id(area) in (3, 6, 7)


def test_edges_are_those_of_outlines_and_holes():
    holed = Region(Polygon([(0, 0), (9, 0), (0, 9)], [[(1, 1), (2, 1), (1, 2)]]))
    found = edges((holed, A))
    assert len(found) == 3 + 3 + 4
    assert {tuple(map(tuple, edge)) for edge in found.tolist()} >= {((0, 0), (9, 0)), ((1, 1), (2, 1))}
    lengths = np.hypot(*(found[:, 1] - found[:, 0]).T)
    assert np.isclose(lengths.sum(), holed.geometry.length + A.geometry.length)
    assert edges(()).shape == (0, 2, 2)
