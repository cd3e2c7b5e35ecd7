"""Showing long work on a terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from napari_aln.cli import output
from napari_aln.cli.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_aln import records

Result = TypeVar("Result")


def run(
    work: Generator[records.Progress, None, Result],
    title: str,
    *,
    resumable: bool = False,
    describe: Callable[[records.Progress], str] | None = None,
) -> Result:
    """Run a generator to its end with a progress bar on stderr, and return its result.

    Ctrl-C closes the generator and ends the program with code 130; `resumable` says that the work it has
    done is kept. `describe` says what to show of a step, where that is more than its name.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    started_by_another = os.environ.get("LOCAL_RANK", "0") != "0"  # trains along on another GPU
    console = Console(stderr=True, quiet=started_by_another)
    hidden = output.is_quiet() or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bars:
        title = escape(title)
        bar = bars.add_task(title, total=None, rate="")
        try:
            while True:
                step = next(work)
                rate = _rate(step.per_second)
                description = f"{title}: {describe(step) if describe else step.step}"
                bars.update(bar, description=description, completed=step.done, total=step.total, rate=rate)
        except StopIteration as end:
            result: Result = end.value
            return result
        except KeyboardInterrupt:
            work.close()
            kept = " What was read so far is kept: the same command goes on from there." if resumable else ""
            console.print(f"Cancelled.{kept}")
            raise typer.Exit(INTERRUPTED) from None
        finally:
            work.close()


def _rate(per_second: float | None) -> str:
    if not per_second:
        return ""
    return f"{per_second:.0f}/s" if per_second >= 10 else f"{per_second:.2g}/s"
