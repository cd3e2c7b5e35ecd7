"""``napari-aln nuclei``: find and measure the nuclei of a slide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_aln.cli import progress
from napari_aln.cli.flags import takes
from napari_aln.settings import NucleiSettings

app = typer.Typer(help="Nuclei: find, measure, compare.", no_args_is_help=True)


@app.command("measure")
@takes(nuclei=NucleiSettings)
def measure(
    slide: Annotated[
        Path, typer.Argument(help="A slide: a file, or a DICOM folder.", show_default=False, readable=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    roi: Annotated[
        Path | None, typer.Option(help="Measure inside these regions only.", readable=False)
    ] = None,
    origin: Annotated[
        Literal["level0", "bounds"] | None,
        typer.Option(help="What the ROI file's coordinates start at, unless it says so. Default: level0."),
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="µm/px of level 0, where the file does not state it (or is wrong).")
    ] = None,
    *,
    nuclei: NucleiSettings,
) -> None:
    """Measure the nuclei of a slide's tissue, or of an ROI."""
    from napari_aln.slides import open_slide
    from napari_aln.workflows.measure_nuclei import measure_nuclei
    from napari_aln.workflows.prepare import usable_roi

    with open_slide(slide, mpp=mpp) as opened:
        regions, _ = usable_roi(opened, roi, origin)
        measured = progress.run(measure_nuclei(opened, nuclei, regions or None), slide.name)
    print(len(measured.table), "nuclei")  # noqa: T201
