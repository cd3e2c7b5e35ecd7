"""How scores and maps are judged."""

from __future__ import annotations

from typing import Literal

from napari_aln.settings.described import Settings, setting


class EvaluateSettings(Settings):
    """How scores are judged."""

    positive: str | None = setting(
        None, "Positive label", "Which label the score stands for. Left out: 1, or the one that is not N0."
    )
    sensitivity: float = setting(
        0.9,
        "Fixed sensitivity",
        "One operating point finds this share of N(+) on validation.",
        gt=0.0,
        le=1.0,
    )
    threshold: float | None = setting(
        None,
        "Threshold",
        "One more operating point, fixed beforehand, for example a model card's.",
        ge=0.0,
        le=1.0,
    )
    bootstraps: int = setting(
        2000, "Bootstraps", "Samples behind bands and bootstrapped intervals.", ge=100, le=100_000
    )
    bins: int = setting(10, "Calibration bins", "Of equal width over 0 to 1.", ge=2, le=100)
    seed: int = setting(0, "Seed", "Draws the bootstrap samples.", ge=0)
    subgroups: list[str] = setting(
        [],
        "Subgroups",
        "A further column to group patients by, besides age, T stage, ER, PR and HER2; may be repeated.",
    )
    published: bool = setting(
        False, "Published results", "Put the rows of Xu et al. and Shkembi et al. beside one's own."
    )


class MapSettings(Settings):
    """How maps are judged over a cohort."""

    split: Literal["train", "val", "test", "all"] | None = setting(
        None, "Split", "Whose patients. Left out: the test where the table has splits, else all."
    )
    random_orders: int = setting(
        20, "Random orders", "Drawn for each slide, to compare maps with chance.", ge=1, le=1000
    )
    bootstraps: int = setting(2000, "Bootstraps", "Samples behind the intervals.", ge=100, le=100_000)
    seed: int = setting(0, "Seed", "Draws bags, random orders and bootstrap samples.", ge=0)
    fill_clinical: bool = setting(
        False, "Fill missing clinical values", "Use the training cohort's mean or more frequent category."
    )
