"""Features of a slide by patch, and the histogram matrices made of them: values known by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from napari_aln.errors import CohortError
from napari_aln.geometry import Mpp
from napari_aln.nuclei.histograms import fit_quantisation, histogram_matrix
from napari_aln.nuclei.morphometry import FEATURES
from napari_aln.nuclei.slide_features import (
    DENSITY,
    ORIENTATION,
    PAPER_FEATURES,
    SLIDE_FEATURES,
    SlideFeatures,
    Values,
    slide_features,
)
from napari_aln.records import PatchGrid, PatchTable

MPP = Mpp(0.5, 0.5)
GRID = PatchGrid(patch_px=200, mpp=0.5, step_l0=(200.0, 200.0), columns=4, rows=2)  # of 100 µm


def patches(*cells):
    column, row = np.array(cells, np.int32).T
    return PatchTable(GRID, column, row)


def nuclei(xy, **features):
    columns = dict.fromkeys(FEATURES, 1.0) | features
    return pd.DataFrame({"x": np.array(xy, float)[:, 0], "y": np.array(xy, float)[:, 1]} | columns).assign(
        on_border=features.get("on_border", False)
    )


def lattice(spacing_px, side):
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    return np.column_stack([x.ravel(), y.ravel()]) * spacing_px + spacing_px / 2


def test_a_slide_has_the_median_of_its_nuclei_and_the_density_of_all_its_patches():
    xy = [(10, 10), (50, 50), (190, 190), (250, 20), (700, 300), (300, 300)]
    areas = [10.0, 20.0, 30.0, 50.0, 999.0, 999.0]  # the last two lie in no patch that was taken
    on_border = [False, False, False, True, False, False]
    table = nuclei(xy, area_um2=areas, on_border=on_border)
    found = slide_features(table, patches((0, 0), (1, 0)), MPP)
    assert (found.n_patches, found.n_nuclei) == (2, 4)
    assert found.slide_value["area_um2"] == 20.0  # that on the slide's border may be cut
    assert found.values["area_um2"].patch.tolist() == [0, 0, 0]
    assert found.slide_value[DENSITY] == pytest.approx(4 / 0.02)  # but it is counted
    half = slide_features(table, patches((0, 0), (1, 0)), MPP, tissue_share=np.array([1.0, 0.0]))
    assert half.slide_value[DENSITY] == pytest.approx(4 / 0.01)


def test_the_density_around_a_nucleus_follows_from_its_third_neighbour():
    found = slide_features(nuclei(lattice(20, 10)), patches((0, 0)), MPP)  # 10 µm apart
    inner = 2 / (math.pi * 0.01**2)
    values = found.values[DENSITY].value
    assert np.isclose(values, inner).sum() == 96  # all but the corners, whose third is across
    assert np.isclose(values, inner / 2).sum() == 4


def test_orientation_is_how_far_nuclei_agree_not_where_they_point():
    xy = lattice(40, 5)
    for axis in (0.0, 0.3, np.pi / 2):
        found = slide_features(nuclei(xy, orientation_rad=axis), patches((0, 0)), MPP)
        assert found.slide_value[ORIENTATION] == pytest.approx(1.0)
        assert np.allclose(found.values[ORIENTATION].value, 1.0)
    across = np.zeros(25)
    across[7] = np.pi / 2
    alone = slide_features(nuclei(xy, orientation_rad=across), patches((0, 0)), MPP).values[ORIENTATION].value
    assert alone[7] == pytest.approx(-1.0)
    assert np.allclose(np.delete(alone, 7), 1.0)
    turning = np.arange(25) * np.pi / 25
    assert slide_features(nuclei(xy, orientation_rad=turning), patches((0, 0)), MPP).slide_value[
        ORIENTATION
    ] == pytest.approx(0.0, abs=1e-6)


def test_too_few_nuclei_have_no_orientation():
    found = slide_features(nuclei(lattice(60, 3), orientation_rad=0.0), patches((0, 0)), MPP)
    assert not len(found.values[ORIENTATION].value)
    assert math.isnan(found.slide_value[ORIENTATION])


def test_a_slide_without_nuclei_has_no_values():
    found = slide_features(nuclei(lattice(20, 2)).iloc[:0], patches((0, 0)), MPP)
    assert found.slide_value[DENSITY] == 0.0
    assert all(math.isnan(found.slide_value[f.name]) for f in SLIDE_FEATURES if f.name != DENSITY)


def test_a_matrix_holds_the_histograms_of_its_patches_by_rising_mean():
    values = Values(np.array([5.0, 5, 0, 1, 2, 0]), np.array([7, 7, 3, 3, 3, 3]))
    matrix = histogram_matrix(values, np.array([1.0, 2.0]), rows=2)
    assert matrix.tolist() == [[0.5, 0.25, 0.25], [0, 0, 1]]  # a value on an edge is in the upper bin
    assert histogram_matrix(values, np.array([1.0, 2.0]), rows=1)[0] == pytest.approx([0.25, 0.125, 0.625])
    three = histogram_matrix(values, np.array([1.0, 2.0]), rows=3)
    assert three[1] == pytest.approx([0.25, 0.125, 0.625])  # the row in the middle takes half of either
    assert np.allclose(three.sum(axis=1), 1)


def test_neither_the_order_of_patches_nor_of_nuclei_matters():
    rng = np.random.default_rng(0)
    value, patch = rng.normal(size=300), rng.integers(0, 9, 300)
    mixed = rng.permutation(300)
    other = Values(value[mixed], (8 - patch)[mixed])
    edges = np.linspace(-1, 1, 5)
    assert np.allclose(
        histogram_matrix(Values(value, patch), edges, 4), histogram_matrix(other, edges, 4), atol=1e-12
    )


def slide(level, n=40):
    rng = np.random.default_rng(n)
    values = {
        feature.name: Values(level + rng.random(n), rng.integers(0, 5, n)) for feature in PAPER_FEATURES
    }
    return SlideFeatures(5, n, values, {})


NAMES = [feature.name for feature in PAPER_FEATURES]


def test_bins_hold_equally_many_values_and_each_training_slide_weighs_the_same():
    few, many = slide(0.0, 50), slide(1.0, 5000)
    found = fit_quantisation([few, many], NAMES, bins=4, rows=3)
    assert found.edges["area_um2"][1] == pytest.approx(1.0, abs=0.03)  # between both slides
    assert found.width == 3 * 4 + 8
    bag = found.bag(many)
    assert bag.shape == (8, found.width)
    assert bag[:, 12:].tolist() == np.eye(8).tolist()
    assert bag[:, :12].reshape(8, 3, 4).sum(axis=2) == pytest.approx(1.0)
    outlier = found.bag(slide(1e9, 50))[:, :12].reshape(8, 3, 4)
    assert (outlier[:, :, 3] == 1).all()  # the outer bins are open


def test_nothing_to_count_is_refused():
    none = Values(np.zeros(0), np.zeros(0, np.intp))
    with pytest.raises(CohortError, match="too few nuclei"):
        histogram_matrix(none, np.array([0.0]), 2)
    empty = SlideFeatures(1, 0, dict.fromkeys(NAMES, none), {})
    with pytest.raises(CohortError, match="density_per_mm2"):
        fit_quantisation([empty], NAMES, bins=4, rows=2)
