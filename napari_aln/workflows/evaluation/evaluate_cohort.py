"""Evaluate on another cohort: what `predict` left of it and a table with labels in, the same tables out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_aln.evaluation import performance
from napari_aln.store.result import HIDDEN
from napari_aln.workflows.evaluation.cohort_scores import score_cohort
from napari_aln.workflows.evaluation.evaluate import judge, write
from napari_aln.workflows.evaluation.same_patients import same_patients

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from napari_aln.records import Progress
    from napari_aln.settings.evaluation import EvaluateSettings
    from napari_aln.workflows.evaluation.folder import Evaluation


def evaluate_on_cohort(
    folders: Sequence[Path],
    cohort_csv: Path,
    out: Path,
    settings: EvaluateSettings,
    bundles: Sequence[Path] = (),
    *,
    private: bool = False,
) -> Generator[Progress, None, Evaluation]:
    """Judge results of `predict` by the labels of their table and write the result folder; yield progress.

    Operating points are those of the models' own cards: none is chosen on these patients.

    Parameters
    ----------
    folders, cohort_csv, bundles
        See `score_cohort`.
    out, settings
        As `evaluate` has them.
    private
        Name no file and nobody in what is written: models go by their number.

    Raises
    ------
    CohortError, StoreError, BundleError
        As `score_cohort`; or the folder cannot be written.
    UsageError
        A class has no patient, so that its AUC is not defined; or as `score_cohort`.
    """
    own = yield from score_cohort(folders, cohort_csv, bundles, private=private)
    models, found = same_patients(own.models), own.found
    for scored in models:
        performance.refuse_one_class(scored)
    if private:
        found.inputs = [one | {"name": HIDDEN} for one in found.inputs]
    points = {
        scored.model: performance.operating_points(
            scored, None, settings.sensitivity, settings.threshold, own.points[scored.model]
        )
        for scored in models
        if scored.is_binary
    }
    yield from judge(models, points, settings, found, 0)
    yield from write(models, found, out, settings)
    return found
