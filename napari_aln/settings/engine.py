"""How the network is run."""

from __future__ import annotations

from typing import Literal

from napari_aln.settings.described import Settings, setting


class EngineSettings(Settings):
    """How the network is run. Never changes what is computed beyond the rounding of the precision."""

    device: Literal["auto", "cpu", "cuda"] = setting("auto", "Device", "Where the network runs.")
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "Precision", "auto: bf16 only where the card records it as safe."
    )
    runtime: Literal["auto", "openvino", "winograd", "torch"] = setting(
        "auto",
        "Runtime",
        "auto: on x86 processors OpenVINO, for VGGs and small ResNets winograd, which is faster there; "
        "torch elsewhere.",
    )
    batch: int = setting(
        16, "Batch", "Patches a network call; halved when memory runs out.", "patches", ge=1, le=1024
    )
    jpeg_decoding: Literal["auto", "cpu"] = setting(
        "auto",
        "JPEG decoding",
        "auto: on the GPU that the network runs on, where nvImageCodec is installed. cpu: never there.",
    )
    decode_threads: int | None = setting(
        None, "Decoding threads", "Threads that read patches. Left out: 1, before a GPU up to 8.", ge=1, le=64
    )
