"""DL-CNB interpreted by nucleus features (Xu et al. 2021, Figures 3 and 6).

The nuclei of each slide become one histogram matrix a feature; the matrices are the instances of the slide's
bag; the attention network learns N0 against N(+) on these bags, and its attention is the weight of each
feature on each slide. Beside that, the features themselves are compared between N0 and N(+).

A folder holds ``interpretation.csv`` (a line a slide: probability, values, weights; `evaluate` reads it
where each patient has one slide), ``report`` with tables, figures and a page, ``training`` with the curves,
and ``nuclei`` with the tables that a second run need not measure again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.cohort.wording import counted
from napari_aln.errors import UsageError
from napari_aln.nuclei.histograms import fit_quantisation
from napari_aln.nuclei.segmentation import DEFAULT_METHOD, stated
from napari_aln.nuclei.slide_features import PAPER_FEATURES, SLIDE_FEATURES
from napari_aln.records import BINARY, RESEARCH_NOTICE, Progress
from napari_aln.settings.patches import PatchSettings
from napari_aln.settings.training import RecipeSettings
from napari_aln.store.atomic import check_writable, refuse_foreign, storing
from napari_aln.store.nuclei import public_settings
from napari_aln.store.result import HIDDEN, made_of_table, patient_alias, write_made_by
from napari_aln.workflows.evaluation.folder import RECORD, write_evaluation
from napari_aln.workflows.interpretation.feature_bags import NucleiSource, cohort_nuclei, tables_by_slide
from napari_aln.workflows.interpretation.slide_weights import SLIDES_NAME, InterpretedSlide, write_slides
from napari_aln.workflows.interpretation.tables import Interpretation, describe
from napari_aln.workflows.training.curves import CHECKPOINT_NAME
from napari_aln.workflows.training.patients import class_index, labelled_rows, require_classes

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.cohort.table import CohortRow
    from napari_aln.mil.network import AttentionHead
    from napari_aln.settings.interpretation import InterpretSettings
    from napari_aln.settings.nuclei import NucleiSettings
    from napari_aln.workflows.interpretation.feature_bags import SlideNuclei
    from napari_aln.workflows.training.epochs import Fitted
    from napari_aln.workflows.training.patients import LeftOut

_DOUBTS = {
    "not_he": "are not H&E as far as colour tells: other stains were taken for haematoxylin",
    "coarse": "are too coarse to show small nuclei and shapes",
    "blurred": "are partly out of focus: nuclei are missed or too large there",
}
"""Warnings of `measure_nuclei` that bear on a whole slide, in words."""

REPORT_NAME, TRAINING_NAME, NUCLEI_NAME = "report", "training", "nuclei"


@dataclass(frozen=True)
class FeatureBag:
    """A slide as `fit_head` takes it: its instances are the histogram matrices of the features."""

    label: int
    instances: NDArray[np.float32]  # (features, values)
    clinical: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.instances)

    def take(self, index: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return some of the instances."""
        return self.instances[index]


def interpret(
    cohort_csv: Path,
    out: Path,
    settings: InterpretSettings,
    nuclei: NucleiSettings,
    patches: PatchSettings | None = None,
    given: Path | None = None,
    *,
    private: bool = False,
) -> Generator[Progress, None, Interpretation]:
    """Interpret a cohort and write the folder; closing the generator keeps what was measured so far.

    Parameters
    ----------
    cohort_csv
        Patients with label, split and slide; inside the ROI where one is named, else in all tissue.
    out
        Folder to write; an earlier interpretation there is replaced, its tables of nuclei are used again.
    settings, nuclei, patches
        How.
    given
        Folder with tables of nuclei of some or all slides, which are then not measured. Of folders that
        `nuclei measure` wrote, only patches that were measured take part.
    private
        Name the cohort table and the patients nowhere in what is written.

    Raises
    ------
    CohortError
        The table lacks a label or class, too few slides could be used, or no table of nuclei at hand
        is of its slides.
    StoreError, DeviceError
        The folder cannot be written, tables cannot be read, or the loss is not finite.
    """
    patients = labelled_rows(cohort_csv, None, BINARY)
    refuse_foreign(out / REPORT_NAME, known_by=RECORD)
    if out.is_file():
        raise UsageError(f"{out} is a file.", "Name a folder.")
    check_writable(out)
    tables = {} if given is None else tables_by_slide(given)
    source = NucleiSource(out / NUCLEI_NAME, tables, nuclei, patches or PatchSettings(), settings)
    found = Interpretation(title="Nucleus features and lymph node status")
    with cohort_csv.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    found.inputs.append({"role": "cohort", "name": HIDDEN if private else cohort_csv.name, "sha256": digest})
    measured, found.left_out, doubts = yield from cohort_nuclei(patients, source)
    _require_all_classes(measured, found.left_out, cohort_csv)
    names = [feature.name for feature in PAPER_FEATURES]
    training = [slide.features for slide in measured if slide.row.split == "train"]
    quantisation = fit_quantisation(training, names, bins=settings.bins, rows=settings.rows)
    bags = [FeatureBag(_label(slide.row), quantisation.bag(slide.features)) for slide in measured]
    head, fitted = yield from _trained(measured, bags, out / TRAINING_NAME, settings)
    found.slides = _interpreted(head, measured, bags)
    if private:
        found.slides = _without_names(found.slides)
    found.notes += _notes(found.left_out, len(measured), doubts)
    found.notes += _source_notes(measured, len(tables))
    yield Progress("write", 0, 1)
    describe(found, fitted, settings)
    name, model_sha256 = stated(nuclei.method or DEFAULT_METHOD)
    found.made_by = {
        "nuclei_settings": public_settings(nuclei.model_dump(mode="json"), name),
        "model_sha256": model_sha256,
        "patches": source.patches.model_dump(mode="json"),
        "slides": [
            slide.made_of | {"method": slide.method, "measured_before": slide.is_given} for slide in measured
        ],
    }
    write_slides(found.slides, out / SLIDES_NAME)
    made_of = made_of_table(cohort_csv, settings.model_dump(mode="json"), private=private)
    write_made_by(out / SLIDES_NAME, made_of | found.made_by | {"notice": RESEARCH_NOTICE})
    write_evaluation(found, out / REPORT_NAME, settings)
    yield Progress("write", 1, 1)
    return found


def _label(row: CohortRow) -> int:
    return class_index(row, BINARY)


def _require_all_classes(
    measured: Sequence[SlideNuclei], left_out: Sequence[LeftOut], cohort_csv: Path
) -> None:
    lost = f" ({counted(len(left_out), 'slide')} left out, first: {left_out[0]})" if left_out else ""
    seen = {slide.row.patient_id: (slide.row.split, _label(slide.row)) for slide in measured}
    require_classes(list(seen.values()), BINARY, f"{cohort_csv}{lost}")


def _trained(
    measured: Sequence[SlideNuclei], bags: Sequence[FeatureBag], folder: Path, settings: InterpretSettings
) -> Generator[Progress, None, tuple[AttentionHead, Fitted]]:
    """Train the attention head of DL-CNB on feature bags; it takes seconds, so it always begins anew."""
    import torch

    from napari_aln.mil.network import AttentionHead
    from napari_aln.mil.training import using_threads
    from napari_aln.runtimes.torch_runtime import torch_errors
    from napari_aln.workflows.training.fit_head import fit_head

    recipe = RecipeSettings(
        seed=settings.seed,
        epochs=settings.epochs,
        patience=settings.patience,
        learning_rate=settings.learning_rate,
        dropout=settings.dropout,
        attention_width=settings.attention_width,
        bags_per_epoch=1,
        restart=True,
    )
    of = {
        split: [bag for slide, bag in zip(measured, bags, strict=True) if slide.row.split == split]
        for split in ("train", "val")
    }
    n_features, width = bags[0].instances.shape
    with using_threads(recipe.threads), torch_errors("training"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            head = AttentionHead(
                width, len(BINARY), attention_width=settings.attention_width, dropout=settings.dropout
            )
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        fitted = yield from fit_head(head, of["train"], of["val"], recipe, folder, {}, bag_size=n_features)
    (folder / CHECKPOINT_NAME).unlink(missing_ok=True)
    return head.eval(), fitted


def _interpreted(
    head: AttentionHead, measured: Sequence[SlideNuclei], bags: Sequence[FeatureBag]
) -> list[InterpretedSlide]:
    import torch

    names = [feature.name for feature in PAPER_FEATURES]
    found = []
    with torch.no_grad():
        for slide, bag in zip(measured, bags, strict=True):
            h = head.embed(torch.from_numpy(bag.instances))
            e = head.attention_logit(h)
            weight = torch.softmax(e.double(), dim=0).tolist()
            probability = float(torch.softmax(head.classify(head.pool(h, e)).double(), dim=0)[1])
            values = slide.features.slide_value
            found.append(
                InterpretedSlide(
                    slide.row.patient_id,
                    slide.row.split or "",
                    bool(bag.label),
                    slide.slide_hash,
                    probability,
                    slide.features.n_patches,
                    slide.features.n_nuclei,
                    {feature.name: values[feature.name] for feature in SLIDE_FEATURES},
                    dict(zip(names, weight, strict=True)),
                )
            )
    return found


def _without_names(slides: Sequence[InterpretedSlide]) -> list[InterpretedSlide]:
    """Return slides whose patients go by an alias."""
    hashes: dict[str, list[str]] = {}
    for one in slides:
        hashes.setdefault(one.patient_id, []).append(one.slide_hash)
    return [replace(one, patient_id=patient_alias(hashes[one.patient_id])) for one in slides]


def _notes(left_out: Sequence[LeftOut], n_slides: int, doubts: Sequence[str]) -> list[str]:
    """Return what a reader of the report has to know; it names no patient and no slide."""
    notes = [f"{counted(len(left_out), 'slide')} could not be used."] if left_out else []
    counts = Counter(line.partition(":")[0] for line in doubts)
    return notes + [
        f"{counts[name]} of {counted(n_slides, 'slide')} {what}."
        for name, what in _DOUBTS.items()
        if counts[name]
    ]


def _source_notes(measured: Sequence[SlideNuclei], n_tables: int) -> list[str]:
    """Return where nuclei came from, if tables were at hand, and that they were found in different ways."""
    notes = []
    given = sum(slide.is_given for slide in measured)
    if n_tables:
        notes.append(f"Nuclei of {given} of {counted(len(measured), 'slide')} are from the tables at hand.")
        if n_tables > given:
            notes[0] += f" Tables not used: {n_tables - given}."
    methods = Counter(slide.method or "not stated" for slide in measured)
    if len(methods) > 1:
        said = ", ".join(f"{name} ({number})" for name, number in sorted(methods.items()))
        notes.append(f"Nuclei were found by different methods, which may differ in size and number: {said}.")
    return notes
