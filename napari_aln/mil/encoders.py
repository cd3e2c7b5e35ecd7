"""The 45 convolutional encoders of torchvision without their classifiers: one table, one builder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import nn

from napari_aln.errors import BundleError
from napari_aln.mil.card import COUNTER
from napari_aln.mil.meta_device import on_meta_device
from napari_aln.runtimes.torchvision_import import models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_aln.mil.card import EncoderPool

_CELLS: dict[str, int] = {"7x7": 49, "6x6": 36, "gap": 1}


class EncoderSpec(NamedTuple):
    """What is known of an encoder before it is built.

    Attributes
    ----------
    family
        Which of the builder's ways to remove the classifier applies.
    channels
        Channels of the last feature map, so ``channels * cells of the pool`` features.
    pools
        Pools it can end in; the first is the reference's (BALNMP) and the default.
    input_px
        Side of the input picture. 224 for all in the reference, whatever size torchvision trained at.
    native_px
        Side at which torchvision trained the ImageNet weights; EfficientNets may score better there.
    """

    family: Literal["classifier", "fc", "densenet", "squeezenet"]
    channels: int
    pools: tuple[EncoderPool, ...]
    input_px: int = 224
    native_px: int = 224


def _table() -> dict[str, EncoderSpec]:
    grid_7: tuple[EncoderPool, ...] = ("7x7", "gap")
    gap: tuple[EncoderPool, ...] = ("gap",)
    table = {"alexnet": EncoderSpec("classifier", 256, ("6x6", "gap"))}
    for depth in (11, 13, 16, 19):
        table[f"vgg{depth}"] = table[f"vgg{depth}_bn"] = EncoderSpec("classifier", 512, grid_7)
    table["googlenet"] = EncoderSpec("fc", 1024, gap)
    table["inception_v3"] = EncoderSpec("fc", 2048, gap, native_px=299)
    for name, channels in (("resnet18", 512), ("resnet34", 512)):
        table[name] = EncoderSpec("fc", channels, gap)
    for name in (
        *("resnet50", "resnet101", "resnet152"),
        *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
        *("wide_resnet50_2", "wide_resnet101_2"),
    ):
        table[name] = EncoderSpec("fc", 2048, gap)
    for depth, channels in ((121, 1024), (161, 2208), (169, 1664), (201, 1920)):
        table[f"densenet{depth}"] = EncoderSpec("densenet", channels, grid_7)
    for name in ("squeezenet1_0", "squeezenet1_1"):
        table[name] = EncoderSpec("squeezenet", 512, gap)
    table["mobilenet_v2"] = EncoderSpec("classifier", 1280, gap)
    table["mobilenet_v3_small"] = EncoderSpec("classifier", 576, gap)
    table["mobilenet_v3_large"] = EncoderSpec("classifier", 960, gap)
    for width in ("0_5", "1_0", "1_5"):
        table[f"shufflenet_v2_x{width}"] = EncoderSpec("fc", 1024, gap)
    table["shufflenet_v2_x2_0"] = EncoderSpec("fc", 2048, gap)
    sizes = zip(
        range(8),
        (1280, 1280, 1408, 1536, 1792, 2048, 2304, 2560),
        (224, 240, 288, 300, 380, 456, 528, 600),
        strict=True,
    )
    for index, channels, native_px in sizes:
        table[f"efficientnet_b{index}"] = EncoderSpec("classifier", channels, gap, native_px=native_px)
    for size, native_px in (("s", 384), ("m", 480), ("l", 480)):
        table[f"efficientnet_v2_{size}"] = EncoderSpec("classifier", 1280, gap, native_px=native_px)
    return table


ENCODERS: dict[str, EncoderSpec] = _table()
"""Encoder name, as in ``torchvision.models``, to its `EncoderSpec`."""


def encoder_spec(name: str) -> EncoderSpec:
    """Return the table row of an encoder.

    Raises
    ------
    BundleError
        No encoder of this name.
    """
    if name not in ENCODERS:
        raise BundleError(f"There is no encoder called {name!r}.", f"Choose one of: {', '.join(ENCODERS)}.")
    return ENCODERS[name]


def resolve_pool(name: str, pool: EncoderPool | None = None) -> EncoderPool:
    """Return the pool asked for, or the encoder's default.

    Raises
    ------
    BundleError
        This encoder cannot end in this pool.
    """
    pools = encoder_spec(name).pools
    if pool is None:
        return pools[0]
    if pool not in pools:
        raise BundleError(
            f"Encoder {name} cannot end in pool {pool!r}.", f"It offers: {', '.join(map(repr, pools))}."
        )
    return pool


def feature_count(name: str, pool: EncoderPool | None = None) -> int:
    """Return how many values a patch becomes, such as 25 088 for VGG and pool 7x7."""
    return encoder_spec(name).channels * _CELLS[resolve_pool(name, pool)]


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
        A key of `ENCODERS`.
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
