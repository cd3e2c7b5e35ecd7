"""The reader study: readers and models against the reference standard, as in Li et al. 2023, table 3.

The case is the patient. A reader's call on a patient is the one made last among the calls on the patient's
slides, when all of them had been seen; the *first read* looks at the first call on each slide, the *final
read* at the last. Models are combined over slides by `PATIENT_RULE`. With three classes, N+(1-2) and N+(>2)
both count as N(+).

A reader and the models are judged on the same patients: those with a reference, a call on every slide that
could be read, and, for a model, a result. What a blinded list does not hand out yet is left empty.
A file of each table's name and ``.json`` says what made it.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_aln.cohort.writing import harmless
from napari_aln.errors import StoreError
from napari_aln.evaluation.metrics import confusion_metrics
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.store.atomic import atomic_file
from napari_aln.store.cohort_run import now
from napari_aln.store.result import read_document, runs_made_by, write_made_by
from napari_aln.store.worklist_records import patients_by_number
from napari_aln.versions import package_versions
from napari_aln.workflows.review.worklist import PATIENT_RULE, patient_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from napari_aln.evaluation.metrics import Estimate
    from napari_aln.store.worklist import WorkList
    from napari_aln.store.worklist_records import Call, RunSummary, WorkItem
    from napari_aln.workflows.review.worklist import PatientRun

NEGATIVE = "N0"
METRICS = {
    "acc": "accuracy",
    "sens": "sensitivity",
    "spec": "specificity",
    "ppv": "ppv",
    "npv": "npv",
    "f1": "f1",
    "kappa": "kappa",
}


@dataclass(frozen=True)
class Case:
    """One patient and one reader."""

    case: str  # patient id, else the slide's number in the list: never a file name or path
    reader_id: str
    n_slides: int
    n_unreadable: int
    reference: str | None
    first: Call | None  # None while a slide still waits for the reader
    final: Call | None
    runs: tuple[PatientRun, ...]
    results: Mapping[int, tuple[RunSummary, ...]]  # slide's number -> what `runs` rest on
    withheld: bool  # whether a blinded list keeps model and reference back

    @property
    def blind(self) -> bool | None:
        """Whether the first read was made before any model number was seen."""
        return None if self.first is None else self.first.model_seen_at is None


@dataclass(frozen=True)
class Performance:
    """One row of the table: a reader or a model on a reader's patients."""

    reader_id: str  # whose patients
    rater: str
    counts: tuple[int, int, int, int]  # tp, fp, fn, tn

    @property
    def metrics(self) -> dict[str, Estimate]:
        """The measures, by the names of `confusion_metrics`."""
        return confusion_metrics(*self.counts)


def reader_cases(work_list: WorkList, readers: Sequence[str] | None = None) -> tuple[Case, ...]:
    """Return every patient for each reader.

    Parameters
    ----------
    work_list
        The list. What it hands out here counts as seen by these readers.
    readers
        Whose reads to look at; left out: all who made a call. In a blinded list a patient's model numbers and
        reference come out when all of them have called it, so that no reader learns them through another's.
    """
    with work_list.together():
        readers = work_list.readers() if readers is None else tuple(readers)
        patients: dict[tuple[int, ...], list[WorkItem]] = {}
        for item in work_list.items():
            patients.setdefault(work_list.slides_of_patient(item.item_id), []).append(item)
        return tuple(case for items in patients.values() for case in _cases(work_list, items, readers))


def _cases(work_list: WorkList, items: Sequence[WorkItem], readers: Sequence[str]) -> list[Case]:
    open_to_all = all(work_list.may_see(item.item_id, r) for item in _readable(items) for r in readers)
    return [_case(work_list, items, reader, withheld=not open_to_all) for reader in readers]


def _readable(items: Sequence[WorkItem]) -> list[WorkItem]:
    """Leave failed slides out, unless all failed."""
    return [item for item in items if item.state != "failed"] or list(items)


def _case(work_list: WorkList, items: Sequence[WorkItem], reader: str, *, withheld: bool) -> Case:
    readable = _readable(items)
    calls = [work_list.calls(item.item_id, reader) for item in readable]
    complete = all(calls)
    numbers = [item.item_id for item in readable]
    results: dict[int, tuple[RunSummary, ...]] = {}
    reference = None
    if not withheld:
        results = {number: work_list.results(number, reader) for number in numbers}
        reference = work_list.reference(numbers[0], reader)
    return Case(
        case=items[0].patient_id or f"slide {items[0].item_id}",
        reader_id=reader,
        n_slides=len(items),
        n_unreadable=sum(item.state == "failed" for item in items),
        reference=reference,
        first=max((own[0] for own in calls), key=_made) if complete else None,
        final=max((own[-1] for own in calls), key=_made) if complete else None,
        runs=patient_runs(results),
        results=results,
        withheld=withheld,
    )


def _made(call: Call) -> Any:  # noqa: ANN401 - a time, to sort by
    return call.made_at


def performances(cases: Iterable[Case]) -> tuple[Performance, ...]:
    """Return the rows of the table: each reader's first and final read, then each model on the same patients.

    A rater without a single case to judge has no row.
    """
    rows = []
    by_reader: dict[str, list[Case]] = {}
    for case in cases:
        if case.reference is not None and case.first is not None:
            by_reader.setdefault(case.reader_id, []).append(case)
    for reader, own in by_reader.items():
        blind = "blind" if all(case.blind for case in own) else "not all blind"
        rows.append(_row(reader, f"reader {reader}, first read ({blind})", _pairs_of_calls(own, "first")))
        rows.append(_row(reader, f"reader {reader}, final read", _pairs_of_calls(own, "final")))
        by_model: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
        names = {}
        for case in own:
            for run in case.runs:
                by_model.setdefault(run.model, []).append((str(case.reference), run.prediction))
                names[run.model] = f"{run.mode.upper()}, {run.model_name} ({run.model[1][:12]})"
        rows += [_row(reader, f"model {names[model]}", pairs) for model, pairs in by_model.items()]
    return tuple(rows)


def _pairs_of_calls(cases: Sequence[Case], which: str) -> list[tuple[str, str]]:
    return [(str(case.reference), getattr(case, which).aln_class) for case in cases]


def _row(reader: str, rater: str, pairs: Sequence[tuple[str, str]]) -> Performance:
    cells = [(truth != NEGATIVE, said != NEGATIVE) for truth, said in pairs]
    tp, fp, fn = (cells.count(kind) for kind in ((True, True), (False, True), (True, False)))
    return Performance(reader, rater, (tp, fp, fn, len(cells) - tp - fp - fn))


def export_reader_study(
    work_list: WorkList, path: Path, readers: Sequence[str] | None = None, *, private: bool = False
) -> tuple[Path, Path]:
    """Write the table of performances, and beside it the table of cases.

    Parameters
    ----------
    work_list
        The list; what is exported counts as seen by the readers.
    path
        A name ending in ``.csv`` for the performances; the cases go to ``<stem>-cases.csv``. Both are UTF-8
        with a byte order mark, which spreadsheet programs ask for. They name patients by id and hold the
        readers' comments, and no path or file name. Text that a spreadsheet would take for a formula gets
        an apostrophe in front. Beside each table, ``<its name>.json`` holds what made it.
    readers
        Whose reads; left out: all.
    private
        Number the patients instead of giving their ids. What readers wrote stays as it is.

    Returns
    -------
    tuple of Path
        Both tables.

    Raises
    ------
    StoreError
        They cannot be written.
    WorkListError
        The list cannot be read.
    """
    cases = reader_cases(work_list, readers)
    if private:
        known = patients_by_number(work_list.items())
        cases = tuple(replace(case, case=known.get(case.case, case.case)) for case in cases)
    cases_path = path.with_name(f"{path.stem}-cases.csv")
    _write(path, [_performance_cells(row) for row in performances(cases)], _performance_header())
    _write(cases_path, [_case_cells(case) for case in cases])
    made_by = _made_by(work_list, cases)
    for table in (path, cases_path):
        write_made_by(table, made_by)
    return path, cases_path


def _made_by(work_list: WorkList, cases: Sequence[Case]) -> dict[str, Any]:
    """Return what made the tables: the list's rules, each slide by its hash, each result on it."""
    hashes = {item.item_id: item.quick_hash for item in work_list.items()}
    results = {number: runs for case in cases for number, runs in case.results.items()}
    return {
        "notice": RESEARCH_NOTICE,
        "created": now(),
        "settings": {
            "readers": list(dict.fromkeys(case.reader_id for case in cases)),
            "blinded": work_list.blinded,
            "classes": work_list.classes,
            "rule": PATIENT_RULE,
        },
        "slides": [
            {
                "number": number,
                "slide_quick_hash": quick_hash,
                "runs": _results_made_by(results.get(number, ())),
            }
            for number, quick_hash in hashes.items()
        ],
        "versions": package_versions(),
    }


def _results_made_by(summaries: Iterable[RunSummary]) -> list[dict[str, Any]]:
    """Return what made the results on a slide: what the list knows, and what their folders say."""
    made = []
    for one in summaries:
        known = {"recorded_at": one.recorded_at.isoformat() if one.recorded_at else None}
        names = (
            "run",
            "mode",
            "model_name",
            "model_sha256",
            "card_sha256",
            "seed",
            "threshold",
            "operating_point",
        )
        made.append(known | {name: getattr(one, name) for name in names} | _folder_made_by(one))
    return made


def _folder_made_by(summary: RunSummary) -> dict[str, Any]:
    """Return the full record of a run; nothing where its folder is gone, or holds another run by now."""
    if summary.folder is None:
        return {}
    try:
        document = read_document(summary.folder)
    except StoreError:
        return {}
    same = [
        run
        for run in document.runs
        if (run.run, run.model_sha256, run.seed) == (summary.run, summary.model_sha256, summary.seed)
        and run.probabilities == summary.probabilities
    ]
    if not same:
        return {}
    facts: dict[str, Any] = {"mpp": document.slide.mpp, "mpp_origin": document.slide.mpp_origin}
    facts |= {"versions": document.versions, "machine": document.machine, "made_at": document.created}
    return facts | runs_made_by(same)[summary.run]


def _performance_header() -> list[str]:
    measures = [f"{name}{end}" for name in METRICS.values() for end in ("", "_low", "_high")]
    return ["patients_of", "rater", "n", "tp", "fp", "fn", "tn", *measures, "rule", "notice"]


def _performance_cells(row: Performance) -> dict[str, Any]:
    tp, fp, fn, tn = row.counts
    cells: dict[str, Any] = {"patients_of": row.reader_id, "rater": row.rater, "n": sum(row.counts)}
    cells |= {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    metrics = row.metrics
    for key, name in METRICS.items():
        for end, value in zip(("", "_low", "_high"), metrics[key], strict=True):
            cells[f"{name}{end}"] = "" if math.isnan(value) else round(value, 4)
    return cells | {"rule": PATIENT_RULE, "notice": RESEARCH_NOTICE}


def _case_cells(case: Case) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "patient": case.case,
        "reader": case.reader_id,
        "slides": case.n_slides,
        "unreadable_slides": case.n_unreadable,
        "reference": case.reference or "",
        "withheld": "until all slides are called" if case.withheld else "",
        "first_read_blind": "" if case.blind is None else "yes" if case.blind else "no",
    }
    for name, call in (("first", case.first), ("final", case.final)):
        cells |= {
            f"{name}_call": call.aln_class if call else "",
            f"{name}_confidence": "" if call is None or call.confidence is None else call.confidence,
            f"{name}_comment": call.comment if call else "",
            f"{name}_at": call.made_at.isoformat() if call else "",
            f"{name}_model_seen_at": call.model_seen_at.isoformat() if call and call.model_seen_at else "",
        }
    for run in case.runs:
        name = f"{run.mode} {run.model[1][:12]}"
        cells |= {f"{name} p({label})": round(p, 6) for label, p in run.probabilities.items()}
        cells |= {f"{name} decision": run.prediction, f"{name} slides": len(run.slides)}
    return cells


def _write(path: Path, rows: Sequence[Mapping[str, Any]], header: Sequence[str] = ()) -> None:
    columns = list(dict.fromkeys([*header, *(name for row in rows for name in row)]))
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.DictWriter(stream, [harmless(name) for name in columns], restval="")
        writer.writeheader()
        for row in rows:
            writer.writerow({harmless(name): harmless(cell) for name, cell in row.items()})
