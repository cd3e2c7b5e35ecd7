"""The models behind results of a cohort: what they say of patients, their operating points, what made it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_aln.errors import StoreError, UsageError
from napari_aln.evaluation.operating_points import CARD, OperatingPoint
from napari_aln.store.json_document import parse_json
from napari_aln.store.result import runs_made_by
from napari_aln.store.worklist_records import RunSummary
from napari_aln.workflows.review.worklist import patient_runs
from napari_aln.workflows.sources import find_bundle
from napari_aln.workflows.training.bundle import RECORD_NAME
from napari_aln.workflows.training.curves import training_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_aln.mil.bundle import Bundle
    from napari_aln.records import RunRecord
    from napari_aln.store.result import ResultDocument
    from napari_aln.workflows.evaluation.joined_results import SlideOutcome
    from napari_aln.workflows.review.worklist import PatientRun

_LEARNED = ("train", "val")
"""Splits whose slides a model learned from, or was chosen by."""
_NO_INFLUENCE = ("model_name", "n_patches", "n_bags", "n_partitions", "jpeg_decoder")
_MACHINERY = {"cache", "batch", "decode_threads", "device", "jpeg_decoding"}
"""Settings of the engine that change no number."""


@dataclass
class CohortModel:
    """One model's results of one folder.

    Attributes
    ----------
    name
        In tables and figures.
    record
        A run on any slide: mode, hashes and classes are those of all.
    of_patient
        What it says of each patient who has a result.
    documents
        The results of each of these patients' slides.
    bundle
        Where it was found.
    learned_from
        Quick hashes of the slides that it was trained on or chosen by; None: not known.
    """

    name: str
    record: RunRecord
    of_patient: dict[str, PatientRun]
    documents: dict[str, list[ResultDocument]]
    bundle: Bundle | None = None
    learned_from: frozenset[str] | None = None

    @property
    def records(self) -> list[RunRecord]:
        """The runs on all slides."""
        of_all = (one for own in self.documents.values() for one in own)
        return [run for one in of_all for run in one.runs if run.run == self.record.run]

    def keep(self, patients: Sequence[str]) -> None:
        """Keep what is said of these patients alone."""
        self.of_patient = {one: self.of_patient[one] for one in patients}
        self.documents = {one: self.documents[one] for one in patients}

    @property
    def points(self) -> list[OperatingPoint]:
        """A binary model's own operating points besides 0.5; without its bundle the one that results used."""
        record, bundle = self.record, self.bundle
        if record.threshold is None:
            return []
        points = [(record.operating_point.partition(",")[0], record.threshold)]
        if bundle is not None and bundle.card_sha256 == record.card_sha256:
            points = [(one.operating_point, one.value) for one in bundle.card.thresholds] or points
        return [OperatingPoint(name, value, CARD) for name, value in points if value != 0.5]

    @property
    def differences(self) -> list[str]:
        """The settings in which the runs differ, with their values."""
        values: dict[str, set[str]] = {}
        for record in self.records:
            own = {"seed": record.seed, "precision": record.precision, "µm/px": record.mpp_used}
            for name, value in (_flat(record.settings) | own).items():
                values.setdefault(name.replace("_", " "), set()).add(json.dumps(value))
        return [f"{name} ({', '.join(sorted(seen))})" for name, seen in values.items() if len(seen) > 1]

    def made_by(self) -> dict[str, object]:
        """Return what made the results, in plain values for JSON."""
        told = (runs_made_by([run])[run.run] for run in self.records)
        return {
            "name": self.name,
            "mode": self.record.mode,
            "model_sha256": self.record.model_sha256,
            "card_sha256": self.record.card_sha256,
            "operating_points": [one._asdict() for one in self.points],
            "made_with": distinct({k: v for k, v in one.items() if k not in _NO_INFLUENCE} for one in told),
        }


def models_of(
    folder: Path, outcomes: Sequence[SlideOutcome], owners: Sequence[str | None]
) -> list[CohortModel]:
    """Return the models whose results a folder holds, one a mode.

    Parameters
    ----------
    folder
        Named in errors.
    outcomes, owners
        See `read_outcomes` and `join`.

    Raises
    ------
    StoreError
        Several models of one mode made the results.
    """
    runs: dict[str, dict[str, dict[int, RunSummary]]] = {}  # run -> patient -> slide -> what it says
    records: dict[str, RunRecord] = {}
    documents: dict[str, dict[str, list[ResultDocument]]] = {}
    for number, (outcome, owner) in enumerate(zip(outcomes, owners, strict=True)):
        if outcome.document is None or owner is None:
            continue
        for record in outcome.document.runs:
            first = records.setdefault(record.run, record)
            if (record.model_sha256, record.card_sha256) != (first.model_sha256, first.card_sha256):
                raise StoreError(
                    f"The results of {record.run} in {folder} were made by different models.",
                    "Run predict again on the whole table, each model into a folder of its own.",
                )
            of_run = documents.setdefault(record.run, {})
            of_run.setdefault(owner, []).append(outcome.document)
            said = runs.setdefault(record.run, {})
            said.setdefault(owner, {})[number] = RunSummary.of(record)
    return [
        CohortModel(
            record.model_name,
            record,
            {
                patient: patient_runs({n: [own] for n, own in of.items()})[0]
                for patient, of in runs[run].items()
            },
            documents[run],
        )
        for run, record in records.items()
    ]


def with_bundles(
    models: Sequence[CohortModel], given: Sequence[Path], near: Sequence[Path]
) -> list[CohortModel]:
    """Return the models to be judged, with their bundles and what they learned from, as far as found.

    Parameters
    ----------
    models
        See `models_of`.
    given
        Bundles, or folders that hold them: these alone are judged. Empty: all.
    near
        Files beside which to look where none is given.

    Raises
    ------
    UsageError
        None of those given is among the models.
    BundleError
        One of those given is damaged.
    """
    folders = list(dict.fromkeys([*(path.absolute().parent for path in near), Path.cwd()]))
    kept = []
    for model in models:
        record = model.record
        try:
            bundle = find_bundle(record.model_sha256, record.card_sha256, given, folders)
        except UsageError:
            if not given:
                kept.append(model)
            continue
        model.bundle, model.learned_from = bundle, _learned_from(bundle)
        kept.append(model)
    if models and not kept:
        names = ", ".join(f"{model.name} ({model.record.model_sha256[:12]}…)" for model in models)
        raise UsageError(
            f"None of the models given made the results, which are of {names}.",
            "Leave --model out, or name the bundle that `predict` was given.",
        )
    return kept


def _learned_from(bundle: Bundle) -> frozenset[str] | None:
    """Return the hashes of the slides a model was trained on and chosen by; None where that is not known."""
    try:
        record = parse_json((training_folder(bundle.path) / RECORD_NAME).read_bytes())
        if record["bundle_sha256"] != bundle.sha256:
            return None
        return frozenset(
            slide["slide_quick_hash"] for slide in record["slides"] if slide.get("split", "train") in _LEARNED
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that numbers depend on, those within others by their own name."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in _MACHINERY:
            flat |= _flat(value) if isinstance(value, dict) else {name: value}
    return flat


def distinct(facts: Iterable[object]) -> list[object]:
    """Return plain values for JSON, of equal ones the first."""
    return [json.loads(text) for text in dict.fromkeys(json.dumps(one, sort_keys=True) for one in facts)]
