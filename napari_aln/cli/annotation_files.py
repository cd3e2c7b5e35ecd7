"""``napari-aln annotations``: outlines between the formats of other programs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_aln.cli import output
from napari_aln.cohort.wording import counted

app = typer.Typer(help="Annotation files.", no_args_is_help=True)


@app.callback()
def _annotations() -> None:
    """Keep ``convert`` a subcommand while it is the only one."""


@app.command()
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="GeoJSON, ASAP XML, ImageScope XML, NDPA or BCNB JSON, told by its content.",
            readable=False,
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="File to write: .geojson or .json as QuPath reads it, .xml as ASAP reads it."
        ),
    ],
    slide: Annotated[
        Path | None,
        typer.Option(help="The slide it was drawn on. NDPA and bounds cannot do without.", readable=False),
    ] = None,
    origin: Annotated[
        Literal["level0", "bounds"] | None,
        typer.Option(help="What the coordinates of IN start at, unless it says so. Default: level0."),
    ] = None,
    write_origin: Annotated[
        Literal["level0", "bounds"],
        typer.Option(help="What those of OUT start at. QuPath counts from the bounds."),
    ] = "level0",
    written_as: Annotated[
        Literal["geojson", "asap", "imagescope"] | None,
        typer.Option("--format", help="What to write, where the suffix of OUT does not say it."),
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="µm/px of the slide, where its file does not state it (or is wrong).")
    ] = None,
    private: Annotated[
        bool,
        typer.Option(
            "--private",
            help="Write no region's name, and classes that are no tumour ROI's by number.",
        ),
    ] = False,
) -> None:
    """Convert annotations: outlines, holes, names, classes and colours stay as they are drawn."""
    from napari_aln.workflows.convert import convert as workflow

    convert_file = partial(
        workflow, origin=origin, write_origin=write_origin, written_as=written_as, private=private
    )
    if slide is None:
        done = convert_file(source, target)
    else:
        from napari_aln.slides.first_open import open_untried

        with open_untried(slide, mpp) as opened:
            done = convert_file(source, target, opened.info)
    for warning in done.warnings:
        output.warn(warning)
    output.wrote(
        target,
        f"Wrote {target}: {counted(done.regions, 'region')} as {done.written_as}, read as "
        f"{done.read_as}; origin {write_origin}.",
    )
