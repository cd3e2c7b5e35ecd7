"""``napari-aln nuclei``: find and measure the nuclei of a slide, and compare them by attention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_aln.cli import nuclei_train, output, progress
from napari_aln.cli.flags import takes
from napari_aln.cli.output import AsJson
from napari_aln.cohort.wording import counted
from napari_aln.errors import UsageError
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.settings.nuclei import NucleiSettings

if TYPE_CHECKING:
    from napari_aln.records import Progress
    from napari_aln.store.result import ResultDocument

app = typer.Typer(help="Nuclei: find, measure, compare.", no_args_is_help=True)

Origin = Literal["level0", "bounds"]


@app.command("measure")
@takes(nuclei=NucleiSettings)
def measure(
    slide: Annotated[
        Path, typer.Argument(help="A slide: a file, or a DICOM folder.", show_default=False, readable=False)
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to write to.")] = None,
    result: Annotated[
        Path | None,
        typer.Option(help="Instead of --out: the slide's result folder, whose report then tells of nuclei."),
    ] = None,
    roi: Annotated[
        Path | None, typer.Option(help="Measure inside these regions only.", readable=False)
    ] = None,
    origin: Annotated[
        Origin | None,
        typer.Option(help="What the ROI file's coordinates start at, unless it says so. Default: level0."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Measure the nuclei of this label image (PNG, TIFF), of the slide's full size, instead of "
            "finding them.",
            readable=False,
        ),
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="µm/px of level 0, where the file does not state it (or is wrong).")
    ] = None,
    write_origin: Annotated[
        Origin,
        typer.Option(help="What the coordinates of nuclei.geojson start at. QuPath counts from the bounds."),
    ] = "level0",
    private: Annotated[
        bool, typer.Option("--private", help="Name the slide's file nowhere in what is written.")
    ] = False,
    *,
    nuclei: NucleiSettings,
    as_json: AsJson = False,
) -> None:
    """Measure the nuclei of a slide's tissue or of an ROI: tables, QuPath's detections, sums by patch."""
    from napari_aln.slides.first_open import open_untried
    from napari_aln.store.nuclei import read_statement
    from napari_aln.store.result import alias_of, read_document, shown_name
    from napari_aln.workflows.folders import require_one_result
    from napari_aln.workflows.nuclei.folder import NucleiRequest, nuclei_to_folder

    if (out is None) == (result is None):
        raise UsageError("Where to write is not clear.", "Give either --out or --result.")
    folder = out or result or Path()
    if result is not None:
        require_one_result(result)
    stored = None if result is None else read_document(result)
    if stored is not None:
        mpp = _mpp_of(stored, mpp)
        private = private or stored.slide.file is None
    request = NucleiRequest(nuclei, roi, origin, labels, write_origin, private)
    with open_untried(slide, mpp) as opened:
        alias = stored.alias if stored else alias_of(opened.info)
        title = alias if private else shown_name(slide)
        measured = progress.run(nuclei_to_folder(opened, request, folder), title, describe=_described)
    for warning in measured.warnings:
        output.warn(warning)
    if as_json:
        document = read_statement(folder).model_dump(mode="json", exclude={"outline"})
        output.print_json({"folder": folder} | document)
        return
    density = f", {measured.density_per_mm2:.0f} per mm²" if measured.area_mm2 > 0 else ""
    output.remark(
        f"{title}: {counted(len(measured.table), 'nucleus', 'nuclei')} in {measured.area_mm2:.2f} mm²"
        f"{density}, by the method {measured.method}, in {measured.seconds:.1f} s."
    )
    output.remark(RESEARCH_NOTICE)
    output.wrote(folder, f"Written to {folder}")


def _mpp_of(stored: ResultDocument, given: float | None) -> float | None:
    """Return the µm/px given, or the one a user gave when the result was made."""
    slide = stored.slide
    if given is None and slide.mpp_origin == "user" and slide.mpp is not None:
        return slide.mpp[0]
    return given


def _described(step: Progress) -> str:
    from napari_aln.workflows.nuclei.measure import NucleiFound

    return f"{step.step}, {step.nuclei} nuclei" if isinstance(step, NucleiFound) else step.step


@app.command("contrast")
def contrast(
    result: Annotated[Path, typer.Argument(help="A result folder that predict wrote.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    run: Annotated[
        str | None, typer.Option(help="Whose attention. Left out: the whole slide's, or the only one.")
    ] = None,
    nuclei: Annotated[
        Path | None,
        typer.Option(help="The table of nuclei. Left out: nuclei.parquet of the folder.", readable=False),
    ] = None,
    share: Annotated[
        float, typer.Option(help="Share of the patches that is taken from the top, and from the bottom.")
    ] = 0.1,
    patches: Annotated[
        int | None, typer.Option(help="This many patches from the top and the bottom instead.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Compare nuclei of high- and low-attention patches: effect sizes, corrected p, violin plots."""
    from napari_aln.nuclei.table import NUCLEI_PARQUET
    from napari_aln.store.atomic import check_writable
    from napari_aln.store.json_document import parse_json
    from napari_aln.store.result import NUCLEI_JSON, read_document
    from napari_aln.workflows.folders import require_one_result
    from napari_aln.workflows.nuclei.by_attention import (
        CONTRAST_JSON,
        INDEPENDENCE_NOTICE,
        Ends,
        contrast_of_result,
        write_contrast,
    )

    require_one_result(result)
    alias = read_document(result).alias
    check_writable(out)
    found = contrast_of_result(result, run, nuclei, ends=Ends(share, patches))
    write_contrast(found, out, alias)
    table = nuclei or result / NUCLEI_PARQUET
    if not (table.parent / NUCLEI_JSON).is_file():
        output.warn(
            f"No {NUCLEI_JSON} lies beside {table.name}: it is taken for the nuclei of all the slide's "
            "tissue."
        )
    rows = found.rows.to_dict("records")
    if as_json:
        output.print_json(
            {"folder": out} | parse_json((out / CONTRAST_JSON).read_bytes()) | {"features": rows}
        )
        return
    high, low = found.nuclei
    output.remark(f"{found.title}, of {found.n_patches}: {high} against {low} nuclei.")
    for row in rows:
        tests = [("effect_patches", "p_patches_adjusted", "patches"), ("effect", "p_adjusted", "nuclei")]
        said = [
            f"{row[effect]:+.2f}, p {row[p]:.3g} between {units}"
            for effect, p, units in tests
            if row[p] == row[p]  # a density has no nuclei to compare
        ]
        text = f"effect {'; '.join(said)}" if said else "too few nuclei"
        output.remark(f"  {row['feature']}: {text}")
    output.remark(f"{INDEPENDENCE_NOTICE} {RESEARCH_NOTICE}")
    output.wrote(out, f"Written to {out}")


app.command("train")(nuclei_train.train)
app.command("examples")(nuclei_train.examples)
