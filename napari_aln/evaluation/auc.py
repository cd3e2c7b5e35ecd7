"""Area under the ROC curve: value, interval, and tests between models and between groups of patients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from scipy.stats import chi2, norm, rankdata

from napari_aln.errors import UsageError
from napari_aln.evaluation.metrics import UNDEFINED, Estimate, Z, binomial_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

AucMethod = Literal["binomial", "delong"]


def auc_interval(labels: ArrayLike, scores: ArrayLike, method: AucMethod = "binomial") -> Estimate:
    """Return the area under the ROC curve with its 95 % interval.

    Parameters
    ----------
    labels
        (n,) 0 or False for N0, 1 or True for N(+).
    scores
        (n,) larger for N(+). Ties count half.
    method
        ``binomial``: exact binomial of AUC x n successes in n, as MedCalc gives it and Xu et al. print it.
        ``delong``: normal interval with DeLong's variance, cut at 0 and 1; of no width where every N(+) lies
        above every N0.

    Raises
    ------
    UsageError
        Only one class is there (the area is not defined), or labels and scores are not usable.
    """
    positive, values = checked(labels, scores)
    if method == "binomial":
        area = roc_auc(positive, values)
        return binomial_interval(area * len(positive), len(positive))
    if method != "delong":
        raise UsageError(f"There is no interval {method!r} of an AUC.", "Choose binomial or delong.")
    if min(positive.sum(), (~positive).sum()) < 2:  # a variance over one case is not defined
        return UNDEFINED._replace(value=roc_auc(positive, values))
    areas, covariance = delong_covariance(positive, values[None])
    spread = Z * math.sqrt(covariance[0, 0])
    return Estimate(float(areas[0]), max(0.0, float(areas[0]) - spread), min(1.0, float(areas[0]) + spread))


def delong_test(labels: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike) -> float:
    """Return the two-sided p that two models have the same AUC on the same patients (DeLong et al. 1988).

    Parameters
    ----------
    labels
        (n,) 0 for N0, 1 for N(+).
    scores_a, scores_b
        (n,) each, of the same patients in the same order.

    Returns
    -------
    float
        1.0 where both rank the patients alike; NaN where the difference has no variance to be tested by.

    Raises
    ------
    UsageError
        Only one class is there, or labels and scores are not usable.
    """
    positive, a = checked(labels, scores_a)
    _, b = checked(labels, scores_b)
    return paired_difference(positive, a, b).p


class Difference(NamedTuple):
    """AUC of the first minus AUC of the second, and how sure it is."""

    estimate: Estimate
    z: float
    p: float  # two-sided


def paired_difference(
    positive: NDArray[np.bool_], a: NDArray[np.float64], b: NDArray[np.float64]
) -> Difference:
    """Compare two models on the same patients by DeLong et al. (1988)."""
    if min(positive.sum(), (~positive).sum()) < 2:
        difference = roc_auc(positive, a) - roc_auc(positive, b)
        return Difference(UNDEFINED._replace(value=difference), math.nan, math.nan)
    areas, covariance = delong_covariance(positive, np.stack([a, b]))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return _tested(float(areas[0] - areas[1]), math.sqrt(max(float(variance), 0.0)))


def unpaired_p(areas: Sequence[float], standard_errors: Sequence[float]) -> float:
    """Return the two-sided p that groups of different patients have one AUC.

    With two groups the test of Hanley and McNeil (1983) for independent curves, (A1 - A2) / sqrt(s1² + s2²);
    with more its extension, chi-square of the areas about their weighted mean.
    """
    area, error = np.asarray(areas), np.asarray(standard_errors)
    if len(area) < 2 or not (error > 0).all():
        return math.nan
    weight = error**-2.0
    spread = float(weight @ (area - weight @ area / weight.sum()) ** 2)
    return float(chi2.sf(spread, len(area) - 1))


def auc_standard_error(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return DeLong's standard error of an AUC."""
    return math.sqrt(float(delong_covariance(positive, scores[None])[1][0, 0]))


def roc_auc(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve, ties counted half; both classes must be there."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    above = rankdata(scores)[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))


def delong_covariance(
    positive: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (k,) areas of k models and their (k, k) covariance.

    `scores` has shape (k, n). Midranks give what DeLong's double sum over pairs gives (Sun and Xu 2014).
    """
    of_positive, of_negative = scores[:, positive], scores[:, ~positive]
    m, n = of_positive.shape[1], of_negative.shape[1]
    rank = rankdata(np.concatenate([of_positive, of_negative], axis=1), axis=1)
    # Share of the other class that each case is ranked rightly against: (k, m) and (k, n).
    beats = (rank[:, :m] - rankdata(of_positive, axis=1)) / n
    beaten = 1.0 - (rank[:, m:] - rankdata(of_negative, axis=1)) / m
    covariance = np.atleast_2d(np.cov(beats)) / m + np.atleast_2d(np.cov(beaten)) / n
    return beats.mean(axis=1), covariance


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return labels as (n,) bool and scores as (n,) float.

    Raises
    ------
    UsageError
        Another number of scores than labels, a label other than 0 and 1, NaN, or one class alone.
    """
    given, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if given.ndim != 1 or given.shape != values.shape:
        raise UsageError(
            f"There are {given.size} labels and {values.size} scores.", "Give one score for each label."
        )
    if not np.isin(given, (0, 1)).all():
        raise UsageError("Labels are not all 0 or 1.", "Give 0 for N0 and 1 for N(+).")
    if np.isnan(values).any():
        raise UsageError(
            f"{np.isnan(values).sum()} scores are NaN.", "Leave those patients out or score them."
        )
    positive = given.astype(bool)
    if positive.all() or not positive.any():
        which = "N(+)" if len(positive) and positive.all() else "N0"
        raise UsageError(
            f"The AUC is not defined: all {len(positive)} labels are {which}.",
            "Give patients of both classes.",
        )
    return positive, values


def _tested(difference: float, error: float) -> Difference:
    if error == 0.0:
        p = 1.0 if difference == 0.0 else math.nan
        return Difference(UNDEFINED._replace(value=difference), math.nan, p)
    z = difference / error
    interval = Estimate(difference, difference - Z * error, difference + Z * error)
    return Difference(interval, z, float(2 * norm.sf(abs(z))))
