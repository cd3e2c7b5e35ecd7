"""The head alone, on a frozen encoder's pooled features: a cohort in, a bundle with a whole card out.

Pixels are read once and their features kept (see `store.training_features`); the head then learns in minutes
on a processor. Beside the bundle a folder keeps what a cut-off training goes on from, its curves and scores.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.cohort.writing import write_table
from napari_aln.errors import UsageError
from napari_aln.mil.bundle import SUFFIX, save_bundle
from napari_aln.mil.card import (
    ModelCard,
    PatchFilters,
    StainStatistics,
    TrainingCohort,
)
from napari_aln.patches.quality import cohort_stain
from napari_aln.settings import EngineSettings
from napari_aln.store.atomic import atomic_file, check_writable, storing
from napari_aln.store.training_features import TrainingStore
from napari_aln.workflows.clinical_statistics import clinical_fields
from napari_aln.workflows.measure_model import checked_on
from napari_aln.workflows.measure_training import measured, scored_patients
from napari_aln.workflows.training_patients import (
    BINARY,
    INPUT_PX,
    MPP_UM,
    OF_THREE,
    PATCH_PX,
    Encoding,
    cohort_digest,
    labelled_rows,
    require_classes,
    stored_patients,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import torch

    from napari_aln.evaluation.cases import Scored
    from napari_aln.mil.bundle import Bundle
    from napari_aln.mil.network import PatchNetwork
    from napari_aln.records import Mode, Progress
    from napari_aln.settings import RecipeSettings
    from napari_aln.workflows.fit_head import Fitted
    from napari_aln.workflows.training_patients import LeftOut, TrainingPatient

FOLDER_SUFFIX = ".training"
SCORES_NAME = "scores.csv"


@dataclass(frozen=True)
class Trained:
    """A model, and what is worth knowing of its training.

    Attributes
    ----------
    bundle
        As saved.
    fitted
        Which epoch was kept.
    folder
        Holds `metrics.csv` (a line an epoch) and `scores.csv` (validation and test, for `evaluate`).
    left_out
        Slides that could not be used.
    remarks
        Figures that are not defined, and why.
    """

    bundle: Bundle
    fitted: Fitted
    folder: Path
    left_out: tuple[LeftOut, ...]
    remarks: tuple[str, ...]


def train_frozen(
    cohort_csv: Path, mode: Mode, out_bundle: Path, recipe: RecipeSettings, store: TrainingStore | None = None
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
    from napari_aln.workflows.encoder_weights import compiled_encoder, trained_encoder
    from napari_aln.workflows.find_tumour import attention_on_tumour
    from napari_aln.workflows.fit_head import CHECKPOINT_NAME, fit_head

    if recipe.image_only and mode == "dlcnbc":
        raise UsageError("dlcnbc without clinical values is dlcnb.", "Train --mode dlcnb.")
    classes = BINARY if recipe.n_classes == 2 else OF_THREE
    table = labelled_rows(cohort_csv, mode, classes)
    check_writable(out_bundle.parent)
    folder = out_bundle.with_name(out_bundle.name.removesuffix(SUFFIX) + FOLDER_SUFFIX)
    with using_threads(recipe.threads), torch_errors("training"):
        weights = trained_encoder(recipe, "gap")
        rows = [rows[0] for rows in table.values() if rows[0].split == "train"]
        card = ModelCard(
            name=recipe.name or f"{mode} {recipe.encoder} {recipe.pooling}",
            description=f"{recipe.remarks} Encoder from {weights.origin}, frozen; {recipe.pooling} head on "
            "pooled features.".lstrip(),
            mode=mode,
            encoder=recipe.encoder,
            classes=classes,
            clinical=None if mode == "dlcnb" or recipe.image_only else clinical_fields(rows),
            patch_px=PATCH_PX,
            mpp=MPP_UM,
            **{"input_px": INPUT_PX} | weights.fields,
            attention_width=recipe.attention_width,
            pooling=recipe.pooling,
            patch_filters=PatchFilters(
                min_tissue_share=recipe.patches.min_tissue_share,
                min_entropy_bits=recipe.patches.min_entropy_bits,
                min_roi_share=recipe.patches.min_roi_share,
            ),
            licence=recipe.licence or weights.licence,
            intended_use="Research use only.",
            weights_dtype=recipe.stored_weights,
        )
        network = _network(card, recipe, weights.encoder)
        engine = EngineSettings(device="cpu", precision="fp32")
        compiled, card = compiled_encoder(network, card, engine, recipe.threads)
        encoding = Encoding(card, compiled, weights.sha256, features_of(card), recipe.patches, engine)
        patients, left_out = yield from stored_patients(table, encoding, store or TrainingStore())
        of = {split: [p for p in patients if p.rows[0].split == split] for split in ("train", "val", "test")}
        require_classes([(p.rows[0].split, p.label) for p in patients], classes, _told(cohort_csv, left_out))
        configuration = {"mode": mode, "encoder weights": weights.sha256, "cohort": cohort_digest(patients)}
        fitted = yield from fit_head(
            network.head, of["train"], of["val"], recipe, folder, configuration, card.bag_size
        )
        card = card.model_copy(
            update={
                "temperature": fitted.temperature,
                "training_cohort": _training_cohort(cohort_csv, of["train"], classes, left_out),
            }
        )
        with tempfile.TemporaryDirectory() as scratch:
            unmeasured = save_bundle(card, network.state_dict(), Path(scratch) / f"unmeasured{SUFFIX}")
            scored = yield from scored_patients(unmeasured, [*of["val"], *of["test"]])
            card, remarks = measured(card, scored)
            if card.pooling != "max":
                checked = yield from checked_on(
                    unmeasured, [row for p in of["train"] if len(p.slides) == len(p.rows) for row in p.rows]
                )
                card = card.model_copy(update=checked._asdict())
            if mode == "dlcnbc-ws" and card.pooling == "attention":
                finding = yield from attention_on_tumour(unmeasured, of["test"], recipe.patches, "test")
                card = card.model_copy(update={"metrics": (*card.metrics, *finding)})
        _write_scores(folder / SCORES_NAME, scored)
        with storing(out_bundle):
            bundle = save_bundle(card, network.state_dict(), out_bundle)
    (folder / CHECKPOINT_NAME).unlink(missing_ok=True)  # nothing is left to go on with
    return Trained(bundle, fitted, folder, tuple(left_out), remarks)


def _network(card: ModelCard, recipe: RecipeSettings, encoder: torch.nn.Module) -> PatchNetwork:
    """Return a network of this encoder and a fresh head, drawn by the seed."""
    import torch

    from napari_aln.mil.architecture import build_network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = build_network(card, recipe.dropout)
    network.encoder = encoder
    return network


def _told(cohort_csv: Path, left_out: Sequence[LeftOut]) -> str:
    lost = f" ({len(left_out)} slides left out, first: {left_out[0]})" if left_out else ""
    return f"{cohort_csv}{lost}"


def _training_cohort(
    cohort_csv: Path, patients: Sequence[TrainingPatient], classes: Sequence[str], left_out: Sequence[LeftOut]
) -> TrainingCohort:
    stains = [slide.stain for patient in patients for slide in patient.slides if slide.stain is not None]
    stain = cohort_stain(stains) if stains else None
    counts = np.bincount([patient.label for patient in patients], minlength=len(classes))
    return TrainingCohort(
        name=cohort_csv.stem,
        n_patients=len(patients),
        n_per_class=dict(zip(classes, counts.tolist(), strict=True)),
        stain=None if stain is None else StainStatistics(od_mean=stain.od_mean, od_sd=stain.od_sd),
        remarks=f"{len(left_out)} slides of the whole cohort could not be used." if left_out else "",
    )


def _write_scores(path: Path, scored: Scored) -> None:
    """Write the scores as `evaluate` reads them."""
    names = ["score"] if scored.is_binary else [f"score_{name}" for name in scored.classes]
    columns: dict[str, type] = {"patient": str, "split": str, "label": str} | dict.fromkeys(names, float)
    given = scored.positive_scores[:, None] if scored.is_binary else scored.scores
    lines = [
        {"patient": patient, "split": split, "label": scored.classes[label]}
        | dict(zip(names, map(float, row), strict=True))
        for patient, split, label, row in zip(
            scored.patients, scored.cohort, scored.labels, given, strict=True
        )
    ]
    with atomic_file(path) as temporary:
        write_table(temporary, columns, lines, ".csv")
