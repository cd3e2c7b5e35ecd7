"""A small trainer: a cohort in, a model bundle with a whole card out.

The encoder learns from the truth of synthetic slides (what lies in each patch, and how its tumour nuclei are
shaped), the head from the patients' labels. Validation and test patients are scored as `predict` scores, with
the bundle as it was saved.
"""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from napari_aln.cohort.table import read_cohort
from napari_aln.cohort.truth import nuclei_path, patch_targets, read_nuclei
from napari_aln.errors import CohortError, UsageError
from napari_aln.mil.bundle import SUFFIX, open_bundle, save_bundle
from napari_aln.mil.card import (
    BAG_SIZE,
    ModelCard,
    PatchFilters,
    TrainingCohort,
)
from napari_aln.mil.clinical import encode
from napari_aln.patches.quality import stain_stats
from napari_aln.records import Progress
from napari_aln.settings import EngineSettings
from napari_aln.slides import open_slide
from napari_aln.store.atomic import check_writable, storing
from napari_aln.workflows.clinical_statistics import clinical_fields
from napari_aln.workflows.decode import decoded
from napari_aln.workflows.prepare import patches_for, require_mpp, survey, usable_roi

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_aln.cohort.table import CohortRow
    from napari_aln.mil.bundle import Bundle
    from napari_aln.mil.network import PatchNetwork
    from napari_aln.mil.training import LabelledBags
    from napari_aln.patches.quality import StainStats
    from napari_aln.records import Mode, PatchTable
    from napari_aln.runtimes.base import CompiledNetwork
    from napari_aln.settings import TrainSettings

PATCH_PX, MPP_UM, INPUT_PX = 256, 0.5, 224
ATTENTION_WIDTH = 16
_CHUNK = 16
_GAINS, _BLURS_PX, _JPEG_QUALITIES = (0.9, 1.1), (0.0, 0.8), (30, 91)


class _Patches(NamedTuple):
    """The patches of one slide that a mode takes."""

    table: PatchTable
    pixels: NDArray[np.uint8]  # (n, INPUT_PX, INPUT_PX, 3)
    side_l0: float
    mpp_um: float
    stain: StainStats | None


def train(
    cohort_csv: Path, mode: Mode, out_bundle: Path, settings: TrainSettings
) -> Generator[Progress, None, Bundle]:
    """Train a model; yield progress, return the saved bundle.

    Parameters
    ----------
    cohort_csv
        As `napari-aln cohort synthesize` writes it: labels, splits, slides and, for modes inside the ROI,
        outlines. Unless the settings name a trained encoder, the nuclei's truth lies beside the outlines.
    mode
        What to train.
    out_bundle
        A new ``.alnmodel`` file, or a folder.
    settings
        See `TrainSettings`.

    Raises
    ------
    CohortError
        The table lacks a label, split, slide or outline; or a split lacks a class; or there is no truth.
    UsageError
        The named encoder is another one.
    StoreError
        The bundle cannot be written there; found out before the work begins.
    DeviceError
        Torch gave up, for lack of memory most likely.
    AlnError
        A slide, annotation or bundle cannot be read, or lacks tissue.
    """
    from napari_aln.mil.training import using_threads  # torch is loaded only when training begins
    from napari_aln.runtimes.torch_runtime import torch_errors
    from napari_aln.workflows.measure_model import measured_card

    rows = _checked(cohort_csv, mode)
    check_writable(out_bundle.parent)
    with using_threads(settings.threads), torch_errors("training"):
        card = _plain_card(mode, rows, settings)
        network = yield from _trained_encoder(card, rows, settings)
        card, features = yield from _features(card, network, rows, settings)
        yield from _train_head(card, network, rows, features, settings)
        with tempfile.TemporaryDirectory() as scratch:
            unmeasured = save_bundle(card, network.state_dict(), Path(scratch) / f"unmeasured{SUFFIX}")
            card = yield from measured_card(unmeasured, rows)
        with storing(out_bundle):
            return save_bundle(card, network.state_dict(), out_bundle)


def _checked(cohort_csv: Path, mode: Mode) -> list[CohortRow]:
    rows = read_cohort(cohort_csv)
    needed = ["label", "split", "slide"] + (["roi"] if mode != "dlcnbc-ws" else [])
    for row in rows:
        lacking = [name for name in needed if getattr(row, name) is None]
        if lacking:
            raise CohortError(
                f"Patient {row.patient_id} of {cohort_csv} has no {lacking[0]}.",
                f"Training {mode} needs: {', '.join(needed)}.",
            )
    for split in ("train", "val", "test"):
        labels = {row.label for row in rows if row.split == split}
        if len(labels) < 2:
            raise CohortError(
                f"The {split} split of {cohort_csv} has not both labels.",
                "Put at least one N0 and one N(+) patient into each split.",
            )
    return rows


def _plain_card(mode: Mode, rows: Sequence[CohortRow], settings: TrainSettings) -> ModelCard:
    """Return the card as far as it is known before training."""
    trained_on = [row for row in rows if row.split == "train"]
    labels = [row.label or "" for row in trained_on]
    return ModelCard(
        name=settings.name or f"{mode} demo ({settings.encoder})",
        description=(
            "Demonstration model, trained on synthetic tissue, no clinical meaning. Encoder pre-trained on "
            "synthetic patch labels (cell densities; area, circularity, aspect, spacing and alignment of the "
            "tumour nuclei, training patients only), then frozen; attention head trained on patient labels."
        ),
        mode=mode,
        encoder=settings.encoder,
        pool="gap",
        clinical=None if mode == "dlcnb" else clinical_fields(trained_on),
        patch_px=PATCH_PX,
        mpp=MPP_UM,
        input_px=INPUT_PX,
        bag_size=BAG_SIZE,
        attention_width=ATTENTION_WIDTH,
        training_cohort=TrainingCohort(
            name="synthetic core-needle biopsies",
            n_patients=len(trained_on),
            n_per_class={label: labels.count(label) for label in sorted(set(labels))},
            remarks="Drawn by `napari-aln cohort synthesize`: no patient is behind any of it.",
        ),
        patch_filters=PatchFilters(
            min_tissue_share=settings.patches.min_tissue_share,
            min_entropy_bits=settings.patches.min_entropy_bits,
            min_roi_share=settings.patches.min_roi_share,
        ),
        licence="CC0-1.0",
        intended_use="Research use only: to show and test the program. Not for any patient.",
        weights_dtype="fp16",
    )


def _read(row: CohortRow, card: ModelCard, settings: TrainSettings, whole_slide: bool = False) -> _Patches:
    """Read the patches that `predict` would take: same tissue, grid, membership and entropy filter."""
    assert row.slide is not None  # see `_checked`
    card = card.model_copy(update={"mode": "dlcnbc-ws"}) if whole_slide else card
    is_ws = card.mode == "dlcnbc-ws"
    with open_slide(row.slide, mpp=row.mpp) as slide:
        seen = survey(slide)
        regions, _ = usable_roi(slide, None if is_ws else row.roi)
        table = patches_for(card, slide, seen, regions, settings.patches)
        chunks = list(decoded(slide, table, card.input_px, threads=1, chunk=_CHUNK))
        mpp_um = require_mpp(slide.info).mean
    pixels = np.concatenate([chunk.pixels for chunk in chunks])
    if is_ws:
        entropy = np.concatenate([chunk.entropy for chunk in chunks if chunk.entropy is not None])
        rich = entropy >= settings.patches.min_entropy_bits
        table, pixels = table.take(rich), pixels[rich]
    if not len(table):
        raise CohortError(f"{row.slide} has no patch to train on.", "Take the patient out of the table.")
    return _Patches(table, pixels, table.grid.step_l0[0], mpp_um, stain_stats(seen.rgb, seen.mask))


def _trained_encoder(
    card: ModelCard, rows: Sequence[CohortRow], settings: TrainSettings
) -> Generator[Progress, None, PatchNetwork]:
    """Return a network with a trained encoder and a fresh head."""
    import torch

    from napari_aln.mil.architecture import build_network
    from napari_aln.mil.training import LabelledPatches, fit_encoder

    torch.manual_seed(settings.seed)
    network = build_network(card, settings.head_dropout)
    if settings.encoder_from is not None:
        other = open_bundle(settings.encoder_from)
        if (other.card.encoder, other.card.pool) != (card.encoder, card.pool):
            raise UsageError(
                f"{settings.encoder_from} holds a {other.card.encoder}, not a {card.encoder}.",
                "Name a bundle with the same encoder.",
            )
        network.encoder.load_state_dict(other.network().encoder.state_dict())
        return network
    rng = np.random.default_rng(settings.seed)
    pixels, targets = [], []
    trained_on = [row for row in rows if row.split == "train"]
    for done, row in enumerate(trained_on):
        truth = nuclei_path(row)
        if truth is None:
            raise CohortError(
                f"There is no truth of the nuclei of patient {row.patient_id} to train an encoder on.",
                "Train on a cohort drawn by `napari-aln cohort synthesize`, or name a trained encoder.",
            )
        read = _read(row, card, settings, whole_slide=True)
        some = np.sort(rng.permutation(len(read.table))[: settings.patches_per_slide])
        pixels.append(read.pixels[some])
        places = read.table.l0_xy[some]
        targets.append(patch_targets(read_nuclei(truth), places, read.side_l0, read.mpp_um))
        yield Progress("read patches", done + 1, len(trained_on))
    steps = fit_encoder(
        network,
        LabelledPatches(np.concatenate(pixels), np.concatenate(targets)),
        steps=settings.encoder_steps,
        whole_steps=settings.encoder_whole_steps,
        batch=settings.encoder_batch,
        learning_rate=settings.encoder_learning_rate,
        seed=settings.seed,
    )
    for done, loss in steps:
        yield Progress(
            f"train encoder, loss {loss:.3f}", done, settings.encoder_steps + settings.encoder_whole_steps
        )
    return network


def _features(
    card: ModelCard, network: PatchNetwork, rows: Sequence[CohortRow], settings: TrainSettings
) -> Generator[Progress, None, tuple[ModelCard, dict[str, NDArray[np.float16]]]]:
    """Return the card with the cohort's stain, and each training and validation patient's patch features."""
    from napari_aln.mil.card import StainStatistics
    from napari_aln.mil.training import FeatureNetwork
    from napari_aln.patches.quality import cohort_stain
    from napari_aln.runtimes.base import compile_network

    engine: CompiledNetwork = compile_network(
        FeatureNetwork(network), card.input_px, EngineSettings(), threads=settings.threads
    )
    features: dict[str, NDArray[np.float16]] = {}
    stains: list[StainStats] = []
    rng = np.random.default_rng(settings.seed)
    wanted = [row for row in rows if row.split in ("train", "val")]
    for done, row in enumerate(wanted):
        read = _read(row, card, settings)
        times = settings.renditions if row.split == "train" else 0
        seen_as = [read.pixels, *(rendition(read.pixels, rng) for _ in range(times))]
        features[row.patient_id] = np.concatenate([engine(p)[0].astype(np.float16) for p in seen_as])
        if row.split == "train" and read.stain is not None:
            stains.append(read.stain)
        yield Progress("encode slides", done + 1, len(wanted))
    if stains:
        stain = cohort_stain(stains)
        known = StainStatistics(od_mean=stain.od_mean, od_sd=stain.od_sd)
        cohort = card.training_cohort.model_copy(update={"stain": known})
        card = card.model_copy(update={"training_cohort": cohort})
    return card, features


def rendition(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return patches as another scanner might have stored them: recoloured, softer, and compressed anew.

    Without these a model's answer hangs on the compression: the same slide, stored again, moved a probability
    by 0.05.

    Parameters
    ----------
    pixels
        uint8 (n, S, S, 3).
    rng
        Draws for each patch a gain a channel, a blur and a JPEG quality.
    """
    stored = np.empty_like(pixels)
    gains = rng.uniform(*_GAINS, (len(pixels), 1, 1, 3))
    recoloured = np.clip(pixels * gains, 0, 255).astype(np.uint8)
    for index, quality in enumerate(rng.integers(*_JPEG_QUALITIES, len(pixels))):
        file = BytesIO()
        soft = Image.fromarray(recoloured[index]).filter(ImageFilter.GaussianBlur(rng.uniform(*_BLURS_PX)))
        soft.save(file, "JPEG", quality=int(quality))
        stored[index] = np.asarray(Image.open(file))
    return stored


def _labelled(
    card: ModelCard, rows: Sequence[CohortRow], features: dict[str, NDArray[np.float16]], split: str
) -> LabelledBags:
    from napari_aln.mil.training import LabelledBags

    mine = [row for row in rows if row.split == split]
    clinical = [encode(row.clinical, card.clinical, fill=True)[0] for row in mine] if card.clinical else []
    return LabelledBags(
        [features[row.patient_id] for row in mine],
        np.array(clinical, np.float32).reshape(len(mine), card.n_clinical),
        np.array([row.is_positive for row in mine]),
    )


def _train_head(
    card: ModelCard,
    network: PatchNetwork,
    rows: Sequence[CohortRow],
    features: dict[str, NDArray[np.float16]],
    settings: TrainSettings,
) -> Generator[Progress, None, None]:
    """Train the network's head; leave the epoch of the best validation AUC in it."""
    from napari_aln.mil.training import fit_head

    steps = fit_head(
        network.head,
        _labelled(card, rows, features, "train"),
        _labelled(card, rows, features, "val"),
        settings,
    )
    for epoch, loss, auc in steps:
        yield Progress(f"train head, loss {loss:.3f}, validation AUC {auc:.3f}", epoch, settings.head_epochs)
