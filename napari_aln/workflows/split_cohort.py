"""A cohort table divided into train, val and test, by patient."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_aln.cohort.splits import split_patients
from napari_aln.cohort.table import placed_beside, read_cohort, write_cohort
from napari_aln.cohort.writing import table_suffix
from napari_aln.store.atomic import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

    from napari_aln.settings import SplitSettings


@dataclass(frozen=True)
class Divided:
    """The tables that were written."""

    tables: tuple[Path, ...]  # one, or one a fold
    counts: tuple[Counter[tuple[str, str]], ...]  # of each table: patients by split and class
    without_class: tuple[str, ...]  # patients that belong to no split


def split_cohort(table: Path, out: Path, settings: SplitSettings) -> Divided:
    """Write a cohort table with splits.

    Parameters
    ----------
    table
        CSV, XLSX or Parquet; a patient may have several lines.
    out
        The table to write; kfold writes ``<stem>-fold1`` and so on instead. Its paths are relative to its own
        folder.
    settings
        See `SplitSettings`.

    Raises
    ------
    UsageError
        The name of `out` says no format.
    CohortError
        The table cannot be used or divided so.
    StoreError
        The table cannot be written.
    """
    suffix = table_suffix(out)
    rows = read_cohort(table, several_slides=True)
    divided = split_patients(rows, settings)
    folds = range(1, len(divided) + 1)
    several = settings.method == "kfold"
    tables = tuple(out.with_name(f"{out.stem}-fold{n}{out.suffix}") if several else out for n in folds)
    counts: list[Counter[tuple[str, str]]] = []
    for place, splits in zip(tables, divided, strict=True):
        placed = [
            row.model_copy(update={"split": splits.get(row.patient_id)}) for row in placed_beside(rows, place)
        ]
        with atomic_file(place) as temporary:
            write_cohort(temporary, placed, suffix)
        classes = {row.patient_id: getattr(row, settings.stratify_by) for row in rows}
        counts.append(Counter((split, str(classes[patient_id])) for patient_id, split in splits.items()))
    without = dict.fromkeys(row.patient_id for row in rows if row.patient_id not in divided[0])
    return Divided(tables, tuple(counts), tuple(without))
