"""``napari-aln evaluate-maps``: a cohort and models in; how faithful their maps are out."""

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
from napari_aln.settings.engine import EngineSettings
from napari_aln.settings.evaluation import MapSettings
from napari_aln.settings.prediction import CacheSettings, PredictSettings


@takes(
    {"enabled": "--cache", "limit_gb": "--cache-limit-gb"},
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
    private: Annotated[
        bool, typer.Option("--private", help="Name the cohort table nowhere in what is written.")
    ] = False,
    *,
    settings: MapSettings,
    engine: EngineSettings,
    cache: CacheSettings,
    as_json: AsJson = False,
) -> None:
    """Judge maps: take patches away in a map's order, or put them in, and watch the probability.

    Attention, contribution and patch probability against random orders; whole-slide maps also as detectors of
    the outlined tumour.
    """
    from napari_aln.mil.bundle import open_bundle
    from napari_aln.store.features import FeatureCache
    from napari_aln.workflows.evaluation.evaluate_maps import evaluate_maps as evaluate_workflow

    bundles = [open_bundle(path) for path in model]
    predicting = PredictSettings(engine=engine, cache=cache)
    kept = FeatureCache() if cache.enabled else None
    work = evaluate_workflow(cohort, bundles, out, settings, predicting, kept, private=private)
    found = progress.run(work, "evaluate maps", resumable=cache.enabled)
    for line in found.left_out:
        output.warn(str(line), "")
    for table in () if as_json else found.tables:
        output.remark_table(table)
    say_what_was_found(found, out, as_json=as_json, n_left_out=len(found.left_out))
    if found.left_out:
        output.warn(f"Left out: {counted(len(found.left_out), 'slide')}.", "")
        raise typer.Exit(SOME_FAILED)
