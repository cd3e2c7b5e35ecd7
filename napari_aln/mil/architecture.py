"""From a card and weights to a network: the only place where tensors meet the architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_aln.errors import BundleError
from napari_aln.mil.card import COUNTER
from napari_aln.mil.encoders import build_encoder, encoder_skeleton, feature_count
from napari_aln.mil.network import AttentionHead, PatchNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import PurePath

    from numpy.typing import NDArray

    from napari_aln.mil.card import ModelCard


def build_network(card: ModelCard, dropout: float = 0.5) -> PatchNetwork:
    """Build the network a card describes, with random weights, in eval mode.

    Parameters
    ----------
    card
        Encoder, pool, classes, widths and normalisation are read from it.
    dropout
        Of the head, while training.

    Raises
    ------
    BundleError
        The card names no known encoder, or a pool it cannot end in.
    """
    encoder = build_encoder(card.encoder, card.pool)
    return PatchNetwork(encoder, _head(card, dropout), card.mean, card.std).eval()


def load_network(
    card: ModelCard, tensors: Mapping[str, NDArray[Any]], source: PurePath | str
) -> PatchNetwork:
    """Build a card's network and fill it with weights, as float32 and in eval mode.

    Parameters
    ----------
    card
        Describes the architecture.
    tensors
        Arrays by name, as `PatchNetwork.state_dict` names them; training counters may be left out.
    source
        Named in errors.

    Raises
    ------
    BundleError
        A tensor is missing, left over or of another shape; names the first ones.
    """
    encoder = encoder_skeleton(card.encoder, card.pool)
    with torch.device("meta"):
        head = _head(card)
    network = PatchNetwork(encoder, head, card.mean, card.std).eval()
    wanted = network.state_dict()
    shapes = {key: tuple(value.shape) for key, value in wanted.items() if not key.endswith(COUNTER)}
    found = {key: tuple(array.shape) for key, array in tensors.items()}
    misfits = describe_misfits(shapes, found)
    if misfits:
        raise BundleError(
            f"The weights of {source} do not fit {card.encoder} as the card describes it: {misfits}.",
            "Ask the maker of the bundle for a corrected one.",
        )
    state = {
        key: torch.tensor(tensors[key], dtype=torch.float32) if key in shapes else torch.tensor(0)
        for key in wanted
    }
    network.load_state_dict(state, assign=True)
    return network


def describe_misfits(
    wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], at_most: int = 3
) -> str:
    """Say in words how two sets of tensor shapes differ, or nothing where they do not."""
    misfits = [
        *(f"{key} is missing" for key in wanted if key not in found),
        *(f"{key} is not part of it" for key in found if key not in wanted),
        *(
            f"{key} is {list(found[key])}, not {list(shape)}"
            for key, shape in wanted.items()
            if key in found and found[key] != shape
        ),
    ]
    more = len(misfits) - at_most
    return "; ".join(misfits[:at_most]) + (f"; and {more} more" if more > 0 else "")


def _head(card: ModelCard, dropout: float = 0.5) -> AttentionHead:
    return AttentionHead(
        feature_count(card.encoder, card.pool),
        len(card.classes),
        card.n_clinical,
        hidden=card.hidden,
        attention_width=card.attention_width,
        classifier_hidden=card.classifier_hidden,
        dropout=dropout,
        pooling=card.pooling,
    )
