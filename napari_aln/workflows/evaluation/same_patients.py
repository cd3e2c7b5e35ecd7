"""Several models on the same patients: joined by id, which is text, and refused where they disagree."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.cohort.wording import counted
from napari_aln.errors import CohortError
from napari_aln.evaluation.cases import WHOLE, Scored, file_stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_NAMED = 5
"""Patients that an error names before it counts the rest."""


def shared_cohorts(models: Sequence[Scored]) -> tuple[list[Scored], list[str]]:
    """Leave out training and validation patients whom a model did not score at all; say so in words, too.

    A training scores no patients it learned from, a clinical baseline does: both are compared on the others.
    Test patients stay, and so does a cohort that a model scored in part: these are refused by name.
    """
    notes = []
    for cohort, name in (("train", "training"), ("val", "validation")):
        members = {patient for scored in models for patient in scored.of(cohort).patients}
        without = [scored.model for scored in models if not members & set(scored.patients)]
        kept = [scored.take(np.array([p not in members for p in scored.patients])) for scored in models]
        if members and without and all(map(len, kept)):
            models = kept
            notes.append(
                f"{counted(len(members), f'{name} patient')} left out: not scored by {', '.join(without)}."
            )
    return list(models), notes


def same_patients(models: Sequence[Scored]) -> list[Scored]:
    """Return all models with patients, classes and splits in the first one's order.

    A table without splits takes those of the others, and so do tables without clinical columns: both are the
    patients'. Models whose files are named alike are numbered.

    Raises
    ------
    CohortError
        Patients, classes, labels or splits differ; patients are named.
    """
    first = models[0]
    joined = [first, *(_matched(first, other) for other in models[1:])]
    split = next((scored for scored in joined if WHOLE not in scored.cohorts), first)
    for scored in joined:
        unlike = [] if WHOLE in scored.cohorts else _unlike(split, split.cohort, scored.cohort)
        if unlike:
            raise CohortError(
                f"{split.model} and {scored.model} put {_listed(unlike)} into different splits.",
                "Correct them.",
            )
    columns = {name: cells for scored in reversed(joined) for name, cells in scored.columns.items()}
    stems = [file_stem(scored.model) for scored in joined]  # what figures are called by must differ, too
    return [
        replace(
            scored,
            model=f"{scored.model} ({place})" if stems.count(stem) > 1 else scored.model,
            cohort=split.cohort,
            columns=columns,
        )
        for place, (scored, stem) in enumerate(zip(joined, stems, strict=True), start=1)
    ]


def held_out(path: Path, validation: Scored, judged: Scored) -> Scored:
    """Return the validation patients of a table; none of them may be among those the model is judged by.

    Raises
    ------
    CohortError
        They are, or the classes differ.
    """
    if validation.classes != judged.classes:
        raise CohortError(
            f"{path} has the classes {', '.join(validation.classes)}, not {', '.join(judged.classes)}.",
            "Give validation scores of the same model.",
        )
    kept = validation.of("val") if "val" in validation.cohorts else validation
    both = sorted(set(kept.patients) & set(judged.of(judged.judged).patients))
    if both:
        raise CohortError(
            f"{path} holds {_listed(both)}, on whom the model is judged.",
            "Choose thresholds on other patients than those.",
        )
    return kept


def _matched(first: Scored, other: Scored) -> Scored:
    """Return the other model's scores in the first one's order of patients and classes."""
    place_of = {patient: place for place, patient in enumerate(other.patients)}
    missing = [patient for patient in first.patients if patient not in place_of]
    extra = sorted(set(other.patients) - set(first.patients))
    if missing or extra:
        facts = [f"{other.model} lacks {_listed(missing)}"] if missing else []
        facts += [f"{first.model} lacks {_listed(extra)}"] if extra else []
        raise CohortError(
            f"The models were not scored on the same patients: {'; '.join(facts)}.",
            "Give both the same patients; ids are text, so 007 is not 7.",
        )
    if set(first.classes) != set(other.classes):
        raise CohortError(
            f"{first.model} has the classes {', '.join(first.classes)}, {other.model} "
            f"{', '.join(other.classes)}.",
            "Compare models of the same classes.",
        )
    ordered = other.take(np.array([place_of[patient] for patient in first.patients]))
    order = [other.classes.index(name) for name in first.classes]
    labels = np.argsort(order)[ordered.labels]  # the other's class numbers -> the first one's
    unlike = _unlike(first, first.labels, labels)
    if unlike:
        raise CohortError(
            f"{first.model} and {other.model} give different labels to {_listed(unlike)}.", "Correct them."
        )
    return replace(ordered, classes=first.classes, labels=labels, scores=ordered.scores[:, order])


def _unlike(first: Scored, ours: Iterable[object], theirs: Iterable[object]) -> list[str]:
    return [p for p, a, b in zip(first.patients, ours, theirs, strict=True) if a != b]


def _listed(patients: Sequence[str]) -> str:
    rest = f" and {len(patients) - _NAMED} more" if len(patients) > _NAMED else ""
    return f"patient {', '.join(patients[:_NAMED])}{rest}"
