"""``napari-aln predict``: slides and bundles in, one result folder a slide out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_aln.cli import SOME_FAILED, progress
from napari_aln.cli.flags import takes
from napari_aln.errors import AlnError, RegionError, UsageError
from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE, Clinical
from napari_aln.settings import BagSettings, CacheSettings, EngineSettings, PatchSettings, PredictSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.cohort.table import CohortRow
    from napari_aln.mil.bundle import Bundle
    from napari_aln.records import SlideResult
    from napari_aln.workflows.networks import ReadyNetworks

BUNDLE_SUFFIX = ".alnmodel"
REGION_SUFFIXES = (".geojson", ".json", ".xml", ".ndpa")


class Receptor(StrEnum):
    """How a receptor's status is given."""

    POSITIVE = "+"
    NEGATIVE = "-"
    UNKNOWN = "unknown"

    @property
    def value_or_none(self) -> bool | None:
        """Return True for positive, False for negative, None for unknown."""
        return {"+": True, "-": False}.get(self.value)


@dataclass(frozen=True)
class _Job:
    """What is the same for every slide of a call."""

    bundles: Sequence[Bundle]
    roi: Path | None
    clinical_table: Path | None
    clinical: Clinical | None
    mpp: float | None
    settings: PredictSettings
    cache_dir: Path | None
    out: Path
    private: bool
    origin: Literal["level0", "bounds"] | None
    networks: ReadyNetworks


@takes(
    {"enabled": "--cache/--no-cache", "limit_gb": "--cache-limit-gb", "fill_clinical": "--fill-clinical"},
    patches=PatchSettings,
    bags=BagSettings,
    engine=EngineSettings,
    cache=CacheSettings,
    predict_settings=PredictSettings,
)
def predict(
    slides: Annotated[
        list[Path],
        typer.Argument(help="Slides: files, or DICOM folders.", show_default=False, readable=False),
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
    age: Annotated[float | None, typer.Option(help="Age in years.")] = None,
    tumor_size: Annotated[float | None, typer.Option(help="Tumour size in cm.")] = None,
    er: Annotated[Receptor | None, typer.Option(help="Oestrogen receptor.")] = None,
    pr: Annotated[Receptor | None, typer.Option(help="Progesterone receptor.")] = None,
    her2: Annotated[Receptor | None, typer.Option(help="HER2.")] = None,
    mpp: Annotated[
        float | None, typer.Option(help="µm/px of level 0, where the file does not state it (or is wrong).")
    ] = None,
    cache_dir: Annotated[Path | None, typer.Option(help="Another cache folder than the user's own.")] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Name the slide's file nowhere in the results.")
    ] = False,
    *,
    predict_settings: PredictSettings,
    patches: PatchSettings,
    bags: BagSettings,
    engine: EngineSettings,
    cache: CacheSettings,
) -> None:
    """Estimate lymph node status of slides with one bundle a mode, and write what the model looked at."""
    from napari_aln.mil.bundle import open_bundle
    from napari_aln.store.atomic import check_writable
    from napari_aln.workflows.networks import ReadyNetworks

    slides, model = _bundles_apart(slides, model)
    settings = predict_settings.model_copy(
        update={"patches": patches, "bags": bags, "engine": engine, "cache": cache}
    )
    job = _Job(
        bundles=[open_bundle(path) for path in model],
        roi=roi,
        clinical_table=clinical,
        clinical=_clinical_of_flags(clinical, age, tumor_size, er, pr, her2),
        mpp=mpp,
        settings=settings,
        cache_dir=cache_dir,
        out=out,
        private=private,
        origin=origin,
        networks=ReadyNetworks(),
    )
    check_writable(out)
    _check_names(slides, private=private)
    _run_all(slides, job)


def _bundles_apart(slides: list[Path], models: list[Path]) -> tuple[list[Path], list[Path]]:
    """Take bundles that stand among the slides (``--model A B``) as models."""
    found = [p for p in slides if p.suffix == BUNDLE_SUFFIX or _holds_card(p)]
    return [p for p in slides if p not in found], [*models, *found]


def _holds_card(path: Path) -> bool:
    try:
        return (path / "card.json").is_file()
    except OSError:  # a folder that may not be entered: the slide reader says so
        return False


def _clinical_of_flags(
    table: Path | None,
    age: float | None,
    tumor_size: float | None,
    er: Receptor | None,
    pr: Receptor | None,
    her2: Receptor | None,
) -> Clinical | None:
    """Return the values given as flags, or None where none was."""
    if all(value is None for value in (age, tumor_size, er, pr, her2)):
        return None
    if table:
        raise UsageError("--clinical and single clinical values were both given.", "Give one of the two.")
    from napari_aln.mil.clinical import check_clinical

    status = [r.value_or_none if r else None for r in (er, pr, her2)]
    clinical = Clinical(age, tumor_size, *status)
    check_clinical(clinical)
    return clinical


def _check_names(slides: list[Path], *, private: bool) -> None:
    """Refuse slides whose result folders would overwrite each other."""
    from napari_aln.store.result import public_name

    if not slides:
        raise UsageError("No slide was given.", "Name at least one slide before --model.")
    names = [public_name(slide).casefold() for slide in slides]  # some systems do not tell A from a
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice and not private:
        raise UsageError(
            f"The results of several slides would be named {twice[0]} and overwrite each other.",
            "Run them into different --out folders, or use --private, which names results by content.",
        )


def _run_all(slides: list[Path], job: _Job) -> None:
    failed: list[Path] = []
    for slide in slides:
        try:
            _run_one(slide, job)
        except AlnError as error:
            if len(slides) == 1:
                raise
            failed.append(slide)
            print(f"{slide}: {error}", file=sys.stderr)  # noqa: T201
    if failed:
        names = ", ".join(str(slide) for slide in failed)
        print(f"{len(failed)} of {len(slides)} slides failed: {names}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(SOME_FAILED)


def _run_one(path: Path, job: _Job) -> None:
    from napari_aln.slides import open_slide
    from napari_aln.store.features import FeatureCache
    from napari_aln.store.result import shown_name
    from napari_aln.workflows.predict import Request, needs_whole_bags, predict_to_folder

    row = _row_of(path, job.clinical_table)
    mpp = row.mpp if row and job.mpp is None else job.mpp
    with open_slide(path, mpp=mpp) as slide:
        request = Request(
            job.bundles,
            regions=_regions_for(path, job) or (row.roi if row else None),
            origin=job.origin,
            clinical=row.clinical if row else job.clinical,
            settings=job.settings,
            cache=FeatureCache(job.cache_dir) if job.settings.cache.enabled else None,
            case_id=row.patient_id if row else None,
            networks=job.networks,
        )
        work = predict_to_folder(slide, request, job.out, private=job.private)
        title = "slide" if job.private else shown_name(path)
        by_patch = not any(needs_whole_bags(bundle.card, job.settings) for bundle in job.bundles)
        result, place = progress.run(work, title, resumable=job.settings.cache.enabled and by_patch)
    show_result(result, place, result.alias if job.private else shown_name(path))


def _regions_for(slide: Path, job: _Job) -> Path | None:
    """Return the ROI file of a slide: the file given, or the one of its name in the folder given."""
    roi = job.roi
    if roi is None or not roi.is_dir():
        return roi
    stems = (slide.stem, slide.name)  # NDP.view names its files slide.ndpi.ndpa
    found = [p for p in roi.iterdir() if p.stem in stems and p.suffix.lower() in REGION_SUFFIXES]
    if len(found) > 1:
        raise RegionError(
            f"{roi} holds several region files for {slide.name}: {', '.join(sorted(p.name for p in found))}.",
            "Keep one of them.",
        )
    if not found and any(bundle.card.mode != "dlcnbc-ws" for bundle in job.bundles):
        raise RegionError(
            f"{roi} holds no region file for {slide.name}.",
            f"Put {slide.stem}.geojson there.",
        )
    return found[0] if found else None


def _row_of(slide: Path, table: Path | None) -> CohortRow | None:
    """Return the slide's row of the clinical table, where one was given."""
    if table is None:
        return None
    from napari_aln.cohort.table import find_patient, read_cohort

    return find_patient(read_cohort(table), slide.stem)


def show_result(result: SlideResult, place: Path, title: str) -> None:
    """Print a result as a table, with the notices that belong to it."""
    console = Console()
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
    console.print(table)
    warnings = dict.fromkeys([*result.warnings, *(w for run in result.runs for w in run.warnings)])
    for warning in warnings:
        console.print(f"[yellow]Warning:[/] {escape(warning)}", soft_wrap=True)
    console.print(f"{RESEARCH_NOTICE} {ATTENTION_NOTICE}", soft_wrap=True)
    console.print(f"Result: {place}", soft_wrap=True, markup=False)
