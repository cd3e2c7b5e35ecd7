"""``napari-aln evaluate-maps``: a cohort and models in; how faithful their maps are out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_aln.cli import SOME_FAILED, progress
from napari_aln.cli.flags import takes
from napari_aln.settings import CacheSettings, EngineSettings, MapSettings, PredictSettings


@takes(
    {"enabled": "--cache/--no-cache", "limit_gb": "--cache-limit-gb", "fill_clinical": "--fill-clinical"},
    settings=MapSettings,
    engine=EngineSettings,
    cache=CacheSettings,
)
def evaluate_maps(
    cohort: Annotated[
        Path,
        typer.Argument(help="Cohort table: slides, clinical values, and outlines (roi) where there are any."),
    ],
    model: Annotated[list[Path], typer.Option(help="A model bundle; may be repeated.", readable=False)],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    *,
    settings: MapSettings,
    engine: EngineSettings,
    cache: CacheSettings,
) -> None:
    """Judge maps: take patches away in a map's order, or put them in, and watch the probability.

    Attention, contribution and patch probability against random orders; whole-slide maps also as detectors of
    the outlined tumour.
    """
    from napari_aln.mil.bundle import open_bundle
    from napari_aln.records import RESEARCH_NOTICE
    from napari_aln.store.features import FeatureCache
    from napari_aln.workflows.evaluate_maps import evaluate_maps as evaluate_workflow

    bundles = [open_bundle(path) for path in model]
    predicting = PredictSettings(engine=engine, cache=cache)
    kept = FeatureCache() if cache.enabled else None
    work = evaluate_workflow(cohort, bundles, out, settings, predicting, kept)
    found = progress.run(work, "evaluate maps", resumable=cache.enabled)
    console, errors = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    for line in found.left_out:
        errors.print(str(line), markup=False)
    for table in found.tables:
        shown = Table(title=escape(table.title), title_justify="left")
        for name in table.columns:
            shown.add_column(escape(name))
        for row in table.rows:
            shown.add_row(*map(escape, row))
        console.print(shown)
    console.print(
        f"Wrote {out}: evaluation.html, {len(found.tables)} tables, {len(found.figures)} figures. "
        f"{RESEARCH_NOTICE}",
        markup=False,
    )
    if found.left_out:
        errors.print(f"{len(found.left_out)} slides were left out.")
        raise typer.Exit(SOME_FAILED)
