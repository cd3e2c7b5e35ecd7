"""Files that makers of encoders publish for timm: weights and, beside them, a ``config.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from napari_aln.errors import BundleError, UsageError
from napari_aln.mil.card import TIMM_PREFIX, TimmArguments
from napari_aln.runtimes.timm_import import import_timm

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
_MAX_BYTES = 1 << 20
_DATA = ("mean", "std", "input_size")
_WITHOUT_EFFECT = {
    *("num_classes", "in_chans", "dynamic_img_size", "dynamic_img_pad", "strict_img_size"),
    *("drop_rate", "drop_path_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate"),
}
"""Arguments that change nothing of a vector for a patch of the network's own size, when not training."""


class PublishedConfig(NamedTuple):
    """What a ``config.json`` in timm's layout says.

    Attributes
    ----------
    arguments
        By what the network differs from timm's of its name.
    data
        Mean, deviation and input size of its pictures, where told.
    licence
        Of the weights.
    """

    arguments: TimmArguments = TimmArguments()
    data: dict[str, Any] = {}  # noqa: RUF012 - never changed
    licence: str = ""


def published_config(weights: Path, name: str) -> PublishedConfig:
    """Read the ``config.json`` beside an encoder's weights; without one, timm's own network is meant.

    Parameters
    ----------
    weights
        The file of the weights.
    name
        Encoder, as ``timm:NAME``; the config must be of this architecture.

    Raises
    ------
    UsageError
        It is of another architecture.
    BundleError
        It is no JSON, or asks for something that cannot be recorded on a card.
    """
    path = weights.with_name(CONFIG_NAME)
    if not path.is_file():
        return PublishedConfig()
    raw = _parsed(path)
    plain = name.removeprefix(TIMM_PREFIX).partition(".")[0]
    told = raw.get("architecture")
    if isinstance(told, str) and told.partition(".")[0] != plain:
        raise UsageError(
            f"{path} says that the weights are those of {told}, not of {plain}.",
            f"Choose --encoder {TIMM_PREFIX}{told}, or move the weights into a folder of their own.",
        )
    described = raw.get("pretrained_cfg") or {}
    given = {k: v for k, v in (raw.get("model_args") or {}).items() if k not in _WITHOUT_EFFECT}
    if "global_pool" in raw:
        given.setdefault("global_pool", raw["global_pool"])
    if described.get("fixed_input_size") and isinstance(described.get("input_size"), list):
        given.setdefault("img_size", described["input_size"][-1])
    try:
        arguments = TimmArguments.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or CONFIG_NAME
        raise BundleError(
            f"The argument {where} of {path} is not usable: {first['msg']}.",
            "Correct it, or choose an encoder that can be described on a card.",
        ) from error
    data = {key: described[key] for key in _DATA if described.get(key) is not None}
    return PublishedConfig(arguments, data, str(described.get("license") or raw.get("license") or ""))


def _parsed(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("it is far too large")
        raw = json.loads(path.read_bytes())
        parts = [raw, raw.get("model_args") or {}, raw.get("pretrained_cfg") or {}]
        if not all(isinstance(part, dict) for part in parts):
            raise ValueError("it is no description of a network")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise BundleError(
            f"{path}, which lies beside the weights, cannot be read: {error}.",
            "Take it from the weights' makers again, or move the weights into a folder of their own.",
        ) from error
    return dict(raw)


def downloaded_weights(name: str) -> Path:
    """Fetch the weights that timm names for a network, as safetensors; only where the user asked for it.

    Raises
    ------
    UsageError
        timm, or what it downloads with, is not installed.
    BundleError
        timm names none, or they cannot be fetched.
    """
    timm = import_timm(name)
    try:
        hub_id = getattr(timm.get_pretrained_cfg(name.removeprefix(TIMM_PREFIX)), "hf_hub_id", None)
    except RuntimeError:  # no network of this name
        hub_id = None
    if not hub_id:
        raise BundleError(
            f"timm {timm.__version__} names no weights for {name}.",
            "Give them as a file (--encoder-weights).",
        )
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UsageError(
            f"Downloading needs huggingface_hub, which cannot be loaded: {error}.",
            "Try: pip install huggingface_hub",
        ) from error
    try:
        return Path(hf_hub_download(hub_id, WEIGHTS_NAME))
    except (OSError, ValueError) as error:  # its own errors are of these kinds
        raise BundleError(
            f"The weights of {name} could not be downloaded: {str(error).splitlines()[0]}.",
            "Check the network, or give them as a file (--encoder-weights).",
        ) from error
