"""Every setting of every step, described once: source of the form, the flag and the run record."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


def _setting(default: Any, title: str, help_text: str, unit: str = "", **bounds: Any) -> Any:  # noqa: ANN401
    """Describe one setting; `bounds` are pydantic's ge, gt, le, lt."""
    return Field(default, title=title, description=help_text, json_schema_extra={"unit": unit}, **bounds)


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PatchSettings(_Settings):
    """Which cells of the grid become patches."""

    min_tissue_share: float = _setting(
        0.25, "Smallest tissue share", "A whole-slide patch holds at least this share.", ge=0.0, le=1.0
    )
    min_entropy_bits: float = _setting(
        5.0,
        "Smallest entropy",
        "A whole-slide patch whose 8-bit grey values have less Shannon entropy is dropped as empty of cells.",
        "bits",
        ge=0.0,
        le=8.0,
    )
    min_roi_share: float = _setting(
        0.7, "Smallest share inside the ROI", "An ROI patch lies inside by this share.", gt=0.0, le=1.0
    )
    roi_patching: Literal["grid", "reference"] = _setting(
        "grid",
        "ROI patching",
        "grid: the slide's one grid, pixels as they are. reference: regions cut out, outside painted white.",
    )


class BagSettings(_Settings):
    """How patches become bags."""

    seed: int = _setting(0, "Seed", "Draws the bags; the same seed gives the same bags.", ge=0)
    partitions: int | None = _setting(
        None,
        "Partitions",
        "How often patches are shuffled and cut into bags. Left out: the fewest for 100 bags. 1: reference.",
        ge=1,
        le=1000,
    )
    reduction: Literal["mean", "max"] = _setting(
        "mean", "Slide result", "mean over the bags, or the bag most sure of N(+)."
    )


class EngineSettings(_Settings):
    """How the network is run. Never changes what is computed beyond the rounding of the precision."""

    device: Literal["auto", "cpu", "cuda"] = _setting("auto", "Device", "Where the network runs.")
    precision: Literal["auto", "fp32", "bf16"] = _setting(
        "auto", "Precision", "auto: bf16 only where the card records it as safe."
    )
    runtime: Literal["auto", "openvino", "torch"] = _setting(
        "auto", "Runtime", "auto: OpenVINO on x86 processors, torch elsewhere and on CUDA."
    )
    batch: int = _setting(
        16, "Batch", "Patches a network call; halved when memory runs out.", "patches", ge=1, le=1024
    )
    decode_threads: int = _setting(1, "Decoding threads", "Threads that read patches.", ge=1, le=64)


class CacheSettings(_Settings):
    """The feature cache on disk."""

    enabled: bool = _setting(True, "Feature cache", "Keep features, so that a second run touches no pixels.")
    limit_gb: float = _setting(
        10.0, "Cache limit", "The least recently used slides are dropped above this size.", "GB", gt=0.0
    )
