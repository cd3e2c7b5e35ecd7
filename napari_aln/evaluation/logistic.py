"""Logistic regression of a few values, as scikit-learn's defaults fit it, by Newton's method."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import expit

from napari_aln.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEPS = 100
_CLOSE = 1e-10


class Logistic(NamedTuple):
    """A fitted regression."""

    intercept: float
    weights: NDArray[np.float64]  # (k,)

    def probability(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the (n,) probabilities of N(+) for (n, k) values."""
        found: NDArray[np.float64] = expit(self.intercept + values @ self.weights)
        return found


def fit_logistic(
    values: NDArray[np.float64], positive: NDArray[np.bool_], *, penalty: float = 1.0, balanced: bool = True
) -> Logistic:
    """Fit by penalised maximum likelihood.

    Parameters
    ----------
    values
        (n, k), standardised.
    positive
        (n,); both classes must be there.
    penalty
        L2 penalty on the weights, penalty / 2 * |w|²; the intercept is free. 1.0 is the inverse of
        scikit-learn's default ``C``.
    balanced
        Weigh both classes alike (``class_weight="balanced"``).

    Raises
    ------
    UsageError
        One class alone.
    """
    n, n_positive = len(positive), int(positive.sum())
    if n_positive in (0, n):
        raise UsageError("A regression needs patients of both classes.", "Give labels of both.")
    weight = np.where(positive, n / (2 * n_positive), n / (2 * (n - n_positive))) if balanced else np.ones(n)
    design = np.column_stack([np.ones(n), values])
    ridge = np.r_[0.0, np.full(values.shape[1], penalty)]
    beta = np.zeros(design.shape[1])

    def loss(at: NDArray[np.float64]) -> float:
        margin = np.where(positive, 1.0, -1.0) * (design @ at)
        return float(weight @ np.logaddexp(0.0, -margin) + ridge @ at**2 / 2)

    for _ in range(_STEPS):
        p = expit(design @ beta)
        slope = design.T @ (weight * (p - positive)) + ridge * beta
        curvature = (design.T * (weight * p * (1 - p))) @ design + np.diag(ridge)
        step = np.linalg.lstsq(curvature, slope, rcond=None)[0]
        share = 1.0  # halved until the loss falls: far from the solution a whole step may overshoot
        while loss(beta - share * step) > loss(beta) and share > _CLOSE:
            share /= 2
        beta = beta - share * step
        if np.abs(share * step).max() < _CLOSE:
            break
    return Logistic(float(beta[0]), beta[1:])
