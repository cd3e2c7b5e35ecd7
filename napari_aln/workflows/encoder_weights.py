"""Where an encoder's weights come from: a local file, a bundle, or torchvision when the user says so."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from napari_aln.errors import BundleError, UsageError
from napari_aln.mil.bundle import open_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from napari_aln.mil.card import EncoderPool
    from napari_aln.settings import RecipeSettings


class EncoderWeights(NamedTuple):
    """An encoder with trained weights.

    Attributes
    ----------
    encoder
        In eval mode, ends in `pool`.
    sha256
        Of names, shapes and values of its weights.
    origin
        Where they come from, in words for the card.
    """

    encoder: torch.nn.Module
    sha256: str
    origin: str


def trained_encoder(recipe: RecipeSettings, pool: EncoderPool) -> EncoderWeights:
    """Return the encoder that a recipe names.

    Raises
    ------
    UsageError
        None or several sources are named, or the bundle holds another encoder.
    BundleError
        The weights cannot be read, or are not the encoder's; names the tensors. Pickled files are refused.
    """
    from napari_aln.mil.encoders import build_encoder

    named = [recipe.encoder_weights is not None, recipe.encoder_from is not None, recipe.download]
    if sum(named) != 1:
        many = "several sources are" if any(named) else "none is"
        raise UsageError(
            f"A frozen encoder needs trained weights, and {many} named.",
            "Give one of --encoder-weights FILE, --encoder-from BUNDLE and --download (ImageNet).",
        )
    if recipe.encoder_from is not None:
        encoder = _of_bundle(recipe.encoder_from, recipe.encoder, pool)
        origin = f"the bundle {recipe.encoder_from.name}"
    elif recipe.encoder_weights is not None:
        encoder = build_encoder(recipe.encoder, pool, _read_safetensors(recipe.encoder_weights))
        origin = f"the file {recipe.encoder_weights.name}"
    else:
        encoder = build_encoder(recipe.encoder, pool, _downloaded(recipe.encoder))
        origin = "ImageNet (torchvision)"
    return EncoderWeights(encoder, _digest(encoder.state_dict()), origin)


def _of_bundle(path: Path, name: str, pool: EncoderPool) -> torch.nn.Module:
    other = open_bundle(path)
    if (other.card.encoder, other.card.pool) != (name, pool):
        raise UsageError(
            f"{path} holds a {other.card.encoder} ({other.card.pool}), not a {name} ({pool}).",
            "Name a bundle with the same encoder and pool.",
        )
    return other.network().encoder


def _read_safetensors(path: Path) -> Mapping[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError, ValueError) as error:
        raise BundleError(
            f"{path} is no readable safetensors file: {error}.",
            "Give the weights as safetensors; pickled files (.pth, .bin) can hold code and are not opened.",
        ) from error


def _downloaded(name: str) -> Mapping[str, torch.Tensor]:
    from napari_aln.runtimes.torchvision_import import models

    # The first ImageNet weights, which the papers started from; some encoders have only these.
    weights = models.get_model_weights(name)["IMAGENET1K_V1"]
    try:
        state: Mapping[str, torch.Tensor] = weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:  # a wrong hash is a RuntimeError
        raise BundleError(
            f"The ImageNet weights of {name} could not be downloaded: {error}.",
            "Check the network, or give them as a file (--encoder-weights).",
        ) from error
    return state


def _digest(state: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().contiguous()
        digest.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
