"""``napari-aln predict`` of cohorts: many slides, several processes or a cluster, one summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from napari_aln.cli import SOME_FAILED, output, progress
from napari_aln.records import RESEARCH_NOTICE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.settings import CohortRunSettings
    from napari_aln.workflows.cohort_tasks import Listed
    from napari_aln.workflows.slide_tasks import Asked


def predict_cohort(
    listed: Sequence[Listed], asked: Asked, settings: CohortRunSettings, *, as_json: bool = False
) -> None:
    """Predict a cohort, say what failed and where the summary lies."""
    from napari_aln.workflows.cohort_summary import CSV_NAME, HTML_NAME
    from napari_aln.workflows.predict_cohort import predict_cohort as workflow

    found = progress.run(workflow(listed, asked, settings), "cohort", resumable=True)
    for path, why in found.failed:
        output.warn(f"{path}: {why}", "")
    kept = f", {found.n_kept} of them kept from before" if found.n_kept else ""
    n_done = found.n_slides - len(found.failed)
    if as_json:
        output.print_json(
            {
                "notice": RESEARCH_NOTICE,
                "folder": asked.out,
                "n_slides": found.n_slides,
                "n_failed": len(found.failed),
                "n_kept": found.n_kept,
                "summary": asked.out / CSV_NAME,
            }
        )
    else:
        output.wrote(
            asked.out,
            f"Wrote {asked.out}: {n_done} of {found.n_slides} slides{kept}; {CSV_NAME}, {HTML_NAME}. "
            f"{RESEARCH_NOTICE}",
        )
    if found.failed:
        output.warn(f"{len(found.failed)} of {found.n_slides} slides failed.", "")
        raise typer.Exit(SOME_FAILED)
