"""Per-patch values of a run: where the model looked, and which way each patch pushed."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import expit, softmax

from napari_aln.mil.scoring import ROWS_AT_ONCE, blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_aln.mil.scoring import PatchScorer

    Float64 = NDArray[np.float64]


def attention_slide(e: NDArray[Any]) -> Float64:
    """Return softmax of the (n,) attention logits over all patches, times n: 1 = uniform."""
    attention: Float64 = softmax(np.asarray(e, dtype=np.float64)) * len(e)
    return attention


def attention_bag(attention: csr_array) -> Float64:
    """Return the mean, over the bags a patch is in, of softmax within the bag times the bag's size.

    Parameters
    ----------
    attention
        (n_bags, n) from `scoring.bag_attention`. A patch is in one bag of each partition, or in two where it
        filled up the last one; each of its bags counts once in its mean.

    Returns
    -------
    float64 (n,), 1 = uniform; NaN for a patch that no bag drew.
    """
    sizes = np.diff(attention.indptr).astype(np.float64)
    total = sizes @ attention  # (n,)
    drawn = np.bincount(attention.indices, minlength=len(total))
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN promised above
        mean: Float64 = total / drawn
    return mean


def log_odds(logits: Float64) -> Float64:
    """Return the log-odds of N(+) of (..., classes) logits: logsumexp of the N+ classes minus N0."""
    positive = (logits[..., k] for k in range(1, logits.shape[-1]))
    odds: Float64 = functools.reduce(np.logaddexp, positive) - logits[..., 0]
    return odds


class Effects(NamedTuple):
    """What single patches do to the answer."""

    contribution: Float64
    """(n,) f(all) - f(all without the patch): positive pushes toward N(+), negative toward N0."""
    probability: Float64
    """(n,) of N(+) when the bag is that one patch."""


def effects(scorer: PatchScorer, clinical: Float64 | None = None) -> Effects:
    """Return what each patch adds to the log-odds of N(+), and what the model says of it alone.

    With f the log-odds on all patches pooled as one bag. Leaving patch i out of the softmax gives
    ``z_-i = (z - a_i p_i) / (1 - a_i)``, so all n values take one pass. What reaches the classifier's ReLU is
    ``z_-i + c = ((z + c) - a_i (p_i + c)) / (1 - a_i)``, with c the bias and the clinical values: the patch
    alone gives ``p_i + c``, and the positive divisor may be left until after the ReLU. For a patch that holds
    more than half of the attention, ``1 - a_i`` would cancel; there the others are pooled anew.

    Parameters
    ----------
    scorer
        The run's patches, at least one.
    clinical
        (5,) clinical vector, or None for an image-only model.

    Returns
    -------
    Effects
        A slide of one patch is compared with an empty bag, whose pooled vector is zero.
    """
    n, head, shift = len(scorer), scorer.head, scorer.shift(clinical)
    pooled, log_mass = scorer.pool()
    odds_of_all, hidden_of_all = log_odds(scorer.logits(pooled, clinical)), pooled + shift
    without, alone = np.empty(n), np.empty(n)
    room = np.empty((2, min(n, 2 * ROWS_AT_ONCE), len(shift)))  # for the largest block
    with np.errstate(divide="ignore", invalid="ignore"):  # of a leading patch, put in below
        for rows in blocks(n):
            share = np.exp(scorer.e[rows, None] - log_mass)
            hidden, hidden_without = room[:, : len(share)]
            np.add(scorer.rows(rows), shift, out=hidden)
            np.multiply(hidden, share, out=hidden_without)
            np.subtract(hidden_of_all, hidden_without, out=hidden_without)
            for found, values, divisor in ((without, hidden_without, 1.0 - share), (alone, hidden, 1.0)):
                np.maximum(values, 0.0, out=values)
                found[rows] = log_odds(values @ head.output.T / divisor + head.output_bias)
    top = int(np.argmax(scorer.e))
    if scorer.e[top] - log_mass > np.log(0.5):
        without[top] = log_odds(scorer.logits(scorer.pool(leave_out=top)[0], clinical))
    return Effects(np.subtract(odds_of_all, without, out=without), expit(alone, out=alone))
