"""The head alone, on a frozen encoder's pooled features: a cohort in, a bundle with a whole card out.

Pixels are read once and their features kept (see `store.training_features`); the head then learns in minutes
on a processor. Beside the bundle a folder keeps what a cut-off training goes on from, its curves and scores.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_aln.errors import UsageError
from napari_aln.settings.engine import EngineSettings
from napari_aln.store.training_features import TrainingStore
from napari_aln.workflows.training.bundle import Order
from napari_aln.workflows.training.patients import Encoding, stored_features, usable_patients

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_aln.mil.bundle import Bundle
    from napari_aln.records import Mode, Progress
    from napari_aln.settings.training import RecipeSettings
    from napari_aln.workflows.training.bundle import Trained
    from napari_aln.workflows.training.measure_training import Embed


def train_frozen(
    cohort_csv: Path,
    mode: Mode,
    out_bundle: Path,
    recipe: RecipeSettings,
    store: TrainingStore | None = None,
    *,
    private: bool = False,
) -> Generator[Progress, None, Trained]:
    """Train a head; yield progress (`EpochProgress` at the end of epochs), return the saved model.

    Closing the generator cancels; the same call goes on from the last whole epoch.

    Parameters
    ----------
    cohort_csv
        See `cohort.table`; patients with labels, splits, slides and, inside the ROI, outlines.
    mode
        What to train.
    out_bundle
        A new ``.alnmodel`` file, or a folder.
    recipe
        See `RecipeSettings`.
    store
        Where features are kept; left out: below the cache's root.
    private
        See `bundle.Order`.

    Raises
    ------
    CohortError
        The table lacks a label, split, slide, outline or class.
    UsageError, BundleError
        The encoder's weights are missing or another encoder's.
    StoreError
        Bundle or checkpoint cannot be written, or the checkpoint is of another training.
    DeviceError
        Torch gave up, or the loss is not finite.
    """
    from napari_aln.mil.architecture import features_of
    from napari_aln.mil.training import using_threads
    from napari_aln.runtimes.torch_runtime import torch_errors
    from napari_aln.workflows.training.encoder_weights import compiled_encoder, trained_encoder
    from napari_aln.workflows.training.fit_head import fit_head

    if recipe.patches.roi_patching != "grid":
        raise UsageError("Features of the reference's patches are not stored.", "Train with --finetune.")
    order = Order(cohort_csv, mode, out_bundle, recipe, private)
    rows = order.rows()
    with using_threads(recipe.threads), torch_errors("training"):
        weights = trained_encoder(recipe, "gap")
        how = f"Encoder from {order.origin_of(weights)}, frozen; {recipe.pooling} head on pooled features."
        card = order.card(rows, weights, how)
        network = order.network(card, weights.encoder)
        engine = EngineSettings(device="cpu", precision="fp32")
        compiled, card = compiled_encoder(network, card, engine, recipe.threads)
        encoding = Encoding(card, compiled, weights.sha256, features_of(card), recipe.patches, engine)
        read = partial(stored_features, encoding=encoding, store=store or TrainingStore())
        patients, left_out = yield from usable_patients(rows, card, read, "encode slides")
        of = order.splits(patients, left_out)
        configuration = order.configuration(weights, patients)
        fitted = yield from fit_head(
            network.head, of["train"], of["val"], recipe, order.folder, configuration, card.bag_size
        )
        return (yield from order.finish(card, network, fitted, of, left_out, _embedder))


def _embedder(bundle: Bundle) -> Embed:
    from napari_aln.workflows.training.measure_training import embedded

    return partial(embedded, bundle.network().head)
