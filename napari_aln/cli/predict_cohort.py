"""``napari-aln predict`` of cohorts: many slides, several processes or a cluster, one summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from napari_aln.cli import output, progress
from napari_aln.cli.exit_codes import SOME_FAILED
from napari_aln.cohort.wording import counted
from napari_aln.records import RESEARCH_NOTICE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_aln.settings.prediction import CohortRunSettings
    from napari_aln.workflows.cohorts.slide_tasks import Asked
    from napari_aln.workflows.cohorts.summary import SlideLine
    from napari_aln.workflows.cohorts.tasks import Listed


def predict_cohort(
    listed: Sequence[Listed], asked: Asked, settings: CohortRunSettings, *, as_json: bool = False
) -> None:
    """Predict a cohort, say what failed and where the summary lies."""
    from napari_aln.workflows.cohorts.predict_cohort import predict_cohort as workflow
    from napari_aln.workflows.cohorts.summary import CSV_NAME, HTML_NAME

    found = progress.run(workflow(listed, asked, settings), "cohort", resumable=True)
    for path, why in found.failed:
        output.warn(f"{path}: {why}", "")
    kept = f", {found.n_kept} of them kept from before" if found.n_kept else ""
    n_done = found.n_slides - len(found.failed)
    slides = counted(found.n_slides, "slide")
    if as_json:
        output.print_json(
            {
                "notice": RESEARCH_NOTICE,
                "folder": asked.out,
                "n_slides": found.n_slides,
                "n_failed": len(found.failed),
                "n_kept": found.n_kept,
                "summary": asked.out / CSV_NAME,
                "results": [_entry(line, asked.out) for line in found.lines],
            }
        )
    else:
        output.wrote(
            asked.out,
            f"Wrote {asked.out}: {n_done} of {slides}{kept}; {CSV_NAME}, {HTML_NAME}. {RESEARCH_NOTICE}",
        )
    if found.failed:
        output.warn(f"{len(found.failed)} of {slides} failed.", "")
        raise typer.Exit(SOME_FAILED)


def _entry(line: SlideLine, out: Path) -> dict[str, object]:
    """Return what the one document says of a slide, by the names that ``result.json`` has for it."""
    return {
        "number": line.number,
        "name": line.name,
        "patient_id": line.patient_id,
        "state": line.state,
        "cause": line.cause,
        "next_step": line.next_step,
        "earlier_causes": line.earlier,
        "attempts": line.attempts,
        "folder": out / line.folder if line.folder else None,
        "slide": {"quick_hash": line.quick_hash, "mpp": line.mpp, "mpp_origin": line.mpp_origin}
        if line.folder
        else None,
        "runs": [run._asdict() for run in line.runs],
        "n_warnings": line.n_warnings,
    }
