"""``napari-aln train``: a cohort in, a bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_aln.cli import output, progress
from napari_aln.cli.exit_codes import SOME_FAILED
from napari_aln.cli.flags import takes
from napari_aln.cohort.wording import counted
from napari_aln.errors import UsageError
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.settings.patches import PatchSettings
from napari_aln.settings.training import FinetuneSettings, PretrainSettings, RecipeSettings

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_aln.mil.card import ModelCard
    from napari_aln.records import Progress
    from napari_aln.workflows.training.bundle import Trained

_BLOCKS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 24


@takes(
    {"stop_above_training_auc": "--stop-above-auc"},
    recipe=RecipeSettings,
    finetuning=FinetuneSettings,
    patches=PatchSettings,
)
def train(
    cohort: Annotated[Path, typer.Argument(help="Cohort table with labels, splits and slides.")],
    out: Annotated[
        Path, typer.Option(help="The bundle to write, for example model.alnmodel; with --grid a folder.")
    ],
    mode: Annotated[
        Literal["dlcnb", "dlcnbc", "dlcnbc-ws"] | None, typer.Option(help="What to train.")
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option(
            help="Train each combination of modes, encoders, augmentations and seeds in a TOML file.",
            readable=False,
        ),
    ] = None,
    frozen: Annotated[
        bool,
        typer.Option(
            "--frozen",
            help="Train a head on the pooled features of a trained encoder: minutes on a processor.",
        ),
    ] = False,
    finetune: Annotated[
        bool,
        typer.Option("--finetune", help="Train encoder and head end to end, as in the papers: for a GPU."),
    ] = False,
    private: Annotated[
        bool,
        typer.Option(
            "--private", help="Name cohort table, patients and encoder file nowhere in what is written."
        ),
    ] = False,
    *,
    recipe: RecipeSettings,
    finetuning: FinetuneSettings,
    patches: PatchSettings,
) -> None:
    """Train a model on a cohort and measure it on the patients it never saw."""
    if grid is not None:
        from napari_aln.cli.train_grid import train_grid

        if mode or frozen or finetune:
            raise UsageError("A grid's file says modes and trainer.", "Leave --mode and the trainer out.")
        given = {name: getattr(finetuning, name) for name in finetuning.model_fields_set}
        given |= {"patches": patches} if patches.model_fields_set else {}
        train_grid(cohort, grid, out, given, private=private)
        return
    if mode is None:
        raise UsageError("What shall be trained is not said.", "Give --mode, or --grid FILE.")
    if frozen == finetune:
        raise UsageError(
            "Both ways to train cannot be taken at once." if frozen else "What shall be trained is not said.",
            "Give --frozen, or --finetune.",
        )
    others = sorted(finetuning.model_fields_set - set(RecipeSettings.model_fields))
    if frozen and others:
        flag = others[0].replace("_", "-")
        raise UsageError(f"--{flag} has no meaning with --frozen.", "Leave it out, or give --finetune.")
    if finetune:
        from napari_aln.workflows.training.train_finetuned import train_finetuned

        whole = finetuning.model_copy(update={"patches": patches})
        _run(train_finetuned(cohort, mode, out, whole, private=private), out)
    else:
        from napari_aln.workflows.training.train_frozen import train_frozen

        of_head = recipe.model_copy(update={"patches": patches})
        _run(train_frozen(cohort, mode, out, of_head, private=private), out)


@takes(settings=PretrainSettings)
def pretrain(
    cohort: Annotated[Path, typer.Argument(help="Table of a synthetic cohort, its truth beside the slides.")],
    out: Annotated[Path, typer.Option(help="The weights to write, for example encoder.safetensors.")],
    private: Annotated[
        bool, typer.Option("--private", help="Name the cohort table nowhere in the file.")
    ] = False,
    *,
    settings: PretrainSettings,
) -> None:
    """Train an encoder on the truth of synthetic slides, for train --encoder-weights."""
    from napari_aln.workflows.training.pretrain_encoder import pretrain_encoder

    work = pretrain_encoder(cohort, out, settings, private=private)
    progress.run(work, "pretrain", describe=lambda step: step.step)
    output.wrote(out, f"Wrote {out}.")


def train_demo(
    folder: Annotated[Path, typer.Argument(help="Where everything goes; what is there is not made again.")],
    patients: Annotated[int, typer.Option(min=20, help="How many patients to draw.")] = 240,
    seed: Annotated[int, typer.Option(min=0, help="Draws patients, weights and bags.")] = 20261121,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Processor threads to train with.")] = 1,
) -> None:
    """Make the demonstration data anew: slide, cohort, encoder, three models, and what they are worth."""
    from napari_aln.workflows.training.train_demo import train_demo as workflow

    work = workflow(folder, patients, seed, threads)
    made = progress.run(work, "train-demo", resumable=True)
    output.remark(made.read_text(encoding="utf-8"))
    output.wrote(made.parent, f"Wrote {made.parent}. {RESEARCH_NOTICE}")


def _run(work: Generator[Progress, None, Trained], out: Path) -> None:
    """Run a training to its end and tell what came of it."""
    from napari_aln.workflows.training.epochs import EpochProgress

    losses: list[float] = []
    areas: list[float] = []

    def described(step: Progress) -> str:
        if isinstance(step, EpochProgress):
            losses.append(step.loss)
            areas.append(step.validation_auc)
        if not losses or not step.step.startswith(("epoch", "validate")):
            return step.step
        seen = f"loss {losses[-1]:.3f} {curve(losses)}  validation AUC {areas[-1]:.3f} {curve(areas)}"
        return seen if isinstance(step, EpochProgress) else f"{seen}  {step.step}"

    trained = progress.run(work, "train", resumable=True, describe=described)
    for line in (*trained.left_out, *trained.remarks):
        output.warn(str(line), "")
    fitted = trained.fitted
    output.remark(f"Kept epoch {fitted.best_epoch} of {fitted.epochs}. Curves and scores: {trained.folder}.")
    _show(trained.bundle.card, out)
    if trained.left_out:
        output.warn(f"Left out: {counted(len(trained.left_out), 'slide')}.", "")
        raise typer.Exit(SOME_FAILED)


def curve(values: list[float]) -> str:
    """Return the last values as a curve of blocks, from the lowest to the highest of them."""
    shown = values[-_CURVE_WIDTH:]
    low, span = min(shown), (max(shown) - min(shown)) or 1.0
    return "".join(_BLOCKS[min(int((v - low) / span * len(_BLOCKS)), len(_BLOCKS) - 1)] for v in shown)


def _show(card: ModelCard, out: Path) -> None:
    for metric in card.metrics:
        interval = "" if metric.low is None else f" ({metric.low:.3f}-{metric.high:.3f})"
        output.remark(f"{metric.name} on {metric.cohort}: {metric.value:.3f}{interval} (n = {metric.n})")
    if card.thresholds:
        point = card.thresholds[0]
        output.remark(f"N(+) from {point.value:.3f}: {point.operating_point}, chosen on {point.chosen_on}.")
    output.wrote(out, f"Wrote {out}. {card.notice}")
