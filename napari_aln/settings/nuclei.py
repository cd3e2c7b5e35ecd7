"""How nuclei are found, and how what finds them learns."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from napari_aln.settings.described import Settings, setting


class NucleiSettings(Settings):
    """How the nuclei of a slide are found and which of them count."""

    method: str | None = setting(
        None,
        "Method",
        "How nuclei are found: by name, or a nucleus model's file. Left out: the best of those that ship.",
    )
    min_area_um2: float = setting(5.0, "Smallest area", "Anything smaller is a speck.", "µm²", ge=0.0)
    max_area_um2: float = setting(
        500.0, "Largest area", "Anything larger is debris or a clump; it is counted as such.", "µm²", gt=0.0
    )
    patch_um: float = setting(
        128.0, "Patch side", "Side of the squares whose nuclei are summed up.", "µm", ge=10.0, le=5000.0
    )

    @model_validator(mode="after")
    def _check_areas(self) -> Self:
        if self.min_area_um2 >= self.max_area_um2:
            fact = f"The smallest area, {self.min_area_um2:g} µm², is not below {self.max_area_um2:g} µm²."
            raise ValueError(fact)
        return self


class NucleiTrainSettings(Settings):
    """How the nucleus network learns."""

    seed: int = setting(0, "Seed", "Draws starting weights, squares and held-out pictures.", ge=0)
    steps: int = setting(
        5000, "Steps", "A step takes about 0.7 s on one processor core.", "steps", ge=1, le=1_000_000
    )
    batch: int = setting(8, "Batch", "Squares a step.", "squares", ge=1, le=1024)
    square_px: int = setting(
        256, "Square side", "Of what is learned from, at 0.25 µm/px.", "px", ge=64, le=1024, multiple_of=32
    )
    learning_rate: float = setting(3e-3, "Learning rate", "Highest, of AdamW.", gt=0.0, le=0.1)
    held_out: float = setting(
        0.0,
        "Held out",
        "Share of each source's pictures that are not learned from but measured on, for the card.",
        ge=0.0,
        le=0.9,
    )
    name: str = setting("", "Name", "Of the model, on its card. Left out: the bundle's.")
    remarks: str = setting("", "Remarks", "Further words on the model's card.")
    licence: str = setting("", "Licence", "Of the weights, on the model's card; mind that of the pictures.")
    stored_weights: Literal["fp32", "fp16"] = setting("fp16", "Stored weights", "fp16 halves the file.")
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "Device", "Where the training runs.")
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "Precision", "bf16: mixed precision. auto: bf16 where the device has it."
    )
    threads: int = setting(1, "Threads", "Processor threads to train with.", ge=1, le=64)
