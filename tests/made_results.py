"""Results of `predict` on a cohort as its folder has them, without slides and models."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, NamedTuple

from napari_aln.records import RunRecord
from napari_aln.settings.prediction import PredictSettings
from napari_aln.store.result import ResultDocument, SlideFacts, alias_of_hash, write_document
from napari_aln.workflows.cohorts.slide_tasks import Asked
from napari_aln.workflows.cohorts.summary import ModelFacts, SlideLine, failures_first, runs_of, write_summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MODEL = {"model_name": "their model", "model_sha256": "a" * 64, "card_sha256": "b" * 64}
BINARY = ("N0", "N(+)")


class Made(NamedTuple):
    """A slide, and what a model says of it."""

    name: str  # of its file, or what private mode calls it
    patient_id: str  # as the summary has it
    score: float | Sequence[float] | None  # of N(+), or of each class; None: it failed
    quick_hash: str = ""  # left out: made of the name
    changes: Mapping[str, object] = {}  # fields of its run


def hash_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def record_of(probabilities: Mapping[str, float], mode: str = "dlcnbc-ws", **changes: object) -> RunRecord:
    fields = {
        "run": mode,
        "mode": mode,
        **MODEL,
        "classes": tuple(probabilities),
        "probabilities": dict(probabilities),
        "bag_spread": dict.fromkeys(probabilities, 0.1),
        "prediction": max(probabilities, key=probabilities.__getitem__),
        "threshold": 0.4 if len(probabilities) == 2 else None,
        "operating_point": "Youden, N(+) from 0.400, chosen on validation",
        "default_map": "attention_slide",
        "n_patches": 30,
        "n_bags": 3,
        "n_partitions": 1,
        "bag_probabilities": (),
        "seed": 0,
        "mpp_used": 0.5,
        "patch_px": 256,
        "clinical": None,
        "clinical_filled": {},
        "settings": PredictSettings().model_dump(mode="json"),
        "runtime": "torch",
        "device": "cpu",
        "precision": "fp32",
        "norm_statistics": "running",
        "seconds": {},
    }
    return RunRecord(**(fields | changes))


def write_results(
    out: Path,
    slides: Sequence[Made],
    modes: Sequence[str] = ("dlcnbc-ws",),
    classes: Sequence[str] = BINARY,
    *,
    private: bool = False,
    **model: str,
) -> Path:
    """Write a result folder for each slide that has a score, and the summary; `model`: names and hashes."""
    lines = []
    for number, slide in enumerate(slides, start=1):
        if slide.score is None:
            line = SlideLine(
                number, slide.name, slide.patient_id, "failed", "It is damaged.", "Copy it again."
            )
            lines.append(line)
            continue
        scores = (1 - slide.score, slide.score) if isinstance(slide.score, float) else slide.score
        said = dict(zip(classes, scores, strict=True))
        runs = tuple(record_of(said, mode, **(model | dict(slide.changes))) for mode in modes)
        quick_hash = slide.quick_hash or hash_of(slide.name)
        document = document_of(slide.name, quick_hash, runs, private=private)
        folder = out / f"result-{number}"
        folder.mkdir(parents=True)
        write_document(document, folder)
        name = alias_of_hash(quick_hash) if private and not slide.name else slide.name
        done = SlideLine(number, name, slide.patient_id, "done", folder=folder.name, runs=runs_of(document))
        lines.append(done)
    asked = Asked((), out, PredictSettings(), private=private)
    facts = [ModelFacts(mode, *(MODEL | model).values()) for mode in modes]
    write_summary(failures_first(lines), asked, facts)
    return out


def document_of(
    name: str, quick_hash: str, runs: tuple[RunRecord, ...], *, private: bool = False
) -> ResultDocument:
    facts = {
        "quick_hash": quick_hash,
        "file": None if private else name,
        "vendor": "aperio",
        "reader": "openslide",
        "size_px": (100, 100),
        "downsamples": ((1.0, 1.0),),
        "mpp": (0.5, 0.5),
        "mpp_origin": "file",
        "bounds_l0": (0, 0, 100, 100),
        "objective_power": 20.0,
        "warnings": (),
    }
    return ResultDocument(
        created="2026-01-01T00:00:00+00:00",
        versions={"napari-aln": "0.1.0"},
        alias=name,
        slide=SlideFacts(**facts),
        runs=runs,
        warnings=(),
    )


def write_training(bundle: Path, sha256: str, splits: Mapping[str, str | None]) -> None:
    """Write the record of a training beside its bundle: slide's hash -> split, None: not told."""
    folder = bundle.with_name(f"{bundle.stem}.training")
    folder.mkdir()
    slides = [
        {"slide_quick_hash": own} | ({"split": split} if split else {}) for own, split in splits.items()
    ]
    record = {"bundle_sha256": sha256, "slides": slides}
    (folder / "training.json").write_text(json.dumps(record), encoding="utf-8")
