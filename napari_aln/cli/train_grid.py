"""``napari-aln train --grid``: many trainings and one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_aln.cli import output, progress
from napari_aln.cli.exit_codes import SOME_FAILED
from napari_aln.cohort.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping


_ONLY_IN_FILES = ("n", "ACC", "SENS", "SPEC", "PPV", "NPV", "F1")
"""Columns that a terminal has no room for."""


def train_grid(cohort: Path, grid_file: Path, out: Path, given: Mapping[str, Any], *, private: bool) -> None:
    """Train a grid and show its table; `given` are fields of the recipe said on the command line."""
    from napari_aln.records import RESEARCH_NOTICE
    from napari_aln.runtimes.gpus import visible_gpus
    from napari_aln.workflows.training.grid_plan import combinations, read_grid
    from napari_aln.workflows.training.train_grid import train_grid as workflow

    grid = read_grid(grid_file)
    every = combinations(grid, given)
    on_cpu = grid.trainer == "frozen" or getattr(every[0].recipe, "device", "auto") not in ("auto", "cuda")
    work = workflow(cohort, every, out, () if on_cpu else visible_gpus(), private=private)
    found = progress.run(work, "train", resumable=True)
    for table in found.tables:
        output.remark_table(table, _ONLY_IN_FILES)
    for name, why in found.failed.items():
        output.warn(f"{name} failed: {why}", "")
    kept = f", {found.n_kept} of them kept from before" if found.n_kept else ""
    n_ended = len(every) - len(found.failed)
    output.wrote(
        out,
        f"Wrote {out}: {n_ended} of {counted(len(every), 'training')}{kept}; grid.csv, grid.md. "
        f"{RESEARCH_NOTICE}",
    )
    if found.failed:
        raise typer.Exit(SOME_FAILED)
