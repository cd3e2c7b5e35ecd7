"""Thresholds, and what they make of scores. A patient is called N(+) from the threshold on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


CARD = "card"
"""Where a point was chosen that a model brings along: before it met the patients it is judged by."""


class OperatingPoint(NamedTuple):
    """A threshold, how it is named and where it was chosen; never on the patients it is judged by."""

    name: str
    threshold: float
    chosen_on: str


class Counts(NamedTuple):
    """A 2 x 2 confusion matrix, in the order `confusion_metrics` takes."""

    tp: int
    fp: int
    fn: int
    tn: int


def counts_at(positive: NDArray[np.bool_], scores: NDArray[np.float64], threshold: float) -> Counts:
    """Return the confusion matrix of calling N(+) from `threshold` on."""
    return counts_of(positive, scores >= threshold)


def counts_of(positive: NDArray[np.bool_], called: NDArray[np.bool_]) -> Counts:
    """Return the confusion matrix of calls."""
    tp, fp = int((positive & called).sum()), int((~positive & called).sum())
    n_positive = int(positive.sum())
    return Counts(tp, fp, n_positive - tp, len(positive) - n_positive - fp)


def youden_threshold(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the threshold with the largest sensitivity + specificity, halfway between two scores.

    Of several that are as good the lowest, which misses fewest. Both classes must be there.
    """
    cuts, sensitivity, specificity = _cuts(positive, scores)
    gain = sensitivity + specificity
    # Shares that are equal on paper may differ in the last bit.
    return float(cuts[int(np.argmax(gain >= gain.max() - 1e-12))])


def sensitivity_threshold(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], sensitivity: float
) -> float:
    """Return the highest threshold that still finds this share of N(+), halfway between two scores."""
    cuts, found, _ = _cuts(positive, scores)
    return float(cuts[np.flatnonzero(found >= sensitivity - 1e-12)[-1]])


def _cuts(
    positive: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return every threshold worth trying, rising, with its sensitivity and specificity."""
    levels = np.unique(scores)
    cuts = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    of_positive, of_negative = np.sort(scores[positive]), np.sort(scores[~positive])
    sensitivity = 1.0 - np.searchsorted(of_positive, cuts) / len(of_positive)
    specificity = np.searchsorted(of_negative, cuts) / len(of_negative)
    return cuts, sensitivity, specificity
