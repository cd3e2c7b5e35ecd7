"""``napari-aln train``: a cohort in, a bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from napari_aln.cli import progress
from napari_aln.cli.flags import takes
from napari_aln.settings import TrainSettings


@takes(settings=TrainSettings)
def train(
    cohort: Annotated[Path, typer.Argument(help="cohort.csv of a synthetic cohort.")],
    mode: Annotated[Literal["dlcnb", "dlcnbc", "dlcnbc-ws"], typer.Option(help="What to train.")],
    out: Annotated[Path, typer.Option(help="The bundle to write, for example model.alnmodel.")],
    *,
    settings: TrainSettings,
) -> None:
    """Train a demonstration model on a synthetic cohort, and measure it on the patients it never saw."""
    from napari_aln.workflows.train import train as train_workflow

    bundle = progress.run(train_workflow(cohort, mode, out, settings), "train")
    console = Console(soft_wrap=True)
    for metric in bundle.card.metrics:
        console.print(f"{metric.name} on {metric.cohort}: {metric.value:.3f} (n = {metric.n})", markup=False)
    console.print(f"Wrote {out}. {bundle.card.notice}", markup=False)
