"""All demonstration data anew from a seed: slide, cohort, encoder, three models, and what they are worth.

Each step leaves files in one folder and is passed over where they are, so the same call goes on after any
end. The test patients are scored once, after everything has been chosen on validation.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_aln.cohort.synthesize import synthesize
from napari_aln.cohort.table import read_cohort, write_cohort
from napari_aln.cohort.writing import write_table
from napari_aln.mil.bundle import open_bundle
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.settings.cohorts import SplitSettings, SynthesizeSettings
from napari_aln.settings.training import PretrainSettings, RecipeSettings
from napari_aln.store.atomic import atomic_file, check_writable, storing
from napari_aln.store.cohort_run import now
from napari_aln.store.result import write_made_by
from napari_aln.store.training_features import TrainingStore
from napari_aln.versions import package_versions
from napari_aln.workflows.cohorts.split_cohort import split_cohort
from napari_aln.workflows.demo import BUNDLES, CLINICAL, ROI, SLIDE, THREE_CLASS
from napari_aln.workflows.training.pretrain_encoder import pretrain_encoder
from napari_aln.workflows.training.train_frozen import train_frozen

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_aln.mil.card import Metric, ModelCard
    from napari_aln.records import Mode, Progress

FIGURES_NAME = "figures.md"
COHORT_NAME = "synthetic-biopsies.csv"
"""The cohort with its splits, each class of three in each."""

_DEMO_PATIENT, _DEMO_PATIENTS, _DEMO_SEED = "S0002", 6, 7

_REMARKS = "Demonstration model, trained on synthetic tissue, no clinical meaning."
_LICENCE = "CC0-1.0"


class DemoSettings(NamedTuple):
    """How the demonstration data is made, besides size, seed and threads."""

    cohort: SynthesizeSettings = SynthesizeSettings()
    split: SplitSettings = SplitSettings(test_share=0.25, val_share=0.25, stratify_by="aln_class")
    demo_slide: SynthesizeSettings = SynthesizeSettings(
        cores=(3, 3), core_width_um=(620.0, 760.0), core_length_um=(2300.0, 2800.0)
    )
    encoder: PretrainSettings = PretrainSettings()
    head: RecipeSettings = RecipeSettings()


class _Model(NamedTuple):
    name: str
    mode: Mode
    n_classes: int


MODELS = dict(
    zip(
        (*BUNDLES, THREE_CLASS),
        (
            _Model("DLCNBC demo", "dlcnbc", 2),
            _Model("DLCNBC-WS demo", "dlcnbc-ws", 2),
            _Model("DLCNBC-WS three-class demo", "dlcnbc-ws", 3),
        ),
        strict=True,
    )
)


def train_demo(
    folder: Path, patients: int, seed: int, threads: int = 1, settings: DemoSettings | None = None
) -> Generator[Progress, None, Path]:
    """Make what `sample_data` holds; yield progress, return ``figures.md``.

    Parameters
    ----------
    folder
        Gets the demonstration slide with outlines and clinical values, ``cohort``, ``encoder.safetensors``,
        the three bundles and, beside each, its training (scores for `evaluate`).
    patients
        Of the cohort: 56 % to train, 19 % to choose on, 25 % to test, stratified by class of three.
    seed
        Draws cohort, weights and bags.
    threads
        Processor threads to train with.
    settings
        See `DemoSettings`.

    Raises
    ------
    AlnError
        See `synthesize`, `pretrain_encoder` and `train_frozen`.
    """
    settings = settings or DemoSettings()
    check_writable(folder)
    drawn, table = (folder / "cohort" / name for name in ("cohort.csv", COHORT_NAME))
    if not drawn.exists():
        yield from synthesize(drawn.parent, patients, seed, settings.cohort)
    if not table.exists():
        split_cohort(drawn, table, settings.split.model_copy(update={"seed": seed}))
    encoder = folder / "encoder.safetensors"
    if not encoder.exists():
        common = {"seed": seed, "threads": threads}
        yield from pretrain_encoder(table, encoder, settings.encoder.model_copy(update=common))
    cards = []
    for file_name, model in MODELS.items():
        out = folder / file_name
        if not out.exists():
            own = {
                "name": model.name,
                "remarks": _REMARKS,
                "licence": _LICENCE,
                "stored_weights": "fp16",
                "n_classes": model.n_classes,
                "encoder_weights": encoder,
                "seed": seed,
                "threads": threads,
            }
            recipe = settings.head.model_copy(update=own)
            yield from train_frozen(table, model.mode, out, recipe, TrainingStore(folder / "features"))
        cards.append(open_bundle(out).card)
    yield from _demo_slide(folder, settings.demo_slide)
    return _write_figures(folder, cards)


def _demo_slide(folder: Path, settings: SynthesizeSettings) -> Generator[Progress, None, None]:
    """Draw the demonstration slide, of a cohort of its own: no model has seen it."""
    if (folder / CLINICAL).exists():
        return
    table = folder / "demo-cohort" / "cohort.csv"
    if not table.exists():
        yield from synthesize(table.parent, _DEMO_PATIENTS, _DEMO_SEED, settings)
    (row,) = (row for row in read_cohort(table) if row.patient_id == _DEMO_PATIENT)
    assert row.slide is not None  # as drawn
    assert row.roi is not None
    with storing(folder):
        shutil.copy(row.slide, folder / SLIDE)
        shutil.copy(row.roi, folder / ROI)
    slide, roi = Path(SLIDE), Path(ROI)
    own = {"patient_id": slide.stem, "slide": slide, "roi": roi, "split": None}
    with atomic_file(folder / CLINICAL) as temporary:
        write_cohort(temporary, [row.model_copy(update=own)], ".csv")


def _write_figures(folder: Path, cards: list[ModelCard]) -> Path:
    """Write what the cards say, as a table to read and as one to compute with."""
    lines = [
        {"model": card.name} | metric.model_dump(include={"name", "cohort", "n", "value", "low", "high"})
        for card in cards
        for metric in card.metrics
    ]
    columns: dict[str, type] = {"model": str, "cohort": str, "name": str, "n": int}
    columns |= dict.fromkeys(("value", "low", "high"), float)
    with atomic_file(folder / "figures.csv") as temporary:
        write_table(temporary, columns, lines, ".csv")
    models = [{"name": card.name, "mode": card.mode, "sha256": card.weights_sha256} for card in cards]
    each = "the full record of a training is training.json in the folder beside its bundle"
    made_by = {"notice": RESEARCH_NOTICE, "created": now(), "models": models, "each_training": each}
    write_made_by(folder / "figures.csv", made_by | {"versions": package_versions()})
    text = [_as_markdown(cards, cohort) for cohort in ("test", "validation")]
    with atomic_file(folder / FIGURES_NAME) as temporary:
        temporary.write_text("\n".join(text), encoding="utf-8")
    return folder / FIGURES_NAME


def _as_markdown(cards: list[ModelCard], cohort: str) -> str:
    """Return a table of the cards' figures on one cohort, a model in each column."""
    found = [{m.name: m for m in card.metrics if m.cohort == cohort} for card in cards]
    names = list(dict.fromkeys(name for own in found for name in own))
    n = max((m.n for own in found for m in own.values()), default=0)
    head = ["", *(card.name for card in cards)]
    rows = [[name, *(_cell(own.get(name)) for own in found)] for name in names]
    lines = [" | ".join(cells) for cells in (head, ["---"] * len(head), *rows)]
    return f"{cohort.capitalize()}, n = {n}, 95 % intervals\n\n" + "".join(f"| {line} |\n" for line in lines)


def _cell(metric: Metric | None) -> str:
    if metric is None:
        return "–"
    interval = "" if metric.low is None else f" ({metric.low:.3f}–{metric.high:.3f})"
    return f"{metric.value:.3f}{interval}"
