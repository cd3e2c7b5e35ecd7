"""Reading scores, from our own runs or anybody's: one line a patient, checked before anything is computed."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_aln.cohort.columns import SPLITS, Column, cell_of, recognise
from napari_aln.cohort.spreadsheet import read_tables
from napari_aln.errors import CohortError
from napari_aln.evaluation.cases import WHOLE, Scored

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.cohort.spreadsheet import Table

_PATIENT = ("patient", "case", "id", "p_id")  # besides patient_id, which the cohort's tables know
_SCORE = ("score", "probability", "p")
_CLASS_SCORE = re.compile(r"(?:score|probability|prob|p)[_ ]?(?:\((.+)\)|[_ ](.+))", re.IGNORECASE)
_LABEL = Column(0, "label", "label")
_CLASS_ORDER = ("N0", "N(+)", "N+(1-2)", "N+(>2)")
_SPELLINGS = {"N+(≥3)": "N+(>2)", "N+(>=3)": "N+(>2)", "N+(3+)": "N+(>2)"}
_CHECKED = {"age_years": "an age in years", "tumor_size_cm": "a size in cm"}
_RECEPTOR_CELLS = ("+", "-")


class _Columns(NamedTuple):
    """Where things stand in a table."""

    patient: int
    label: int
    split: int | None
    scores: dict[str, int]  # class name -> place; "" for the one score of two classes
    known: Mapping[str, Column]
    others: dict[str, int]


def read_scores(path: Path, model: str, positive: str | None = None) -> Scored:
    """Read scores.

    Parameters
    ----------
    path
        CSV, XLSX or Parquet with the columns ``patient`` and ``label``; ``score`` (0..1, of N(+)) with two
        classes, or one column a class: ``score_N0``, ``p(N0)`` or ``N0``. May have ``split`` (train, val,
        test), clinical columns as in a cohort table, and others. Ids are text: 007 is not 7.
    model
        The model's name.
    positive
        Which label the score stands for, where it is neither 1 nor the one that is not N0.

    Raises
    ------
    CohortError
        With the file, the line, the fact and the next step.
    """
    tables = {sheet: table for sheet, table in read_tables(path).items() if table.columns}
    if not tables:
        raise CohortError(f"{path} is empty.", "Give a table with the columns patient, label and score.")
    if len(tables) > 1:
        raise CohortError(
            f"{path} has several sheets: {', '.join(tables)}.", "Keep the scores alone in the file."
        )
    table = next(iter(tables.values()))
    columns = _columns(path, table)
    if not table.rows:
        raise CohortError(f"{path} has a header but no patient.", "Add one line a patient.")
    patients = _patients(path, table, columns.patient)
    labels = [_class_name(cells[columns.label]) for _, cells in table.rows]
    for (line, _), label in zip(table.rows, labels, strict=True):
        if not label:
            raise CohortError(f"{path}, line {line}, has no label.", "Fill it in or leave that line out.")
    classes = _classes(path, labels, columns, positive)
    for (line, _), label in zip(table.rows, labels, strict=True):
        if label not in classes:
            raise CohortError(
                f"{path}, line {line}: the label {label} is none of the classes {', '.join(classes)}.",
                "Correct the cell, or give a score column for that class.",
            )
    return Scored(
        model,
        classes,
        patients,
        np.array([classes.index(label) for label in labels]),
        _scores(path, table, columns, classes),
        np.array([_split(path, line, cells, columns.split) for line, cells in table.rows]),
        _further(path, table, columns),
    )


def _columns(path: Path, table: Table) -> _Columns:
    names = {name.strip().casefold(): place for place, name in enumerate(table.columns) if name.strip()}
    if len(names) < sum(bool(name.strip()) for name in table.columns):
        raise CohortError(f"{path} has two columns of one name.", "Name every column differently.")
    # The cohort's tables say patient_id; with it, they also know the units that clinical columns must state.
    renamed = ["patient_id" if name.strip().casefold() in _PATIENT else name for name in table.columns]
    known = recognise(path, renamed)
    missing = [name for name in ("patient_id", "label") if name not in known]
    if missing:
        raise CohortError(
            f"{path} has no column {missing[0].removesuffix('_id')} (it has: {', '.join(table.columns)}).",
            "Name the columns patient, label and score, separated by commas, semicolons or tabs.",
        )
    taken = {column.place for column in known.values()}
    scores = _score_columns(path, table, labels_place=known["label"].place, taken=taken)
    others = {
        name.strip(): place
        for place, name in enumerate(table.columns)
        if name.strip() and place not in taken and place not in scores.values()
    }
    split = known["split"].place if "split" in known else names.get("cohort")
    return _Columns(known["patient_id"].place, known["label"].place, split, scores, known, others)


def _score_columns(path: Path, table: Table, labels_place: int, taken: set[int]) -> dict[str, int]:
    """Return the places of the scores, by class; under "" that of a lone score."""
    classes = {*_CLASS_ORDER, *(_class_name(cells[labels_place]) for _, cells in table.rows)}
    single: list[int] = []
    by_class: dict[str, int] = {}
    for place, name in enumerate(table.columns):
        plain = name.strip()
        found = _CLASS_SCORE.fullmatch(plain)
        if place in taken:
            continue
        if plain.casefold() in _SCORE:
            single.append(place)
        elif (own := _class_name(next(filter(None, found.groups())) if found else plain)) in classes:
            by_class[own] = place
    if len(single) + bool(by_class) != 1 or len(by_class) == 1:
        raise CohortError(
            f"{path} has {'no' if not single and not by_class else 'an unclear set of'} score columns.",
            "Give one column score, of N(+), or one column a class: score_N0, score_N+(1-2), score_N+(>2).",
        )
    return by_class or {"": single[0]}


def _patients(path: Path, table: Table, place: int) -> tuple[str, ...]:
    patients = [cells[place].strip() for _, cells in table.rows]
    seen: dict[str, int] = {}
    for (line, _), patient in zip(table.rows, patients, strict=True):
        if not patient:
            raise CohortError(f"{path}, line {line}, names no patient.", "Fill in the id.")
        if patient in seen:
            raise CohortError(
                f"{path} names patient {patient} twice (lines {seen[patient]} and {line}).",
                "Give one score a patient: combine the slides of a patient first.",
            )
        seen[patient] = line
    return tuple(patients)


def _class_name(text: str) -> str:
    """Return a class as the program writes it; what is not known as it stands."""
    plain = cell_of(_LABEL, text.replace(" ", ""))
    whole = re.fullmatch(r"(\d+)\.0+", plain)  # how some programs write 1
    known = whole[1] if whole else _SPELLINGS.get(plain, plain)
    return known if whole or known in _CLASS_ORDER else text.strip()


def _classes(path: Path, labels: Sequence[str], columns: _Columns, positive: str | None) -> tuple[str, ...]:
    """Return the classes in order, the negative one first."""
    if "" not in columns.scores:
        classes = sorted(
            columns.scores, key=lambda name: _CLASS_ORDER.index(name) if name in _CLASS_ORDER else -1
        )
        return _with_positive_last(path, tuple(classes), positive) if len(classes) == 2 else tuple(classes)
    present = sorted(set(labels))
    if len(present) > 2:
        raise CohortError(
            f"{path} has one score but {len(present)} labels: {', '.join(present[:5])}.",
            "Give a score column for each class, or labels of two classes.",
        )
    if len(present) == 1:  # the AUC will be refused by name; here it must only be clear which class it is
        return (
            ("0", "1") if present[0] in ("0", "1") else ("N0", "N(+)" if present[0] == "N0" else present[0])
        )
    return _with_positive_last(path, (present[0], present[1]), positive)


def _with_positive_last(path: Path, classes: tuple[str, ...], positive: str | None) -> tuple[str, ...]:
    if positive is not None:
        chosen = _class_name(positive)
        if chosen not in classes:
            raise CohortError(
                f"{path} has no class {positive}; it has {', '.join(classes)}.", "Name one of them."
            )
        return tuple(sorted(classes, key=lambda name: name == chosen))
    for negative in ("N0", "0"):
        if negative in classes:
            return tuple(sorted(classes, key=lambda name: name != negative))
    raise CohortError(
        f"{path}: it is not clear which of the labels {', '.join(classes)} the score stands for.",
        "Say so with --positive LABEL, or label patients N0 and N(+), or 0 and 1.",
    )


def _scores(path: Path, table: Table, columns: _Columns, classes: Sequence[str]) -> NDArray[np.float64]:
    if "" in columns.scores:
        place = columns.scores[""]
        score = np.array(
            [_score(path, line, table.columns[place], cells[place]) for line, cells in table.rows]
        )
        return np.column_stack([1.0 - score, score])
    return np.array(
        [
            [
                _score(path, line, table.columns[p], cells[p])
                for p in (columns.scores[name] for name in classes)
            ]
            for line, cells in table.rows
        ]
    )


def _score(path: Path, line: int, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise CohortError(
            f"{path}, line {line}, column {name}: {text.strip() or 'an empty cell'} is no score.",
            "Give a number from 0 to 1 with a decimal point, or leave that patient out.",
        )
    if not 0.0 <= value <= 1.0:
        raise CohortError(
            f"{path}, line {line}, column {name}: {text.strip()} lies outside 0 to 1.",
            "Give probabilities, not percentages or log-odds.",
        )
    return value


def _split(path: Path, line: int, cells: Sequence[str], place: int | None) -> str:
    if place is None:
        return WHOLE
    text = cells[place].strip()
    if text.casefold() not in SPLITS:
        raise CohortError(
            f"{path}, line {line}: the split {text or '(empty)'} is not known.", "Write train, val or test."
        )
    return SPLITS[text.casefold()]


def _further(path: Path, table: Table, columns: _Columns) -> dict[str, tuple[str, ...]]:
    """Return clinical columns, checked, and all others as they stand."""
    found = {name: tuple(cells[p].strip() for _, cells in table.rows) for name, p in columns.others.items()}
    for field, column in columns.known.items():
        if field in (*_CHECKED, "er", "pr", "her2"):
            found[field] = tuple(_clinical(path, line, field, column, cells) for line, cells in table.rows)
        elif field not in ("patient_id", "label", "split", "slide", "roi"):
            found[field] = tuple(cells[column.place].strip() for _, cells in table.rows)
    return with_t_stage(found)


def with_t_stage(found: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return columns with that of the T stage, however it is spelt, under the name that subgroups know."""
    return {
        "t_stage" if re.sub(r"[^a-z]", "", name.casefold()) == "tstage" else name: cells
        for name, cells in found.items()
    }


def _clinical(path: Path, line: int, field: str, column: Column, cells: Sequence[str]) -> str:
    text = cell_of(column, cells[column.place])
    if text in ("", "unknown"):
        return ""
    if field in _CHECKED:
        try:
            usable = float(text) > 0
        except ValueError:
            usable = False
        what = _CHECKED[field]
    else:
        usable, what = text in _RECEPTOR_CELLS, "+, - or unknown"
    if not usable:
        raise CohortError(
            f"{path}, line {line}, column {column.name}: {cells[column.place].strip()} is not {what}.",
            "Correct that cell.",
        )
    return text
