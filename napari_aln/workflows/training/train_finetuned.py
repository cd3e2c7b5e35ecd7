"""Encoder and head together, end to end: a cohort in, a bundle with a whole card out.

Slides are decoded once and their patches kept (see `store.training_patches`), whatever is trained on them
later. Beside the bundle a folder keeps what a cut-off training goes on from, its curves and scores.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np

from napari_aln.errors import UsageError
from napari_aln.settings.engine import EngineSettings
from napari_aln.store.training_patches import PatchStore
from napari_aln.workflows.slide.networks import settings_for_card
from napari_aln.workflows.training.bundle import Order
from napari_aln.workflows.training.patients import usable_patients
from napari_aln.workflows.training.pixels import stored_pixels

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_aln.mil.bundle import Bundle
    from napari_aln.records import Mode, Progress
    from napari_aln.settings.training import FinetuneSettings
    from napari_aln.workflows.training.bundle import Trained
    from napari_aln.workflows.training.encoder_weights import EncoderWeights
    from napari_aln.workflows.training.epochs import Patient
    from napari_aln.workflows.training.measure_training import Embed, Embedded
    from napari_aln.workflows.training.patients import TrainingPatient


def train_finetuned(
    cohort_csv: Path,
    mode: Mode,
    out_bundle: Path,
    recipe: FinetuneSettings,
    store: PatchStore | None = None,
    *,
    private: bool = False,
) -> Generator[Progress, None, Trained]:
    """Train encoder and head; yield progress (`EpochProgress` at the end of epochs), return the saved model.

    Closing the generator cancels; the same call goes on from the last whole epoch. With several GPUs the
    program is started once more for each of them; those end here once the training is over.

    Parameters
    ----------
    cohort_csv, mode, out_bundle, private
        See `bundle.Order`.
    recipe
        See `FinetuneSettings`.
    store
        Where patches are kept; left out: below the cache's root.

    Raises
    ------
    CohortError
        The table lacks a label, split, slide, outline or class.
    UsageError, BundleError
        The encoder's weights are missing or another encoder's.
    StoreError
        Patches, bundle or checkpoint cannot be written, or the checkpoint is of another training.
    DeviceError
        Torch gave up, or the loss is not finite.
    """
    from napari_aln.mil.training import using_threads
    from napari_aln.runtimes.fabric import end_others, fabric_for, part_from_others
    from napari_aln.runtimes.torch_runtime import torch_errors
    from napari_aln.workflows.training.encoder_weights import compiled_encoder
    from napari_aln.workflows.training.fit_network import fit_network

    order = Order(cohort_csv, mode, out_bundle, recipe, private)
    rows = order.rows()
    with using_threads(recipe.threads), torch_errors("training"):
        fabric = fabric_for(recipe)
        weights = _beginning(recipe)
        card = order.card(rows, weights, _how(recipe, order.origin_of(weights)), bag_size=recipe.bag_size)
        network = order.network(card, weights.encoder)
        if card.timm is not None:  # whether it can be scored with is better known before the training
            on_cpu = EngineSettings(device="cpu", precision="fp32")
            _, card = compiled_encoder(network, card, on_cpu, recipe.threads)
        read = partial(
            stored_pixels,
            card=card,
            patches=recipe.patches,
            threads=recipe.workers,
            store=store or PatchStore(),
        )
        patients, left_out = yield from usable_patients(rows, card, read, "decode slides")
        of = order.splits(patients, left_out)
        train, val = (cast("list[Patient[np.uint8]]", of[split]) for split in ("train", "val"))
        try:
            fabric.launch()
            configuration = order.configuration(weights, patients)
            fitted = yield from fit_network(network, train, val, recipe, fabric, order.folder, configuration)
        except BaseException:  # also where it is cancelled: the others would wait for this process
            end_others(fabric)
            raise
        part_from_others()
        if not fabric.is_global_zero:
            sys.exit(0)  # the first process goes on alone
        device = "cuda" if fabric.device.type == "cuda" else "cpu"
        engine = EngineSettings.model_validate({"device": device, "precision": "fp32"})
        embedder = partial(_embedder, engine=engine, threads=recipe.threads)
        return (yield from order.finish(card, network, fitted, of, left_out, embedder))


def _beginning(recipe: FinetuneSettings) -> EncoderWeights:
    """Return the encoder to begin with."""
    from napari_aln.workflows.training.encoder_weights import fresh_encoder, trained_encoder

    named = [recipe.encoder_weights is not None, recipe.encoder_from is not None, recipe.download]
    if recipe.fresh and any(named):
        raise UsageError("A fresh encoder has no weights to take over.", "Leave --fresh out.")
    if recipe.fresh:
        return fresh_encoder(recipe.encoder, recipe.pool, recipe.seed)
    if not any(named):
        raise UsageError(
            "What the encoder shall begin with is not said.",
            "Give --download (ImageNet), --encoder-weights FILE, --encoder-from BUNDLE or --fresh.",
        )
    return trained_encoder(recipe, recipe.pool)


def _how(recipe: FinetuneSettings, origin: str) -> str:
    cut = f"; ROI patching {recipe.patches.roi_patching}" if recipe.patches.roi_patching != "grid" else ""
    return (
        f"Encoder from {origin} and {recipe.pooling} head trained end to end; {recipe.optimiser}, "
        f"learning rate {recipe.learning_rate:g}, augmentation {recipe.augmentation}{cut}."
    )


def _embedder(bundle: Bundle, engine: EngineSettings, threads: int) -> Embed:
    """Return what runs a saved bundle's network on stored pixels, as `predict` runs it on a slide's."""
    from napari_aln.runtimes.base import compile_network

    engine = settings_for_card(bundle.card, engine)
    network = compile_network(bundle.network(), bundle.card.input_px, engine, threads=threads)

    def embed(patient: TrainingPatient) -> Embedded:
        lots = np.array_split(np.arange(len(patient)), -(-len(patient) // engine.batch))
        parts = [network(patient.take(some)) for some in lots]
        h, e = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return h, e

    return embed
