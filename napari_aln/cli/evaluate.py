"""``napari-aln evaluate``: scores in, the papers' tables and figures out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_aln.cli import output, progress
from napari_aln.cli.exit_codes import SOME_FAILED
from napari_aln.cli.flags import takes
from napari_aln.cli.output import AsJson
from napari_aln.cohort.wording import counted
from napari_aln.errors import UsageError
from napari_aln.settings.evaluation import EvaluateSettings

if TYPE_CHECKING:
    from napari_aln.evaluation.tables import PaperTable
    from napari_aln.workflows.evaluation.folder import Evaluation

_ON_TERMINAL = ("performance", "overall", "folds", "comparison")
_ONLY_IN_FILES = ("n of N(+)", "AUC (DeLong)", "PPV (%)", "NPV (%)", "F1", "Kappa")
"""Tables that a terminal shows, and ends of the columns that it has no room for."""


@takes({"subgroups": "--subgroup", "published": "--published"}, settings=EvaluateSettings)
def evaluate(
    scores: Annotated[
        list[Path],
        typer.Argument(
            help="CSV, XLSX or Parquet, one line a patient: patient, label, score (of N(+), 0 to 1) or one "
            "column a class (score_N0 ...); split (train, val, test) and clinical columns where they are. "
            "Several: the folds of a cross-validation, whose test patients are judged together. "
            "With --cohort: the folder that `predict` wrote.",
            readable=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    compare: Annotated[
        list[Path] | None,
        typer.Option(
            help="Scores of another model on the same patients, for DeLong's test; with --cohort, its "
            "results. May be repeated.",
            readable=False,
        ),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            help="Scores on validation patients, to choose thresholds on, where SCORES has no split.",
            readable=False,
        ),
    ] = None,
    cohort: Annotated[
        Path | None,
        typer.Option(
            help="Judge results of `predict` on another cohort: its table, with labels. Thresholds are the "
            "models' own.",
            readable=False,
        ),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="With --cohort: judge results of this bundle alone, or of those in this folder; may be "
            "repeated. Left out: all models; bundles beside the results tell what they learned from.",
            readable=False,
        ),
    ] = None,
    private: Annotated[
        bool,
        typer.Option("--private", help="Name no file in what is written: models go by their number."),
    ] = False,
    *,
    settings: EvaluateSettings,
    as_json: AsJson = False,
) -> None:
    """Judge scores as the papers do: AUC, accuracy and the rest with intervals, tests, curves, subgroups."""
    from napari_aln.evaluation.performance import COHORT_NOTE
    from napari_aln.workflows.evaluation.evaluate import evaluate as evaluate_workflow
    from napari_aln.workflows.evaluation.evaluate_cohort import evaluate_on_cohort

    first, *folds = scores
    if cohort is None:
        if model:
            raise UsageError(
                "--model says whose results are judged.", "Name their table, too: --cohort TABLE."
            )
        work = evaluate_workflow(
            first, out, settings, compare or (), validation, folds=folds, private=private
        )
    else:
        _refuse_beside_a_cohort(settings, validation, folds)
        work = evaluate_on_cohort(
            [first, *(compare or ())], cohort, out, settings, model or (), private=private
        )
    found = progress.run(work, "evaluate")
    shown = [] if as_json else [table for table in found.tables if table.name in _ON_TERMINAL]
    for table in shown:
        output.remark_table(_judged(table), _ONLY_IN_FILES)
    if any(COHORT_NOTE in table.notes for table in shown):
        output.remark(COHORT_NOTE)
    say_what_was_found(found, out, as_json=as_json)
    if found.made_by.get("patients", {}).get("without_result"):
        raise typer.Exit(SOME_FAILED)


def _refuse_beside_a_cohort(settings: EvaluateSettings, validation: Path | None, folds: list[Path]) -> None:
    if folds:
        raise UsageError(
            f"{1 + len(folds)} folders of results were given to be judged as one.",
            "Give one; those of other models go to --compare.",
        )
    choice = settings.model_dump(include={"positive", "sensitivity"})
    if validation is not None or choice != EvaluateSettings().model_dump(include=set(choice)):
        raise UsageError(
            "--validation, --sensitivity and --positive are for tables of scores: with --cohort, thresholds "
            "and classes are those of the models' cards.",
            "Leave them out; --threshold X adds a point that was fixed beforehand.",
        )


def _judged(table: PaperTable) -> PaperTable:
    """Return a table's rows of the cohort that models are judged by: it stands last."""
    if "Cohort" not in table.columns:
        return table
    place = table.columns.index("Cohort")
    return replace(table, rows=tuple(row for row in table.rows if row[place] == table.rows[-1][place]))


def say_what_was_found(found: Evaluation, folder: Path, *, as_json: bool, **more: object) -> None:
    """Say where an evaluation was written, or print its record as JSON with `more` that is known."""
    from napari_aln.records import RESEARCH_NOTICE
    from napari_aln.store.json_document import parse_json
    from napari_aln.workflows.evaluation.folder import RECORD

    for note in found.notes:
        output.warn(note, "Note:")
    if as_json:
        output.print_json({"folder": folder} | more | parse_json((folder / RECORD).read_bytes()))
        return
    output.wrote(
        folder,
        f"Wrote {folder}: evaluation.html, {counted(len(found.tables), 'table')}, "
        f"{counted(len(found.figures), 'figure')}. {RESEARCH_NOTICE}",
    )
