"""Where an encoder's weights come from: a local file, a bundle, or the network when the user says so."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_aln.errors import BundleError, DeviceError, UsageError
from napari_aln.mil.bundle import open_bundle
from napari_aln.mil.card import TIMM_PREFIX
from napari_aln.workflows.slide.networks import settings_for_card

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from napari_aln.mil.card import EncoderPool, ModelCard
    from napari_aln.mil.network import PatchNetwork
    from napari_aln.runtimes.base import CompiledNetwork
    from napari_aln.settings.engine import EngineSettings
    from napari_aln.settings.training import RecipeSettings

_ALIKE = 0.02
"""By this share of the largest feature OpenVINO may differ from torch; beyond it computes something else."""

_CARD_FIELDS = ("pool", "input_px", "mean", "std", "timm")

TRAINED_ON = "trained_on"
"""Names what the weights of a safetensors file were trained on, in the file's own metadata."""


class EncoderWeights(NamedTuple):
    """An encoder with trained weights.

    Attributes
    ----------
    encoder
        In eval mode.
    sha256
        Of names, shapes and values of its weights.
    origin
        Where they come from, in words for the card.
    fields
        Of the card, as far as they follow from the encoder: its pool, and of those that do not take the
        reference's pictures the input size and normalisation. The pool asked for does not change how an
        encoder of timm ends.
    licence
        Of the weights, where they say so.
    """

    encoder: torch.nn.Module
    sha256: str
    origin: str
    fields: dict[str, Any]
    licence: str = ""


def trained_encoder(recipe: RecipeSettings, pool: EncoderPool | None) -> EncoderWeights:
    """Return the encoder that a recipe names.

    Parameters
    ----------
    recipe
        Names the encoder and one source of weights.
    pool
        How it shall end; None: as in the reference, or as in the bundle.

    Raises
    ------
    UsageError
        None or several sources are named, or the bundle holds another encoder, or timm is needed and not
        installed.
    BundleError
        The weights cannot be read, are not finite, or are not the encoder's; names the tensors. Pickled files
        are refused.
    """
    named = [recipe.encoder_weights is not None, recipe.encoder_from is not None, recipe.download]
    if sum(named) != 1:
        many = "several sources are" if any(named) else "none is"
        raise UsageError(
            f"The encoder needs trained weights, and {many} named.",
            "Give one of --encoder-weights FILE, --encoder-from BUNDLE and --download (ImageNet).",
        )
    if recipe.encoder_from is not None:
        found = _of_bundle(recipe.encoder_from, recipe.encoder, pool)
    elif recipe.encoder.startswith(TIMM_PREFIX):
        found = _of_timm(recipe)
    else:
        found = _of_torchvision(recipe, pool)
    state = found.encoder.state_dict()
    broken = next((key for key, value in state.items() if not value.isfinite().all()), None)
    if broken is not None:
        raise BundleError(
            f"The weights of {recipe.encoder} from {found.origin} hold NaN or infinity (in {broken}).",
            "Ask for the file again, or use other weights.",
        )
    return found._replace(sha256=_digest(state))


def fresh_encoder(name: str, pool: EncoderPool | None, seed: int) -> EncoderWeights:
    """Return an encoder of torchvision with random weights, drawn by the seed.

    Raises
    ------
    UsageError
        It is one of timm.
    BundleError
        Unknown name or pool.
    """
    import torch

    from napari_aln.mil.encoder_table import resolve_pool
    from napari_aln.mil.encoders import build_encoder

    if name.startswith(TIMM_PREFIX):
        raise UsageError("Encoders of timm begin with trained weights.", "Give --encoder-weights FILE.")
    pool = resolve_pool(name, pool)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = build_encoder(name, pool)
    return EncoderWeights(encoder, _digest(encoder.state_dict()), "random weights", {"pool": pool})


def _of_torchvision(recipe: RecipeSettings, pool: EncoderPool | None) -> EncoderWeights:
    from napari_aln.mil.encoder_table import resolve_pool
    from napari_aln.mil.encoders import build_encoder

    pool = resolve_pool(recipe.encoder, pool)  # an unknown name is told before anything is read
    if recipe.encoder_weights is not None:
        state, origin = _of_file(recipe.encoder_weights)
    else:
        state, origin = _downloaded(recipe.encoder), "ImageNet (torchvision)"
    return EncoderWeights(build_encoder(recipe.encoder, pool, state), "", origin, {"pool": pool})


def _of_timm(recipe: RecipeSettings) -> EncoderWeights:
    from napari_aln.mil.timm_encoders import build_timm, describe_timm
    from napari_aln.workflows.training.timm_files import downloaded_weights, published_config

    path = recipe.encoder_weights or downloaded_weights(recipe.encoder)
    config = published_config(path, recipe.encoder)
    described = describe_timm(recipe.encoder, config.arguments, config.data)
    state, origin = _of_file(path)
    if recipe.encoder_weights is None:
        origin = "the Hugging Face hub (timm)"
    encoder = build_timm(recipe.encoder, config.arguments, state)
    return EncoderWeights(encoder, "", origin, described._asdict(), config.licence)


def _of_file(path: Path) -> tuple[Mapping[str, torch.Tensor], str]:
    """Return a file's tensors, and in words where they come from."""
    tensors, trained_on = _read_safetensors(path)
    return tensors, f"the file {path.name}" + (f", trained on {trained_on}" if trained_on else "")


def _of_bundle(path: Path, name: str, pool: EncoderPool | None) -> EncoderWeights:
    other = open_bundle(path)
    card = other.card
    wanted = (name, card.pool if card.timm or pool is None else pool)
    if (card.encoder, card.pool) != wanted:
        raise UsageError(
            f"{path} holds a {card.encoder} ({card.pool}), not a {name} ({wanted[1]}).",
            "Name a bundle with the same encoder and pool.",
        )
    fields = {key: getattr(card, key) for key in _CARD_FIELDS}
    return EncoderWeights(other.network().encoder, "", f"the bundle {path.name}", fields, card.licence)


def _read_safetensors(path: Path) -> tuple[Mapping[str, torch.Tensor], str]:
    """Return the tensors, and what the file says they were trained on; empty: nothing."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        fact = f"{path} is a folder." if path.is_dir() else f"There is no file {path}."
        raise BundleError(fact, "Name a safetensors file.")
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
            return tensors, (file.metadata() or {}).get(TRAINED_ON, "")
    except (OSError, SafetensorError, ValueError) as error:
        raise BundleError(
            f"{path} is no readable safetensors file: {error}.",
            "Give the weights as safetensors; pickled files (.pth, .bin) can hold code and are not opened."
            " Whoever made the file can turn it into one with safetensors.torch.save_file.",
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


def compiled_encoder(
    network: PatchNetwork, card: ModelCard, engine: EngineSettings, threads: int
) -> tuple[CompiledNetwork, ModelCard]:
    """Make an encoder ready to run; return it and the card, which says where OpenVINO cannot take it.

    Not every network of timm can be converted. One that cannot, or gives other features there, runs on torch.

    Raises
    ------
    DeviceError
        No runtime takes it.
    """
    from napari_aln.mil.training import FeatureNetwork
    from napari_aln.runtimes.base import compile_network

    module = FeatureNetwork(network)

    def on(runtime: str) -> CompiledNetwork:
        settings = engine.model_copy(update={"runtime": runtime})
        return compile_network(module, card.input_px, settings, threads=threads)

    if card.timm is None or not card.timm.openvino:
        return on(settings_for_card(card, engine).runtime), card
    torch_only = card.model_copy(update={"timm": card.timm.model_copy(update={"openvino": False})})
    try:
        compiled = on(engine.runtime)
    except DeviceError:
        if engine.runtime != "auto":
            raise
        return on("torch"), torch_only
    if compiled.name != "openvino":
        return compiled, card
    exact = on("torch")
    side = card.input_px
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    ours, theirs = exact(pixels)[0], compiled(pixels)[0]
    if np.abs(ours - theirs).max() <= _ALIKE * np.abs(ours).max():
        return compiled, card
    return exact, torch_only
