"""Filling a work list, finding slides that moved, and what several slides say of one patient.

`collect` and `find_moved` read slides and may run on a thread; they hand back plain records, which the
thread that holds the `WorkList` writes down.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.cohort.spreadsheet import READABLE_SUFFIXES
from napari_aln.cohort.table import read_cohort
from napari_aln.errors import SlideError, StoreError, WorkListError
from napari_aln.mil.scoring import predicted_class
from napari_aln.records import THREE_CLASSES, Progress
from napari_aln.slides.first_open import open_untried
from napari_aln.store.worklist_records import NewSlide, Patient
from napari_aln.workflows.folders import slides_below

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence
    from pathlib import Path

    from napari_aln.cohort.table import CohortRow
    from napari_aln.records import Mode
    from napari_aln.store.worklist_records import RunSummary, WorkItem

PATIENT_RULE = (
    "A patient's probability is the mean of its slides' probabilities, each slide counting once, for each"
    " model by itself; the decision uses the model's own operating point."
)
"""The papers have one slide a patient and give no rule for several."""


@dataclass(frozen=True)
class Collected:
    """What is to be added to a work list."""

    slides: tuple[NewSlide, ...]
    patients: tuple[Patient, ...]


def collect(
    sources: Sequence[Path], classes: Sequence[str], known: Sequence[WorkItem] = ()
) -> Generator[Progress, None, Collected]:
    """Yield for each slide, return what folders, slides and tables hold.

    Parameters
    ----------
    sources
        Folders to search with all folders below, slide files, and cohort tables (CSV, XLSX or Parquet). A
        table's values join slides by its column `slide`, or where a slide's file name without suffix is a
        patient's id, letter by letter.
    classes
        The list's classes; they say how the reference standard is written.
    known
        The slides already in the list, which a table may say something about.

    Raises
    ------
    SlideError
        A source does not exist, or may not be read.
    WorkListError
        Nothing was found in all of them.
    CohortError
        A table cannot be used; names file, line and fact.
    """
    paths: dict[Path, NewSlide] = {}
    patients: dict[str, Patient] = {}
    for source in sources:
        if source.suffix.lower() in READABLE_SUFFIXES and source.is_file():
            for row in read_cohort(source, several_slides=True):
                patients[row.patient_id] = Patient(row.patient_id, row.clinical, _reference(row, classes))
                if row.slide is not None:
                    paths[row.slide.absolute()] = NewSlide(row.slide.absolute(), row.patient_id, row.roi)
        else:
            for path in slides_below(source):
                paths.setdefault(path.absolute(), NewSlide(path.absolute()))
    for item in known:
        if item.patient_id is None and item.path.stem in patients:
            paths.setdefault(item.path, NewSlide(item.path))
    if not paths and not patients:
        raise WorkListError("No slide was found there.", "Choose a folder with slides, or a cohort table.")
    slides = []
    for done, slide in enumerate(paths.values()):
        yield Progress("look at slides", done, len(paths))
        patient = slide.patient_id or (slide.path.stem if slide.path.stem in patients else None)
        slides.append(NewSlide(slide.path, patient, slide.roi, _hash_of(slide.path)))
    return Collected(tuple(slides), tuple(patients.values()))


def _reference(row: CohortRow, classes: Sequence[str]) -> str | None:
    """Return the class by the reference standard as a list writes it, or None where the table says less."""
    if tuple(classes) == THREE_CLASSES:
        return row.aln_class
    nodes = row.n_positive_nodes
    return row.label if row.label or nodes is None else ("N(+)" if nodes else "N0")


def _hash_of(path: Path) -> str | None:
    """Return what a slide holds, or None: that it cannot be opened is told when it is opened for review."""
    try:
        with open_untried(path) as slide:
            return slide.info.quick_hash
    except SlideError:
        return None


def missing(items: Iterable[WorkItem]) -> tuple[WorkItem, ...]:
    """Return the slides that are no longer where they were."""
    return tuple(item for item in items if not item.path.exists())


def find_moved(items: Sequence[WorkItem], folder: Path) -> Generator[Progress, None, dict[int, Path]]:
    """Yield for each slide looked at, return where moved slides lie now, recognised by content.

    Parameters
    ----------
    items
        What is looked for; one whose content was never seen cannot be recognised and is left out.
    folder
        Where to look, with all folders below. Files of the same name are looked at first.

    Returns
    -------
    dict
        Item number -> path, for those that were found. `WorkList.move` notes it.
    """
    wanted = {item.quick_hash: item.item_id for item in items if item.quick_hash is not None}
    names = {item.path.name for item in items}
    candidates = sorted(slides_below(folder), key=lambda path: path.name not in names)
    found: dict[int, Path] = {}
    for done, path in enumerate(candidates):
        if len(found) == len(wanted):
            break
        yield Progress("look for slides", done, len(candidates))
        content = _hash_of(path)
        if content in wanted:
            found.setdefault(wanted[content], path)
    return found


@dataclass(frozen=True)
class PatientRun:
    """What one model says of a patient; see `PATIENT_RULE`."""

    mode: Mode
    model_name: str
    model: tuple[str, str, str]  # mode, weights' and card's hash
    classes: tuple[str, ...]
    probabilities: dict[str, float]
    prediction: str
    threshold: float | None
    operating_point: str
    slides: tuple[int, ...]  # whose results it rests on
    slides_agree: bool  # whether each slide by itself leads to the same decision


def patient_runs(results: Mapping[int, Sequence[RunSummary]]) -> tuple[PatientRun, ...]:
    """Combine the results of a patient's slides, one for each model.

    Parameters
    ----------
    results
        Item number of each slide -> what `WorkList.results` hands out. A slide without a result of a model
        does not count for that model: compare `PatientRun.slides` with the patient's slides.
    """
    by_model: dict[tuple[str, str, str], dict[int, RunSummary]] = defaultdict(dict)
    for item_id, runs in results.items():
        for run in runs:
            by_model[run.model][item_id] = run
    return tuple(_patient_run(runs) for runs in by_model.values())


def _patient_run(runs: Mapping[int, RunSummary]) -> PatientRun:
    first = next(iter(runs.values()))
    if any(run.classes != first.classes for run in runs.values()):
        raise StoreError("Results of one model have different classes.", "Run the slides again.")
    mean = np.mean([[run.probabilities[name] for name in first.classes] for run in runs.values()], axis=0)
    threshold = 0.5 if first.threshold is None else first.threshold
    return PatientRun(
        mode=first.mode,
        model_name=first.model_name,
        model=first.model,
        classes=first.classes,
        probabilities=dict(zip(first.classes, mean.tolist(), strict=True)),
        prediction=first.classes[predicted_class(mean, threshold)],
        threshold=first.threshold,
        operating_point=first.operating_point,
        slides=tuple(runs),
        slides_agree=len({run.prediction for run in runs.values()}) == 1,
    )
