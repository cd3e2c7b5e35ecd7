"""``napari-aln predict``: slides and bundles in, one result folder a slide out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from napari_aln.cli import output, progress
from napari_aln.cli.exit_codes import SOME_FAILED
from napari_aln.cli.flags import takes
from napari_aln.cli.output import AsJson
from napari_aln.cli.predict_cohort import predict_cohort
from napari_aln.cohort.wording import counted
from napari_aln.errors import AlnError, UsageError
from napari_aln.mil.bundle_names import BUNDLE_SUFFIX, CARD_NAME
from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE
from napari_aln.settings.engine import EngineSettings
from napari_aln.settings.patches import PatchSettings
from napari_aln.settings.prediction import BagSettings, CacheSettings, CohortRunSettings, PredictSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.records import Clinical, SlideResult
    from napari_aln.workflows.cohorts.slide_tasks import Predictor
    from napari_aln.workflows.cohorts.tasks import Listed


_CLINICAL = {"age": "age_years", "tumor_size": "tumor_size_cm", "er": "er", "pr": "pr", "her2": "her2"}
"""Flags of one patient's values, and the columns of a table that hold the same."""


def _receptor(help_text: str) -> Any:  # noqa: ANN401 - typer's options are of no one type
    return typer.Option(help=help_text, metavar="[+|-|unknown]", autocompletion=lambda: ["+", "-", "unknown"])


@takes(
    {"enabled": "--cache", "limit_gb": "--cache-limit-gb"},
    patches=PatchSettings,
    bags=BagSettings,
    engine=EngineSettings,
    cache=CacheSettings,
    predict_settings=PredictSettings,
    cohort_run=CohortRunSettings,
)
def predict(
    slides: Annotated[
        list[Path],
        typer.Argument(
            help="Slides: files, DICOM folders. Or cohorts: tables (CSV, XLSX, Parquet) that name slides, or "
            "folders to search.",
            show_default=False,
            readable=False,
        ),
    ],
    model: Annotated[
        list[Path], typer.Option(help="A model bundle; give it once for each mode.", readable=False)
    ],
    out: Annotated[Path, typer.Option(help="Where the result folders go, one for each slide.")],
    roi: Annotated[
        Path | None,
        typer.Option(help="Tumour ROI of the slide, or a folder of <slide stem>.geojson.", readable=False),
    ] = None,
    origin: Annotated[
        Literal["level0", "bounds"] | None,
        typer.Option(help="What the ROI file's coordinates start at, unless it says so. Default: level0."),
    ] = None,
    clinical: Annotated[
        Path | None,
        typer.Option(
            help="Cohort table (CSV, XLSX, Parquet) with a row for each slide or patient: patient_id, slide, "
            "age_years, tumor_size_cm, er, pr, her2, roi; instead of --age etc.",
            readable=False,
        ),
    ] = None,
    age: Annotated[str | None, typer.Option(help="Age in years.", metavar="<float>")] = None,
    tumor_size: Annotated[str | None, typer.Option(help="Tumour size in cm.", metavar="<float>")] = None,
    er: Annotated[str | None, _receptor("Oestrogen receptor; positive, negative too.")] = None,
    pr: Annotated[str | None, _receptor("Progesterone receptor, likewise.")] = None,
    her2: Annotated[str | None, _receptor("HER2, likewise; or the score, 0 to 3+.")] = None,
    mpp: Annotated[
        float | None, typer.Option(help="µm/px of level 0, where the file does not state it (or is wrong).")
    ] = None,
    cache_dir: Annotated[Path | None, typer.Option(help="Another cache folder than the user's own.")] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Name neither slides nor patients in the results.")
    ] = False,
    *,
    predict_settings: PredictSettings,
    patches: PatchSettings,
    bags: BagSettings,
    engine: EngineSettings,
    cache: CacheSettings,
    cohort_run: CohortRunSettings,
    as_json: AsJson = False,
) -> None:
    """Estimate lymph node status of slides with one bundle a mode, and write what the model looked at.

    A cohort goes on where it was cut off, and leaves cohort.csv and cohort.html.
    """
    from napari_aln.slides import first_open
    from napari_aln.store.atomic import check_writable
    from napari_aln.workflows.cohorts.slide_tasks import Asked, Predictor
    from napari_aln.workflows.cohorts.tasks import TaskMaker, check_names, list_slides

    slides, model = _bundles_apart(slides, model)
    settings = predict_settings.model_copy(
        update={"patches": patches, "bags": bags, "engine": engine, "cache": cache}
    )
    values = _clinical_of_flags(clinical, age=age, tumor_size=tumor_size, er=er, pr=pr, her2=her2)
    asked = Asked(
        tuple(path.absolute() for path in model),
        out.absolute(),
        settings,
        origin=origin,
        private=private,
        cache_dir=cache_dir.absolute() if cache_dir else None,
    )
    first_open.warm_up()  # it starts while the networks are loaded
    predictor = Predictor(asked)
    needs_roi = any(bundle.card.mode != "dlcnbc-ws" for bundle in predictor.bundles)
    maker = TaskMaker(roi, needs_roi=needs_roi, clinical_table=clinical, clinical=values, mpp=mpp)
    check_writable(out)
    listed, is_cohort = list_slides(slides, maker, asked.out)
    check_names(listed, private=private)
    if maker.unfitting_rois is not None and not needs_roi:  # else each slide ends in an error that says so
        output.warn(
            f"{maker.unfitting_rois} holds no region file of any slide given: none of its ROI is used. "
            "Name each as its slide, with .geojson."
        )
    if is_cohort or cohort_run != CohortRunSettings():
        del predictor  # the workers have their own
        predict_cohort(listed, asked, cohort_run, as_json=as_json)
    else:
        _run_all(listed, predictor, as_json=as_json)


def _bundles_apart(slides: list[Path], models: list[Path]) -> tuple[list[Path], list[Path]]:
    """Take bundles that stand among the slides (``--model A B``) as models."""
    found = [p for p in slides if p.suffix == BUNDLE_SUFFIX or _holds_card(p)]
    return [p for p in slides if p not in found], [*models, *found]


def _holds_card(path: Path) -> bool:
    try:
        return (path / CARD_NAME).is_file()
    except OSError:  # a folder that may not be entered: the slide reader says so
        return False


def _clinical_of_flags(table: Path | None, **given: str | None) -> Clinical | None:
    """Return the values given as flags, or None where none was."""
    from napari_aln.cohort.columns import Column, is_equivocal
    from napari_aln.cohort.table import clinical_of

    words = {
        Column(0, f"--{flag.replace('_', '-')}", _CLINICAL[flag]): word
        for flag, word in given.items()
        if word is not None
    }
    if words and table:
        raise UsageError("--clinical and single clinical values were both given.", "Give one of the two.")
    for column, word in words.items():
        if is_equivocal(column, word):
            output.warn(
                f"{column.name} {word} is equivocal and taken as unknown. Give + or - where in situ "
                "hybridisation has told."
            )
    return clinical_of(words) if words else None


def _run_all(listed: Sequence[Listed], predictor: Predictor, *, as_json: bool) -> None:
    from napari_aln.store.result import read_document

    failed: list[Path] = []
    documents: list[dict[str, object]] = []
    for one in listed:
        try:
            place = _run_one(one, predictor, as_json=as_json)
        except AlnError as error:
            if len(listed) == 1:
                raise
            failed.append(one.path)
            output.warn(f"{one.path}: {error}", "")
        else:
            if as_json:
                documents.append({"folder": place} | read_document(place).model_dump(mode="json"))
    if as_json:
        output.print_json(
            {
                "notice": RESEARCH_NOTICE,
                "folder": predictor.asked.out,
                "n_slides": len(listed),
                "n_failed": len(failed),
                "results": documents,
            }
        )
    if failed:
        names = ", ".join(str(slide) for slide in failed)
        output.warn(f"{len(failed)} of {counted(len(listed), 'slide')} failed: {names}", "")
        raise typer.Exit(SOME_FAILED)


def _run_one(listed: Listed, predictor: Predictor, *, as_json: bool) -> Path:
    from napari_aln.slides.first_open import require_harmless
    from napari_aln.store.result import shown_name

    if isinstance(listed.task, AlnError):
        raise listed.task
    require_harmless(listed.path)
    private = predictor.asked.private
    title = "slide" if private else shown_name(listed.path)
    result, place = progress.run(predictor.run(listed.task), title, resumable=predictor.resumes)
    show_result(result, place, result.alias if private else title, as_json=as_json)
    return place


def show_result(result: SlideResult, place: Path, title: str, *, as_json: bool = False) -> None:
    """Print a result's warnings and, unless it is told as JSON, the result as a table with its notices."""
    for warning in dict.fromkeys([*result.warnings, *(w for run in result.runs for w in run.warnings)]):
        output.warn(warning)
    if as_json:
        return
    table = Table(title=escape(title), title_justify="left")
    table.add_column("")
    for run in result.runs:
        table.add_column(escape(f"{run.mode.upper()}\n{run.model_name}"))
    for name in dict.fromkeys(name for run in result.runs for name in run.classes):
        values = [run.probabilities.get(name) for run in result.runs]
        table.add_row(escape(f"probability {name}"), *("" if p is None else f"{p:.3f}" for p in values))
    table.add_row("decision", *(escape(f"{run.prediction} ({run.operating_point})") for run in result.runs))
    table.add_row("bag spread", *(f"{max(run.bag_spread.values()):.3f}" for run in result.runs))
    table.add_row("patches, bags", *(f"{run.n_patches}, {run.n_bags}" for run in result.runs))
    output.remark(table)
    output.remark(f"{RESEARCH_NOTICE} {ATTENTION_NOTICE}")
    output.wrote(place, f"Result: {place}")
