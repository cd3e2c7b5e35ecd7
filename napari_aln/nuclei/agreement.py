"""How well found nuclei agree with annotated ones: F1, panoptic quality PQ, aggregated Jaccard index AJI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MATCH_IOU = 0.5
"""Above it a found and an annotated nucleus are the same; neither can match another one then."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one picture, or of several.

    Attributes
    ----------
    annotated, found
        How many nuclei.
    matched
        How many of them match.
    iou_sum
        Of those.
    aji
        Aggregated Jaccard index; over several pictures the mean.
    """

    annotated: int
    found: int
    matched: int
    iou_sum: float
    aji: float

    @property
    def f1(self) -> float:
        """Twice the matches over annotated and found; 1 where there are neither."""
        both = self.annotated + self.found
        return 2 * self.matched / both if both else 1.0

    @property
    def pq(self) -> float:
        """F1 times the mean IoU of the matches; 1 where there are neither annotated nor found nuclei."""
        both = self.annotated + self.found
        return 2 * self.iou_sum / both if both else 1.0


def agreement(annotated: NDArray[np.integer], found: NDArray[np.integer]) -> Agreement:
    """Compare (H, W) labels of the same picture, 0 = background, numbered in any way."""
    of, n = _numbered(annotated)
    to, m = _numbered(found)
    table = np.bincount(of * (m + 1) + to, minlength=(n + 1) * (m + 1)).reshape(n + 1, m + 1)
    area_of, area_to, common = table.sum(axis=1)[1:], table.sum(axis=0)[1:], table[1:, 1:]
    i, j = np.nonzero(common)
    union = area_of[i] + area_to[j] - common[i, j]
    iou = common[i, j] / union
    hit = iou > MATCH_IOU
    order = np.lexsort((iou, i))
    best = order[np.diff(i[order], append=-1) != 0]  # each annotated nucleus's best partner
    alone = area_of.sum() - area_of[i[best]].sum() + area_to.sum() - area_to[np.unique(j[best])].sum()
    whole = union[best].sum() + alone
    aji = float(common[i, j][best].sum() / whole) if whole else 1.0
    return Agreement(n, m, int(hit.sum()), float(iou[hit].sum()), aji)


def pooled(each: Sequence[Agreement]) -> Agreement:
    """Return the agreement over several pictures: counts are summed, AJI is averaged."""
    return Agreement(
        sum(a.annotated for a in each),
        sum(a.found for a in each),
        sum(a.matched for a in each),
        sum(a.iou_sum for a in each),
        float(np.mean([a.aji for a in each])) if each else 1.0,
    )


def _numbered(labels: NDArray[np.integer]) -> tuple[NDArray[np.int64], int]:
    """Return flat labels numbered 1..n, and n."""
    values, number = np.unique(labels, return_inverse=True)
    if not len(values) or values[0] != 0:
        number = number + 1
        return number.ravel().astype(np.int64), len(values)
    return number.ravel().astype(np.int64), len(values) - 1
