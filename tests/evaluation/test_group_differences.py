"""Two groups compared: known values by hand and by SciPy, ties, groups that are empty or all alike."""

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from napari_aln.evaluation.auc import roc_auc
from napari_aln.evaluation.group_differences import adjusted_p, group_difference


def test_groups_that_do_not_overlap_have_the_smallest_p_by_counting():
    found = group_difference([1, 2, 3], [4, 5, 6, 7])
    assert found.u == 12
    assert found.superiority == 1.0
    assert found.p == pytest.approx(2 / math.comb(7, 3))  # two of all ways to choose three ranks
    assert found.first == (3, 2.0, 1.0, 2.0, 1.5, 2.5)
    assert found.second.median == 5.5


def test_superiority_is_the_area_under_the_curve_and_p_is_scipys():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, 30).round(1), rng.normal(0.6, 1, 25).round(1)
    found = group_difference([*first, np.nan], second)
    labels = np.repeat([False, True], [30, 25])
    assert found.first.n == 30
    assert found.superiority == pytest.approx(roc_auc(labels, np.concatenate([first, second])))
    assert found.p == mannwhitneyu(first, second, alternative="two-sided").pvalue


@pytest.mark.parametrize("empty", [[], [math.nan, math.nan]])
def test_an_empty_group_has_no_p(empty):
    found = group_difference(empty, [1.0, 2.0])
    assert found.first.n == 0
    assert math.isnan(found.p)
    assert math.isnan(found.superiority)


def test_equal_values_differ_in_nothing():
    found = group_difference([2.0, 2.0], [2.0] * 5)
    assert (found.p, found.superiority) == (1.0, 0.5)


def test_p_is_corrected_by_benjamini_and_hochberg_over_those_that_are_known():
    # 0.01 * 4 / 1, 0.02 * 4 / 2, then 0.03 * 4 / 3 and 0.5
    assert adjusted_p([0.03, 0.01, math.nan, 0.02, 0.5])[0] == pytest.approx(0.04)
    assert adjusted_p([0.03, 0.01, math.nan, 0.02, 0.5])[1] == pytest.approx(0.04)
    assert math.isnan(adjusted_p([0.03, math.nan])[1])
    assert adjusted_p([]) == []
