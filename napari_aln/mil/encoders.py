"""Builds the convolutional encoders of torchvision without their classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_aln.errors import BundleError
from napari_aln.mil.card import COUNTER
from napari_aln.mil.encoder_table import encoder_spec, resolve_pool
from napari_aln.mil.meta_device import on_meta_device
from napari_aln.runtimes.torchvision_import import models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_aln.mil.card import EncoderPool


class _DenseNetGrid(nn.Module):
    """A DenseNet as the reference cuts it: ``features`` without the ReLU that torchvision adds."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))  # 224 px in: already 7 x 7

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Turn (n, 3, S, S) pictures into (n, channels * 49) features."""
        return torch.flatten(self.avgpool(self.features(x)), 1)


def _without_classifier(name: str, pool: EncoderPool) -> nn.Module:
    spec = encoder_spec(name)
    special: dict[str, object] = {}
    if name in ("googlenet", "inception_v3"):
        # As with ImageNet weights and in the reference: both nets then renormalise their input themselves.
        special = {"aux_logits": False, "init_weights": False, "transform_input": True}
    net: nn.Module = models.get_model(name, weights=None, **special)
    if spec.family == "fc":
        net.fc = nn.Identity()
    elif spec.family == "squeezenet":
        net.classifier = nn.AdaptiveAvgPool2d((1, 1))
    elif spec.family == "densenet" and pool == "7x7":
        net = _DenseNetGrid(net.get_submodule("features"))
    else:
        net.classifier = nn.Identity()
        if pool == "gap":
            net.avgpool = nn.AdaptiveAvgPool2d((1, 1))
    return net


def _initialise(net: nn.Module) -> None:
    """Draw weights as He et al. (2015) do, which suits every family of the table."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def encoder_skeleton(name: str, pool: EncoderPool | None = None) -> nn.Module:
    """Build an encoder on torch's meta device: every shape, no memory; for weights that are put in whole.

    Raises
    ------
    BundleError
        Unknown name or pool.
    """
    pool = resolve_pool(name, pool)
    with on_meta_device():  # no time and memory for classifiers that are thrown away
        return _without_classifier(name, pool).eval()


def build_encoder(
    name: str, pool: EncoderPool | None = None, weights: Mapping[str, torch.Tensor] | None = None
) -> nn.Module:
    """Build an encoder without its classifier, in eval mode.

    Parameters
    ----------
    name
        A key of `encoder_table.ENCODERS`.
    pool
        How the last feature map becomes a vector; None takes the encoder's default.
    weights
        A torchvision state dict (with or without the classifier's entries). None draws random weights from
        torch's global generator.

    Returns
    -------
    torch.nn.Module
        (n, 3, S, S) float pictures, normalised, to (n, `feature_count`) features.

    Raises
    ------
    BundleError
        Unknown name or pool, or weights that do not fit; names the tensors.
    """
    net = encoder_skeleton(name, pool).to_empty(device="cpu")
    if weights is None:
        _initialise(net)
    else:
        _load(net, name, weights)
    return net.eval()


def _load(net: nn.Module, name: str, weights: Mapping[str, torch.Tensor]) -> None:
    wanted = net.state_dict()
    found = {key: value for key, value in weights.items() if key in wanted}
    counters = {key: torch.zeros_like(wanted[key]) for key in wanted if key.endswith(COUNTER)}
    found = counters | found
    misfits = [key for key in wanted if key not in found or found[key].shape != wanted[key].shape]
    if misfits:
        raise BundleError(
            f"These weights are not those of {name}: {misfits[0]} is missing or has another shape"
            f" ({len(misfits)} such tensors).",
            "Name the encoder the weights were trained with.",
        )
    net.load_state_dict(found)
