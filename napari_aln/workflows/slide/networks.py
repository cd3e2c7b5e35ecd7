"""How a model's patch network is run here: runtime, device, precision, and where patches are resized."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_aln.mil.encoder_table import ENCODERS
from napari_aln.runtimes.choice import choose, winograd_can_stand_in
from napari_aln.store.features import FeatureKey
from napari_aln.workflows.slide.decode import RESIZE_KERNEL
from napari_aln.workflows.slide.prepare import require_mpp

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from napari_aln.mil.bundle import Bundle
    from napari_aln.mil.card import ModelCard
    from napari_aln.records import SlideInfo
    from napari_aln.runtimes.base import CompiledNetwork
    from napari_aln.runtimes.choice import Choice
    from napari_aln.settings.engine import EngineSettings
    from napari_aln.slides import Slide
    from napari_aln.workflows.slide.device_patches import DevicePatches

DEVICE_RESIZE_KERNEL = "torch-bilinear-antialias"
JPEG_ON_CPU = "cpu"
FORWARD_FIELDS = ("encoder", "pool", "mean", "std", "hidden", "attention_width")
"""Fields of a card, beyond those with a place of their own in the key, that shape a patch's features."""


@dataclass(frozen=True)
class Engine:
    """One model on one device. Made without loading torch but for bf16; that is left to `compile`."""

    choice: Choice
    settings: EngineSettings
    decode_to_px: int | None  # None: patches go up as read and are resized on the device

    def compile(self, bundle: Bundle) -> CompiledNetwork:
        """Make the model's patch network ready to run.

        Raises
        ------
        BundleError, DeviceError
            The weights do not fit, or the device cannot run them.
        """
        from napari_aln.runtimes.base import compile_network

        card = bundle.card
        prepare = None if self.decode_to_px else _resize_on_device(card.input_px)
        return compile_network(
            bundle.network(), card.input_px, self.settings, bf16_safe_on=card.bf16_safe_on, prepare=prepare
        )

    def device_patches(self, slide: Slide, card: ModelCard) -> DevicePatches | None:
        """Return what decodes the slide's tiles on the device; None: the processor decodes."""
        if self.decode_to_px or self.settings.jpeg_decoding == "cpu":
            return None
        from napari_aln.workflows.slide.device_patches import device_patches  # loads torch

        mpp = require_mpp(slide.info)
        return device_patches(slide, (card.mpp / mpp.x, card.mpp / mpp.y))

    def key(self, bundle: Bundle, info: SlideInfo, jpeg_decoder: str = JPEG_ON_CPU) -> FeatureKey:
        """Return what the features of this model on this slide depend on.

        Parameters
        ----------
        bundle, info
            The model and the slide.
        jpeg_decoder
            What decodes the slide's tiles on the device, since each decoder rounds in its own way.
        """
        card = bundle.card
        return FeatureKey(
            slide_hash=info.quick_hash,
            weights_sha256=bundle.sha256,
            mpp_used=require_mpp(info),
            patch_px=card.patch_px,
            patch_mpp=card.mpp,
            input_px=card.input_px,
            resize=RESIZE_KERNEL if self.decode_to_px else DEVICE_RESIZE_KERNEL,
            reader=info.reader if jpeg_decoder == JPEG_ON_CPU else f"{info.reader}+{jpeg_decoder}",
            runtime=f"{self.choice.runtime}-{self.choice.device}",
            precision=self.choice.precision,
            network=_digest(_forward_facts(card)),
        )


def settings_for_card(card: ModelCard, settings: EngineSettings) -> EngineSettings:
    """Return the settings with the runtime for this card's encoder in place of "auto".

    torch where the card says that OpenVINO cannot take it; winograd where that is faster.

    Raises
    ------
    DeviceError
        The settings ask for a device or precision that is not here.
    """
    if settings.runtime != "auto":
        return settings
    if card.timm is not None and not card.timm.openvino:
        return settings.model_copy(update={"runtime": "torch"})
    spec = ENCODERS.get(card.encoder)
    if spec is None or not spec.gains_by_winograd:
        return settings
    choice = choose(settings, bf16_safe_on=card.bf16_safe_on)
    is_safe = settings.precision == "auto" and ("winograd", "cpu") in card.bf16_safe_on
    if (is_safe or settings.precision == "bf16") and winograd_can_stand_in(choice, "bf16"):
        return settings.model_copy(update={"runtime": "winograd", "precision": "bf16"})
    if choice.precision == "fp32" and winograd_can_stand_in(choice, "fp32"):
        return settings.model_copy(update={"runtime": "winograd", "precision": "fp32"})
    return settings


class ReadyNetworks:
    """Networks made ready once and kept, for the slides and questions to come: that takes seconds.

    Parameters
    ----------
    most
        How many are kept, the ones used last; None: all.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._kept: dict[tuple[object, ...], CompiledNetwork] = {}
        self._turn = threading.Lock()

    def of(self, engine: Engine, bundle: Bundle) -> CompiledNetwork:
        """Return a model's network, made ready where it is not yet; see `Engine.compile`."""
        key = bundle.sha256, bundle.card_sha256, engine.choice, engine.settings
        with self._turn:  # who asks while it is made ready waits for that one
            network = self._kept.pop(key, None) or engine.compile(bundle)
            self._kept[key] = network
            if self._most is not None and len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]
        return network


def engine_for(bundle: Bundle, settings: EngineSettings) -> Engine:
    """Choose how to run a bundle; see `settings_for_card` for what "auto" means.

    Raises
    ------
    DeviceError
        The settings ask for a device, runtime or precision that is not here.
    """
    settings = settings_for_card(bundle.card, settings)
    choice = choose(settings, bf16_safe_on=bundle.card.bf16_safe_on)
    return Engine(choice, settings, None if choice.device == "cuda" else bundle.card.input_px)


def _forward_facts(card: ModelCard) -> dict[str, object]:
    facts: dict[str, object] = {name: getattr(card, name) for name in FORWARD_FIELDS}
    return facts if card.timm is None else facts | {"timm": card.timm.arguments.model_dump()}


def _digest(facts: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _resize_on_device(input_px: int) -> Callable[[torch.Tensor], tuple[torch.Tensor, ...]]:
    """Return the work to do on uint8 patches (n, H, W, 3) once they are on the device."""
    from napari_aln.patches.device import entropy_bits_torch, resize_torch

    def prepare(patches: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return resize_torch(patches, input_px), entropy_bits_torch(patches)

    return prepare
