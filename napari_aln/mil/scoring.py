"""From cached embeddings to probabilities, in float64 NumPy: quick enough for live what-if, no torch.

The classifier's first layer is linear, so each patch is projected through it once; pooling a bag is then a
weighted mean of 64 values a patch instead of 256, and a clinical value only moves a constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array
from scipy.special import softmax

from napari_aln.errors import BundleError
from napari_aln.mil.card import CLINICAL_REPEATS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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
    sizes = np.array([len(bag) for bag in bags])
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

    Attributes
    ----------
    projected
        (n, hidden_c): each h through the classifier's first layer.
    e
        (n,) attention logits as float64.
    """

    def __init__(self, head: HeadWeights, h: NDArray[Any], e: NDArray[Any]) -> None:
        self.head = head
        self.projected: Float64 = _project(h, head.image)
        self.e: Float64 = np.asarray(e, dtype=np.float64)

    def __len__(self) -> int:
        return len(self.e)

    def take(self, where: NDArray[Any]) -> PatchScorer:
        """Return the scorer of the patches at an index or boolean array, without projecting again.

        It equals, to the last bit, one made of these patches' h and e.
        """
        return self._of(self.head, self.projected[where], self.e[where])

    def join(self, other: PatchScorer) -> PatchScorer:
        """Return the scorer of these patches and, after them, another's of the same head."""
        return self._of(
            self.head, np.concatenate([self.projected, other.projected]), np.concatenate([self.e, other.e])
        )

    @classmethod
    def _of(cls, head: HeadWeights, projected: Float64, e: Float64) -> PatchScorer:
        made = object.__new__(cls)
        made.head, made.projected, made.e = head, projected, e
        return made

    def logits(self, projected: Float64, clinical: Float64 | None) -> Float64:
        """Turn pooled projections (..., hidden_c) and the clinical vector (5,) into (..., classes) logits.

        Raises
        ------
        ValueError
            A clinical vector is missing, or given to an image-only model.
        """
        hidden = projected + self.head.bias
        if self.head.clinical.shape[1] != (0 if clinical is None else len(clinical)):
            raise ValueError("the model and the clinical vector do not belong together")
        if clinical is not None:
            hidden = hidden + self.head.clinical @ clinical
        result: Float64 = np.maximum(hidden, 0.0) @ self.head.output.T + self.head.output_bias
        return result

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
        pooled = bag_attention(self.e, bags) @ self.projected  # (n_bags, hidden_c)
        logits = [self.logits(pooled[rows], clinical) for rows in blocks(len(pooled))]
        probabilities: Float64 = softmax(np.concatenate(logits), axis=-1)
        return _checked(probabilities)

    def score_all(self, clinical: Float64 | None = None) -> Float64:
        """Return (classes,) probabilities of all patches pooled as one bag."""
        all_patches: Float64 = self.score_bags([np.arange(len(self))], clinical)[0]
        return all_patches


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
