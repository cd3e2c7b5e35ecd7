"""From a card and weights to a network: the only place where tensors meet the architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_aln.errors import BundleError
from napari_aln.mil.card import COUNTER
from napari_aln.mil.encoder_table import feature_count
from napari_aln.mil.encoders import build_encoder, encoder_skeleton
from napari_aln.mil.meta_device import on_meta_device
from napari_aln.mil.misfits import describe_misfits
from napari_aln.mil.network import AttentionHead, PatchNetwork
from napari_aln.mil.timm_encoders import build_timm, timm_skeleton

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
    UsageError
        The encoder is one of timm, and timm is not installed.
    """
    if card.timm is not None:
        encoder = build_timm(card.encoder, card.timm.arguments, None)
    else:
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
    UsageError
        The encoder is one of timm, and timm is not installed.
    """
    if card.timm is None:
        encoder = encoder_skeleton(card.encoder, card.pool)
    else:
        encoder = timm_skeleton(card, sum(array.size for array in tensors.values()))
    with on_meta_device():
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


def features_of(card: ModelCard) -> int:
    """Return how many values the card's encoder makes of a patch."""
    return feature_count(card.encoder, card.pool) if card.timm is None else card.timm.features


def _head(card: ModelCard, dropout: float = 0.5) -> AttentionHead:
    return AttentionHead(
        features_of(card),
        len(card.classes),
        card.n_clinical,
        hidden=card.hidden,
        attention_width=card.attention_width,
        classifier_hidden=card.classifier_hidden,
        dropout=dropout,
        pooling=card.pooling,
    )
