"""``napari-aln predict`` of cohorts: many slides, several processes or a cluster, one summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console

from napari_aln.cli import SOME_FAILED, progress
from napari_aln.records import RESEARCH_NOTICE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.settings import CohortRunSettings
    from napari_aln.workflows.cohort_tasks import Listed
    from napari_aln.workflows.slide_tasks import Asked


def predict_cohort(listed: Sequence[Listed], asked: Asked, settings: CohortRunSettings) -> None:
    """Predict a cohort, say what failed and where the summary lies."""
    from napari_aln.workflows.cohort_summary import CSV_NAME, HTML_NAME
    from napari_aln.workflows.predict_cohort import predict_cohort as workflow

    found = progress.run(workflow(listed, asked, settings), "cohort", resumable=True)
    console, errors = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    for path, why in found.failed:
        errors.print(f"{path}: {why}", markup=False, highlight=False)
    kept = f", {found.n_kept} of them kept from before" if found.n_kept else ""
    n_done = found.n_slides - len(found.failed)
    console.print(
        f"Wrote {asked.out}: {n_done} of {found.n_slides} slides{kept}; {CSV_NAME}, {HTML_NAME}. "
        f"{RESEARCH_NOTICE}",
        markup=False,
        highlight=False,
    )
    if found.failed:
        errors.print(f"{len(found.failed)} of {found.n_slides} slides failed.", highlight=False)
        raise typer.Exit(SOME_FAILED)
