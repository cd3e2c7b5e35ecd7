"""``napari-aln interpret``: a cohort in; which nucleus features tell N0 from N(+) out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_aln.cli import output, progress
from napari_aln.cli.evaluate import say_what_was_found
from napari_aln.cli.exit_codes import SOME_FAILED
from napari_aln.cli.flags import takes
from napari_aln.cli.output import AsJson
from napari_aln.cohort.wording import counted
from napari_aln.settings.interpretation import InterpretSettings
from napari_aln.settings.nuclei import NucleiSettings

NOT_ON_TERMINAL = ("mean ± SD", "Xu et al. 2021", "P(N(+) > N0)")
"""Ends of the columns that have no room there; files have them all."""


@takes(settings=InterpretSettings, nuclei_settings=NucleiSettings)
def interpret(
    cohort: Annotated[
        Path,
        typer.Argument(
            help="Cohort table with labels, splits and slides; with outlines (roi), inside them.",
            readable=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The folder to write; nuclei measured before are taken from there.")
    ],
    nuclei: Annotated[
        Path | None,
        typer.Option(
            help="Folder with tables of nuclei (`nuclei measure`): their slides are not measured again.",
            readable=False,
        ),
    ] = None,
    private: Annotated[
        bool,
        typer.Option("--private", help="Name cohort table and patients nowhere in what is written."),
    ] = False,
    *,
    settings: InterpretSettings,
    nuclei_settings: NucleiSettings,
    as_json: AsJson = False,
) -> None:
    """Compare nucleus features of N0 and N(+), and weigh them by DL-CNB's attention (Xu et al., Figure 3)."""
    from napari_aln.workflows.interpretation.interpret import REPORT_NAME
    from napari_aln.workflows.interpretation.interpret import interpret as interpret_workflow

    work = interpret_workflow(cohort, out, settings, nuclei_settings, given=nuclei, private=private)
    found = progress.run(work, "interpret", resumable=True)
    for line in found.left_out:
        output.warn(str(line), "")
    for table in () if as_json else found.tables:
        output.remark_table(table, NOT_ON_TERMINAL)
    say_what_was_found(found, out / REPORT_NAME, as_json=as_json, n_left_out=len(found.left_out))
    if found.left_out:
        output.warn(f"Left out: {counted(len(found.left_out), 'slide')}.", "")
        raise typer.Exit(SOME_FAILED)
