"""Scores of models on another cohort: what `predict` left of it, with the labels of its table.

The case is the patient; several slides become one score by `PATIENT_RULE`. Models are judged on the same
patients, at the operating points that they bring along; patients whose slides one learned from are left out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_aln.cohort.table import read_cohort, unused_cells
from napari_aln.cohort.wording import counted
from napari_aln.errors import CohortError
from napari_aln.evaluation.cases import WHOLE, Scored, file_stem
from napari_aln.evaluation.tables import PaperTable
from napari_aln.store.result import shown_name, slide_made_by
from napari_aln.workflows.cohorts.summary import CSV_NAME
from napari_aln.workflows.evaluation.cohort_models import distinct, models_of, with_bundles
from napari_aln.workflows.evaluation.folder import Evaluation
from napari_aln.workflows.evaluation.joined_results import join, read_outcomes
from napari_aln.workflows.evaluation.score_table import with_t_stage
from napari_aln.workflows.review.worklist import PATIENT_RULE
from napari_aln.workflows.training.bundle import RECORD_NAME
from napari_aln.workflows.training.patients import class_name, clinical_columns

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from napari_aln.cohort.table import CohortRow
    from napari_aln.evaluation.operating_points import OperatingPoint
    from napari_aln.records import Progress
    from napari_aln.workflows.evaluation.cohort_models import CohortModel

_NAMED = 5
"""Patients or slides that a note names before it counts the rest."""


@dataclass(frozen=True)
class CohortScores:
    """What models say of a cohort's patients, ready to be judged.

    Attributes
    ----------
    models
        On the same patients, in the same order.
    points
        Model's name -> the operating points of its card.
    found
        What was left out and what is to be known, how many patients are judged and by what, and the record;
        no patient is named in this.
    """

    models: list[Scored]
    points: dict[str, list[OperatingPoint]]
    found: Evaluation


class _Flow(NamedTuple):
    """How patients come from the table to those who are judged; each stands once."""

    unlabelled: list[str]
    without_result: list[str]
    learned_from: list[str]
    judged: list[str]


def score_cohort(
    folders: Sequence[Path], cohort_csv: Path, given: Sequence[Path] = (), *, private: bool = False
) -> Generator[Progress, None, CohortScores]:
    """Join results with labels; yield progress.

    Parameters
    ----------
    folders
        What `predict` wrote for the cohort, one folder a run; a folder may hold a model for each mode.
    cohort_csv
        Cohort table with the labels; see `join` for how it is told whose a result is.
    given
        Bundles, or folders that hold them: these models alone are judged. Left out: all, and they are looked
        for beside the results, to know all their operating points and what they learned from.
    private
        Models go by their number, and no note names anybody.

    Raises
    ------
    CohortError
        The table cannot be used, or of those with a result of every model none is of some class.
    StoreError
        A folder is no result of a cohort, or several models of one mode made its results.
    UsageError, BundleError
        A model that was given made none of the results, or is damaged.
    """
    rows = read_cohort(cohort_csv, several_slides=True)
    patients: dict[str, CohortRow] = {}
    for row in rows:
        patients.setdefault(row.patient_id, row)
    found = Evaluation(title="Evaluation on a cohort")
    models: list[CohortModel] = []
    slides: dict[str, set[str]] = {}  # patient -> hashes
    lost: set[str] = set()
    strangers: list[str] = []
    for folder in folders:
        outcomes = yield from read_outcomes(folder)
        owners = yield from join(outcomes, rows)
        models += models_of(folder, outcomes, owners)
        for outcome, owner in zip(outcomes, owners, strict=True):
            if owner is None:
                strangers += [outcome.name] if outcome.document else []
            elif outcome.document is None:
                lost.add(owner)
            else:
                slides.setdefault(owner, set()).add(outcome.document.slide.quick_hash)
        found.inputs.append(_input("results", shown_name(folder.absolute()), folder / CSV_NAME))
    found.inputs.append(_input("cohort", shown_name(cohort_csv), cohort_csv))
    models = with_bundles(models, given, [*folders, cohort_csv])
    stems = [file_stem(model.name) for model in models]  # which figures are called by
    for number, (model, stem) in enumerate(zip(models, stems, strict=True), start=1):
        name = f"{model.name} ({number})" if stems.count(stem) > 1 else model.name
        model.name = f"model {number}" if private else name
    flow = _flow(patients, models, slides)
    tell = _Names(private)
    others = f"; results of no patient known: {len(strangers)}{tell(strangers)}" if strangers else ""
    _refuse_too_few(flow, patients, models, others)
    for model in models:
        model.keep(flow.judged)
    found.notes += _notes(flow, lost & set(flow.judged), strangers, models, tell)
    columns = _columns(cohort_csv, rows, flow.judged)
    scored = _scored(models, flow.judged, patients, columns, found.notes)
    found.tables = [_flow_table(patients, flow), _models_table(models)]
    found.inputs += [
        {"role": "model", "name": m.record.model_name, "sha256": m.record.model_sha256} for m in models
    ]
    documents = {
        one.slide.quick_hash: one for model in models for own in model.documents.values() for one in own
    }
    found.made_by = {
        "patients": {"in_table": len(patients)} | {name: len(own) for name, own in flow._asdict().items()},
        "rule": PATIENT_RULE,
        "models": [model.made_by() for model in models],
        "results_versions": distinct(one.versions for one in documents.values()),
        "slides": [slide_made_by(one.slide) for _, one in sorted(documents.items())],
    }
    return CohortScores(scored, {model.name: model.points for model in models}, found)


def _input(role: str, name: str, path: Path) -> dict[str, str]:
    return {"role": role, "name": name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _flow(
    patients: Mapping[str, CohortRow], models: Sequence[CohortModel], slides: Mapping[str, set[str]]
) -> _Flow:
    flow = _Flow([], [], [], [])
    learned_from = frozenset[str]().union(*(model.learned_from or () for model in models))
    for patient, row in patients.items():
        if any(class_name(row, model.record.classes) is None for model in models):
            flow.unlabelled.append(patient)
        elif not models or any(patient not in model.of_patient for model in models):
            flow.without_result.append(patient)
        elif slides[patient] & learned_from:
            flow.learned_from.append(patient)
        else:
            flow.judged.append(patient)
    return flow


def _refuse_too_few(
    flow: _Flow, patients: Mapping[str, CohortRow], models: Sequence[CohortModel], strangers: str
) -> None:
    """Refuse patients of whom no AUC is defined, and say where the others went."""
    missing = [
        name
        for model in models
        for name in model.record.classes
        if all(class_name(patients[one], model.record.classes) != name for one in flow.judged)
    ]
    if flow.judged and not missing:
        return
    lacking = f", and none of them is {' or '.join(dict.fromkeys(missing))}" if flow.judged else ""
    raise CohortError(
        f"Of {counted(len(patients), 'patient')} in the table {len(flow.judged)} can be judged{lacking}; "
        f"{len(flow.unlabelled)} are without label, {len(flow.without_result)} without result, and a model "
        f"learned from {len(flow.learned_from)}{strangers}.",
        "Give the table that was predicted, with labels of every class; ids are text, so 007 is not 7.",
    )


class _Names:
    """Names the first few of something behind a count; nobody in private mode."""

    def __init__(self, private: bool) -> None:
        self._private = private

    def __call__(self, names: Sequence[str]) -> str:
        if self._private or not names:
            return ""
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f" ({', '.join(names[:_NAMED])}{more})"


def _notes(
    flow: _Flow, in_part: set[str], strangers: Sequence[str], models: Sequence[CohortModel], tell: _Names
) -> list[str]:
    classes = ", ".join(models[0].record.classes)
    told = {
        f"left out: no label of {classes}.": flow.unlabelled,
        "left out: no result; cohort.html of the results says why.": flow.without_result,
        "left out: a model learned from their slides.": flow.learned_from,
        "judged without those of their slides that have no result.": sorted(in_part),
    }
    notes = [f"{counted(len(own), 'patient')}{tell(own)} {what}" for what, own in told.items() if own]
    if strangers:
        notes.append(f"{counted(len(strangers), 'result')}{tell(strangers)} not used: of no patient known.")
    if any(len(run.slides) > 1 for model in models for run in model.of_patient.values()):
        notes.append(PATIENT_RULE)
    unknown = [model.name for model in models if model.learned_from is None]
    if unknown:
        notes.append(
            f"It is not known what {', '.join(unknown)} learned from: the bundle, or {RECORD_NAME} of its "
            "training, was not found (--model). Patients of the training would make a model look better than "
            "it is."
        )
    for model in models:
        if differences := model.differences:
            notes.append(f"{model.name}: its results were made with different {', '.join(differences)}.")
        filled = sum(bool(run.clinical_filled) for run in model.records)
        if filled:
            notes.append(
                f"{model.name}: missing clinical values were filled in on {counted(filled, 'slide')}."
            )
    return notes


def _columns(
    cohort_csv: Path, rows: Sequence[CohortRow], judged: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return what patients can be grouped by; empty where lines of a patient differ."""
    first: dict[str, int] = {}
    lines: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        first.setdefault(row.patient_id, place)
        lines.setdefault(row.patient_id, []).append(place)
    own = [rows[first[patient]] for patient in judged]
    columns = clinical_columns(own) | {"site": tuple(row.site or "" for row in own)}
    for name, cells in unused_cells(cohort_csv).items():
        seen = [{cells[place] for place in lines[patient]} for patient in judged]
        columns[name] = tuple(next(iter(one)) if len(one) == 1 else "" for one in seen)
    return with_t_stage(columns)


def _scored(
    models: Sequence[CohortModel],
    judged: Sequence[str],
    patients: Mapping[str, CohortRow],
    columns: Mapping[str, tuple[str, ...]],
    notes: list[str],
) -> list[Scored]:
    splits = [patients[one].split for one in judged]
    lacking = splits.count(None)
    if 0 < lacking < len(judged):
        notes.append(f"The table's splits are not used: {lacking} of the patients have none.")
    scored = []
    for model in models:
        classes = model.record.classes
        probabilities = [model.of_patient[one].probabilities for one in judged]
        scored.append(
            Scored(
                model.name,
                classes,
                tuple(judged),
                np.array([classes.index(str(class_name(patients[one], classes))) for one in judged]),
                np.array([[own[name] for name in classes] for own in probabilities]),
                np.array([WHOLE if lacking else split for split in splits]),
                columns,
            )
        )
    return scored


def _flow_table(patients: Mapping[str, CohortRow], flow: _Flow) -> PaperTable:
    counts = {
        "In the table": len(patients),
        "Left out: no label": len(flow.unlabelled),
        "Left out: no result": len(flow.without_result),
        "Left out: a model learned from them": len(flow.learned_from),
        "Judged": len(flow.judged),
    }
    rows = tuple((name, str(n)) for name, n in counts.items())
    numbers = tuple({"patients": name, "n": n} for name, n in counts.items())
    return PaperTable(
        "patients", "Patients, from the table to the judged", ("Patients", "n"), rows, (), numbers
    )


def _models_table(models: Sequence[CohortModel]) -> PaperTable:
    rows = tuple(
        (
            model.name,
            model.record.mode.upper(),
            model.record.model_sha256[:12],
            "the most probable class"
            if model.record.threshold is None
            else ", ".join(f"{one.name} {one.threshold:.3f}" for one in model.points) or "none but 0.5",
            str(len(model.records)),
            "not known" if model.learned_from is None else str(len(model.learned_from)),
        )
        for model in models
    )
    head = ("Method", "Mode", "SHA-256", "Operating points of its card", "Slides", "Slides it learned from")
    notes = ("Operating points are those of the model's card; none was chosen on the patients here.",)
    return PaperTable("models", "Models", head, rows, notes)
