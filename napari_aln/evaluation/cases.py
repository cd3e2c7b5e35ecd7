"""Patients with labels and the scores a model gave them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

COHORTS = {"train": "T", "val": "V", "test": "I-T"}
"""Splits and how the papers name them."""
WHOLE = "all"
"""The cohort of a table without splits."""


@dataclass(frozen=True)
class Scored:
    """Patients as one model scored them, one row each.

    Attributes
    ----------
    model
        The model's name in tables and figures.
    classes
        Class names, N0 first; with two, scores are of the second.
    patients
        (n,) ids.
    labels
        (n,) indices into `classes`.
    scores
        (n, classes), in 0..1.
    cohort
        (n,) ``train``, ``val``, ``test`` or ``all``.
    columns
        Further column -> (n,) cells as text, empty where unknown: clinical values by the names of the cohort
        table, others by their own.
    """

    model: str
    classes: tuple[str, ...]
    patients: tuple[str, ...]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    cohort: NDArray[np.str_]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def is_binary(self) -> bool:
        """Whether there are two classes."""
        return len(self.classes) == 2

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Return (n,): whether the label is the second of two classes."""
        found: NDArray[np.bool_] = self.labels == 1
        return found

    @property
    def positive_scores(self) -> NDArray[np.float64]:
        """Return (n,): the score of the second of two classes."""
        return self.scores[:, 1]

    @property
    def cohorts(self) -> tuple[str, ...]:
        """Return the cohorts that have patients, in the papers' order."""
        return tuple(name for name in (*COHORTS, WHOLE) if (self.cohort == name).any())

    @property
    def judged(self) -> str:
        """Return the cohort a model is judged by: the test where there is one."""
        present = self.cohorts
        return next(name for name in ("test", WHOLE, "val", "train") if name in present)

    def take(self, where: NDArray[np.bool_] | NDArray[np.int64]) -> Scored:
        """Return the patients at a boolean or index array, in that order."""
        index = np.arange(len(self))[where]
        return replace(
            self,
            patients=tuple(self.patients[i] for i in index),
            labels=self.labels[index],
            scores=self.scores[index],
            cohort=self.cohort[index],
            columns={name: tuple(cells[i] for i in index) for name, cells in self.columns.items()},
        )

    def of(self, cohort: str) -> Scored:
        """Return the patients of one cohort."""
        return self.take(self.cohort == cohort)


def file_stem(model: str) -> str:
    """Return a model's name as part of a file name."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in model)[:60]
