"""A model bundle on disk: ``card.json`` and ``weights.safetensors`` in a folder or an ``.alnmodel`` zip.

Data, never code: opening one reads JSON and plain arrays, checks both against the architecture the card
names, and looks no class up from the file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.numpy

from napari_aln.mil.bundle_file import (
    checked_tensors,
    packed,
    read_bundle_file,
    write_bundle_file,
)
from napari_aln.mil.card import ModelCard, parse_card
from napari_aln.mil.scoring import HeadWeights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_aln.mil.network import PatchNetwork


@dataclass(frozen=True)
class Bundle:
    """An opened bundle whose hash, tensors and values were checked.

    Attributes
    ----------
    path
        Folder or file it came from.
    card
        The model card.
    sha256
        Of ``weights.safetensors``; identifies the model in caches and results.
    tensors
        Weights by name: ``encoder.*`` (torchvision's names) and ``head.*``, float16 or float32.
    """

    path: Path
    card: ModelCard
    sha256: str
    tensors: Mapping[str, NDArray[Any]] = field(repr=False)

    @property
    def card_sha256(self) -> str:
        """Return the card's hash: thresholds and clinical statistics stand there, not in the weights."""
        return hashlib.sha256(self.card.model_dump_json().encode()).hexdigest()

    @property
    def head(self) -> HeadWeights:
        """Return the classifier's weights, enough to score cached features without torch."""
        return HeadWeights.from_tensors(self.tensors, self.card.n_clinical)

    def network(self) -> PatchNetwork:
        """Build the patch network with these weights, as float32 and in eval mode.

        Raises
        ------
        BundleError
            The tensors are not those of the card's encoder; names them.
        """
        from napari_aln.mil.architecture import load_network  # torch is loaded only where a network is wanted

        return load_network(self.card, self.tensors, self.path)


def save_bundle(card: ModelCard, tensors: Mapping[str, Any], path: Path) -> Bundle:
    """Write a bundle and open it again, so that what was written is known to be whole.

    Parameters
    ----------
    card
        The card; its weights hash is filled in here, and ``weights_dtype`` says how matrices are stored.
    tensors
        ``PatchNetwork.state_dict()`` with the head's classifier: torch tensors or arrays.
    path
        A new ``.alnmodel`` file, or a folder (any other suffix). Replaced in one move where it exists as a
        bundle; never seen half-written.

    Raises
    ------
    BundleError
        Weights that are not finite (also after rounding to fp16), or do not fit the card.
    StoreError
        The place cannot be written.
    """
    arrays = packed(tensors, card.weights_dtype)
    weights = safetensors.numpy.save(arrays)
    card = card.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    card_json = card.model_dump_json(indent=2).encode()
    path = Path(path)
    from napari_aln.mil.architecture import load_network  # torch is loaded only where a network is wanted

    load_network(card, arrays, path)
    write_bundle_file(card_json, weights, path)
    return open_bundle(path)


def open_bundle(path: Path) -> Bundle:
    """Open a bundle and check it: members, sizes, card, hash, tensor names and shapes, finite values.

    Raises
    ------
    BundleError
        Anything but a whole, unchanged bundle this version can read; names the file and the fact.
    """
    path = Path(path)
    text, weights = read_bundle_file(path)
    card = parse_card(text, path)
    tensors = checked_tensors(weights, card.weights_sha256, path)
    HeadWeights.check(tensors, card, path)
    return Bundle(path=path, card=card, sha256=card.weights_sha256, tensors=tensors)
