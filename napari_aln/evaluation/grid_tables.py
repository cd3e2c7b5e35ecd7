"""Many trainings in one table, as Shkembi et al. print theirs (Tables 1, 2 and 4)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_aln.evaluation.metrics import UNDEFINED
from napari_aln.evaluation.tables import NOT_DEFINED, PaperTable, fraction, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_aln.evaluation.metrics import Estimate

_TEST, _VALIDATION = "test", "validation"
_COLUMNS = {
    "AUC V": ("AUC", _VALIDATION),
    "AUC I-T": ("AUC", _TEST),
    "ACC": ("ACC", _TEST),
    "SENS": ("SENS", _TEST),
    "SPEC": ("SPEC", _TEST),
    "PPV": ("PPV", _TEST),
    "NPV": ("NPV", _TEST),
    "F1": ("F1", _TEST),
}
_WHO = ("Encoder", "Augmentation", "Mode")
_NOTES = (
    "V validation, I-T independent test cohort; all but AUC V are of the test patients. Two classes are told "
    "apart at Youden's point, chosen on validation; three by the most probable one.",
    "The epoch was chosen by the validation AUC, which is therefore too good. Choosing a row by its test "
    "figures spoils them: choose by AUC V.",
)
_INTERVALS = "Brackets: 95 % interval: AUC, ACC, SENS, SPEC exact, PPV, NPV logit (Mercaldo), F1 bootstrap."


class GridRow(NamedTuple):
    """One training.

    Attributes
    ----------
    encoder, augmentation, mode, seed
        Which.
    n_test
        Test patients.
    figures
        (name on the card, cohort) -> value with interval; empty where it did not end.
    best_epoch, seconds
        The epoch that was kept, and what it took; None where it did not end.
    went_on
        Whether it went on from an earlier end, whose seconds are not known.
    failed
        Why it did not end, or nothing.
    """

    encoder: str
    augmentation: str
    mode: str
    seed: int
    n_test: int = 0
    figures: Mapping[tuple[str, str], Estimate] = {}
    best_epoch: int | None = None
    seconds: float | None = None
    went_on: bool = False
    failed: str = ""


def grid_table(rows: Sequence[GridRow]) -> PaperTable:
    """Return a row for each training, in the order given."""
    cells, numbers = [], []
    for row in rows:
        found = {title: row.figures.get(key, UNDEFINED) for title, key in _COLUMNS.items()}
        cells.append(
            (
                row.encoder,
                row.augmentation,
                row.mode,
                str(row.seed),
                str(row.n_test) if row.figures else NOT_DEFINED,
                *(fraction(estimate) for estimate in found.values()),
                NOT_DEFINED if row.best_epoch is None else str(row.best_epoch),
                _seconds(row),
            )
        )
        numbers.append(_numbers(row))
    failed = [
        f"Failed: {row.mode}, {row.encoder}, {row.augmentation}, seed {row.seed}: {row.failed}"
        for row in rows
        if row.failed
    ]
    head = (*_WHO, "Seed", "n", *_COLUMNS, "Best epoch", "Seconds")
    notes = (*_NOTES, _INTERVALS, *failed)
    return PaperTable("grid", "Trainings", head, tuple(cells), notes, tuple(numbers))


def seeds_table(rows: Sequence[GridRow]) -> PaperTable:
    """Return a row for each encoder, augmentation and mode: mean and standard deviation over its seeds."""
    groups: dict[tuple[str, str, str], list[GridRow]] = {}
    for row in rows:
        groups.setdefault((row.encoder, row.augmentation, row.mode), []).append(row)
    cells = []
    for who, own in groups.items():
        ended = [row for row in own if row.figures]
        values = [[row.figures.get(key, UNDEFINED).value for row in ended] for key in _COLUMNS.values()]
        cells.append((*who, f"{len(ended)} of {len(own)}", *map(_mean_and_sd, values)))
    head = (*_WHO, "Seeds", *_COLUMNS)
    notes = (*_NOTES, "Mean ± standard deviation over the seeds, on the same patients.")
    return PaperTable("grid-seeds", "Trainings over seeds", head, tuple(cells), notes)


def _mean_and_sd(values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return NOT_DEFINED
    spread = f" ± {np.std(known, ddof=1):.3f}" if len(known) > 1 else ""
    return f"{np.mean(known):.3f}{spread}"


def _seconds(row: GridRow) -> str:
    if row.seconds is None:
        return NOT_DEFINED
    return f"{'> ' if row.went_on else ''}{row.seconds:.0f}"


def _numbers(row: GridRow) -> dict[str, Any]:
    figures = {f"{name} {cohort}": plain(own) for (name, cohort), own in row.figures.items()}
    return row._asdict() | {"figures": figures}
