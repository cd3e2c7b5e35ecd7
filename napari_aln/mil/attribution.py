"""Per-patch values of a run: where the model looked, and which way each patch pushed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logsumexp, softmax

from napari_aln.mil.scoring import bag_attention, blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_aln.mil.scoring import PatchScorer

    Float64 = NDArray[np.float64]


def attention_slide(e: NDArray[Any]) -> Float64:
    """Return softmax of the (n,) attention logits over all patches, times n: 1 = uniform."""
    attention: Float64 = softmax(np.asarray(e, dtype=np.float64)) * len(e)
    return attention


def attention_bag(e: NDArray[Any], bags: Sequence[NDArray[Any]]) -> Float64:
    """Return the mean, over the bags a patch is in, of softmax within the bag times the bag's size.

    Parameters
    ----------
    e
        (n,) attention logits.
    bags
        Index arrays. A patch is in one bag of each partition, or in two where it filled up the last one; each
        of its bags counts once in its mean.

    Returns
    -------
    float64 (n,), 1 = uniform; NaN for a patch that no bag drew.
    """
    attention = bag_attention(e, bags)
    sizes = np.array([len(bag) for bag in bags], dtype=np.float64)
    total = sizes @ attention  # (n,)
    drawn = np.bincount(attention.indices, minlength=len(e))
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN promised above
        mean: Float64 = total / drawn
    return mean


def log_odds(logits: Float64) -> Float64:
    """Return the log-odds of N(+) of (..., classes) logits: logsumexp of the N+ classes minus N0."""
    odds: Float64 = logsumexp(logits[..., 1:], axis=-1) - logits[..., 0]
    return odds


def contribution(scorer: PatchScorer, clinical: Float64 | None = None) -> Float64:
    """Return what each patch adds to the log-odds of N(+): f(all) - f(all without it).

    With f the log-odds on all patches pooled as one bag. Leaving patch i out of the softmax gives
    ``z_-i = (z - a_i h_i) / (1 - a_i)``, so all n values take one pass. For a patch that holds more than half
    of the attention, ``1 - a_i`` would cancel; there the others are pooled anew.

    Parameters
    ----------
    scorer
        The run's patches.
    clinical
        (5,) clinical vector, or None for an image-only model.

    Returns
    -------
    float64 (n,): positive pushes toward N(+), negative toward N0. A slide of one patch is compared with an
    empty bag, whose pooled vector is zero.
    """
    attention = softmax(scorer.e)  # (n,)
    pooled = _weighted_sum(attention, scorer.projected)  # (hidden_c,)
    top = int(np.argmax(attention))
    rest = 1.0 - attention
    if attention[top] > 0.5:
        rest[top] = 1.0  # put in below
    without_top = np.zeros_like(pooled)
    if attention[top] > 0.5 and len(scorer) > 1:
        others = np.delete(np.arange(len(scorer)), top)
        without_top = _weighted_sum(softmax(scorer.e[others]), scorer.projected[others])
    logits_without = []
    for rows in blocks(len(scorer)):
        without = (pooled - attention[rows, None] * scorer.projected[rows]) / rest[rows, None]
        if attention[top] > 0.5 and rows.start <= top < rows.stop:
            without[top - rows.start] = without_top
        logits_without.append(scorer.logits(without, clinical))
    of_all: Float64 = log_odds(scorer.logits(pooled, clinical))
    return of_all - log_odds(np.concatenate(logits_without))


def _weighted_sum(weights: Float64, rows: Float64) -> Float64:
    """Return weights (n,) @ rows (n, hidden_c) on this thread; see `ROWS_AT_ONCE` for why."""
    total: Float64 = np.einsum("n,nc->c", weights, rows)
    return total


def patch_probability(scorer: PatchScorer, clinical: Float64 | None = None) -> Float64:
    """Return the (n,) probabilities of N(+) when the bag is that one patch."""
    logits = [scorer.logits(scorer.projected[rows], clinical) for rows in blocks(len(scorer))]
    alone = softmax(np.concatenate(logits), axis=-1)
    probability: Float64 = np.clip(1.0 - alone[:, 0], 0.0, 1.0)
    return probability
