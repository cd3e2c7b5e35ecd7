"""A training as the window starts it: one of two ways, with what it leaves to be told at the end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_aln.errors import AlnError
from napari_aln.store.result import HIDDEN, without_patient
from napari_aln.workflows.training.curves import can_go_on

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_aln.mil.card import ModelCard
    from napari_aln.records import Mode, Progress
    from napari_aln.settings.training import RecipeSettings
    from napari_aln.workflows.training.bundle import Trained

Way = Literal["frozen", "finetune"]
_A_PATH = re.compile(r"\S*[/\\]\S*")


@dataclass(frozen=True)
class TrainingPlan:
    """What shall be trained, on whom, and where it goes.

    Attributes
    ----------
    way
        "frozen": a head on pooled features; "finetune": encoder and head together.
    cohort
        Table of patients.
    mode
        Of the model.
    out
        The bundle to write.
    recipe
        Of the way: `RecipeSettings`, or `FinetuneSettings`.
    private
        Whether slides' file names are kept out of what is told, and all names out of what is written.
    """

    way: Way
    cohort: Path
    mode: Mode
    out: Path
    recipe: RecipeSettings
    private: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether an unfinished training of this bundle lies there and would be gone on with."""
        return not self.recipe.restart and can_go_on(self.out)


@dataclass(frozen=True)
class TrainingEnd:
    """What a finished training is told by.

    Attributes
    ----------
    bundle
        As saved.
    card
        Of the model.
    best_epoch, epochs
        The epoch that was kept, counted from 1, and how many there were.
    remarks
        Slides that were left out, and figures that are not defined.
    """

    bundle: Path
    card: ModelCard
    best_epoch: int
    epochs: int
    remarks: tuple[str, ...]


def train_in_window(plan: TrainingPlan) -> Generator[Progress, None, TrainingEnd]:
    """Yield progress, return what is told at the end; closing the generator cancels, the same plan goes on.

    Raises
    ------
    AlnError
        As `train_frozen` and `train_finetuned`; in a private plan no slide is named.
    """
    hide = _names_hidden if plan.private else _unchanged
    try:
        trained = yield from _work(plan)
    except AlnError as error:
        if plan.private:
            raise type(error)(hide(error.fact, plan), error.next_step) from None
        raise
    remarks = [hide(str(line), plan) for line in (*trained.left_out, *trained.remarks)]
    fitted = trained.fitted
    return TrainingEnd(plan.out, trained.bundle.card, fitted.best_epoch, fitted.epochs, tuple(remarks))


def _work(plan: TrainingPlan) -> Generator[Progress, None, Trained]:
    if plan.way == "frozen":
        from napari_aln.workflows.training.train_frozen import train_frozen

        return train_frozen(plan.cohort, plan.mode, plan.out, plan.recipe, private=plan.private)
    from napari_aln.settings.training import FinetuneSettings
    from napari_aln.workflows.training.train_finetuned import train_finetuned

    recipe = plan.recipe
    if not isinstance(recipe, FinetuneSettings):
        raise TypeError("training end to end takes FinetuneSettings")
    return train_finetuned(plan.cohort, plan.mode, plan.out, recipe, private=plan.private)


def _unchanged(text: str, _plan: TrainingPlan) -> str:
    return text


def _names_hidden(text: str, plan: TrainingPlan) -> str:
    """Return a text without paths, and without the names of the cohort's slides and patients."""
    from napari_aln.cohort.table import read_cohort

    try:
        rows = read_cohort(plan.cohort, several_slides=True)
    except AlnError:
        return "Something is wrong with the cohort table; names are hidden, so it is not told what."
    paths = [path for row in rows for path in (row.slide, row.roi) if path is not None]
    names = {name for path in paths for name in (str(path), path.name)}
    for name in sorted(names, key=len, reverse=True):  # whole paths first: their folders may have spaces
        text = text.replace(name, HIDDEN)
    places = {row.patient_id: place for place, row in reversed(list(enumerate(rows, start=1)))}
    for patient_id in sorted(places, key=len, reverse=True):
        text = without_patient(text, patient_id, f"no. {places[patient_id]}")
    return _A_PATH.sub(HIDDEN, text)
