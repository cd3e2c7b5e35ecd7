"""Density, coherence and disorder of patches and regions against values made by hand."""

import numpy as np
import pandas as pd
import pytest
from shapely.geometry import MultiPolygon, Polygon, box

from napari_aln.errors import UsageError
from napari_aln.geometry import Mpp
from napari_aln.nuclei.aggregates import (
    AVERAGED,
    Members,
    members_of_patches,
    patch_statistics,
    region_statistics,
    statistics,
)
from napari_aln.nuclei.morphometry import FEATURES, measure
from napari_aln.records import PatchGrid, PatchTable, Region

MPP = Mpp(0.5, 0.25)
GRID = PatchGrid(patch_px=100, mpp=0.5, step_l0=(100.0, 200.0), columns=4, rows=3)  # 50 x 50 µm


def nuclei(xy, orientation=0.0, on_border=False, **features):
    xy = np.asarray(xy, float).reshape(-1, 2)
    table = pd.DataFrame({name: np.full(len(xy), np.nan) for name in FEATURES})
    table["x"], table["y"] = xy.T
    table["orientation_rad"], table["on_border"] = orientation, on_border
    return table.assign(**features)


def patches(*cells):
    column, row = np.array(cells, np.int32).reshape(-1, 2).T
    return PatchTable(GRID, column, row)


def one_group(table, **more):
    everyone = Members(np.arange(len(table)), np.zeros(len(table), np.intp))
    return statistics(table, everyone, np.ones(1), **more).iloc[0]


def test_density_of_patches_and_of_their_tissue():
    table = nuclei([(10, 10), (99.9, 199.9), (100, 0), (350, 590), (-1, 5), (401, 5), (5, 601)])
    found = patch_statistics(table, patches((0, 0), (1, 0), (3, 2), (2, 1)), MPP)
    assert found["n_nuclei"].tolist() == [2, 1, 1, 0]
    np.testing.assert_allclose(found["area_mm2"], 0.0025)
    np.testing.assert_allclose(found["density_per_mm2"], [800, 400, 400, 0])
    assert found[["x", "y"]].to_numpy().tolist() == [[0, 0], [100, 0], [300, 400], [200, 200]]
    share = np.array([0.5, 1.0, 0.25, 0.0])
    of_tissue = patch_statistics(table, patches((0, 0), (1, 0), (3, 2), (2, 1)), MPP, tissue_share=share)
    np.testing.assert_allclose(of_tissue["density_per_mm2"], [1600, 400, 1600, np.nan])


def test_patches_in_any_order_and_beside_the_grid():
    rng = np.random.default_rng(0)
    xy = rng.uniform(-50, 700, (500, 2))
    cells = [(3, 2), (0, 0), (2, 0), (1, 2)]
    found = members_of_patches(nuclei(xy), patches(*cells))
    for number, (column, row) in enumerate(cells):
        inside = (xy[:, 0] // 100 == column) & (xy[:, 1] // 200 == row)
        assert sorted(found.nucleus[found.group == number]) == np.flatnonzero(inside).tolist()


def test_patches_of_reference_patching_overlap_and_share_nuclei():
    origin = np.array([[0.0, 0.0], [50.0, 50.0], [50.0, 50.0]])
    table = PatchTable(GRID, np.array([0, 0, 1], np.int32), np.array([0, 0, 0], np.int32), origin)
    found = patch_statistics(nuclei([(75, 75), (10, 10), (160, 60)]), table, MPP)
    assert found["n_nuclei"].tolist() == [2, 1, 1]


def test_regions_with_holes_overlaps_and_parts():
    ring = Polygon(box(0, 0, 100, 100).exterior, [box(40, 40, 60, 60).exterior])
    parts = MultiPolygon([box(0, 0, 20, 20), box(200, 200, 220, 220)])
    table = nuclei([(10, 10), (50, 50), (90, 90), (210, 210)])
    found = region_statistics(table, [Region(ring, "ring"), Region(parts, "parts")], MPP)
    assert found["name"].tolist() == ["ring", "parts"]
    assert found["n_nuclei"].tolist() == [2, 2]
    np.testing.assert_allclose(found["area_mm2"], np.array([9600, 800]) * 0.125 / 1e6)
    given = region_statistics(table, [Region(ring)], MPP, area_mm2=np.array([0.5]))
    assert given["density_per_mm2"].item() == 4


def test_nuclei_on_the_border_count_to_the_density_alone():
    table = nuclei(np.ones((4, 2)), on_border=[True, False, False, False], area_um2=[900.0, 10.0, 20.0, 60.0])
    row = one_group(table)
    assert (row["n_nuclei"], row["n_measured"]) == (4, 3)
    assert (row["mean_area_um2"], row["sd_area_um2"]) == (30, pytest.approx(np.std([10, 20, 60], ddof=1)))
    assert one_group(table, with_border=True)["mean_area_um2"] == 247.5


def test_values_that_are_not_known_are_left_out():
    table = nuclei(np.ones((3, 2)), area_um2=[np.nan, 10.0, 20.0], solidity=[np.nan, 0.5, np.nan])
    row = one_group(table)
    assert (row["mean_area_um2"], row["mean_solidity"]) == (15, 0.5)
    assert np.isnan(row["sd_solidity"])
    assert np.isnan(row["mean_eccentricity"])


def test_axes_are_alike_after_half_a_turn():
    parallel = one_group(nuclei(np.ones((6, 2)), np.pi / 2 * np.array([1, -1, 1, 1, -1, -1])))
    assert parallel["orientation_coherence"] == pytest.approx(1)
    assert parallel["orientation_coherence_unbiased"] == pytest.approx(1)
    assert abs(parallel["orientation_mean_rad"]) == pytest.approx(np.pi / 2)
    assert parallel["orientation_disorder"] == pytest.approx(0)


def test_known_coherence_and_mean():
    angle = np.array([0.1, 0.1, 0.1, 0.1 + np.pi / 2])
    row = one_group(nuclei(np.ones((4, 2)), angle))
    assert row["orientation_coherence"] == pytest.approx(0.5)  # (3 - 1) / 4
    assert row["orientation_coherence_unbiased"] == pytest.approx(0)  # 4 / 4 - 1
    assert row["orientation_mean_rad"] == pytest.approx(0.1)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) + 1 / 8
    assert row["orientation_disorder"] == pytest.approx(entropy / np.log(18))


def test_disorder_of_ten_is_the_mean_over_draws_whatever_the_number():
    rng = np.random.default_rng(3)
    bins = np.repeat([0, 4, 9, 15], [9, 5, 2, 1])
    row = one_group(nuclei(np.ones((17, 2)), (bins + 0.5) * np.pi / 18 - np.pi / 2))
    drawn = [np.bincount(rng.choice(bins, 10, replace=False), minlength=18) / 10 for _ in range(20000)]
    entropy = [-(p[p > 0] * np.log(p[p > 0])).sum() for p in drawn]
    assert row["orientation_disorder_of_10"] == pytest.approx(np.mean(entropy) / np.log(10), abs=0.005)
    means = {}
    for size, groups in ((10, 3000), (100, 300)):
        group = np.repeat(np.arange(groups), size)
        table = nuclei(np.ones((len(group), 2)), rng.uniform(-np.pi / 2, np.pi / 2, len(group)))
        means[size] = statistics(table, Members(np.arange(len(group)), group), np.ones(groups)).mean()
    few, many = means[10], means[100]
    assert few["orientation_disorder_of_10"] == pytest.approx(many["orientation_disorder_of_10"], abs=0.005)
    assert few["orientation_disorder"] < many["orientation_disorder"] - 0.1  # why it is not compared
    parallel = one_group(nuclei(np.ones((12, 2)), 0.3))
    assert parallel["orientation_disorder_of_10"] == 0
    apart = one_group(nuclei(np.ones((10, 2)), (np.arange(10) + 0.5) * np.pi / 18))
    assert apart["orientation_disorder_of_10"] == pytest.approx(1)
    assert np.isnan(one_group(nuclei(np.ones((9, 2)), np.arange(9) / 9))["orientation_disorder_of_10"])


def test_all_ways_alike_is_disorder():
    angle = (np.arange(18 * 50) + 0.5) * np.pi / 900 - np.pi / 2
    row = one_group(nuclei(np.ones((900, 2)), angle))
    assert row["orientation_coherence"] == pytest.approx(0, abs=1e-9)
    assert row["orientation_disorder"] == pytest.approx(1)


def test_chance_is_taken_off_whatever_the_number():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(2000), 6)
    table = nuclei(np.ones((len(group), 2)), rng.uniform(-np.pi / 2, np.pi / 2, len(group)))
    found = statistics(table, Members(np.arange(len(group)), group), np.ones(2000))
    assert found["orientation_coherence"].mean() == pytest.approx(np.sqrt(np.pi / 24), rel=0.03)
    plain = (6 * found["orientation_coherence"] ** 2 - 1) / 5
    assert plain.mean() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("angle", [[], [0.3], [np.nan, 0.3]])
def test_one_direction_is_neither_order_nor_disorder(angle):
    row = one_group(nuclei(np.ones((len(angle), 2)), angle))
    for name in ("coherence", "coherence_unbiased", "mean_rad", "disorder"):
        assert np.isnan(row[f"orientation_{name}"])


def test_no_nuclei_no_patches_no_regions():
    assert patch_statistics(nuclei([]), patches((0, 0)), MPP)["density_per_mm2"].tolist() == [0]
    nothing = patch_statistics(nuclei([(1, 1)]), patches(), MPP)
    assert len(nothing) == len(region_statistics(nuclei([(1, 1)]), [], MPP)) == 0
    assert {f"mean_{name}" for name in AVERAGED} <= set(nothing.columns)


def test_a_table_that_was_not_placed():
    table = measure(np.ones((3, 3), int), 0.5)
    with pytest.raises(UsageError, match="Add x and y with `placed`"):
        patch_statistics(table, patches((0, 0)), MPP)
