"""A cohort table divided into train, val and test, by patient."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_aln.cohort.bags import read_bags
from napari_aln.cohort.splits import split_patients
from napari_aln.cohort.table import placed_beside, read_cohort, unused_columns, write_cohort
from napari_aln.cohort.writing import table_suffix
from napari_aln.errors import CohortError, UsageError
from napari_aln.store.atomic import atomic_file
from napari_aln.store.result import made_of_table, write_made_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_aln.cohort.table import CohortRow, Split
    from napari_aln.settings.cohorts import SplitSettings


@dataclass(frozen=True)
class Divided:
    """The tables that were written."""

    tables: tuple[Path, ...]  # one, or one a fold
    counts: tuple[Counter[tuple[str, str]], ...]  # of each table: patients by split and class
    without_class: tuple[str, ...]  # patients that belong to no split
    left_out: tuple[str, ...]  # columns that only the table which was read has


def split_cohort(
    table: Path, out: Path, settings: SplitSettings, aliases: Mapping[str, str] | None = None
) -> Divided:
    """Write a cohort table with splits, and beside it, as ``<its name>.json``, what it was made by.

    Parameters
    ----------
    table
        CSV, XLSX or Parquet; a patient may have several lines.
    out
        The table to write; kfold writes ``<stem>-fold1`` and so on instead. Its paths are relative to its own
        folder.
    settings
        See `SplitSettings`.
    aliases
        Private: what each patient is called instead, see `patient_aliases`. Neither the table that was read
        nor slides, outlines and sites are named: what is written is to be passed on, not to be trained on.

    Raises
    ------
    UsageError
        The name of `out` says no format; the table would be replaced by one that lacks its further columns
        or says nothing of who its patients are; or a task is given with another method than official.
    CohortError
        The table cannot be used or divided so.
    StoreError
        The table cannot be written.
    """
    suffix = table_suffix(out)
    rows = read_cohort(table, several_slides=True)
    if settings.task is None:
        divided = split_patients(rows, settings)
    elif settings.method == "official":
        divided = [_of_task(table, settings.task, {row.patient_id for row in rows})]
    else:
        raise UsageError(
            f"--task names a split of the data set, and {settings.method} draws one.",
            "Add --method official.",
        )
    folds = range(1, len(divided) + 1)
    several = settings.method == "kfold"
    tables = tuple(out.with_name(f"{out.stem}-fold{n}{out.suffix}") if several else out for n in folds)
    left_out = unused_columns(table)
    lost = "its patients' ids, slides, outlines and sites" if aliases is not None else ""
    if left_out and not lost:
        lost = f"columns that are not the program's own: {', '.join(left_out)}"
    if lost and table.resolve() in [place.resolve() for place in tables]:
        raise UsageError(f"{table} would lose {lost}.", "Name another table to write.")
    made_by = made_of_table(table, settings.model_dump(mode="json"), private=aliases is not None)
    counts: list[Counter[tuple[str, str]]] = []
    for place, splits in zip(tables, divided, strict=True):
        placed = [
            row.model_copy(update={"split": splits.get(row.patient_id)}) for row in placed_beside(rows, place)
        ]
        if aliases is not None:
            placed = _unnamed(placed, aliases)
        with atomic_file(place) as temporary:
            write_cohort(temporary, placed, suffix)
        write_made_by(place, made_by)
        classes = {row.patient_id: getattr(row, settings.stratify_by) for row in rows}
        counts.append(Counter((split, classes[patient_id] or "") for patient_id, split in splits.items()))
    without = dict.fromkeys(row.patient_id for row in rows if row.patient_id not in divided[0])
    return Divided(tables, tuple(counts), tuple(without), left_out)


def _unnamed(rows: Sequence[CohortRow], aliases: Mapping[str, str]) -> list[CohortRow]:
    """Return one row a patient, which says nothing of who it is."""
    nothing = {"case_id": None, "slide": None, "roi": None, "mpp": None, "site": None}
    of = {row.patient_id: row.model_copy(update=nothing) for row in rows}
    return [row.model_copy(update={"patient_id": aliases[patient_id]}) for patient_id, row in of.items()]


def _of_task(table: Path, task: str, patient_ids: set[str]) -> dict[str, Split]:
    """Return the split of a task's bag lists, for patients of the table; others have none."""
    splits: dict[str, Split] = {}
    for bag in read_bags(table, task):
        if splits.setdefault(bag.patient_id, bag.split) != bag.split:
            raise CohortError(
                f"The bag lists of {task} name patient {bag.patient_id} in {splits[bag.patient_id]} and "
                f"{bag.split}: what was trained on would be tested on.",
                "Fetch the bag lists again, then import anew.",
            )
    return {patient_id: split for patient_id, split in splits.items() if patient_id in patient_ids}
