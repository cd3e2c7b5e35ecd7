"""Is a map faithful to its model? Take patches away in its order, or put them in, and watch the answer.

Deletion and insertion are those of Petsiuk, Das and Saenko (RISE, BMVC 2018), with patches for pixels; taking
away first what a map ranks highest, against random orders, is the perturbation test of Samek et al. (IEEE
Trans. Neural Netw. Learn. Syst. 28, 2660, 2017).

What is watched is the probability of the side the model is on when all patches are pooled as one bag: N(+)
where their log-odds f is 0 or more, else N0. *Most important first* is what speaks for that side: signed maps
(`contribution`, and `probability`) descend on a slide called N(+) and ascend on one called N0; attention and
entropy have no sign and descend on both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import expit

from napari_aln.mil.attribution import log_odds
from napari_aln.mil.scoring import blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_aln.mil.scoring import PatchScorer
    from napari_aln.records import PatchScores

    Float64 = NDArray[np.float64]

NEUTRAL = {"contribution": 0.0, "probability": 0.5}
"""Maps with a sign, and the value at which a patch speaks for neither side."""

RANDOM_ORDERS = 20

_LOWEST_LOG_WEIGHT = -600.0
"""Patches with less attention than this are alike: exp would make it 0, and a bag of them 0 / 0."""


class OrderCurves(NamedTuple):
    """What an order of n patches does to the probability that is watched.

    A bag without patches is nothing a model ever saw: the curves run between all patches and one.
    """

    deletion: Float64  # (n,): k = 0 .. n-1 patches taken away
    insertion: Float64  # (n,): k = 1 .. n patches put in

    @property
    def deletion_area(self) -> float:
        """Return the area under the deletion curve, a step a patch, over 0..1 of the patches."""
        return float(self.deletion.mean())

    @property
    def insertion_area(self) -> float:
        """Return the area under the insertion curve, likewise."""
        return float(self.insertion.mean())

    def at(self, share: Float64) -> tuple[Float64, Float64]:
        """Return both curves where these shares (0..1) of the patches are taken away, or put in."""
        n = len(self.deletion)
        step = np.round(share * n, 9)
        away = np.floor(step).astype(np.int64).clip(max=n - 1)
        there = np.ceil(step).astype(np.int64).clip(min=1) - 1
        return self.deletion[away], self.insertion[there]


@dataclass(frozen=True)
class SlideFaithfulness:
    """The maps of one slide against random orders.

    Attributes
    ----------
    toward
        1 where the model is on the side of N(+), -1 for N0.
    whole
        Probability of that side, all patches pooled.
    maps
        By the map's name.
    random
        Means over the random orders.
    """

    toward: int
    whole: float
    maps: dict[str, OrderCurves]
    random: OrderCurves

    def areas(self) -> dict[str, tuple[float, float]]:
        """Return each map's areas under deletion and insertion, and under ``random`` those of chance."""
        curves = {**self.maps, "random": self.random}
        return {name: (one.deletion_area, one.insertion_area) for name, one in curves.items()}


def ranked_maps(scores: PatchScores) -> dict[str, Float64]:
    """Return the maps of a run that order its patches, each (n,).

    `attention_logit` orders them as `attention_slide` does. A map that is nowhere known is left out.
    """
    maps = {
        "attention_slide": scores.attention_slide,
        "attention_bag": scores.attention_bag,
        "contribution": scores.contribution,
        "probability": scores.probability,
        "entropy": scores.entropy.astype(np.float64),
    }
    return {name: values for name, values in maps.items() if np.isfinite(values).any()}


def strength(name: str, values: Float64) -> Float64:
    """Return how much a map makes of each patch, whichever way: signed maps by distance from neutral."""
    found: Float64 = np.abs(values - NEUTRAL[name]) if name in NEUTRAL else values
    return found


def importance_order(name: str, values: Float64, toward: int) -> NDArray[np.int64]:
    """Return the patches, the most important first; equal ones stay in place, unknown (NaN) come last."""
    signed = toward * values if name in NEUTRAL else values
    order: NDArray[np.int64] = np.argsort(-signed, kind="stable")
    return order


def pooled_log_odds(scorer: PatchScorer, order: NDArray[Any], clinical: Float64 | None = None) -> Float64:
    """Return (n,) log-odds of N(+) of the first 1, 2, ... n patches of an order, each time pooled as one bag.

    Softmax over the first k patches is ``exp(e)`` over its running sum, so one pass gives all n bags. Running
    sums of positive weights cancel nothing.
    """
    weights = np.exp(np.maximum(scorer.e[order] - scorer.e.max(), _LOWEST_LOG_WEIGHT))
    pooled = np.cumsum(weights[:, None] * scorer.rows(order), axis=0)  # (n, hidden_c)
    pooled /= np.cumsum(weights)[:, None]
    found: Float64 = log_odds(
        np.concatenate([scorer.logits(pooled[rows], clinical) for rows in blocks(len(order))])
    )
    return found


def order_curves(
    scorer: PatchScorer, order: NDArray[Any], toward: int, clinical: Float64 | None = None
) -> OrderCurves:
    """Return the curves of one order, the most important patch first.

    What is left after a deletion is an insertion in the reverse order: also that needs no subtraction.
    """
    insertion = expit(toward * pooled_log_odds(scorer, order, clinical))
    deletion = expit(toward * pooled_log_odds(scorer, order[::-1], clinical))[::-1]
    return OrderCurves(deletion, insertion)


def slide_faithfulness(
    scorer: PatchScorer,
    clinical: Float64 | None,
    maps: Mapping[str, Float64],
    rng: np.random.Generator,
    n_random: int = RANDOM_ORDERS,
) -> SlideFaithfulness:
    """Measure the maps of one slide.

    Parameters
    ----------
    scorer
        The run's patches, at least one.
    clinical
        (5,) clinical vector, or None for an image-only model.
    maps
        Name -> (n,) values, see `ranked_maps`.
    rng
        Draws the random orders.
    n_random
        How many to average.
    """
    everything = np.arange(len(scorer))
    odds = float(pooled_log_odds(scorer, everything, clinical)[-1])
    toward = 1 if odds >= 0 else -1
    found = {
        name: order_curves(scorer, importance_order(name, values, toward), toward, clinical)
        for name, values in maps.items()
    }
    drawn = [order_curves(scorer, rng.permutation(everything), toward, clinical) for _ in range(n_random)]
    random = OrderCurves(
        np.mean([one.deletion for one in drawn], axis=0), np.mean([one.insertion for one in drawn], axis=0)
    )
    return SlideFaithfulness(toward, float(expit(toward * odds)), found, random)
