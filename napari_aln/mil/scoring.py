"""From cached embeddings to probabilities, in float64 NumPy: quick enough for live what-if, no torch.

The classifier's first layer is linear, so each patch is projected through it once; pooling a bag is then a
weighted mean of 64 values a patch instead of 256, and a clinical value only moves a constant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array
from scipy.special import softmax

from napari_aln.errors import BundleError
from napari_aln.mil.card import CLINICAL_REPEATS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import PurePath

    from numpy.typing import NDArray

    from napari_aln.mil.card import ModelCard

    Float64 = NDArray[np.float64]

_PREFIX = "head."

PROJECTED_AT_ONCE = 16
"""Rows that go through one matrix product. BLAS rounds by the shape of the whole product: in products of one
shape a patch's projection is the same to the last bit, whichever patches are scored with it."""

ROWS_AT_ONCE = 512
"""Rows of 64 float64 that arithmetic passes over while they are still in the processor's cache.

Both numbers also keep each product so small (16 x 64 x 256 multiplications) that OpenBLAS runs it on the
calling thread. Its threads wait for each other: beside a busy network, products of 3 ms took 50.
"""

HELD_PATCHES = 2**17
"""So many patches are projected once and held, 64 MiB at 64 float64 each. More are projected anew, a block at
a time, whenever they are asked for: slower, in memory that no longer grows, and the same to the last bit.
"""


@dataclass(frozen=True, eq=False)
class HeadWeights:
    """The classifier's two layers in float64: what is needed beyond a patch's h and e.

    Attributes
    ----------
    image
        (hidden_c, hidden): first layer, the part that meets the pooled image vector.
    clinical
        (hidden_c, 5): first layer, the part that meets the clinical vector, summed over its repeats;
        (hidden_c, 0) in an image-only model.
    bias
        (hidden_c,) of the first layer.
    output, output_bias
        (classes, hidden_c) and (classes,) of the second layer.
    """

    image: Float64
    clinical: Float64
    bias: Float64
    output: Float64
    output_bias: Float64

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]], n_clinical: int) -> HeadWeights:
        """Take the classifier out of a bundle's tensors.

        Parameters
        ----------
        tensors
            With ``head.fc1.*`` and ``head.classifier.*``.
        n_clinical
            How many clinical values the model takes.
        """
        first, bias, output, output_bias = (
            np.asarray(tensors[f"{_PREFIX}classifier.{key}"], dtype=np.float64)
            for key in ("0.weight", "0.bias", "2.weight", "2.bias")
        )
        hidden = tensors[f"{_PREFIX}fc1.0.bias"].shape[0]
        repeated = first[:, hidden:].reshape(len(first), -1, n_clinical) if n_clinical else None
        clinical = np.zeros((len(first), 0)) if repeated is None else repeated.sum(axis=1)
        return cls(first[:, :hidden], clinical, bias, output, output_bias)

    @staticmethod
    def check(tensors: Mapping[str, NDArray[Any]], card: ModelCard, source: PurePath | str) -> None:
        """Check the head's shapes against the card, without building the network.

        Raises
        ------
        BundleError
            A tensor of the head is missing or has another shape.
        """
        fused = card.hidden + CLINICAL_REPEATS * card.n_clinical
        wanted = {
            "fc1.0.bias": (card.hidden,),
            "attention.0.weight": (card.attention_width, card.hidden),
            "attention.0.bias": (card.attention_width,),
            "attention.3.weight": (1, card.attention_width),
            "attention.3.bias": (1,),
            "classifier.0.weight": (card.classifier_hidden, fused),
            "classifier.0.bias": (card.classifier_hidden,),
            "classifier.2.weight": (len(card.classes), card.classifier_hidden),
            "classifier.2.bias": (len(card.classes),),
        }
        for key, shape in wanted.items():
            found = tensors.get(_PREFIX + key)
            if found is None or found.shape != shape:
                has = "is missing" if found is None else f"is {list(found.shape)}"
                raise BundleError(
                    f"In {source} the tensor {_PREFIX}{key} {has}, where the card describes {list(shape)}.",
                    "Ask the maker of the bundle for a corrected one.",
                )


def bag_attention(e: NDArray[Any], bags: Sequence[NDArray[Any]]) -> csr_array:
    """Return the softmax of the attention logits within each bag, as a sparse (n_bags, n) matrix.

    Parameters
    ----------
    e
        (n,) attention logits.
    bags
        Index arrays into the patches; sizes may differ.

    Raises
    ------
    ValueError
        There is no bag, or an empty one.
    """
    sizes = np.fromiter(map(len, bags), np.int64, len(bags))
    if not len(sizes) or not sizes.all():
        raise ValueError("a bag needs at least one patch")
    members = np.concatenate(bags)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    logits = np.asarray(e, dtype=np.float64)[members]
    weights = np.exp(logits - np.repeat(np.maximum.reduceat(logits, ends[:-1]), sizes))
    weights /= np.repeat(np.add.reduceat(weights, ends[:-1]), sizes)
    return csr_array((weights, members, ends), shape=(len(bags), len(e)))


class PatchScorer:
    """Scores any bags of a set of patches from their embeddings alone.

    Parameters
    ----------
    head
        The model's classifier.
    h
        (n, hidden) instance embeddings.
    e
        (n,) attention logits.
    hold
        Whether to project all patches now and keep that, 512 bytes a patch, in place of h. Left out: where
        they are `HELD_PATCHES` at most.

    Attributes
    ----------
    e
        (n,) attention logits as float64.
    """

    def __init__(
        self, head: HeadWeights, h: NDArray[Any], e: NDArray[Any], *, hold: bool | None = None
    ) -> None:
        self.head = head
        self.e: Float64 = np.asarray(e, dtype=np.float64)
        self._held = len(h) <= HELD_PATCHES if hold is None else hold
        self._source: NDArray[Any] = _project(h, head.image) if self._held else h
        self._at: NDArray[Any] | None = None  # where the patches stand in the source; None: all, in order
        self._last_pooled: tuple[tuple[NDArray[Any], ...], list[Float64]] | None = None

    def __len__(self) -> int:
        return len(self.e)

    @property
    def projected(self) -> Float64:
        """Return the (n, hidden_c) projections: each h through the classifier's first layer."""
        return self.rows(slice(None))

    def rows(self, where: slice | NDArray[Any]) -> Float64:
        """Return the (m, hidden_c) projections of the patches at a slice or an index array, to be read."""
        at = where if self._at is None else self._at[where]
        found = self._source[at] if isinstance(at, slice) else np.take(self._source, at, axis=0)
        return found if self._held else _project(found, self.head.image)

    def take(self, where: NDArray[Any]) -> PatchScorer:
        """Return the scorer of the patches at an index or boolean array; no projection is copied.

        It equals, to the last bit, one made of these patches' h and e.
        """
        at = np.arange(len(self)) if self._at is None else self._at
        return self._of(self._source, self.e[where], held=self._held, at=at[where])

    def join(self, other: PatchScorer) -> PatchScorer:
        """Return the scorer of these patches and, after them, another's of the same head; it holds them."""
        projected = np.concatenate([self.projected, other.projected])
        return self._of(projected, np.concatenate([self.e, other.e]), held=True, at=None)

    def _of(self, source: NDArray[Any], e: Float64, *, held: bool, at: NDArray[Any] | None) -> PatchScorer:
        made = object.__new__(type(self))
        made.head, made.e, made._last_pooled = self.head, e, None
        made._source, made._held, made._at = source, held, at
        return made

    def shift(self, clinical: Float64 | None) -> Float64:
        """Return (hidden_c,): what the clinical vector (5,) and the bias add to any projection.

        Raises
        ------
        ValueError
            A clinical vector is missing, or given to an image-only model.
        """
        if self.head.clinical.shape[1] != (0 if clinical is None else len(clinical)):
            raise ValueError("the model and the clinical vector do not belong together")
        return self.head.bias if clinical is None else self.head.bias + self.head.clinical @ clinical

    def logits(self, projected: Float64, clinical: Float64 | None) -> Float64:
        """Turn pooled projections (..., hidden_c) and the clinical vector (5,) into (..., classes) logits.

        Raises
        ------
        ValueError
            See `shift`.
        """
        hidden = projected + self.shift(clinical)
        np.maximum(hidden, 0.0, out=hidden)
        result: Float64 = hidden @ self.head.output.T + self.head.output_bias
        return result

    def pool(self, leave_out: int | None = None) -> tuple[Float64, float]:
        """Pool all patches as one bag, or all but one.

        Returns
        -------
        pooled
            (hidden_c,): the projections' mean, weighted by softmax of e; zero where no patch is left.
        log_mass
            Log of the sum of ``exp(e)``: a patch's share of the attention is ``exp(e - log_mass)``.
        """
        weights = self.e if leave_out is None else np.delete(self.e, leave_out)
        highest = float(weights.max(initial=-np.inf))
        total, mass = np.zeros(len(self.head.bias)), 0.0
        for rows in blocks(len(self)):
            weights = np.exp(self.e[rows] - highest)
            if leave_out is not None and rows.start <= leave_out < rows.stop:
                weights[leave_out - rows.start] = 0.0
            # On this thread, as a matrix product of this size might not be; see `ROWS_AT_ONCE`.
            total += np.einsum("n,nc->c", weights, self.rows(rows))
            mass += float(weights.sum())
        return (total / mass, highest + math.log(mass)) if mass else (total, -math.inf)

    def score_bags(self, bags: Sequence[NDArray[Any]], clinical: Float64 | None = None) -> Float64:
        """Return each bag's class probabilities.

        Parameters
        ----------
        bags
            Index arrays into the patches, at least one and none empty; sizes may differ.
        clinical
            (5,) from `clinical.encode`; None for an image-only model.

        Returns
        -------
        float64 (n_bags, classes), rows sum to 1.
        """
        logits = [self.logits(pooled, clinical) for pooled in self._pooled(bags)]
        return _checked(softmax(np.concatenate(logits), axis=-1))

    def score_all(self, clinical: Float64 | None = None) -> Float64:
        """Return (classes,) probabilities of all patches pooled as one bag."""
        return _checked(softmax(self.logits(self.pool()[0], clinical)))

    def _pooled(self, bags: Sequence[NDArray[Any]]) -> Iterable[Float64]:
        """Return the bags' pooled projections, in blocks of bags.

        If the patches are held, so are these, 512 bytes a bag, for the next time the same tuple is asked for.
        """
        if self._last_pooled is not None and self._last_pooled[0] is bags:
            return self._last_pooled[1]
        pooled = (self._pool_bags(bags[block]) for block in blocks(len(bags)))
        if not (self._held and isinstance(bags, tuple)):
            return pooled
        self._last_pooled = bags, list(pooled)
        return self._last_pooled[1]

    def _pool_bags(self, bags: Sequence[NDArray[Any]]) -> Float64:
        attention = bag_attention(self.e, bags)
        n = attention.nnz
        within = csr_array((attention.data, np.arange(n), attention.indptr), (len(bags), n))
        pooled: Float64 = within @ self.rows(attention.indices)
        return pooled


def _project(h: NDArray[Any], weights: Float64) -> Float64:
    """Return h (n, hidden) @ weights.T (hidden, hidden_c), in products of `PROJECTED_AT_ONCE` rows."""
    n, hidden = h.shape
    projected = np.empty((n, len(weights)))
    for rows in blocks(n):
        block = np.asarray(h[rows], dtype=np.float64)
        missing = -len(block) % PROJECTED_AT_ONCE
        filled = np.concatenate([block, np.zeros((missing, hidden))]) if missing else block
        products = filled.reshape(-1, PROJECTED_AT_ONCE, hidden) @ weights.T
        projected[rows] = products.reshape(len(filled), -1)[: len(block)]
    return projected


def blocks(n: int) -> list[slice]:
    """Cut n rows into stretches of `ROWS_AT_ONCE`; what is left over lengthens the last."""
    starts = range(0, max(n - ROWS_AT_ONCE, 0) + 1, ROWS_AT_ONCE)
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], n], strict=True)]


def _checked(probabilities: Float64) -> Float64:
    if not (np.isfinite(probabilities).all() and (probabilities >= 0).all() and (probabilities <= 1).all()):
        raise ValueError("probabilities left 0..1: the embeddings are not finite")
    return probabilities


def reduce_bags(probabilities: Float64, reduction: str = "mean") -> Float64:
    """Turn (n_bags, classes) bag probabilities into the slide's (classes,).

    Parameters
    ----------
    probabilities
        Rows sum to 1, class 0 is N0.
    reduction
        "mean" over the bags, or "max": the bag most sure of N(+).
    """
    if reduction == "mean":
        mean: Float64 = probabilities.mean(axis=0)
        return mean
    if reduction == "max":
        surest: Float64 = probabilities[np.argmin(probabilities[:, 0])]
        return surest
    raise ValueError(f"reduction is 'mean' or 'max', not {reduction!r}")


def bag_spread(probabilities: Float64) -> Float64:
    """Return the standard deviation over bags of each class's probability, (classes,); 0 for one bag.

    It says how much the draw of patches matters; it is no confidence interval for the patient.
    """
    spread: Float64 = probabilities.std(axis=0)
    return spread


def predicted_class(probabilities: Float64, threshold: float = 0.5) -> int:
    """Return the class a slide is called.

    Parameters
    ----------
    probabilities
        (classes,), class 0 is N0.
    threshold
        Two classes: N(+) from this probability of N(+) on. Three classes: not used, the most probable wins.
    """
    if len(probabilities) == 2:
        return int(probabilities[1] >= threshold)
    return int(np.argmax(probabilities))
