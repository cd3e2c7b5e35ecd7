"""Nuclei found by place against a plain search; outlines, ellipses and ranges of known shapes."""

import numpy as np
import pandas as pd
import pytest
import shapely

from napari_aln.errors import UsageError
from napari_aln.geometry import Mpp, Rect
from napari_aln.nuclei import measure, placed
from napari_aln.nuclei.located import LocatedNuclei, within
from napari_aln.nuclei.outlines import Outlines, outlines_of

MPP = Mpp(0.25, 0.5)


def drawn_ellipse(a, b, turn, shape=(140, 200), centre=(100.0, 70.0)):
    """Return a label image of one ellipse, half axes in px."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    x, y = x - centre[0], y - centre[1]
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return ((along / a) ** 2 + (across / b) ** 2 <= 1).astype(int)


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(5)
    n = 4000
    table = pd.DataFrame({"label": np.arange(1, n + 1), "x": rng.uniform(-50, 9000, n)})
    table["y"] = rng.uniform(300, 4000, n)
    table.loc[1000:1999, ["x", "y"]] = table.loc[:999, ["x", "y"]].to_numpy() + 2.0  # over one another
    table["major_axis_um"], table["minor_axis_um"] = rng.uniform(6, 12, n), rng.uniform(3, 6, n)
    table["orientation_rad"] = np.where(rng.random(n) < 0.1, np.nan, rng.uniform(-1.5, 1.5, n))
    table["area_um2"] = np.pi / 4 * table.major_axis_um * table.minor_axis_um
    table["circularity"] = np.where(rng.random(n) < 0.2, np.nan, rng.random(n))
    return table


@pytest.mark.parametrize(
    "rect",
    [
        Rect(0, 0, 9000, 4000),
        Rect(1234.5, 800, 700, 90),
        Rect(-500, -500, 460, 1000),
        Rect(20_000, 500, 100, 100),
        Rect(-1e6, -1e6, 3e6, 3e6),
    ],
)
def test_nuclei_in_a_rectangle_are_those_a_plain_search_finds(many, rect):
    found = LocatedNuclei(many, MPP).rows_in(rect)
    x, y = many.x.to_numpy(), many.y.to_numpy()
    inside = (x >= rect.x) & (x <= rect.x + rect.width) & (y >= rect.y) & (y <= rect.y + rect.height)
    assert found.tolist() == np.flatnonzero(inside).tolist()
    assert LocatedNuclei(many, MPP).count_near(rect) >= len(found)


def test_the_nucleus_at_a_point_is_the_smallest_whose_ellipse_holds_it(many):
    nuclei = LocatedNuclei(many, MPP)
    rings = nuclei.rings(np.arange(len(many)))
    hulls = shapely.polygons(rings.l0_xy.reshape(len(many), -1, 2))
    hits = overlaps = 0
    for point in np.random.default_rng(1).uniform((0, 300), (9000, 4000), (2000, 2)):
        over = np.flatnonzero(shapely.contains_xy(hulls, *point))  # polygons lie just inside the ellipses
        row = nuclei.row_at(point)
        if len(over):
            hits += 1
            overlaps += len(over) > 1
            assert many.area_um2[row] <= many.area_um2[over].min()
        elif row is not None:
            assert shapely.distance(hulls[row], shapely.Point(point)) < 1
    assert min(hits - 15, overlaps) > 5
    row = int(np.argmin(many.area_um2))
    assert nuclei.row_at(many.loc[row, ["x", "y"]].to_numpy(float)) == row
    assert nuclei.row_at(many.loc[row, ["x", "y"]].to_numpy(float), np.zeros(len(many), bool)) is None


@pytest.mark.parametrize("turn", [0.0, 0.6, -1.1])
def test_an_ellipse_stands_for_a_nucleus_without_outline_turned_as_it_is(turn):
    labels = drawn_ellipse(40, 14, turn)
    table = placed(measure(labels, MPP), (1000.0, 2000.0), (2.0, 2.0))
    without = LocatedNuclei(table, Mpp(MPP.x / 2, MPP.y / 2))
    (outline,) = outlines_of(labels).placed((1000.0, 2000.0), (2.0, 2.0)).geometry
    ellipse = shapely.Polygon(without.rings(np.array([0])).l0_xy)
    common = ellipse.intersection(outline).area / ellipse.union(outline).area
    assert common > 0.93
    assert without.row_at(outline.centroid.coords[0]) == 0
    assert without.row_at((1002.0, 2002.0)) is None


def test_outlines_are_followed_where_they_are_known():
    labels = np.zeros((60, 90), int)
    labels[10:40, 10:20] = 1  # an L, whose ellipse covers its empty corner
    labels[30:40, 10:50] = 1
    labels[5:9, 60:80] = 7
    labels[50:54, 60:64] = 7  # in two pieces
    table = placed(measure(labels, 1.0))
    nuclei = LocatedNuclei(table, Mpp(1.0, 1.0), outlines_of(labels))
    assert nuclei.row_at((15, 15)) == 0
    assert nuclei.row_at((24, 25)) is None
    assert LocatedNuclei(table, Mpp(1.0, 1.0)).row_at((24, 27)) == 0
    assert nuclei.row_at((61.5, 51)) == 1
    rings = nuclei.rings(np.array([1, 0]))
    areas = [
        shapely.Polygon(rings.l0_xy[a:b]).area for a, b in zip(rings.first, rings.first[1:], strict=False)
    ]
    assert sorted(rings.row.tolist()) == [0, 1, 1]
    assert sorted(areas) == [16, 80, 600]
    fewer = nuclei.rings(np.array([0]), tolerance_l0=50.0)
    assert len(fewer.l0_xy) >= 3  # never nothing


def test_outlines_of_other_nuclei_are_refused():
    labels = drawn_ellipse(20, 20, 0)
    table = placed(measure(labels, 1.0))
    other = Outlines(np.array([9]), outlines_of(labels).geometry)
    with pytest.raises(UsageError, match="not the same"):
        LocatedNuclei(table, MPP, other)


def test_ranges_hold_together_and_unknown_values_are_in_none(many):
    kept = within(many, {"area_um2": (20.0, None), "circularity": (None, 0.5)})
    assert kept.tolist() == ((many.area_um2 >= 20) & (many.circularity <= 0.5)).tolist()
    assert within(many, {}).all()
    assert not within(many, {"circularity": (0.0, 1.0)})[many.circularity.isna()].any()


def test_no_nuclei_are_no_trouble(many):
    nuclei = LocatedNuclei(many.iloc[:0], MPP)
    assert len(nuclei.rows_in(Rect(0, 0, 100, 100))) == 0
    assert nuclei.row_at((5, 5)) is None
    assert len(nuclei.rings(np.zeros(0, np.intp)).row) == 0
    assert nuclei.typical_um == 0
