"""Thresholds of counted cases, and what they make of scores."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_aln.evaluation.operating_points import counts_at, sensitivity_threshold, youden_threshold

POSITIVE = np.array([False, False, True, False, True, True])
SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.8])


def test_youden_of_a_counted_case():
    # From 0.5 on: 2/3 + 3/3; from 0.25 on: 3/3 + 2/3, as large, and the lower one comes first.
    assert math.isclose(youden_threshold(POSITIVE, SCORES), 0.25)
    assert math.isclose(youden_threshold(POSITIVE, np.where(SCORES == 0.3, 0.05, SCORES)), 0.5)


def test_who_scores_the_threshold_itself_is_called_positive():
    assert counts_at(POSITIVE, SCORES, 0.4) == (2, 1, 1, 2)
    assert counts_at(POSITIVE, SCORES, 0.41) == (2, 0, 1, 3)


def test_fixed_sensitivity_takes_the_highest_threshold_that_reaches_it():
    assert math.isclose(sensitivity_threshold(POSITIVE, SCORES, 0.6), 0.5)
    assert math.isclose(sensitivity_threshold(POSITIVE, SCORES, 2 / 3), 0.5)
    assert math.isclose(sensitivity_threshold(POSITIVE, SCORES, 0.9), 0.25)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=40), st.floats(0.05, 1.0))
def test_no_other_threshold_does_better(cases, sensitivity):
    positive = np.array([label for label, _ in cases])
    scores = np.array([score / 20 for _, score in cases])
    if positive.all() or not positive.any():
        return

    def shares(threshold):
        tp, fp, fn, tn = counts_at(positive, scores, threshold)
        return tp / (tp + fn), tn / (tn + fp)

    everywhere = [shares(cut) for cut in np.linspace(-0.01, 1.01, 103)]
    assert sum(shares(youden_threshold(positive, scores))) == pytest.approx(max(map(sum, everywhere)))
    found, specificity = shares(sensitivity_threshold(positive, scores, sensitivity))
    assert found >= sensitivity - 1e-9
    reaching = [own for reached, own in everywhere[1:-1] if reached >= sensitivity]
    # Beyond the scores' own range there is no threshold to choose.
    assert specificity >= max(reaching) - 1e-9
