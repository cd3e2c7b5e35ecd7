"""Patients to train on: who they are, and the features of their slides in the training store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from napari_aln.cohort.table import SPLITS, read_cohort
from napari_aln.errors import AlnError, CohortError, DeviceError, StoreError
from napari_aln.mil.clinical import encode
from napari_aln.patches.quality import stain_stats
from napari_aln.records import Progress
from napari_aln.slides.first_open import opening_untried
from napari_aln.store.features import FeatureKey
from napari_aln.store.result import slide_made_by
from napari_aln.workflows.slide.decode import RESIZE_KERNEL
from napari_aln.workflows.slide.extract import Extraction, Want, extract
from napari_aln.workflows.slide.prepare import patches_for, require_mpp, survey, usable_roi

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.cohort.table import CohortRow
    from napari_aln.mil.card import ModelCard
    from napari_aln.patches.quality import StainStats
    from napari_aln.records import Mode
    from napari_aln.runtimes.base import CompiledNetwork
    from napari_aln.settings.engine import EngineSettings
    from napari_aln.settings.patches import PatchSettings
    from napari_aln.store.training_features import TrainingStore

    Read = Callable[[CohortRow], Generator[Progress, None, "TrainingSlide"]]

PATCH_PX, INPUT_PX = 256, 224
"""What models are trained on here: side of a patch, side of the network's input."""


class Stored(Protocol):
    """Something of each patch of a slide, on disk: pooled features, or pixels."""

    @property
    def path(self) -> Path:
        """Return the file; its folder is named by all that it depends on."""

    def __len__(self) -> int:
        """Return the number of patches."""

    def take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return (len(index), ...): of these patches."""


class TrainingSlide(NamedTuple):
    """The patches of one slide that a mode takes, and where what is learned from lies."""

    cell: NDArray[np.int64]  # (n,) identities, see `PatchTable.cell`
    stored: Stored
    stain: StainStats | None
    made_of: dict[str, Any]  # see `slide_made_by`


@dataclass(frozen=True)
class TrainingPatient:
    """A patient with a label and what is stored of all slides.

    Attributes
    ----------
    rows
        Lines of the cohort table, one a slide.
    label
        Index into the model's classes.
    clinical
        float32 (5,), or (0,) for an image-only model.
    slides
        As `rows`, those that failed left out.
    """

    rows: tuple[CohortRow, ...]
    label: int
    clinical: NDArray[np.float32]
    slides: tuple[TrainingSlide, ...]

    def __len__(self) -> int:
        return sum(len(slide.stored) for slide in self.slides)

    @property
    def patient_id(self) -> str:
        """Return the patient's id in the cohort table."""
        return self.rows[0].patient_id

    @property
    def slide_hashes(self) -> list[str]:
        """Return the quick hashes of the slides."""
        return [slide.made_of["slide_quick_hash"] for slide in self.slides]

    def cells(self) -> NDArray[np.int64]:
        """Return (n,) identities of the patches: cells of the first slide, those of others after them."""
        offset, parts = 0, []
        for slide in self.slides:
            parts.append(slide.cell + offset)
            offset += int(slide.cell.max()) + 1
        return np.concatenate(parts)

    def take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return (len(index), ...): what is stored of these of all the patient's patches."""
        if len(self.slides) == 1:
            return self.slides[0].stored.take(index)
        ends = np.cumsum([len(slide.stored) for slide in self.slides])
        of_slide = np.searchsorted(ends, index, side="right")
        parts = [
            slide.stored.take(index[of_slide == k] - (ends[k] - len(slide.stored)))
            for k, slide in enumerate(self.slides)
        ]
        return np.concatenate(parts)[np.argsort(np.argsort(of_slide, kind="stable"))]


@dataclass(frozen=True)
class LeftOut:
    """A slide that could not be used, and why."""

    patient_id: str
    slide: str
    reason: str

    def __str__(self) -> str:
        """Return one line for a log."""
        return f"Patient {self.patient_id}: {self.slide} was left out. {self.reason}"


@dataclass(frozen=True)
class Encoding:
    """What turns a slide into pooled features.

    Attributes
    ----------
    card
        Mode, patch size and µm/px are read from it.
    network
        A compiled `mil.training.FeatureNetwork`.
    weights_sha256
        Of the encoder's weights.
    width
        Values a patch.
    patches
        Which patches are taken.
    engine
        Batch and decoding threads.
    """

    card: ModelCard
    network: CompiledNetwork
    weights_sha256: str
    width: int
    patches: PatchSettings
    engine: EngineSettings


def labelled_rows(cohort_csv: Path, mode: Mode | None, classes: Sequence[str]) -> dict[str, list[CohortRow]]:
    """Read a cohort to train on: patient id -> lines, in the table's order. No mode: no outlines needed.

    Patients without a split take no part: a task of the reference leaves some out.

    Raises
    ------
    CohortError
        A line lacks what the mode needs, a label is none of the classes, or the training or validation
        split lacks a class.
    """
    needed = ["label", "slide"] + (["roi"] if mode in ("dlcnb", "dlcnbc") else [])
    patients: dict[str, list[CohortRow]] = {}
    for row in read_cohort(cohort_csv, several_slides=True):
        if row.split is None:
            continue
        lacking = [name for name in needed if getattr(row, name) is None]
        if lacking:
            raise CohortError(
                f"Patient {row.patient_id} of {cohort_csv} has no {lacking[0]}.",
                f"{f'Training {mode}' if mode else 'Every patient'} needs: {', '.join(needed)}.",
            )
        class_index(row, classes)
        patients.setdefault(row.patient_id, []).append(row)
    labels = [(rows[0].split, class_index(rows[0], classes)) for rows in patients.values()]
    require_classes(labels, classes, str(cohort_csv))
    return patients


def class_name(row: CohortRow, classes: Sequence[str]) -> str | None:
    """Return a patient's class where it is one of the model's, else None."""
    label = row.label if len(classes) == 2 else row.aln_class
    return label if label in classes else None


def clinical_columns(rows: Sequence[CohortRow]) -> dict[str, tuple[str, ...]]:
    """Return the clinical values as a table writes them, empty where unknown; none that nobody has."""
    numbers = {
        name: tuple("" if (value := getattr(row, name)) is None else f"{value:g}" for row in rows)
        for name in ("age_years", "tumor_size_cm")
    }
    receptors = {
        name: tuple(str(getattr(row, name)).replace("unknown", "") for row in rows)
        for name in ("er", "pr", "her2")
    }
    return {name: cells for name, cells in (numbers | receptors).items() if any(cells)}


def class_index(row: CohortRow, classes: Sequence[str]) -> int:
    """Return a patient's class among the model's.

    Raises
    ------
    CohortError
        The table does not say, or says another.
    """
    label = class_name(row, classes)
    if label is None:
        raise CohortError(
            f"Patient {row.patient_id} is {row.aln_class or row.label or 'of no class'}, and the classes are "
            f"{', '.join(classes)}.",
            "Give the number of metastatic nodes or the class of three."
            if len(classes) == 3
            else "Correct the label.",
        )
    return list(classes).index(label)


def require_classes(labels: Sequence[tuple[str | None, int]], classes: Sequence[str], source: str) -> None:
    """Refuse a training or validation split that lacks a class: its AUC is not defined.

    Parameters
    ----------
    labels
        Split and class of each patient.
    classes
        Their names.
    source
        Named in errors.

    Raises
    ------
    CohortError
        With the split and the class.
    """
    for split in SPLITS[:2]:
        here = [label for of, label in labels if of == split]
        missing = [name for k, name in enumerate(classes) if k not in here]
        if missing:
            why = "it chooses the epoch by its AUC" if split == "val" else "there is nothing to tell apart"
            raise CohortError(
                f"The {split} split of {source} has no patient who is {' or '.join(missing)} "
                f"({len(here)} in all): the AUC is not defined there, and {why}.",
                f"Put patients of every class into the {split} split: `napari-aln cohort split"
                f"{' --stratify-by aln_class' if len(classes) == 3 else ''}` does.",
            )


def usable_patients(
    patients: dict[str, list[CohortRow]], card: ModelCard, read: Read, step: str
) -> Generator[Progress, None, tuple[list[TrainingPatient], list[LeftOut]]]:
    """Read all slides; yield progress, return the patients and the slides that failed.

    A slide that cannot be used is left out and named; a patient without a slide is left out altogether.

    Parameters
    ----------
    patients
        See `labelled_rows`.
    card
        Classes and clinical fields are read from it.
    read
        Puts what a slide lacks into a store, and returns the slide.
    step
        Names the progress.

    Raises
    ------
    StoreError, DeviceError
        The disk is full, or a network gave up: no slide's fault.
    """
    found: list[TrainingPatient] = []
    left_out: list[LeftOut] = []
    for done, (patient_id, rows) in enumerate(patients.items()):
        yield Progress(step, done, len(patients))
        slides = []
        for row in rows:
            try:
                slides.append((yield from read(row)))
            except (StoreError, DeviceError):
                raise
            except AlnError as error:
                left_out.append(LeftOut(patient_id, row.slide.name if row.slide else "no slide", str(error)))
        if slides:
            clinical = encode(rows[0].clinical, card.clinical, fill=True)[0] if card.clinical else ()
            label = class_index(rows[0], card.classes)
            found.append(TrainingPatient(tuple(rows), label, np.array(clinical, np.float32), tuple(slides)))
    yield Progress(step, len(patients), len(patients))
    return found, left_out


def stored_features(
    row: CohortRow, encoding: Encoding, store: TrainingStore
) -> Generator[Progress, None, TrainingSlide]:
    """Return the patches of a slide that `predict` would take, their features in the store."""
    assert row.slide is not None  # see `labelled_rows`
    card, network = encoding.card, encoding.network
    is_ws = card.mode == "dlcnbc-ws"
    with (yield from opening_untried(row.slide, row.mpp)) as slide:
        made_of = slide_made_by(slide.info)
        seen = survey(slide)
        regions, _ = usable_roi(slide, None if is_ws else row.roi)
        table = patches_for(card, slide, seen, regions, encoding.patches)
        entry = store.entry(
            FeatureKey(
                slide_hash=slide.info.quick_hash,
                weights_sha256=encoding.weights_sha256,
                mpp_used=require_mpp(slide.info),
                patch_px=card.patch_px,
                patch_mpp=card.mpp,
                input_px=card.input_px,
                resize=RESIZE_KERNEL,
                reader=slide.info.reader,
                runtime=f"{network.name}-{network.device}",
                precision=network.precision,
                network=f"{card.encoder} {card.pool} {card.mean} {card.std}{_arguments(card)}",
            )
        )
        want = Want(
            network=lambda: network,
            table=table,
            width=encoding.width,
            min_entropy_bits=encoding.patches.min_entropy_bits if is_ws else None,
            entry=entry,
        )
        extraction: Extraction = yield from extract(slide, [want], card.input_px, encoding.engine)
    if extraction.warnings:
        raise StoreError(" ".join(extraction.warnings), "Training needs the store: free some space.")
    features = extraction.features[0]
    if not len(features):
        raise CohortError("It has no patch to train on.", "Lower the patch filters, or take it out.")
    if not np.isfinite(features.h).all():
        bad = int((~np.isfinite(features.h).all(axis=1)).sum())
        raise CohortError(
            f"The features of {bad} of its {len(features)} patches are not finite.",
            "Use other encoder weights, or take the slide out of the table.",
        )
    cell = features.table.cell
    return TrainingSlide(cell, entry.rows(cell, encoding.width), stain_stats(seen.rgb, seen.mask), made_of)


def _arguments(card: ModelCard) -> str:
    return "" if card.timm is None else f" {card.timm.arguments.model_dump_json(exclude_none=True)}"


def shared_slides(of: Mapping[str, Sequence[TrainingPatient]]) -> tuple[str, ...]:
    """Say whose slides stand under another name in another split: there the figures are too good."""
    seen: dict[str, TrainingPatient] = {}
    told = []
    for patient in (one for own in of.values() for one in own):
        for slide_hash in patient.slide_hashes:
            first = seen.setdefault(slide_hash, patient)
            if first.rows[0].split != patient.rows[0].split:
                told.append(
                    f"Patients {first.patient_id} ({first.rows[0].split}) and {patient.patient_id} "
                    f"({patient.rows[0].split}) have a slide of the same content: what was trained or chosen "
                    "on is judged on, and the figures are too good. See `napari-aln cohort check`."
                )
    return tuple(told)


def cohort_digest(patients: Sequence[TrainingPatient]) -> str:
    """Return what identifies patients, labels, clinical values, splits and what is stored of slides."""
    digest = hashlib.sha256()
    for patient in patients:
        row = patient.rows[0]
        digest.update(f"{patient.patient_id}|{row.split}|{patient.label}|".encode())
        digest.update(patient.clinical.tobytes())
        for slide in patient.slides:
            digest.update(slide.stored.path.parent.name.encode() + slide.cell.tobytes())
    return digest.hexdigest()[:16]
