"""What a prediction depends on, and how a cohort is predicted."""

from __future__ import annotations

from typing import Literal

from napari_aln.settings.described import Settings, setting
from napari_aln.settings.engine import EngineSettings
from napari_aln.settings.patches import PatchSettings


class BagSettings(Settings):
    """How patches become bags."""

    seed: int = setting(0, "Seed", "Draws the bags; the same seed gives the same bags.", ge=0)
    partitions: int | None = setting(
        None,
        "Partitions",
        "How often patches are shuffled and cut into bags. Left out: the fewest for 100 bags. 1: reference.",
        ge=1,
        le=1000,
    )
    reduction: Literal["mean", "max"] = setting(
        "mean", "Slide result", "mean over the bags, or the bag most sure of N(+)."
    )


class CacheSettings(Settings):
    """The feature cache on disk."""

    enabled: bool = setting(True, "Feature cache", "Keep features, so that a second run touches no pixels.")
    limit_gb: float = setting(
        10.0, "Cache limit", "The least recently used slides are dropped above this size.", "GB", gt=0.0
    )


class PredictSettings(Settings):
    """Everything a prediction depends on besides slide, model, regions and clinical values."""

    patches: PatchSettings = PatchSettings()
    bags: BagSettings = BagSettings()
    engine: EngineSettings = EngineSettings()
    cache: CacheSettings = CacheSettings()
    fill_clinical: bool = setting(
        False, "Fill missing clinical values", "Use the training cohort's mean or more frequent category."
    )


class CohortRunSettings(Settings):
    """How many slides are predicted side by side, and what becomes of those that fail."""

    workers: int = setting(
        1, "Workers", "Processes that predict a cohort's slides, sharing cores and GPUs.", ge=1, le=256
    )
    scheduler: str | None = setting(
        None,
        "Scheduler",
        "Address of a Dask scheduler, such as tcp://host:8786, whose workers predict instead. Dask speaks "
        "pickle: name only a cluster that you trust.",
    )
    retries: int = setting(1, "Retries", "How often a slide that fails is tried again.", ge=0, le=20)
    stall_minutes: float = setting(
        30.0,
        "Stalled after",
        "A worker process that gets no further for this long is ended, and its slide counts as failed.",
        "minutes",
        gt=0.0,
    )
