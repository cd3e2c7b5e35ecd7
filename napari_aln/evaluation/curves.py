"""Curves of one model on one set of patients: ROC, precision-recall, calibration, decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import logit

from napari_aln.evaluation.logistic import fit_logistic
from napari_aln.evaluation.metrics import CONFIDENCE, UNDEFINED, Estimate, binomial_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Points = tuple[NDArray[np.float64], NDArray[np.float64]]
    Statistic = Callable[[NDArray[Any], NDArray[np.float64]], float | NDArray[np.float64]]

GRID = np.linspace(0.0, 1.0, 101)
"""Abscissae at which bands are drawn: false positive rate, or recall."""

_TAILS = ((1.0 - CONFIDENCE) / 2, (1.0 + CONFIDENCE) / 2)
_CLOSEST = 1e-6  # to 0 and 1, before a logarithm is taken


class Curve(NamedTuple):
    """A stepped curve, and its pointwise 95 % bootstrap band over `GRID`."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64]  # (101,)
    high: NDArray[np.float64]  # (101,)


class Calibration(NamedTuple):
    """How far scores are probabilities. Slope 1 and intercept 0 are perfect."""

    brier: Estimate
    ece: Estimate
    intercept: float
    slope: float
    bins: tuple[CalibrationBin, ...]


class CalibrationBin(NamedTuple):
    """Patients whose scores lie together."""

    mean_score: float
    observed: Estimate  # share of N(+), exact binomial interval
    n: int


class DecisionCurve(NamedTuple):
    """Net benefit (Vickers and Elkin 2006) per patient over threshold probabilities, each (t,)."""

    threshold: NDArray[np.float64]
    model: NDArray[np.float64]
    treat_all: NDArray[np.float64]
    treat_none: NDArray[np.float64]


def roc_points(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> Points:
    """Return false and true positive rate at every threshold, from (0, 0) to (1, 1)."""
    true, false = _cumulated(positive, scores)
    return np.r_[0.0, false / false[-1]], np.r_[0.0, true / true[-1]]


def pr_points(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> Points:
    """Return recall and precision at every threshold; the first precision is also that of recall 0."""
    true, false = _cumulated(positive, scores)
    precision = true / (true + false)
    return np.r_[0.0, true / true[-1]], np.r_[precision[0], precision]


def average_precision(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the area under the precision-recall curve as a sum of steps, without interpolation."""
    recall, precision = pr_points(positive, scores)
    return float(np.diff(recall) @ precision[1:])


def roc_curve(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], bootstraps: int, rng: np.random.Generator
) -> Curve:
    """Return the ROC curve; the band is of the true positive rate at each false positive rate."""

    def on_grid(label: NDArray[np.bool_], score: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = roc_points(label, score)
        return np.interp(GRID, x, y)

    low, high = np.quantile(_resampled(on_grid, positive, scores, bootstraps, rng), _TAILS, axis=0)
    return Curve(*roc_points(positive, scores), low, high)


def pr_curve(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], bootstraps: int, rng: np.random.Generator
) -> Curve:
    """Return the precision-recall curve; the band is of the precision at each recall."""

    def on_grid(label: NDArray[np.bool_], score: NDArray[np.float64]) -> NDArray[np.float64]:
        recall, precision = pr_points(label, score)
        place = np.searchsorted(recall, GRID - 1e-12).clip(0, len(recall) - 1)
        return np.asarray(precision[place])

    low, high = np.quantile(_resampled(on_grid, positive, scores, bootstraps, rng), _TAILS, axis=0)
    return Curve(*pr_points(positive, scores), low, high)


def bootstrapped(
    statistic: Statistic,
    labels: NDArray[Any],
    scores: NDArray[np.float64],
    bootstraps: int,
    rng: np.random.Generator,
) -> Estimate:
    """Return a statistic with its percentile bootstrap interval, drawn within each class."""
    value = float(statistic(labels, scores))
    if np.isnan(value):
        return UNDEFINED
    low, high = np.quantile(_resampled(statistic, labels, scores, bootstraps, rng), _TAILS)
    return Estimate(value, float(low), float(high))


def calibration(
    positive: NDArray[np.bool_],
    scores: NDArray[np.float64],
    n_bins: int,
    bootstraps: int,
    rng: np.random.Generator,
) -> Calibration:
    """Return Brier score, expected calibration error, and the line through the log-odds (Cox 1958).

    Bins are of equal width, as in the usual definition of the error (Guo et al. 2017); empty ones are left
    out. The error has no interval: bins of a resampled cohort are noisier than the cohort's own, so that a
    bootstrap's values lie above it.
    """
    place = _bins(scores, n_bins)
    bins = []
    for number in np.unique(place):
        inside = place == number
        observed = binomial_interval(int(positive[inside].sum()), int(inside.sum()))
        bins.append(CalibrationBin(float(scores[inside].mean()), observed, int(inside.sum())))
    intercept, slope = _calibration_line(positive, scores)
    return Calibration(
        brier=bootstrapped(brier_score, positive, scores, bootstraps, rng),
        ece=Estimate(calibration_error(positive, scores, n_bins), np.nan, np.nan),
        intercept=intercept,
        slope=slope,
        bins=tuple(bins),
    )


def _calibration_line(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[float, float]:
    """Return intercept and slope; NaN where a threshold separates the classes, and the line is upright."""
    of_positive, of_negative = scores[positive], scores[~positive]
    if of_positive.min() >= of_negative.max() or of_positive.max() <= of_negative.min():
        return float("nan"), float("nan")
    log_odds = logit(scores.clip(_CLOSEST, 1 - _CLOSEST))
    line = fit_logistic(log_odds[:, None], positive, penalty=0.0, balanced=False)
    return line.intercept, float(line.weights[0])


def brier_score(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the mean squared distance of the scores from 0 and 1."""
    return float(np.mean((scores - positive) ** 2))


def calibration_error(positive: NDArray[np.bool_], scores: NDArray[np.float64], n_bins: int) -> float:
    """Return the expected calibration error over bins of equal width."""
    place = _bins(scores, n_bins)
    off = np.bincount(place, weights=scores - positive, minlength=n_bins)
    return float(np.abs(off).sum() / len(scores))


def decision_curve(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> DecisionCurve:
    """Return net benefit: true positives less false ones, these weighted by the odds of the threshold.

    Parameters
    ----------
    positive, scores
        (n,) each; scores are probabilities of N(+).
    thresholds
        (t,) in 0..1, 1 excluded: the probability from which one would act.
    """
    n, odds = len(positive), thresholds / (1.0 - thresholds)
    of_positive, of_negative = np.sort(scores[positive]), np.sort(scores[~positive])
    true = len(of_positive) - np.searchsorted(of_positive, thresholds)
    false = len(of_negative) - np.searchsorted(of_negative, thresholds)
    return DecisionCurve(
        thresholds,
        true / n - false / n * odds,
        len(of_positive) / n - len(of_negative) / n * odds,
        np.zeros_like(thresholds),
    )


def _bins(scores: NDArray[np.float64], n_bins: int) -> NDArray[np.int64]:
    return np.minimum((scores * n_bins).astype(np.int64), n_bins - 1)


def _cumulated(
    positive: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return true and false positives from each distinct score on, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.r_[np.flatnonzero(np.diff(scores[order])), len(scores) - 1]
    true = np.cumsum(positive[order], dtype=np.float64)[last_of_tie]
    return true, last_of_tie + 1.0 - true


def _resampled(
    statistic: Statistic,
    labels: NDArray[Any],
    scores: NDArray[np.float64],
    bootstraps: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the statistic of bootstrap samples drawn within each class, so that none loses a class."""
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    found = []
    for _ in range(bootstraps):
        drawn = np.concatenate([rng.choice(own, len(own)) for own in members])
        found.append(statistic(labels[drawn], scores[drawn]))
    return np.array(found)
