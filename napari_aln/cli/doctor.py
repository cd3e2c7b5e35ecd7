"""``napari-aln doctor``: what is here of all that the program needs."""

from __future__ import annotations

import typer
from rich.markup import escape
from rich.table import Column, Table

from napari_aln.cli import output
from napari_aln.cli.exit_codes import SOME_FAILED
from napari_aln.cli.output import AsJson


def doctor(*, as_json: AsJson = False) -> None:
    """Check the installation and name each missing piece with the step that mends it."""
    from napari_aln.workflows.doctor import examine

    names = ("", "piece", "found", "next step")
    table = Table(*(Column(name, overflow="fold") for name in names))  # paths are long
    whole = True
    findings = list(examine())
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else "[red]missing[/]" if finding.required else "[yellow]note[/]"
        table.add_row(
            mark, finding.piece, escape(finding.fact), "" if finding.ok else escape(finding.next_step)
        )
        whole &= finding.ok or not finding.required
    if as_json:
        output.print_json(findings)
    else:
        output.show(table)
    if not whole:
        raise typer.Exit(SOME_FAILED)
