"""AUC, its intervals and tests, against published numbers and the definition spelled out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from napari_aln.errors import UsageError
from napari_aln.evaluation import auc_interval, delong_test
from napari_aln.evaluation.auc import auc_standard_error, delong_covariance, roc_auc, unpaired_p
from napari_aln.evaluation.metrics import binomial_interval


def spelled_out(positive, models):
    """Return areas and covariance as DeLong et al. define them: a sum over every pair of patients."""

    def kernel(x, y):
        return 1.0 if x > y else 0.5 if x == y else 0.0

    m, n = int(positive.sum()), int((~positive).sum())
    pairs = np.array([[[kernel(x, y) for y in s[~positive]] for x in s[positive]] for s in models])
    areas, v10, v01 = pairs.mean(axis=(1, 2)), pairs.mean(axis=2), pairs.mean(axis=1)
    s10 = (v10 - areas[:, None]) @ (v10 - areas[:, None]).T / (m - 1)
    s01 = (v01 - areas[:, None]) @ (v01 - areas[:, None]).T / (n - 1)
    return areas, s10 / m + s01 / n


@pytest.fixture
def cohort():
    rng = np.random.default_rng(4)
    label = np.arange(60) % 3 == 0
    shared = rng.normal(size=60)
    a = np.round(shared + label + 0.5 * rng.normal(size=60), 1)  # rounded: ties
    b = np.round(shared + 0.3 * label + rng.normal(size=60), 1)
    return label, a, b


@pytest.mark.parametrize(
    ("area", "n", "low", "high"),
    [
        (0.816, 218, 0.758, 0.865),  # Xu et al., Table 2 and supplementary Tables 3 and 5
        (0.831, 218, 0.775, 0.878),
        (0.901, 630, 0.875, 0.923),
        (0.613, 218, 0.545, 0.678),
        (0.878, 172, 0.819, 0.923),
        (0.918, 67, 0.825, 0.971),
        (0.794, 151, 0.720, 0.855),
        (0.737, 52, 0.596, 0.849),
    ],
)
def test_published_intervals_are_exact_binomial_ones(area, n, low, high):
    found = binomial_interval(area * n, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1.1e-3)  # the area itself is rounded


def test_an_area_counted_by_hand():
    # Pairs (N(+), N0): 0.4 against 0.1, 0.4, 0.2 gives 1 + 1/2 + 1; 0.3 gives 1 + 0 + 1: 4.5 of 6.
    labels, scores = [0, 0, 1, 1, 0], [0.1, 0.4, 0.4, 0.3, 0.2]
    assert auc_interval(labels, scores).value == pytest.approx(4.5 / 6)
    found = auc_interval(labels, scores)
    assert found == pytest.approx(binomial_interval(0.75 * 5, 5))


def test_delong_is_the_sum_over_all_pairs(cohort):
    label, a, b = cohort
    areas, covariance = spelled_out(label, np.stack([a, b]))
    found = delong_covariance(label, np.stack([a, b]))
    assert found[0] == pytest.approx(areas)
    assert found[1] == pytest.approx(covariance)
    z = (areas[0] - areas[1]) / math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert delong_test(label, a, b) == pytest.approx(2 * norm.sf(abs(z)))
    interval = auc_interval(label, a, "delong")
    assert interval.high - interval.value == pytest.approx(1.959964 * math.sqrt(covariance[0, 0]))


def test_the_test_knows_that_the_patients_are_the_same(cohort):
    label, a, b = cohort
    errors = [auc_standard_error(label, own) for own in (a, b)]
    assert delong_test(label, a, b) < unpaired_p([roc_auc(label, a), roc_auc(label, b)], errors)
    assert delong_test(label, a, b) == delong_test(label, b, a)
    assert delong_test(label, a, a) == 1.0
    assert delong_test(label, a, 3 * a - 7) == 1.0  # the same order of patients


def test_delong_keeps_its_level():
    """Two models that are equally good differ at 5 % in about 5 % of studies."""
    rng = np.random.default_rng(0)
    label = np.arange(120) < 40
    shared = rng.normal(size=(400, 120)) + label
    a, b = (shared + rng.normal(size=shared.shape) for _ in range(2))
    significant = np.mean([delong_test(label, *pair) < 0.05 for pair in zip(a, b, strict=True)])
    assert 0.02 < significant < 0.09


def test_areas_of_different_patients_are_compared_by_their_errors():
    assert unpaired_p([0.9, 0.8], [0.03, 0.04]) == pytest.approx(2 * norm.sf(2.0))  # 0.1 / 0.05
    # Weights 1 : 1 : 4, mean 0.8: (0.1 / 0.1)² + (0.1 / 0.1)² + 0 = 2 on two degrees of freedom.
    assert unpaired_p([0.9, 0.7, 0.8], [0.1, 0.1, 0.05]) == pytest.approx(math.exp(-1))
    assert math.isnan(unpaired_p([0.9, 1.0], [0.1, 0.0]))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=6, max_size=30))
def test_an_area_is_one_less_its_mirror_and_lies_in_its_intervals(cases):
    label, score = np.array([c[0] for c in cases]), np.array([float(c[1]) for c in cases])
    if min(label.sum(), (~label).sum()) < 2:
        return
    area = auc_interval(label, score)
    assert auc_interval(label, -score).value == pytest.approx(1 - area.value)
    assert auc_interval(~label, score).value == pytest.approx(1 - area.value)
    assert auc_interval(label, np.exp(score)).value == pytest.approx(area.value)
    for method in ("binomial", "delong"):
        found = auc_interval(label, score, method)
        assert 0 <= found.low <= found.value + 1e-12
        assert found.value - 1e-12 <= found.high <= 1


def test_a_single_case_of_a_class_has_an_area_and_no_variance():
    found = auc_interval([0, 0, 1], [0.1, 0.9, 0.5], "delong")
    assert found.value == 0.5
    assert math.isnan(found.low)
    assert math.isnan(delong_test([0, 0, 1], [0.1, 0.9, 0.5], [0.1, 0.2, 0.5]))


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1, 1], [0.1, 0.2, 0.3], r"not defined: all 3 labels are N\(\+\)"),
        ([0, 0], [0.1, 0.2], "not defined: all 2 labels are N0"),
        ([0, 1], [0.1, math.nan], "1 scores are NaN"),
        ([0, 2], [0.1, 0.2], "not all 0 or 1"),
        ([0, 1, 1], [0.1, 0.2], "3 labels and 2 scores"),
    ],
)
def test_what_has_no_area_is_refused(labels, scores, message):
    with pytest.raises(UsageError, match=message):
        auc_interval(labels, scores)
    with pytest.raises(UsageError, match=message):
        delong_test(labels, scores, scores)


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="no interval 'wald'"):
        auc_interval([0, 1], [0.1, 0.2], "wald")
