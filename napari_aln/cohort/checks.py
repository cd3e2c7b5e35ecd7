"""What contradicts itself in a cohort table, found without opening a slide."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_aln.cohort.bags import TASKS
from napari_aln.cohort.table import SPLITS, differences
from napari_aln.cohort.wording import counted, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from napari_aln.cohort.bags import ReferenceBag
    from napari_aln.cohort.table import CohortRow, Line

Severity = Literal["error", "warning"]

LARGEST_USUAL_TUMOR_CM = 15.0
YOUNGEST_USUAL_YEARS = 18.0
_NEEDED_FOR = {
    "slide": "Add the slides, or leave these patients out where a model looks at slides.",
    "roi": "Modes inside the ROI leave them out; the whole-slide mode needs none.",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or doubtful, and what to do about it."""

    severity: Severity
    where: str  # "line 3", or what of the table it is about
    fact: str
    next_step: str
    patient_ids: tuple[str, ...] = ()


def check_lines(lines: Sequence[Line]) -> list[Finding]:
    """Return what is wrong with the rows of a table, those that could be read."""
    patients: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        patients[line.row.patient_id].append(line)
    checks: tuple[Callable[[dict[str, list[Line]]], Iterator[Finding]], ...] = (
        _contradictions,
        _alike_ids,
        _shared_slides,
        _labels,
        _splits,
        _sites,
        _unusual_values,
        _equivocal_scores,
        _empty_cells,
    )
    return [finding for check in checks for finding in check(patients)]


def _contradictions(patients: dict[str, list[Line]]) -> Iterator[Finding]:
    """Find patients whose lines differ; a patient in two splits is the worst of it."""
    for patient_id, lines in patients.items():
        numbers = _lines(lines)
        splits = {line.row.split for line in lines} - {None}
        if len(splits) > 1:
            yield Finding(
                "error",
                numbers,
                f"Patient {patient_id} stands in {' and '.join(s for s in SPLITS if s in splits)}: what was "
                "trained on would be tested on.",
                "Put all lines of a patient into one split, or divide anew with `cohort split`.",
                (patient_id,),
            )
        fields = dict.fromkeys(f for line in lines for f in differences(lines[0].row, line.row))
        others = [field for field in fields if field != "split" or len(splits) < 2]
        if others:
            yield Finding(
                "error",
                numbers,
                f"Patient {patient_id} has different values in: {', '.join(others)}.",
                "Give all slides of a patient the same values.",
                (patient_id,),
            )
        slides = [line.row.slide for line in lines]
        if len(set(slides)) < len(slides):
            yield Finding(
                "error",
                numbers,
                f"Patient {patient_id} has the same slide, or none, in several lines.",
                "Keep one line a slide.",
                (patient_id,),
            )


def _alike_ids(patients: dict[str, list[Line]]) -> Iterator[Finding]:
    alike = defaultdict(list)
    for patient_id in patients:
        alike[patient_id.lstrip("0").casefold()].append(patient_id)
    for ids in alike.values():
        if len(ids) > 1:
            lines = [line for patient_id in ids for line in patients[patient_id]]
            splits = {line.row.split for line in lines} - {None}
            yield Finding(
                "warning",
                _lines(lines),
                f"The ids {', '.join(ids)} differ in leading zeros or capitals alone"
                f"{', and stand in different splits' if len(splits) > 1 else ''}.",
                "If they are one patient, write the id alike in all lines.",
                tuple(ids),
            )


def _shared_slides(patients: dict[str, list[Line]]) -> Iterator[Finding]:
    owners: dict[object, dict[str, Line]] = defaultdict(dict)
    for patient_id, lines in patients.items():
        for line in lines:
            if line.row.slide is not None:
                owners[line.row.slide.absolute()].setdefault(patient_id, line)
    for mine in owners.values():
        if len(mine) > 1:
            yield Finding(
                "error",
                _lines(mine.values()),
                f"Patients {', '.join(mine)} have the same slide file.",
                "Give each patient their own slide.",
                tuple(mine),
            )


def _labels(patients: dict[str, list[Line]]) -> Iterator[Finding]:
    firsts = _firsts(patients)
    without = [row.patient_id for row in firsts if row.label is None]
    if without:
        yield Finding(
            "warning",
            "column label",
            f"{len(without)} of {len(firsts)} patients have neither label nor number of positive nodes: "
            f"{named(without)}.",
            "They can be predicted, but not trained or tested on.",
            tuple(without),
        )
    labels = {row.label for row in firsts if row.label}
    if len(labels) == 1:
        yield Finding(
            "error",
            "column label",
            f"All labelled patients are {labels.pop()}.",
            "Add patients of the other class: with one alone nothing can be learned or measured.",
        )


def _splits(patients: dict[str, list[Line]]) -> Iterator[Finding]:
    firsts = [row for row in _firsts(patients) if row.label]
    without = [row.patient_id for row in firsts if row.split is None]
    if without and len(without) == len(firsts):
        yield Finding(
            "warning", "column split", "No patient has a split.", "Divide the table with `cohort split`."
        )
        return
    if without:
        yield Finding(
            "warning",
            "column split",
            f"{len(without)} of {len(firsts)} labelled patients have no split: {named(without)}.",
            "Fill the column, or divide the table with `cohort split`.",
            tuple(without),
        )
    for split in SPLITS if firsts else ():
        labels = {row.label for row in firsts if row.split == split}
        if not labels:
            yield Finding(
                "warning",
                "column split",
                f"The split {split} holds no labelled patient.",
                "Training needs all three; a cohort that is tested on alone needs test.",
            )
        elif len(labels) < 2:
            yield Finding(
                "error",
                "column split",
                f"The split {split} holds {labels.pop()} alone: its AUC is not defined.",
                "Put patients of both classes into it, or divide the table with `cohort split`.",
            )


def _sites(patients: dict[str, list[Line]]) -> Iterator[Finding]:
    firsts = _firsts(patients)
    without = [row.patient_id for row in firsts if row.site is None]
    if 0 < len(without) < len(firsts):
        yield Finding(
            "warning",
            "column site",
            f"{len(without)} of {len(firsts)} patients have no site: {named(without)}.",
            "Fill the column for all, or for none.",
            tuple(without),
        )
    labels = defaultdict(set)
    for row in firsts:
        if row.site and row.label:
            labels[row.site].add(row.label)
    one_class = sorted(site for site, known in labels.items() if len(known) == 1)
    if len(labels) > 1 and one_class:
        yield Finding(
            "warning",
            "column site",
            f"Sites with one class alone: {named(one_class)}. A model may learn the site's stain instead.",
            "Add patients of the other class from there, or judge each site by itself.",
        )


def _unusual_values(patients: dict[str, list[Line]]) -> Iterator[Finding]:
    for lines in patients.values():
        row = lines[0].row
        if row.tumor_size_cm is not None and row.tumor_size_cm >= LARGEST_USUAL_TUMOR_CM:
            yield Finding(
                "warning",
                _lines(lines[:1]),
                f"A tumour of {row.tumor_size_cm:g} cm is unusual; mm, perhaps.",
                "Check the value; a column in mm is named tumor_size_mm.",
                (row.patient_id,),
            )
        if row.age_years is not None and row.age_years < YOUNGEST_USUAL_YEARS:
            yield Finding(
                "warning",
                _lines(lines[:1]),
                f"An age of {row.age_years:g} years is unusual.",
                "Check the value.",
                (row.patient_id,),
            )


def _equivocal_scores(patients: dict[str, list[Line]]) -> Iterator[Finding]:
    lines = {p: own[0] for p, own in patients.items() if own[0].her2_is_equivocal}
    if lines:
        yield Finding(
            "warning",
            _lines(lines.values()),
            f"The HER2 score 2+ is equivocal and counts as unknown: {counted(len(lines), 'patient')}.",
            "Give + or - where in situ hybridisation has told.",
            tuple(lines),
        )


def _empty_cells(patients: dict[str, list[Line]]) -> Iterator[Finding]:
    firsts = _firsts(patients)
    missing = {
        "age_years": [row.patient_id for row in firsts if row.age_years is None],
        "tumor_size_cm": [row.patient_id for row in firsts if row.tumor_size_cm is None],
        "er": [row.patient_id for row in firsts if row.er == "unknown"],
        "pr": [row.patient_id for row in firsts if row.pr == "unknown"],
        "her2": [row.patient_id for row in firsts if row.her2 == "unknown"],
        "slide": [row.patient_id for row in firsts if row.slide is None],
        "roi": [
            patient_id
            for patient_id, lines in patients.items()
            if any(line.row.slide and line.row.roi is None for line in lines)
        ],
    }
    columns_of = defaultdict(list)  # patients who lack the same are told once
    for column, ids in missing.items():
        kind = column if column in _NEEDED_FOR else ""
        columns_of[kind, tuple(ids)].append(column)
    for (kind, lacking), columns in columns_of.items():
        if lacking:
            yield Finding(
                "warning",
                f"column{'s' if len(columns) > 1 else ''} {', '.join(columns)}",
                f"Not known for {len(lacking)} of {counted(len(firsts), 'patient')}: {named(lacking)}.",
                _NEEDED_FOR.get(kind, "Modes with clinical data need it, or the cohort's mean by request."),
                lacking,
            )


def check_bags(bags: Sequence[ReferenceBag], rows: Sequence[CohortRow]) -> list[Finding]:
    """Return what is wrong with the reference's bags, and where they contradict the table."""
    findings: list[Finding] = []
    splits = defaultdict(set)
    for bag in bags:
        splits[bag.task, bag.patient_id].add(bag.split)
    findings += [
        Finding(
            "error",
            f"bags {task}",
            f"Patient {patient_id} has bags in {' and '.join(s for s in SPLITS if s in known)}: what was "
            "trained on would be tested on.",
            "Fetch the bag lists again.",
            (patient_id,),
        )
        for (task, patient_id), known in splits.items()
        if len(known) > 1
    ]
    known = {row.patient_id: row for row in rows}
    for task in TASKS:
        wrong = {
            bag.patient_id
            for bag in bags
            if bag.task == task
            and bag.patient_id in known
            and known[bag.patient_id].label is not None
            and bag.class_name not in (known[bag.patient_id].label, known[bag.patient_id].aln_class)
        }
        if wrong:
            findings.append(
                Finding(
                    "error",
                    f"bags {task}",
                    f"The bags of {counted(len(wrong), 'patient')} have another label than the table: "
                    f"{named(sorted(wrong))}.",
                    "One of the two is wrong: compare with the data set's workbook.",
                    tuple(sorted(wrong)),
                )
            )
    return findings


def _firsts(patients: dict[str, list[Line]]) -> list[CohortRow]:
    return [lines[0].row for lines in patients.values()]


def _lines(lines: Iterable[Line]) -> str:
    numbers = [str(number) for number in sorted(line.number for line in lines)]
    return f"{'lines' if len(numbers) > 1 else 'line'} {named(numbers)}"
