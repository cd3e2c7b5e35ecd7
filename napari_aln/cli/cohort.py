"""``napari-aln cohort``: tables of patients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from napari_aln.cli import progress
from napari_aln.cli.flags import takes
from napari_aln.settings import SynthesizeSettings

app = typer.Typer(help="Cohort tables.", no_args_is_help=True)


@app.callback()
def _cohort() -> None:
    """Keep ``synthesize`` a subcommand while it is the only one."""


@app.command()
@takes(settings=SynthesizeSettings)
def synthesize(
    folder: Annotated[
        Path, typer.Argument(help="Where slides, truth and cohort.csv go: a new or empty folder.")
    ],
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same cohort.")] = 0,
    *,
    settings: SynthesizeSettings,
) -> None:
    """Draw H&E-like biopsy slides of patients who never were, with the truth of every nucleus."""
    from napari_aln.cohort.synthesize import synthesize as draw

    table = progress.run(draw(folder, patients, seed, settings), "synthesize")
    Console(soft_wrap=True).print(f"Wrote {table}: {patients} synthetic patients.", markup=False)
