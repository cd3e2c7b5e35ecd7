"""``napari-aln view``, and bare ``napari-aln``: the window."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_aln.cli import output
from napari_aln.cli.output import Quiet
from napari_aln.errors import UsageError
from napari_aln.heap import made_to_last, prepare_heaps

if TYPE_CHECKING:
    from collections.abc import Sequence


def view(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A slide, with model bundles, an annotation file or a table of patients; or a session.",
            readable=False,
        ),
    ] = None,
) -> None:
    """Open the window, with a slide if one is named."""
    show(files or [])


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"napari-aln {version('napari-aln')}")
        raise typer.Exit


def without_command(
    context: typer.Context,
    *,
    quiet: Quiet = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Say the version and end.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Open the window where no command was named."""
    output.start(quiet=quiet)
    if context.invoked_subcommand is None:
        show(())


def show(files: Sequence[Path], *, demo: bool = False) -> None:
    """Open the window and serve it until it is closed.

    Raises
    ------
    UsageError
        There is no display, or a file does not exist.
    """
    from napari_aln.workflows.doctor import has_display

    missing = [path for path in files if not path.exists()]
    if missing:
        raise UsageError(f"There is no file {missing[0]}.", "Check the path.")
    if not has_display():
        raise UsageError(
            "No display was found, so no window can be opened.",
            "Use napari-aln predict here, or start it where there is a screen (ssh -X, a remote desktop).",
        )
    from napari_aln.slides import first_open

    prepare_heaps()  # before there are threads
    if files or demo:
        first_open.warm_up()  # it starts while the window is built
    with made_to_last():
        from napari_aln.widgets.window import open_window, run

        open_window(files, demo=demo)
    run()
