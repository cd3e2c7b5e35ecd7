"""Curves against numbers counted by hand and against their own definitions."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from napari_aln.evaluation.auc import roc_auc
from napari_aln.evaluation.curves import (
    GRID,
    average_precision,
    calibration,
    decision_curve,
    pr_curve,
    pr_points,
    roc_curve,
    roc_points,
)
from napari_aln.evaluation.logistic import fit_logistic

POSITIVE = np.array([True, True, False, True, False])
SCORES = np.array([0.9, 0.7, 0.7, 0.4, 0.2])


@pytest.fixture
def cohort():
    rng = np.random.default_rng(1)
    label = np.arange(150) % 3 == 0
    return label, 1 / (1 + np.exp(-(rng.normal(size=150) + 1.5 * label - 1)))


def test_roc_and_precision_of_a_counted_case():
    false, true = roc_points(POSITIVE, SCORES)  # one step a score: 0.7 is one N0 and one N(+)
    assert false.tolist() == [0, 0, 0.5, 0.5, 1]
    assert true == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert np.trapezoid(true, false) == pytest.approx(roc_auc(POSITIVE, SCORES))
    recall, precision = pr_points(POSITIVE, SCORES)
    assert recall == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert precision == pytest.approx([1, 1, 2 / 3, 3 / 4, 3 / 5])
    assert average_precision(POSITIVE, SCORES) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_bands_hold_the_curve_and_are_the_same_each_time(cohort):
    label, score = cohort
    for draw in (roc_curve, pr_curve):
        found = draw(label, score, 300, np.random.default_rng(0))
        again = draw(label, score, 300, np.random.default_rng(0))
        assert np.array_equal(found.low, again.low)
        assert (found.low <= found.high).all()
        assert ((found.low >= 0) & (found.high <= 1)).all()
    roc = roc_curve(label, score, 300, np.random.default_rng(0))
    inner = slice(5, 96)
    curve = np.interp(GRID, roc.x, roc.y)[inner]
    assert ((roc.low[inner] <= curve + 0.03) & (curve - 0.03 <= roc.high[inner])).all()


def test_net_benefit_of_a_counted_case():
    found = decision_curve(POSITIVE, SCORES, np.array([0.0, 0.5, 0.8]))
    # From 0.5 on 2 true and 1 false: 2/5 - 1/5 x 1. From 0.8 on 1 true: 1/5.
    assert found.model == pytest.approx([3 / 5, 1 / 5, 1 / 5])
    assert found.treat_all == pytest.approx([3 / 5, 3 / 5 - 2 / 5, 3 / 5 - 2 / 5 * 4])
    assert (found.treat_none == 0).all()


def test_calibration_of_a_counted_case():
    label = np.array([False, True, True, True, False, True])
    score = np.array([0.2, 0.3, 0.6, 0.8, 0.1, 1.0])
    found = calibration(label, score, 2, 100, np.random.default_rng(0))
    assert found.brier.value == pytest.approx((0.04 + 0.49 + 0.16 + 0.04 + 0.01 + 0.0) / 6)
    # Below 0.5: mean 0.2, observed 1/3. From 0.5 on: mean 0.8, observed 1.
    assert found.ece.value == pytest.approx((3 * (1 / 3 - 0.2) + 3 * 0.2) / 6)
    assert np.isnan(found.ece[1:]).all()  # a bootstrap's would not hold it
    assert [(b.n, round(b.mean_score, 6), round(b.observed.value, 6)) for b in found.bins] == [
        (3, 0.2, 0.333333),
        (3, 0.8, 1.0),
    ]


def test_the_calibration_line_finds_what_was_done_to_the_scores():
    rng = np.random.default_rng(2)
    log_odds = rng.normal(size=20_000)
    label = rng.random(20_000) < 1 / (1 + np.exp(-log_odds))
    off = 1 / (1 + np.exp(-(2 * log_odds + 1)))  # overconfident and too high
    found = calibration(label, off, 10, 100, np.random.default_rng(0))
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.intercept == pytest.approx(-0.5, abs=0.06)


def test_scores_that_separate_the_classes_have_no_line():
    label = np.array([False, False, True, True])
    for score in (np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.5, 0.5, 0.5, 0.5])):
        found = calibration(label, score, 10, 100, np.random.default_rng(0))
        assert math.isnan(found.slope)
        assert not math.isnan(found.brier.value)


@pytest.mark.parametrize("balanced", [True, False])
def test_logistic_regression_is_the_minimum_of_its_loss(balanced):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(80, 3))
    label = values @ [1.0, -2.0, 0.0] + rng.normal(size=80) > 1
    weight = np.where(label, 80 / 2 / label.sum(), 80 / 2 / (~label).sum()) if balanced else np.ones(80)

    def loss(beta):
        margin = np.where(label, 1, -1) * (beta[0] + values @ beta[1:])
        return weight @ np.log1p(np.exp(-margin)) + beta[1:] @ beta[1:] / 2

    expected = minimize(loss, np.zeros(4), tol=1e-10).x
    found = fit_logistic(values, label, balanced=balanced)
    assert np.r_[found.intercept, found.weights] == pytest.approx(expected, abs=1e-4)
