"""The clinical-only baseline: logistic regression on the five values, as in Xu et al."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from napari_aln.cohort.table import read_cohort, receptor_sign
from napari_aln.cohort.wording import counted
from napari_aln.cohort.writing import TABLE_SUFFIXES, write_table
from napari_aln.errors import ClinicalError, CohortError, UsageError
from napari_aln.evaluation.logistic import fit_logistic
from napari_aln.mil.clinical import encode, missing_values
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.store.atomic import atomic_file
from napari_aln.store.result import made_of_table, write_made_by
from napari_aln.workflows.training.clinical_statistics import clinical_fields

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_aln.cohort.table import CohortRow
    from napari_aln.evaluation.logistic import Logistic

Against = Literal["N(+)", "N+(1-2)", "N+(>2)"]
"""What is told from N0: the three tasks of Xu et al., Table 2 and supplementary Tables 3 and 4."""

_NAMED = 5
_COLUMNS = {
    "patient_id": str,
    "label": str,
    "score": float,
    "split": str,
    "age_years": float,
    "tumor_size_cm": float,
    "er": str,
    "pr": str,
    "her2": str,
}


class Baseline(NamedTuple):
    """What was fitted and on whom it was tried."""

    regression: Logistic  # of age, tumour size (standardised), ER, PR, HER2 (1 = negative)
    n_train: int
    n_patients: int
    n_filled: int


def clinical_baseline(
    cohort: Path,
    out: Path,
    against: Against = "N(+)",
    *,
    fill_clinical: bool = False,
    aliases: Mapping[str, str] | None = None,
) -> Baseline:
    """Fit on the training patients and write every patient's score, as `evaluate` reads them.

    Beside the scores, as ``<their name>.json``, stands what made them.

    Parameters
    ----------
    cohort
        Cohort table with clinical values, labels and splits; patients without a label or split are left out.
    out
        Table of scores to write: ``.csv``, ``.xlsx`` or ``.parquet``.
    against
        The class told from N0; patients of other classes are left out.
    fill_clinical
        Whether a missing value becomes the training patients' mean or more frequent category.
    aliases
        Private: what each patient is called instead, see `patient_aliases`; the table is not named either.

    Raises
    ------
    CohortError
        No patients to train on or to try it on.
    ClinicalError
        Values are missing and may not be filled; the patients are named.
    UsageError
        The training patients are of one class, or `out` names no table, or the cohort's.
    StoreError
        The scores cannot be written.
    """
    if out.suffix.lower() not in TABLE_SUFFIXES:
        raise UsageError(
            f"{out.name} names no format a table can be written in.",
            f"Let its name end in {', '.join(TABLE_SUFFIXES)}.",
        )
    if out.resolve() == cohort.resolve():
        raise UsageError(f"{out} is the table that is read.", "Write the scores to another file.")
    rows = _patients(cohort, against)
    incomplete = [row.patient_id for row in rows if missing_values(row.clinical)]
    if incomplete and not fill_clinical:
        raise ClinicalError(
            f"{cohort}: clinical values are missing of {counted(len(incomplete), 'patient')} "
            f"({', '.join(incomplete[:_NAMED])}{', ...' if len(incomplete) > _NAMED else ''}).",
            "Fill in the cells, or allow --fill-clinical: the mean or the more frequent category.",
        )
    train = np.array([row.split == "train" for row in rows])
    if not train.any():
        raise CohortError(f"{cohort} has no labelled training patient.", "Give splits: see cohort split.")
    fields = clinical_fields([row for row, own in zip(rows, train, strict=True) if own])
    values = np.array([encode(row.clinical, fields, fill=fill_clinical)[0] for row in rows])  # (n, 5)
    positive = np.array([row.is_positive for row in rows])
    regression = fit_logistic(values[train], positive[train])
    scores = regression.probability(values)
    cells = [_cells(row, against, score) for row, score in zip(rows, scores.tolist(), strict=True)]
    if aliases is not None:
        cells = [line | {"patient_id": aliases[str(line["patient_id"])]} for line in cells]
    with atomic_file(out) as temporary:
        write_table(temporary, _COLUMNS, cells, out.suffix)
    settings = {"method": "logistic regression", "against": against, "fill_clinical": fill_clinical}
    fitted = {"intercept": float(regression.intercept), "weights": regression.weights.tolist()}
    made_by = made_of_table(cohort, settings, private=aliases is not None)
    made_by |= {"regression": fitted, "n_train": int(train.sum())}
    write_made_by(out, made_by | {"notice": RESEARCH_NOTICE})
    return Baseline(regression, int(train.sum()), len(rows), len(incomplete))


def _patients(cohort: Path, against: Against) -> list[CohortRow]:
    """Return one row a patient, of those who have a split and are N0 or the class in question."""
    by_patient = {row.patient_id: row for row in read_cohort(cohort, several_slides=True)}
    found = [
        row
        for row in by_patient.values()
        if row.split is not None
        and (row.label == "N0" or (row.label if against == "N(+)" else row.aln_class) == against)
    ]
    if not found:
        raise CohortError(
            f"{cohort} has no patient with a split who is N0 or {against}.",
            "Fill in label (or n_positive_nodes) and split: see cohort split.",
        )
    return found


def _cells(row: CohortRow, against: Against, score: float) -> dict[str, object]:
    own = row.clinical
    return {
        "patient_id": row.patient_id,
        "label": against if row.is_positive else "N0",
        "score": round(score, 6),
        "split": row.split,
        "age_years": own.age_years,
        "tumor_size_cm": own.tumor_size_cm,
        "er": receptor_sign(own.er),
        "pr": receptor_sign(own.pr),
        "her2": receptor_sign(own.her2),
    }
