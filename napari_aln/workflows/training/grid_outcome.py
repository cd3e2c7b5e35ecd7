"""One training of a grid: run to its end, its outcome kept beside the bundle."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_aln.errors import UsageError
from napari_aln.mil.bundle_names import BUNDLE_SUFFIX
from napari_aln.mil.card import Metric
from napari_aln.settings.training import WEIGHT_FILES, FinetuneSettings
from napari_aln.store.atomic import atomic_file
from napari_aln.workflows.training.curves import can_go_on

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_aln.records import Progress
    from napari_aln.workflows.training.bundle import Trained
    from napari_aln.workflows.training.grid_plan import Combination


@dataclass(frozen=True)
class Job:
    """What all trainings of a grid share."""

    cohort_csv: Path
    out: Path
    cohort_digest: str
    private: bool = False  # see `bundle.Order`

    def bundle_path(self, combination: Combination) -> Path:
        """Return where a training's bundle goes."""
        return self.out / f"{combination.stem}{BUNDLE_SUFFIX}"

    def configuration(self, combination: Combination) -> dict[str, str]:
        """Return all that a training's figures depend on, as text."""
        found = {"cohort": self.cohort_digest, "names": "hidden" if self.private else "shown"}
        found |= combination.configuration
        if self.private:
            found |= {name: _by_content(getattr(combination.recipe, name)) for name in WEIGHT_FILES}
        return found


def _by_content(weights: Path | None) -> str:
    """Return what tells a file of weights from others without its name."""
    if weights is None or not weights.is_file():
        return "none" if weights is None else "missing"  # which is told when it is to be read
    with weights.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


class Outcome(BaseModel):
    """What a training came to; written when it has ended.

    Attributes
    ----------
    configuration
        All that the figures depend on, as text.
    metrics
        Of the card.
    best_epoch
        The one that was kept.
    seconds
        Of the run that ended it.
    went_on
        Whether that run went on from an earlier one's checkpoint.
    n_left_out
        Slides that could not be used.
    """

    model_config = ConfigDict(frozen=True)

    configuration: dict[str, str]
    metrics: tuple[Metric, ...]
    best_epoch: int
    seconds: float
    went_on: bool
    n_left_out: int


def read_outcome(job: Job, combination: Combination) -> Outcome | None:
    """Return what a training came to, or None where it has not ended.

    Raises
    ------
    UsageError
        The folder holds a training of this name with other settings, or on another cohort.
    """
    path = _outcome_path(job, combination)
    if not path.is_file() or not job.bundle_path(combination).exists():
        return None
    try:
        outcome = Outcome.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):  # no outcome then: it is trained again
        return None
    wanted = job.configuration(combination)
    differing = [
        f"{name.replace('_', ' ')} is {wanted.get(name, 'not set')} and was {known}"
        for name, known in outcome.configuration.items()
        if wanted.get(name) != known
    ]
    if differing:
        raise UsageError(
            f"{job.out} holds {combination.name} of another grid: {'; '.join(differing[:3])}.",
            "Name another --out, or begin anew with --restart.",
        )
    return outcome


def train_one(job: Job, combination: Combination) -> Generator[Progress, None, Outcome]:
    """Train; yield progress, return and keep the outcome. Goes on from a checkpoint where there is one.

    Raises
    ------
    AlnError
        As the trainer.
    """
    path = job.bundle_path(combination)
    went_on = can_go_on(path) and not combination.recipe.restart
    _outcome_path(job, combination).unlink(missing_ok=True)  # of the bundle that is about to be replaced
    started = time.monotonic()
    trained = yield from _trainer(job, path, combination)
    outcome = Outcome(
        configuration=job.configuration(combination),
        metrics=trained.bundle.card.metrics,
        best_epoch=trained.fitted.best_epoch,
        seconds=round(time.monotonic() - started, 1),
        went_on=went_on,
        n_left_out=len(trained.left_out),
    )
    with atomic_file(_outcome_path(job, combination)) as temporary:
        temporary.write_text(outcome.model_dump_json(indent=1), encoding="utf-8")
    return outcome


def _trainer(job: Job, out: Path, combination: Combination) -> Generator[Progress, None, Trained]:
    recipe = combination.recipe
    if isinstance(recipe, FinetuneSettings):
        from napari_aln.workflows.training.train_finetuned import train_finetuned  # loads torch

        return train_finetuned(job.cohort_csv, combination.mode, out, recipe, private=job.private)
    from napari_aln.workflows.training.train_frozen import train_frozen  # loads torch

    return train_frozen(job.cohort_csv, combination.mode, out, recipe, private=job.private)


def _outcome_path(job: Job, combination: Combination) -> Path:
    return job.out / f"{combination.stem}.json"
