"""``napari-aln cohort``: tables of patients."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Column, Table

from napari_aln.cli import output, progress
from napari_aln.cli.exit_codes import BAD_INPUT
from napari_aln.cli.flags import takes
from napari_aln.cli.output import AsJson
from napari_aln.cohort.wording import counted, named
from napari_aln.settings.cohorts import SplitSettings, SynthesizeSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_aln.workflows.cohorts.check_cohort import Checked

_SHOWN_ALIKE = 8
"""Findings of one kind that a terminal shows: a drive that is gone is one finding a slide."""

app = typer.Typer(help="Cohort tables.", no_args_is_help=True)


@app.command()
@takes({"traits": "--trait"}, settings=SynthesizeSettings)
def synthesize(
    folder: Annotated[
        Path, typer.Argument(help="Where slides, truth and cohort.csv go: a new or empty folder.")
    ],
    patients: Annotated[int, typer.Option(min=2, help="How many patients.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same cohort.")] = 0,
    *,
    settings: SynthesizeSettings,
) -> None:
    """Draw H&E-like biopsy slides of patients who never were, with the truth of every nucleus."""
    from napari_aln.cohort.synthesize import synthesize as draw

    table = progress.run(draw(folder, patients, seed, settings), "synthesize")
    output.wrote(table, f"Wrote {table}: {patients} synthetic patients.")


@app.command("import-bcnb")
def import_bcnb(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder BCNB was unpacked into.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The table to write: .csv, .xlsx or .parquet.")],
    mpp: Annotated[float, typer.Option(help="µm/px of the slides: the files state none. Never guessed.")],
    complete_only: Annotated[
        bool,
        typer.Option("--complete-only", help="Leave out who lacks a slide or a line in the workbook."),
    ] = False,
) -> None:
    """Make a cohort table of the BCNB data set; slides stay where they are, and who lacks what is named."""
    from napari_aln.workflows.cohorts.import_bcnb import import_bcnb as import_workflow

    imported = progress.run(import_workflow(folder, out, mpp, complete_only=complete_only), "import")
    for sentence in imported.absent:
        output.warn(sentence, "Not there:")
    for gap in imported.gaps:
        ids = gap.patient_ids
        output.warn(f"{gap.fact}: {named(ids)}", counted(len(ids), "patient"))
    output.wrote(
        out,
        f"Wrote {out}: {counted(imported.n_patients, 'patient')}, {counted(imported.n_slides, 'slide')} at "
        f"{mpp:g} µm/px, {imported.n_outlines} with outlines, {counted(imported.n_bags, 'reference bag')}, "
        f"{counted(imported.n_patches, 'reference patch', 'reference patches')}. "
        f"Check it with: napari-aln cohort check {out}",
    )


@app.command()
def check(
    table: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort table: .csv, .xlsx or .parquet.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Find what would stop or spoil a training; ends with code 2 where there is an error."""
    from napari_aln.workflows.cohorts.check_cohort import check_cohort

    checked = progress.run(check_cohort(table), "check")
    if as_json:
        output.print_json(_document(checked))
    else:
        _show(table, checked)
    if checked.n_errors:
        raise typer.Exit(BAD_INPUT)


@app.command()
@takes(settings=SplitSettings)
def split(
    table: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort table: .csv, .xlsx or .parquet.")],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="The table to write; kfold writes OUT-fold1 and so on beside it."),
    ],
    private: Annotated[
        bool,
        typer.Option(
            "--private",
            help="Patients by alias, no slides, outlines and sites: a table to pass on, not to train on.",
        ),
    ] = False,
    *,
    settings: SplitSettings,
) -> None:
    """Divide the patients of a table into train, val and test, stratified by class."""
    from napari_aln.workflows.cohorts.split_cohort import split_cohort

    divided = split_cohort(table, out, settings, _aliases(table) if private else None)
    for path, counts in zip(divided.tables, divided.counts, strict=True):
        output.remark(_patients_table(counts))
        output.wrote(path, f"Wrote {path}.")
    if divided.left_out:
        output.remark(f"Columns that are not taken over: {', '.join(divided.left_out)}")
    if ids := divided.without_class:
        lacks = "bag of that task" if settings.task else settings.stratify_by
        output.warn(
            f"without a {lacks}, and so in no split: {named(ids)}",
            counted(len(ids), "patient"),
        )


@app.command()
def baseline(
    table: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort table with splits.")],
    out: Annotated[Path, typer.Argument(metavar="SCORES", help="Scores to write, for evaluate: .csv ...")],
    against: Annotated[
        Literal["N(+)", "N+(1-2)", "N+(>2)"], typer.Option(help="What is told from N0.")
    ] = "N(+)",
    fill_clinical: Annotated[
        bool,
        typer.Option("--fill-clinical", help="Fill missing values: training mean, more frequent category."),
    ] = False,
    private: Annotated[
        bool,
        typer.Option("--private", help="Patients by the alias that private trainings give; no table's name."),
    ] = False,
) -> None:
    """Predict from the five clinical values alone: logistic regression, fitted on the training patients."""
    from napari_aln.records import RESEARCH_NOTICE
    from napari_aln.workflows.training.baseline import clinical_baseline

    aliases = _aliases(table) if private else None
    done = clinical_baseline(table, out, against, fill_clinical=fill_clinical, aliases=aliases)
    filled = f", {done.n_filled} with filled values" if done.n_filled else ""
    output.wrote(
        out,
        f"Wrote {out}: {counted(done.n_patients, 'patient')}{filled}, fitted on {done.n_train}. "
        f"Judge it with: napari-aln evaluate {out} --out DIR. {RESEARCH_NOTICE}",
    )


def _aliases(table: Path) -> dict[str, str]:
    """Return what the patients of a table are called where nobody shall be named."""
    from napari_aln.cohort.table import read_cohort
    from napari_aln.workflows.cohorts.aliases import patient_aliases

    return progress.run(patient_aliases(read_cohort(table, several_slides=True)), "aliases")


def _show(table: Path, checked: Checked) -> None:
    output.show(str(table))
    if checked.patients:
        output.show(_patients_table(checked.patients))
    if checked.unused_columns:
        output.show(f"Columns that are not known, and not used: {', '.join(checked.unused_columns)}")
    if checked.sites:
        sites = ", ".join(f"{site} {number}" for site, number in sorted(checked.sites.items()))
        output.show(f"Patients by site: {sites}")
    if checked.findings:
        names = ("", "where", "what", "what to do")
        found = Table(*(Column(name, overflow="fold") for name in names), show_lines=True)  # paths are long
        alike = Counter((finding.severity, finding.next_step) for finding in checked.findings)
        shown: Counter[tuple[str, str]] = Counter()
        for finding in checked.findings:
            kind = (finding.severity, finding.next_step)
            shown[kind] += 1
            if shown[kind] > _SHOWN_ALIKE:
                continue
            color = "red" if finding.severity == "error" else "yellow"
            cells = (finding.where, finding.fact, finding.next_step)
            found.add_row(f"[{color}]{finding.severity}[/]", *map(escape, cells))
            if shown[kind] == _SHOWN_ALIKE < alike[kind]:
                more = f"{alike[kind] - _SHOWN_ALIKE} more of this kind; --json lists all."
                found.add_row(f"[{color}]{finding.severity}[/]", "", more, escape(finding.next_step))
        output.show(found)
    errors = checked.n_errors
    output.show(
        f"{counted(checked.n_patients, 'patient')}, {counted(checked.n_slides, 'slide')} opened: "
        f"{counted(errors, 'error')}, {counted(len(checked.findings) - errors, 'warning')}."
    )


def _document(checked: Checked) -> dict[str, object]:
    patients = [{"split": s, "class": c, "patients": n} for (s, c), n in sorted(checked.patients.items())]
    return asdict(checked) | {"patients": patients, "n_errors": checked.n_errors}


def _patients_table(counts: Mapping[tuple[str, str], int]) -> Table:
    """Return patients by split and class."""
    order = ["train", "val", "test", ""]
    splits = sorted({split for split, _ in counts}, key=order.index)
    table = Table()
    for name in ("patients", *(split or "no split" for split in splits)):
        table.add_column(name, justify="left" if name == "patients" else "right")
    classes = ("N0", "N(+)", "N+(1-2)", "N+(>2)", "")
    for label in sorted({label for _, label in counts}, key=classes.index):
        cells = (str(counts.get((split, label), 0)) for split in splits)
        table.add_row(escape(label or "no label"), *cells)
    return table
