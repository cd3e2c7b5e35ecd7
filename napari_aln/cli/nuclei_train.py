"""``napari-aln nuclei train``: annotated pictures in, a nucleus model out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_aln.cli import output, progress
from napari_aln.cli.flags import takes
from napari_aln.cohort.wording import counted
from napari_aln.settings.nuclei import NucleiTrainSettings

if TYPE_CHECKING:
    from napari_aln.records import Progress


@takes(settings=NucleiTrainSettings)
def train(
    images: Annotated[
        Path,
        typer.Argument(
            help="Folder of <set>/<name>.png and <set>/<name>_labels.png (0 = background, 1.. = nuclei).",
            readable=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The bundle to write, for example nuclei.alnmodel.")],
    table: Annotated[
        Path | None,
        typer.Option(
            help="CSV with columns set, name and mpp (µm/px). Left out: images.csv in the folder.",
            readable=False,
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Name pictures and their folders nowhere on the card.")
    ] = False,
    *,
    settings: NucleiTrainSettings,
) -> None:
    """Train a model that finds nuclei on annotated pictures."""
    from napari_aln.workflows.training.train_nuclei import NucleiLearned, train_nuclei

    def described(step: Progress) -> str:
        return f"{step.step}, loss {step.loss:.3f}" if isinstance(step, NucleiLearned) else step.step

    work = train_nuclei(images, out, settings, table, private=private)
    trained = progress.run(work, "nuclei train", describe=described)
    if trained.estimated:
        output.warn(
            f"µm/px of {counted(len(trained.estimated), 'picture')} was estimated from nuclei; "
            "state it in images.csv where it is known."
        )
    card = trained.bundle.card
    for figures in card.metrics:
        output.remark(
            f"{figures.source.name or images.name}, held out "
            f"({counted(figures.source.pictures, 'picture')}, "
            f"{counted(figures.source.nuclei, 'nucleus', 'nuclei')}): F1 {figures.f1:.3f}, "
            f"AJI {figures.aji:.3f}, "
            f"PQ {figures.pq:.3f}"
        )
    output.wrote(out, f"Wrote {out}. {card.notice}")


def examples(
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    pictures: Annotated[int, typer.Option(min=0, help="Squares of synthetic tissue to draw.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Draws them.")] = 0,
    slide: Annotated[
        list[Path] | None,
        typer.Option(
            help="Add squares of this slide, labelled by --method; may be repeated.", readable=False
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help="What labels slides: a method's name, or a model.")
    ] = "classical",
) -> None:
    """Make pictures with labelled nuclei to train on: drawn tissue, and slides labelled by a method."""
    from napari_aln.workflows.training.nucleus_examples import nucleus_examples

    made = progress.run(nucleus_examples(out, pictures, seed, slide or [], method), "nuclei examples")
    output.wrote(out, f"Wrote {counted(made, 'picture')} to {out}.")
