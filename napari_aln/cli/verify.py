"""``napari-aln verify``: run a result again and say what agrees."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_aln.cli import output, progress
from napari_aln.cli.exit_codes import SOME_FAILED
from napari_aln.cli.output import AsJson

if TYPE_CHECKING:
    from napari_aln.workflows.results.agreement import Check
    from napari_aln.workflows.verify import Verification


def verify(
    result: Annotated[
        Path, typer.Argument(help="A result folder, or a packed result (.alnresult).", readable=False)
    ],
    slide: Annotated[
        Path | None,
        typer.Option(
            help="The slide, or a folder to look for it in by its hash. Default: by its name beside the "
            "result and here, then lately opened slides.",
            readable=False,
        ),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="A model bundle, or a folder to look in by hash; give it once for each. Default: beside "
            "the result, here, the demo models and those the window has loaded.",
            readable=False,
        ),
    ] = None,
    *,
    full_hash: Annotated[
        bool, typer.Option("--full-hash", help="Also take the SHA-256 of every byte of the slide.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a result again from its slide, models and settings, and compare every number.

    Exactly equal where versions, processor, runtime and precision are the same; within 0.0001 of a
    probability and 0.1 % of a map where another processor, version or runtime rounds otherwise; within 0.01
    and 10 % where bf16 was used. Exit code 0: equal, 1: something differs, 2: it could not be run again.
    """
    from napari_aln.workflows.verify import verify as verify_result

    work = verify_result(result, slide=slide, models=model or (), full_hash=full_hash)
    found = progress.run(work, "verify")
    if as_json:
        output.print_json(_document(found))
    else:
        _show(found)
    if not found.equal:
        raise typer.Exit(SOME_FAILED)


def _document(found: Verification) -> dict[str, object]:
    content = asdict(found) | {"equal": found.equal}
    if found.full_hash:
        content["full_hash"] = {"sha256": found.full_hash[0], "files": found.full_hash[1]}
    return content


def _show(found: Verification) -> None:
    table = Table(title=escape(found.alias), title_justify="left", box=box.SIMPLE)
    for column in ("", "run", "compared", "result", "apart by", "allowed"):
        table.add_column(column, overflow="fold")
    for check in found.checks:
        table.add_row(*_cells(check))
    console = Console()
    console.print(table)
    for check in found.checks:
        if not check.agrees:
            what = f"{check.run} {check.what}".strip()
            console.print(f"[red]Differs:[/] {escape(f'{what}: {check.reason}')}", soft_wrap=True)
    for run, tolerance in found.tolerances.items():
        console.print(f"Tolerance of {escape(run)}: {escape(tolerance.why)}", soft_wrap=True)
    for note in found.notes:
        console.print(f"[yellow]Note:[/] {escape(note)}", soft_wrap=True)
    if found.full_hash:
        sha256, n_files = found.full_hash
        of = "the slide's file" if n_files == 1 else f"the slide's {n_files} files"
        console.print(f"SHA-256 of {of}: {sha256}", soft_wrap=True, markup=False)
    wrong = sum(not check.agrees for check in found.checks)
    said = f"{wrong} of {len(found.checks)} differ." if wrong else f"All {len(found.checks)} agree."
    console.print(said, markup=False)


def _cells(check: Check) -> tuple[str, ...]:
    mark = "[green]agrees[/]" if check.agrees else "[red]differs[/]"
    said = check.stored if check.stored == check.now else f"{check.stored}, now {check.now}"
    numbers = ("" if n is None else f"{n:.2g}" for n in (check.difference, check.tolerance))
    return (mark, *map(escape, (check.run, check.what, said)), *numbers)
