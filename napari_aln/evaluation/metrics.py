"""Measures of a 2 x 2 confusion matrix with 95 % intervals, computed as MedCalc does for the papers."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv, expit, logit

from napari_aln.errors import UsageError

CONFIDENCE = 0.95
Z = 1.959963984540054
"""Two-sided 95 % point of the standard normal distribution."""

BOOTSTRAPS = 10_000
BOOTSTRAP_SEED = 0


class Estimate(NamedTuple):
    """A value and its 95 % interval; NaN what there is not: all three where the value is 0 of 0."""

    value: float
    low: float
    high: float


UNDEFINED = Estimate(math.nan, math.nan, math.nan)


def confusion_metrics(tp: int, fp: int, fn: int, tn: int) -> dict[str, Estimate]:
    """Return what a confusion matrix says, N(+) being the positive class.

    Parameters
    ----------
    tp, fp, fn, tn
        Numbers of true positives, false positives, false negatives and true negatives.

    Returns
    -------
    dict
        ``acc``, ``sens`` and ``spec`` with exact binomial intervals (Clopper and Pearson 1934); ``ppv`` and
        ``npv`` with the logit interval of Mercaldo et al. (Stat Med 2007), or the exact one where that is not
        defined (no false or no true call); ``f1`` with a percentile bootstrap (10 000 draws, fixed seed);
        ``kappa`` (Cohen) with its asymptotic standard error, see `kappa_standard_error`.

    Raises
    ------
    UsageError
        A number is negative or not whole, or there is no case at all.
    """
    counts = tp, fp, fn, tn
    if any(count != int(count) or count < 0 for count in counts) or sum(counts) == 0:
        raise UsageError(
            f"A confusion matrix cannot hold tp={tp}, fp={fp}, fn={fn}, tn={tn}.",
            "Give whole numbers of cases, at least one in all.",
        )
    positives, negatives = tp + fn, tn + fp
    return {
        "acc": binomial_interval(tp + tn, positives + negatives),
        "sens": binomial_interval(tp, positives),
        "spec": binomial_interval(tn, negatives),
        "ppv": _predictive(tp, fp, fn, tn),
        "npv": _predictive(tn, fn, fp, tp),
        "f1": _f1(tp, fp, fn, tn),
        "kappa": _kappa(tp, fp, fn, tn),
    }


def binomial_interval(successes: float, n: int) -> Estimate:
    """Return a share with its exact binomial interval (Clopper and Pearson 1934).

    `successes` need not be whole: an AUC counts as AUC x n of n, see `auc_interval`.
    """
    if n == 0:
        return UNDEFINED
    tail = (1.0 - CONFIDENCE) / 2.0
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1.0 - tail))
    return Estimate(successes / n, low, high)


def _predictive(right: int, wrong: int, missed: int, others: int) -> Estimate:
    """Return PPV, or NPV with the classes exchanged; prevalence is that of the sample.

    Mercaldo et al.: var(logit PPV) = (1 - sens) / sens / n1 + spec / (1 - spec) / n0, n1 and n0 being the
    cases with and without the finding.
    """
    if right == 0 or wrong == 0:
        return binomial_interval(right, right + wrong)
    value = right / (right + wrong)
    spread = math.sqrt(missed / right / (right + missed) + others / wrong / (wrong + others))
    low, high = expit(logit(value) + np.array([-Z, Z]) * spread)
    return Estimate(value, float(low), float(high))


def _f1(tp: int, fp: int, fn: int, tn: int) -> Estimate:
    if tp + fp + fn == 0:
        return UNDEFINED
    n = tp + fp + fn + tn
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = rng.multinomial(n, np.array([tp, fp, fn, tn]) / n, size=BOOTSTRAPS)
    scale = 2 * drawn[:, 0] + drawn[:, 1] + drawn[:, 2]
    defined = scale > 0
    values = 2 * drawn[defined, 0] / scale[defined]
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return Estimate(2 * tp / (2 * tp + fp + fn), float(low), float(high))


def _kappa(tp: int, fp: int, fn: int, tn: int) -> Estimate:
    shares = np.array([[tp, fp], [fn, tn]]) / (tp + fp + fn + tn)
    by_chance = float(shares.sum(axis=1) @ shares.sum(axis=0))
    if by_chance == 1.0:  # all cases in one cell: agreement beyond chance has no meaning
        return UNDEFINED
    value = float((np.trace(shares) - by_chance) / (1.0 - by_chance))
    spread = Z * kappa_standard_error(tp, fp, fn, tn)
    return Estimate(value, max(-1.0, value - spread), min(1.0, value + spread))


def kappa_standard_error(tp: int, fp: int, fn: int, tn: int) -> float:
    """Return the asymptotic standard error of Cohen's kappa (Fleiss, Cohen and Everitt 1969, eq. 13)."""
    n = tp + fp + fn + tn
    p = np.array([[tp, fp], [fn, tn]]) / n
    row, column = p.sum(axis=1), p.sum(axis=0)
    by_chance = float(row @ column)
    kappa = (np.trace(p) - by_chance) / (1.0 - by_chance)
    agree = (np.diag(p) * (1.0 - (row + column) * (1.0 - kappa)) ** 2).sum()
    crossed = (column[:, None] + row[None, :]) ** 2 * p
    disagree = (1.0 - kappa) ** 2 * (crossed.sum() - np.trace(crossed))
    variance = (agree + disagree - (kappa - by_chance * (1.0 - kappa)) ** 2) / (n * (1.0 - by_chance) ** 2)
    return math.sqrt(max(float(variance), 0.0))
