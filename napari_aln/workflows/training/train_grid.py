"""Train a grid: encoders x augmentations x modes, as in Shkembi et al., Tables 1-4.

Each training leaves its bundle and, beside it, its outcome; what has ended is kept, what was cut off goes on
from its checkpoint. On several GPUs each training has a process and a GPU of its own; else one follows the
other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_aln.errors import AlnError
from napari_aln.evaluation.grid_tables import GridRow, grid_table, seeds_table
from napari_aln.evaluation.metrics import Estimate
from napari_aln.records import BINARY, RESEARCH_NOTICE, THREE_CLASSES, Progress
from napari_aln.settings.training import WEIGHT_FILES
from napari_aln.store.atomic import check_writable
from napari_aln.store.machine import machine_facts
from napari_aln.store.result import made_of_table, write_made_by
from napari_aln.workflows.paper_tables import write_paper_table
from napari_aln.workflows.training.grid_outcome import Job, Outcome, read_outcome, train_one
from napari_aln.workflows.training.grid_processes import on_gpus
from napari_aln.workflows.training.patients import labelled_rows

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from napari_aln.evaluation.tables import PaperTable
    from napari_aln.workflows.training.grid_plan import Combination


_NOT_WRITTEN = "why was said as it was trained; names are hidden here"


@dataclass(frozen=True)
class GridResult:
    """What a grid came to.

    Attributes
    ----------
    tables
        A row a training; with several seeds also their means.
    n_kept
        How many had ended before.
    failed
        Name of a training -> why it did not end.
    """

    tables: tuple[PaperTable, ...]
    n_kept: int
    failed: dict[str, str]


def train_grid(
    cohort_csv: Path,
    combinations: Sequence[Combination],
    out: Path,
    gpus: Sequence[str] = (),
    *,
    private: bool = False,
) -> Generator[Progress, None, GridResult]:
    """Train what has not ended yet; yield progress, return the tables.

    Closing the generator cancels; the same call goes on. A training that fails is named, stops no other, and
    is tried again by the next call.

    Parameters
    ----------
    cohort_csv
        See `cohort.table`.
    combinations
        The trainings, see `grid_plan.combinations`.
    out
        Folder for the bundles, their outcomes, ``grid.csv`` and ``grid.md``, rewritten as trainings end, and
        ``grid.csv.json``, which says what made them.
    gpus
        As CUDA_VISIBLE_DEVICES names them. With two or more, each has one training at a time in a process of
        its own; else trainings run in this one, one after the other.
    private
        See `bundle.Order`. Why a training failed is then returned, but not written.

    Raises
    ------
    CohortError
        The table does not do for one of the modes.
    UsageError
        The folder holds a training of the same name with other settings.
    StoreError
        The folder cannot be written.
    """
    check_writable(out)
    for mode, n_classes in dict.fromkeys((one.mode, one.recipe.n_classes) for one in combinations):
        labelled_rows(cohort_csv, mode, BINARY if n_classes == 2 else THREE_CLASSES)
    job = Job(cohort_csv, out, hashlib.sha256(cohort_csv.read_bytes()).hexdigest()[:16], private)
    stand: dict[Combination, Outcome | str] = {}
    for one in combinations:
        outcome = None if one.recipe.restart else read_outcome(job, one)
        if outcome is not None:
            stand[one] = outcome
    n_kept = len(stand)
    todo = [one for one in combinations if one not in stand]
    write_made_by(out / "grid.csv", _made_by(job, combinations))
    tables = _written(job, combinations, stand)
    work = on_gpus(job, todo, gpus) if len(gpus) > 1 else _one_by_one(job, todo)
    try:
        for step in work:
            if isinstance(step, Progress):
                yield step
            else:
                stand[step[0]] = step[1]
                tables = _written(job, combinations, stand)
    finally:
        work.close()
    failed = {one.name: found for one, found in stand.items() if isinstance(found, str)}
    return GridResult(tables, n_kept, failed)


def _made_by(job: Job, combinations: Sequence[Combination]) -> dict[str, Any]:
    """Return what made the tables; beside each bundle stands what made that."""
    settings = {
        one.name: one.recipe.model_dump(mode="json", exclude=set(WEIGHT_FILES)) for one in combinations
    }
    each = "the full record of a training is training.json in the folder beside its bundle"
    facts = {"notice": RESEARCH_NOTICE, "machine": machine_facts(), "each_training": each}
    return made_of_table(job.cohort_csv, settings, private=job.private) | facts


def _one_by_one(
    job: Job, combinations: Sequence[Combination]
) -> Generator[Progress | tuple[Combination, Outcome | str], None, None]:
    """Train in this process; yield progress, and each training as it ends with its outcome or what failed."""
    for place, one in enumerate(combinations, start=1):
        work = train_one(job, one)
        try:
            while True:
                step = next(work)
                text = f"{place} of {len(combinations)}, {one.name}: {step.step}"
                yield Progress(text, step.done, step.total, step.per_second)
        except StopIteration as end:
            yield one, end.value
        except AlnError as error:
            yield one, str(error)
        finally:
            work.close()


def _written(
    job: Job, combinations: Sequence[Combination], stand: Mapping[Combination, Outcome | str]
) -> tuple[PaperTable, ...]:
    """Write the tables as far as trainings have ended, and return them."""
    rows = [_row(one, stand[one], job.private) for one in combinations if one in stand]
    tables = [grid_table(rows)]
    if len({one.recipe.seed for one in combinations}) > 1:
        tables.append(seeds_table(rows))
    for table in tables:
        write_paper_table(table, job.out)
    return tuple(tables)


def _row(one: Combination, found: Outcome | str, private: bool) -> GridRow:
    row = GridRow(one.recipe.encoder, one.augmentation, one.mode, one.recipe.seed)
    if isinstance(found, str):
        return row._replace(failed=_NOT_WRITTEN if private else found)  # an error may name a slide
    nan = float("nan")
    return row._replace(
        n_test=max((m.n for m in found.metrics if m.cohort == "test"), default=0),
        figures={
            (m.name, m.cohort): Estimate(
                m.value, nan if m.low is None else m.low, nan if m.high is None else m.high
            )
            for m in found.metrics
        },
        best_epoch=found.best_epoch,
        seconds=found.seconds,
        went_on=found.went_on,
    )
