"""What a training leaves beside its bundle, read while it goes on: curves, and whether it can go on.

Loads neither torch nor a table library: windows watch trainings, their own and those of a terminal.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_aln.errors import StoreError
from napari_aln.mil.bundle_names import BUNDLE_SUFFIX

if TYPE_CHECKING:
    from pathlib import Path

FOLDER_SUFFIX = ".training"
SCORES_NAME = "scores.csv"  # in that folder: a line a patient, for `evaluate`
METRICS_NAME = "metrics.csv"
CHECKPOINT_NAME = "checkpoint.pt"
_DRAWN = ("loss", "validation_loss", "validation_auc", "training_auc")
_NEEDED = ("epoch", "loss", "validation_auc", "validation_loss")


@dataclass(frozen=True)
class Curves:
    """Figures of each epoch so far; NaN where one is not defined.

    Attributes
    ----------
    epochs
        Counted from 1.
    loss, validation_loss
        Mean cross-entropy of the epoch's bags, and of the validation patients.
    validation_auc, training_auc
        Areas under the ROC curve; the training's is empty where the table has no such column.
    """

    epochs: tuple[int, ...] = ()
    loss: tuple[float, ...] = ()
    validation_loss: tuple[float, ...] = ()
    validation_auc: tuple[float, ...] = ()
    training_auc: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def best(self) -> int | None:
        """Index of the epoch that is kept: the best validation AUC, of equals the lowest validation loss."""
        known = [i for i, auc in enumerate(self.validation_auc) if not math.isnan(auc)]
        if not known:
            return None
        return max(known, key=lambda i: (self.validation_auc[i], -self.validation_loss[i]))


def training_folder(out_bundle: Path) -> Path:
    """Return the folder beside a bundle that keeps what its training came to."""
    return out_bundle.with_name(out_bundle.name.removesuffix(BUNDLE_SUFFIX) + FOLDER_SUFFIX)


def can_go_on(out_bundle: Path) -> bool:
    """Whether a training of this bundle was cut off and would be gone on with."""
    return (training_folder(out_bundle) / CHECKPOINT_NAME).is_file()


def read_curves(path: Path) -> Curves:
    """Read the curves of a training.

    Parameters
    ----------
    path
        ``metrics.csv`` of a training's folder; one that is not there yet has no epochs.

    Raises
    ------
    StoreError
        The file cannot be read, or is no table of a training.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            lines = list(table)
            names = table.fieldnames or []
    except FileNotFoundError:
        return Curves()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(
            f"{path} cannot be read: {error}.", "Choose the metrics.csv of a training."
        ) from error
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise StoreError(
            f"{path} has no column {missing[0]}, so it is no table of a training.",
            "Choose the metrics.csv in the .training folder beside the bundle.",
        )
    try:
        columns = {name: tuple(_number(line[name]) for line in lines) for name in _DRAWN if name in names}
        return Curves(tuple(int(line["epoch"]) for line in lines), **columns)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"A line of {path} is no epoch of a training: {error}.", "Choose another metrics.csv."
        ) from error


def _number(cell: str | None) -> float:
    return float(cell) if cell not in (None, "") else math.nan
