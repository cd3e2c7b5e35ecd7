"""What every trainer of a bundle begins and ends with: cohort, first card, measured card, scores, bundle."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_aln.cohort.table import SPLITS, read_cohort
from napari_aln.cohort.wording import counted
from napari_aln.errors import StoreError, UsageError
from napari_aln.mil.bundle import save_bundle
from napari_aln.mil.bundle_file import refuse_foreign_bundle
from napari_aln.mil.bundle_names import BUNDLE_SUFFIX
from napari_aln.mil.card import ModelCard, PatchFilters, StainStatistics, TrainingCohort
from napari_aln.patches.quality import cohort_stain
from napari_aln.records import BINARY, RESEARCH_NOTICE, THREE_CLASSES
from napari_aln.settings.training import WEIGHT_FILES
from napari_aln.store.atomic import atomic_file, check_writable, storing
from napari_aln.store.cohort_run import now
from napari_aln.store.json_document import parse_json
from napari_aln.store.machine import machine_facts
from napari_aln.store.result import HIDDEN, patient_alias, shown_name
from napari_aln.versions import package_versions
from napari_aln.workflows.training.clinical_statistics import clinical_fields
from napari_aln.workflows.training.curves import CHECKPOINT_NAME, SCORES_NAME, can_go_on, training_folder
from napari_aln.workflows.training.find_tumour import attention_on_tumour
from napari_aln.workflows.training.measure_model import checked_on
from napari_aln.workflows.training.measure_training import measured, scored_patients
from napari_aln.workflows.training.patients import (
    INPUT_PX,
    PATCH_PX,
    cohort_digest,
    labelled_rows,
    require_classes,
    shared_slides,
)
from napari_aln.workflows.training.score_file import write_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    import torch

    from napari_aln.cohort.table import CohortRow
    from napari_aln.mil.bundle import Bundle
    from napari_aln.mil.network import PatchNetwork
    from napari_aln.records import Mode, Progress
    from napari_aln.settings.training import RecipeSettings
    from napari_aln.workflows.training.encoder_weights import EncoderWeights
    from napari_aln.workflows.training.epochs import Fitted
    from napari_aln.workflows.training.measure_training import Embed
    from napari_aln.workflows.training.patients import LeftOut, TrainingPatient

RECORD_NAME = "training.json"
_PACKAGES = ("lightning-fabric",)  # beside those of every record
_MAY_DIFFER = ("restart", "threads", "workers", "device", "gpus", "name", "remarks", "licence")
_AGAIN = "Name another --out, or replace it with --restart."


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
        Holds `metrics.csv` (a line an epoch), `scores.csv` (validation and test, for `evaluate`) and
        `training.json` (what repeats it: recipe, inputs by hash, versions).
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


class _Table(NamedTuple):
    """What else is told of a cohort table."""

    sha256: str
    without_split: int  # patients


@dataclass(frozen=True)
class Order:
    """What a trainer is asked for.

    Attributes
    ----------
    cohort_csv
        See `cohort.table`; patients with labels, splits, slides and, inside the ROI, outlines.
    mode
        What to train.
    out_bundle
        A new ``.alnmodel`` file, or a folder.
    recipe
        How.
    private
        Name the cohort table, the encoder's file and the patients nowhere in what is written.
    """

    cohort_csv: Path
    mode: Mode
    out_bundle: Path
    recipe: RecipeSettings
    private: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes; the first is N0."""
        return BINARY if self.recipe.n_classes == 2 else THREE_CLASSES

    @property
    def folder(self) -> Path:
        """Return the folder beside the bundle: checkpoint, curves and scores."""
        return training_folder(self.out_bundle)

    def rows(self) -> dict[str, list[CohortRow]]:
        """Return the cohort's lines by patient.

        Raises
        ------
        UsageError, CohortError
            The order contradicts itself, or the table lacks something.
        StoreError, BundleError
            The bundle cannot be written there: found out before the work begins.
        """
        if self.recipe.image_only and self.mode == "dlcnbc":
            raise UsageError("dlcnbc without clinical values is dlcnb.", "Train --mode dlcnb.")
        table = labelled_rows(self.cohort_csv, self.mode, self.classes)
        _ = self._table  # read now: hours later it may be another one
        refuse_foreign_bundle(self.out_bundle)
        check_writable(self.out_bundle.parent)
        self._refuse_another_model()
        return table

    def _refuse_another_model(self) -> None:
        """Refuse to replace a finished model by one of other settings: its training may have taken days."""
        if self.recipe.restart or not self.out_bundle.exists() or can_go_on(self.out_bundle):
            return  # whether an unfinished one is of this training its checkpoint says
        try:
            record = parse_json((self.folder / RECORD_NAME).read_bytes())
            was = {"trainer": record["trainer"], "mode": record["mode"], **record["recipe"]}
            was["cohort"] = record["cohort"]["sha256"][:10]
        except (OSError, ValueError, KeyError, TypeError):
            fact = f"{self.out_bundle} exists and is not the model of this training."
            raise StoreError(fact, _AGAIN) from None
        now_is = {"trainer": self._trainer, "mode": self.mode, **self._recipe_record()}
        now_is["cohort"] = self._table.sha256[:10]
        differing = [
            f"{name.replace('_', ' ')} is {now_is[name]} and was {was.get(name, 'not set')}"
            for name in now_is
            if name not in _MAY_DIFFER and now_is[name] != was.get(name, "not set")
        ]
        if differing:
            raise StoreError(
                f"{self.out_bundle} is the model of another training: {'; '.join(differing[:3])}.", _AGAIN
            )

    @property
    def _trainer(self) -> str | None:
        return self.recipe.model_config.get("title")

    def _recipe_record(self) -> dict[str, Any]:
        """Return the recipe as it is written down: the folders above a file may be called after anybody."""
        recipe = self.recipe.model_dump(mode="json")
        for name in WEIGHT_FILES:
            path = getattr(self.recipe, name)
            recipe[name] = None if path is None else HIDDEN if self.private else shown_name(path)
        return recipe

    @cached_property
    def _table(self) -> _Table:
        rows = read_cohort(self.cohort_csv, several_slides=True)
        lacking = {row.patient_id for row in rows if row.split is None}
        return _Table(hashlib.sha256(self.cohort_csv.read_bytes()).hexdigest(), len(lacking))

    def card(
        self, rows: dict[str, list[CohortRow]], weights: EncoderWeights, how: str, **fields: int
    ) -> ModelCard:
        """Return the card as far as it is known before training.

        Parameters
        ----------
        rows
            See `rows`.
        weights
            What the encoder begins with.
        how
            The training in words.
        **fields
            Further fields of the card.
        """
        recipe, trained_on = self.recipe, [own[0] for own in rows.values() if own[0].split == "train"]
        return ModelCard(
            name=recipe.name or f"{self.mode} {recipe.encoder} {recipe.pooling}",
            description=f"{recipe.remarks} {how}".lstrip(),
            mode=self.mode,
            encoder=recipe.encoder,
            classes=self.classes,
            clinical=None if self.mode == "dlcnb" or recipe.image_only else clinical_fields(trained_on),
            patch_px=PATCH_PX,
            mpp=recipe.mpp,
            **{"input_px": INPUT_PX} | weights.fields | fields,
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

    def origin_of(self, weights: EncoderWeights) -> str:
        """Return in words where an encoder's weights come from; in private mode a file's by their hash."""
        is_file = self.recipe.encoder_from is not None or self.recipe.encoder_weights is not None
        return f"weights {weights.sha256[:10]}" if self.private and is_file else weights.origin

    def network(self, card: ModelCard, encoder: torch.nn.Module) -> PatchNetwork:
        """Return a network of this encoder and a fresh head, drawn by the seed."""
        import torch

        from napari_aln.mil.architecture import build_network

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            network = build_network(card, self.recipe.dropout)
        network.encoder = encoder
        return network

    def configuration(self, weights: EncoderWeights, patients: Sequence[TrainingPatient]) -> dict[str, str]:
        """Return what a training depends on besides its recipe."""
        return {"mode": self.mode, "encoder weights": weights.sha256, "cohort": cohort_digest(patients)}

    def splits(
        self, patients: Sequence[TrainingPatient], left_out: Sequence[LeftOut]
    ) -> dict[str, list[TrainingPatient]]:
        """Return the patients of each split.

        Raises
        ------
        CohortError
            So many slides were left out that a split lacks a class.
        """
        lost = f" ({counted(len(left_out), 'slide')} left out, first: {left_out[0]})" if left_out else ""
        labels = [(p.rows[0].split, p.label) for p in patients]
        require_classes(labels, self.classes, f"{self.cohort_csv}{lost}")
        return {split: [p for p in patients if p.rows[0].split == split] for split in SPLITS}

    def finish(
        self,
        card: ModelCard,
        network: PatchNetwork,
        fitted: Fitted,
        of: dict[str, list[TrainingPatient]],
        left_out: Sequence[LeftOut],
        embedder: Callable[[Bundle], Embed],
    ) -> Generator[Progress, None, Trained]:
        """Measure what was trained, write its scores and save it with a whole card; yield progress.

        Parameters
        ----------
        card, network, fitted
            What was trained.
        of
            Patients of each split, see `splits`. The test patients are scored here and nowhere before.
        left_out
            Slides that could not be used.
        embedder
            Returns what embeds patients with a saved bundle, see `measure_training.scored_patients`.

        Raises
        ------
        StoreError
            Bundle or scores cannot be written.
        """
        about = self._training_cohort(of["train"], left_out)
        card = card.model_copy(update={"temperature": fitted.temperature, "training_cohort": about})
        with tempfile.TemporaryDirectory() as scratch:
            unmeasured = save_bundle(card, network.state_dict(), Path(scratch) / f"unmeasured{BUNDLE_SUFFIX}")
            embed = embedder(unmeasured)
            scored = yield from scored_patients(unmeasured, [*of["val"], *of["test"]], embed)
            card, remarks = measured(card, scored)
            if card.pooling != "max":
                whole = [p for p in of["train"] if len(p.slides) == len(p.rows)]
                checked = yield from checked_on(unmeasured, [row for p in whole for row in p.rows])
                card = card.model_copy(update=checked._asdict())
            if self.mode == "dlcnbc-ws" and card.pooling == "attention":
                finding = yield from attention_on_tumour(
                    unmeasured, of["test"], embed, self.recipe.patches, "test"
                )
                card = card.model_copy(update={"metrics": (*card.metrics, *finding)})
        if self.private:
            alias = {p.patient_id: patient_alias(p.slide_hashes) for p in [*of["val"], *of["test"]]}
            scored = replace(scored, patients=tuple(alias[one] for one in scored.patients))
        write_scores(self.folder / SCORES_NAME, scored)
        if self._table.without_split:
            lacking = counted(self._table.without_split, "patient")
            remarks += (f"{lacking} of {self.cohort_csv} without a split took no part.",)
        remarks += shared_slides(of)
        with storing(self.out_bundle):
            bundle = save_bundle(card, network.state_dict(), self.out_bundle)
        self._write_record(bundle, fitted, left_out, [p for own in of.values() for p in own])
        (self.folder / CHECKPOINT_NAME).unlink(missing_ok=True)  # nothing is left to go on with
        return Trained(bundle, fitted, self.folder, tuple(left_out), remarks)

    def _write_record(
        self,
        bundle: Bundle,
        fitted: Fitted,
        left_out: Sequence[LeftOut],
        patients: Sequence[TrainingPatient],
    ) -> None:
        """Write down what repeats the training; it names no patient and no slide, these by their hashes."""
        slides = [
            slide.made_of | {"split": patient.rows[0].split}
            for patient in patients
            for slide in patient.slides
        ]
        record = {
            "notice": RESEARCH_NOTICE,
            "trainer": self._trainer,
            "mode": self.mode,
            "recipe": self._recipe_record(),
            "cohort": {
                "name": None if self.private else self.cohort_csv.name,
                "sha256": self._table.sha256,
                "slides_left_out": len(left_out),
            },
            "fitted": asdict(fitted),
            "slides": sorted(slides, key=lambda slide: slide["slide_quick_hash"]),
            "bundle_sha256": bundle.sha256,
            "card_sha256": bundle.card_sha256,
            "created": now(),
            "versions": package_versions() | {name: version(name) for name in _PACKAGES},
            "machine": machine_facts(with_accelerator=getattr(self.recipe, "device", "cpu") != "cpu"),
        }
        with atomic_file(self.folder / RECORD_NAME) as temporary:
            temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def _training_cohort(
        self, patients: Sequence[TrainingPatient], left_out: Sequence[LeftOut]
    ) -> TrainingCohort:
        stains = [slide.stain for patient in patients for slide in patient.slides if slide.stain is not None]
        stain = cohort_stain(stains) if stains else None
        counts = np.bincount([patient.label for patient in patients], minlength=len(self.classes))
        return TrainingCohort(
            name="" if self.private else self.cohort_csv.stem,
            n_patients=len(patients),
            n_per_class=dict(zip(self.classes, counts.tolist(), strict=True)),
            stain=None if stain is None else StainStatistics(od_mean=stain.od_mean, od_sd=stain.od_sd),
            remarks=f"{counted(len(left_out), 'slide')} of the whole cohort could not be used."
            if left_out
            else "",
        )
