"""Confusion metrics against published tables and textbook limits."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from napari_aln.errors import UsageError
from napari_aln.evaluation import confusion_metrics
from napari_aln.evaluation.metrics import binomial_interval, kappa_standard_error

# Li et al. 2023, table 3: three readers and the model on 49 patients. Counts follow from its fractions.
LI_TABLE_3 = {
    (5, 10, 6, 28): ("67.35", "45.45", "73.68", "33.33", "82.35", "0.169", "0.148"),
    (6, 8, 5, 30): ("73.47", "54.55", "78.95", "42.86", "85.71", "0.305", "0.150"),
    (7, 6, 4, 32): ("79.59", "63.64", "84.21", "53.85", "88.89", "0.449", "0.147"),
    (6, 3, 5, 35): ("83.67", "54.55", "92.11", "66.67", "87.50", "0.499", "0.153"),
}


@pytest.mark.parametrize("counts", LI_TABLE_3)
def test_the_reader_study_of_li_et_al_comes_out_as_printed(counts):
    found = confusion_metrics(*counts)
    *shares, kappa, kappa_error = LI_TABLE_3[counts]
    assert [f"{100 * found[name].value:.2f}" for name in ("acc", "sens", "spec", "ppv", "npv")] == shares
    assert found["kappa"].value == pytest.approx(float(kappa), abs=6e-4)
    assert f"{kappa_standard_error(*counts):.3f}" == kappa_error


def test_the_intervals_of_xu_et_al_come_out_as_printed():
    """Independent test: 68 of 84 N(+) found, PPV 63.55 %."""
    found = confusion_metrics(tp=68, fp=39, fn=16, tn=95)
    assert [round(100 * x, 2) for x in found["sens"]] == [80.95, 70.92, 88.70]
    assert [round(100 * x, 2) for x in found["ppv"]] == [63.55, 56.76, 69.84]


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (7, 7), (3, 7), (1, 1), (178, 218)])
def test_the_exact_interval_is_scipys(successes, n):
    exact = binomtest(successes, n).proportion_ci(method="exact")
    assert binomial_interval(successes, n)[1:] == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_the_error_of_kappa_is_that_of_the_delta_method():
    counts = np.array([5.0, 10.0, 6.0, 28.0])

    def kappa(p):
        tp, fp, fn, tn = p / p.sum()
        by_chance = (tp + fp) * (tp + fn) + (fn + tn) * (fp + tn)
        return (tp + tn - by_chance) / (1 - by_chance)

    share, step = counts / counts.sum(), 1e-6
    slope = np.array([(kappa(share + step * e) - kappa(share - step * e)) / (2 * step) for e in np.eye(4)])
    variance = (share @ slope**2 - (share @ slope) ** 2) / counts.sum()
    assert kappa_standard_error(5, 10, 6, 28) == pytest.approx(math.sqrt(variance), rel=1e-5)


def test_f1_is_bootstrapped_and_the_same_each_time():
    found = confusion_metrics(20, 5, 5, 70)["f1"]
    assert found.value == pytest.approx(0.8)
    assert found.low < 0.72
    assert found.high > 0.88
    assert confusion_metrics(20, 5, 5, 70)["f1"] == found


def test_what_is_not_defined_is_nan_and_what_is_perfect_has_an_interval():
    perfect = confusion_metrics(10, 0, 0, 10)
    assert perfect["ppv"] == pytest.approx((1.0, binomtest(10, 10).proportion_ci().low, 1.0))
    assert perfect["kappa"].value == 1.0
    no_positive = confusion_metrics(0, 2, 0, 8)
    assert math.isnan(no_positive["sens"].value)
    assert no_positive["ppv"].value == 0.0
    one_cell = confusion_metrics(0, 0, 0, 5)
    assert all(math.isnan(x) for name in ("sens", "ppv", "f1", "kappa") for x in one_cell[name])
    assert one_cell["spec"].value == 1.0


@pytest.mark.parametrize("counts", [(0, 0, 0, 0), (-1, 2, 3, 4), (1.5, 2, 3, 4)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(UsageError, match="cannot hold"):
        confusion_metrics(*counts)
