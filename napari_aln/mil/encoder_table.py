"""The 45 convolutional encoders of torchvision: what is known of each before it is built. Without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from napari_aln.errors import BundleError

if TYPE_CHECKING:
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
    gains_by_winograd
        Whether Winograd convolutions were measured faster than OpenVINO: its work is mostly 3 x 3
        convolutions.
    """

    family: Literal["classifier", "fc", "densenet", "squeezenet"]
    channels: int
    pools: tuple[EncoderPool, ...]
    input_px: int = 224
    native_px: int = 224
    gains_by_winograd: bool = False


def _table() -> dict[str, EncoderSpec]:
    grid_7: tuple[EncoderPool, ...] = ("7x7", "gap")
    gap: tuple[EncoderPool, ...] = ("gap",)
    table = {"alexnet": EncoderSpec("classifier", 256, ("6x6", "gap"))}
    for depth in (11, 13, 16, 19):
        vgg = EncoderSpec("classifier", 512, grid_7, gains_by_winograd=True)
        table[f"vgg{depth}"] = table[f"vgg{depth}_bn"] = vgg
    table["googlenet"] = EncoderSpec("fc", 1024, gap)
    table["inception_v3"] = EncoderSpec("fc", 2048, gap, native_px=299)
    for name, channels in (("resnet18", 512), ("resnet34", 512)):
        table[name] = EncoderSpec("fc", channels, gap, gains_by_winograd=True)
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
