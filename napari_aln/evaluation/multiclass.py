"""Three classes: one class against the others, their mean, and the confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_aln.evaluation.auc import auc_interval, roc_auc
from napari_aln.evaluation.curves import bootstrapped, calibration_error
from napari_aln.evaluation.metrics import Estimate, binomial_interval, confusion_metrics
from napari_aln.evaluation.operating_points import Counts, counts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ClassPerformance(NamedTuple):
    """One class against all others (Shkembi et al., Table 5)."""

    name: str
    n: int  # patients of the class
    auc: Estimate
    auc_delong: Estimate
    counts: Counts
    metrics: dict[str, Estimate]


def called_class(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the (n,) most probable classes of (n, classes) scores; the first of a tie."""
    found: NDArray[np.int64] = scores.argmax(axis=1)
    return found


def confusion_matrix(
    labels: NDArray[np.int64], called: NDArray[np.int64], n_classes: int
) -> NDArray[np.int64]:
    """Return the (n_classes, n_classes) counts, a row for each true and a column for each called class."""
    flat = np.bincount(labels * n_classes + called, minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes).astype(np.int64)


def one_vs_rest(
    classes: tuple[str, ...], labels: NDArray[np.int64], scores: NDArray[np.float64]
) -> list[ClassPerformance]:
    """Judge each class against the others: AUC of its score, the rest by the most probable class."""
    called = called_class(scores)
    rows = []
    for index, name in enumerate(classes):
        own = labels == index
        counts = counts_of(own, called == index)
        rows.append(
            ClassPerformance(
                name,
                int(own.sum()),
                auc_interval(own, scores[:, index]),
                auc_interval(own, scores[:, index], "delong"),
                counts,
                confusion_metrics(*counts),
            )
        )
    return rows


def macro_auc(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Return the mean of the one-vs-rest AUCs; every class must be there."""
    return float(np.mean([roc_auc(labels == k, scores[:, k]) for k in range(scores.shape[1])]))


def overall(
    labels: NDArray[np.int64], scores: NDArray[np.float64], bootstraps: int, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Return macro AUC, accuracy, macro F1 and Cohen's kappa over all classes.

    Accuracy has the exact binomial interval; the others are bootstrapped within each class.
    """
    n_classes = scores.shape[1]
    right = int((called_class(scores) == labels).sum())

    def f1(label: NDArray[np.int64], score: NDArray[np.float64]) -> float:
        table = confusion_matrix(label, called_class(score), n_classes)
        return float(np.mean(2 * np.diag(table) / np.maximum(table.sum(axis=0) + table.sum(axis=1), 1)))

    def kappa(label: NDArray[np.int64], score: NDArray[np.float64]) -> float:
        table = confusion_matrix(label, called_class(score), n_classes) / len(label)
        by_chance = table.sum(axis=0) @ table.sum(axis=1)
        return float((np.trace(table) - by_chance) / (1.0 - by_chance))

    return {
        "auc": bootstrapped(macro_auc, labels, scores, bootstraps, rng),
        "acc": binomial_interval(right, len(labels)),
        "f1": bootstrapped(f1, labels, scores, bootstraps, rng),
        "kappa": bootstrapped(kappa, labels, scores, bootstraps, rng),
    }


def calibration_of_classes(
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    n_bins: int,
    bootstraps: int,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Return how far the scores of several classes are probabilities.

    `brier`: mean squared distance from the truth, summed over the classes (Brier 1950, so 0 to 2),
    bootstrapped within each class; `ece`: of the probability of the called class, over bins of equal width
    (Guo et al. 2017), without an interval as in `curves.calibration`.
    """

    def brier(label: NDArray[np.int64], score: NDArray[np.float64]) -> float:
        truth = np.eye(score.shape[1])[label]
        return float(((score - truth) ** 2).sum(axis=1).mean())

    error = calibration_error(called_class(scores) == labels, scores.max(axis=1), n_bins)
    return {
        "brier": bootstrapped(brier, labels, scores, bootstraps, rng),
        "ece": Estimate(error, np.nan, np.nan),
    }
