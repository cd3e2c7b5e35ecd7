"""The folds of a cross-validation: each patient judged by the one model that never saw them."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.errors import CohortError
from napari_aln.evaluation.auc import roc_auc
from napari_aln.evaluation.cases import WHOLE, Scored
from napari_aln.evaluation.multiclass import macro_auc
from napari_aln.evaluation.tables import NOT_DEFINED, PaperTable, finite

if TYPE_CHECKING:
    from collections.abc import Sequence


def joined_folds(folds: Sequence[Scored], model: str | None = None) -> Scored:
    """Return the test patients of all folds as one cohort, scored each by their own fold's model.

    Parameters
    ----------
    folds
        Scores of one recipe, trained once a fold. A table without splits holds test patients alone.
    model
        The name of them together; left out: what their names begin with alike.

    Raises
    ------
    CohortError
        A fold has no test patients or other classes, or two folds tested the same patient.
    """
    classes, columns = folds[0].classes, set(folds[0].columns)
    seen: dict[str, str] = {}
    tested = []
    for fold in folds:
        here = fold if fold.cohorts == (WHOLE,) else fold.of("test")
        if not len(here):
            raise CohortError(f"{fold.model} has no test patients.", "Give the scores of a fold that has.")
        if fold.classes != classes:
            raise CohortError(
                f"{fold.model} has the classes {', '.join(fold.classes)}, {folds[0].model} "
                f"{', '.join(classes)}.",
                "Give the folds of one cross-validation.",
            )
        again = next((patient for patient in here.patients if patient in seen), None)
        if again is not None:
            raise CohortError(
                f"{seen[again]} and {fold.model} both tested patient {again}.",
                "Give each fold of one cross-validation once; another model goes to --compare.",
            )
        seen |= dict.fromkeys(here.patients, fold.model)
        columns &= set(here.columns)
        tested.append(here)
    same = takewhile(
        lambda letters: len(set(letters)) == 1, zip(*(fold.model for fold in folds), strict=False)
    )
    alike = "".join(letters[0] for letters in same).rstrip("-_. ")
    return Scored(
        model=model or alike or "folds",
        classes=classes,
        patients=tuple(seen),
        labels=np.concatenate([here.labels for here in tested]),
        scores=np.concatenate([here.scores for here in tested]),
        cohort=np.full(len(seen), "test"),
        columns={name: sum((tuple(h.columns[name]) for h in tested), ()) for name in sorted(columns)},
    )


def folds_table(folds: Sequence[Scored]) -> PaperTable:
    """Return the AUC of each fold on its own test patients, their mean and their standard deviation."""
    rows: list[tuple[str, str, str]] = []
    numbers: list[dict[str, float | str | None]] = []
    areas: list[float] = []
    for number, fold in enumerate(folds, start=1):
        here = fold if fold.cohorts == (WHOLE,) else fold.of("test")
        defined = len(np.unique(here.labels)) == len(here.classes)
        area = _area(here) if defined else float("nan")
        areas += [area] if defined else []
        rows.append((str(number), str(len(here)), f"{area:.3f}" if defined else NOT_DEFINED))
        numbers.append({"fold": number, "n": len(here), "auc": finite(area)})
    if len(areas) > 1:
        mean, sd = float(np.mean(areas)), float(np.std(areas, ddof=1))
        rows.append(("mean ± sd", str(sum(int(n) for _, n, _ in rows)), f"{mean:.3f} ± {sd:.3f}"))
        numbers.append({"fold": "mean", "n_folds": len(areas), "auc": mean, "auc_sd": sd})
    notes = (
        "Each fold's own model on the patients it never saw; the other tables judge all of them together. "
        "Scores of different models are put into one order there: where the folds' calibration differs, that "
        "AUC lies below the mean of the folds.",
        "The standard deviation between folds is no confidence interval: their training patients overlap.",
    )
    head = ("Fold", "n", "AUC" if folds[0].is_binary else "Macro AUC")
    return PaperTable("folds", "Cross-validation, fold by fold", head, tuple(rows), notes, tuple(numbers))


def _area(scored: Scored) -> float:
    if scored.is_binary:
        return float(roc_auc(scored.positive, scored.positive_scores))
    return macro_auc(scored.labels, scored.scores)
