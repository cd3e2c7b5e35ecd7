"""What a synthetic cohort looks like, and how patients are divided."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from napari_aln.settings.described import Settings, setting

TRAITS = ("size", "shape", "density", "alignment")
"""Of the tumour nuclei of a synthetic patient."""

_LIMITS = {"cores": (1, 4), "core_width_um": (300, 2000), "core_length_um": (600, 20000)}
"""Of both ends of a range that slides are drawn from."""


def _span(name: str) -> str:
    low, high = _LIMITS[name]
    return f"{low} to {high}"


class SynthesizeSettings(Settings):
    """What a synthetic cohort looks like; but for the planted traits, the label depends on none of these."""

    cores: tuple[int, int] = setting(
        (1, 1), "Cores a slide", f"Fewest and most needle cores on a slide, {_span('cores')}."
    )
    core_width_um: tuple[float, float] = setting(
        (700.0, 850.0), "Core width", f"Narrowest and widest core, {_span('core_width_um')}.", "µm"
    )
    core_length_um: tuple[float, float] = setting(
        (1800.0, 2400.0), "Core length", f"Shortest and longest core, {_span('core_length_um')}.", "µm"
    )
    traits: list[str] = setting(
        list(TRAITS),
        "Planted traits",
        "Trait of the tumour nuclei that differs between N0 and N(+): size, shape, density or alignment; may "
        "be repeated. Others are drawn without the label.",
    )
    positive_share: float = setting(
        0.5, "Share of N(+)", "Share of patients with lymph node metastasis.", gt=0.0, lt=1.0
    )
    train_share: float = setting(0.6, "Training share", "Share of patients to train on.", gt=0.0, lt=1.0)
    val_share: float = setting(
        0.15, "Validation share", "Share of patients to select on; the rest is the test.", gt=0.0, lt=1.0
    )
    jpeg_quality: int = setting(80, "JPEG quality", "Of the slide's tiles.", ge=30, le=100)

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name, (low, high) in _LIMITS.items():
            smallest, largest = getattr(self, name)
            if not low <= smallest <= largest <= high:
                fact = f"{name} is {smallest} to {largest}, outside {low} to {high} or the wrong way round."
                raise ValueError(fact)
        if unknown := sorted(set(self.traits) - set(TRAITS)):
            fact = f"{unknown[0]!r} is no trait of nuclei: {', '.join(TRAITS)} are."
            raise ValueError(fact)
        if self.train_share + self.val_share >= 1.0:
            fact = f"Training and validation share add up to {self.train_share + self.val_share:g}: no test."
            raise ValueError(fact)
        return self


class SplitSettings(Settings):
    """How patients are divided. A patient is never divided: all slides of one go together."""

    method: Literal["official", "holdout", "kfold"] = setting(
        "holdout",
        "Method",
        "official: keep the table's own split. holdout: test, then validation out of the rest. kfold: each "
        "patient is tested once.",
    )
    task: str | None = setting(
        None,
        "Task",
        "For official: take the split of the reference's bag lists of this task, for example type-1.",
    )
    folds: int = setting(5, "Folds", "Of kfold; one table each.", ge=2, le=50)
    test_share: float = setting(0.2, "Test share", "Of all patients, for holdout.", gt=0.0, lt=1.0)
    val_share: float = setting(
        0.25, "Validation share", "Of the patients that are not tested.", gt=0.0, lt=1.0
    )
    seed: int = setting(0, "Seed", "The same seed divides the same way, on any machine.", ge=0)
    stratify_by: Literal["label", "aln_class"] = setting(
        "label", "Stratify by", "label: N0 and N(+). aln_class: N0, N+(1-2) and N+(>2)."
    )
