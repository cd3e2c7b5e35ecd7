"""A line a slide of an interpretation: written as a table of scores, read back, compared by patient."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_aln.cohort.writing import as_meant, write_table
from napari_aln.errors import StoreError
from napari_aln.evaluation.auc import auc_interval
from napari_aln.evaluation.group_differences import adjusted_p, group_difference
from napari_aln.evaluation.metrics import UNDEFINED
from napari_aln.nuclei.slide_features import PAPER_FEATURES, SLIDE_FEATURES
from napari_aln.records import BINARY, Progress
from napari_aln.store.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.evaluation.group_differences import Difference
    from napari_aln.evaluation.metrics import Estimate

SLIDES_NAME = "interpretation.csv"
WEIGHT_NOTE = (
    "Weight: attention of the network over the features of a slide, adding up to 1; it says what the network "
    "looked at, and means as little as its AUC is low."
)
_VALUE, _WEIGHT = "value_", "weight_"


@dataclass(frozen=True)
class InterpretedSlide:
    """What was found of one slide.

    Attributes
    ----------
    patient_id, split, positive
        Of the cohort table; positive: N(+).
    slide_hash
        Quick hash of the slide.
    probability
        Of N(+), by the network that learned on feature bags.
    n_patches, n_nuclei
        What was looked at.
    value
        By name of `SLIDE_FEATURES`; NaN: not known.
    weight
        By name of `PAPER_FEATURES`: attention over the instances, which adds up to 1.
    """

    patient_id: str
    split: str
    positive: bool
    slide_hash: str
    probability: float
    n_patches: int
    n_nuclei: int
    value: Mapping[str, float]
    weight: Mapping[str, float]


class Patients:
    """Slides as patients: values, weights and probabilities are means over a patient's slides.

    Attributes
    ----------
    positive, split, score
        (n,) whether N(+), split, and probability of N(+).
    value, weight
        Name of the feature -> (n,); NaN: not known.
    """

    def __init__(self, slides: Sequence[InterpretedSlide]) -> None:
        of: dict[str, list[InterpretedSlide]] = {}
        for slide in slides:
            of.setdefault(slide.patient_id, []).append(slide)
        own = list(of.values())
        self.positive = np.array([slides[0].positive for slides in own], bool)
        self.split = np.array([slides[0].split for slides in own], str)
        self.score = np.array([np.mean([one.probability for one in slides]) for slides in own])
        self.value = {
            feature.name: np.array([_mean([one.value[feature.name] for one in slides]) for slides in own])
            for feature in SLIDE_FEATURES
        }
        self.weight = {
            feature.name: np.array([_mean([one.weight[feature.name] for one in slides]) for slides in own])
            for feature in PAPER_FEATURES
        }

    def auc(self, split: str) -> Estimate:
        """Return the AUC of a split with its interval; undefined without patients of both labels."""
        here = self.split == split
        positive = self.positive[here]
        if not positive.any() or positive.all():
            return UNDEFINED
        return auc_interval(positive, self.score[here])


@dataclass(frozen=True)
class InterpretedCohort:
    """The slides of a cohort and how N0 and N(+) differ.

    Attributes
    ----------
    slides, patients
        One by one, and as patients.
    differences, adjusted
        By name of `SLIDE_FEATURES`: N0 against N(+), and p corrected over all of them.
    """

    slides: tuple[InterpretedSlide, ...]
    patients: Patients
    differences: Mapping[str, Difference]
    adjusted: Mapping[str, float]


def compared(slides: Sequence[InterpretedSlide]) -> InterpretedCohort:
    """Compare the features of N0 and N(+) patients."""
    patients = Patients(slides)
    differences = feature_differences(patients.value, patients.positive)
    adjusted = adjusted_p([one.p for one in differences.values()])
    return InterpretedCohort(
        tuple(slides), patients, differences, dict(zip(differences, adjusted, strict=True))
    )


def feature_differences(
    values: Mapping[str, NDArray[np.float64]], positive: NDArray[np.bool_]
) -> dict[str, Difference]:
    """Compare (n,) values of each feature between N0 and N(+)."""
    return {name: group_difference(own[~positive], own[positive]) for name, own in values.items()}


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def write_slides(slides: Sequence[InterpretedSlide], path: Path) -> None:
    """Write a line a slide.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    columns: dict[str, type] = {"patient": str, "split": str, "label": str, "score": float}
    columns |= {"slide_hash": str, "n_patches": int, "n_nuclei": int}
    columns |= dict.fromkeys((_VALUE + feature.name for feature in SLIDE_FEATURES), float)
    columns |= dict.fromkeys((_WEIGHT + feature.name for feature in PAPER_FEATURES), float)
    rows: list[dict[str, Any]] = [
        {
            "patient": one.patient_id,
            "split": one.split,
            "label": BINARY[one.positive],
            "score": one.probability,
            "slide_hash": one.slide_hash,
            "n_patches": one.n_patches,
            "n_nuclei": one.n_nuclei,
        }
        | {_VALUE + name: None if math.isnan(value) else value for name, value in one.value.items()}
        | {_WEIGHT + name: weight for name, weight in one.weight.items()}
        for one in slides
    ]
    with atomic_file(path) as temporary:
        write_table(temporary, columns, rows, ".csv")


def read_slides(path: Path) -> list[InterpretedSlide]:
    """Read what `write_slides` wrote.

    Raises
    ------
    StoreError
        The file is missing, damaged or another table.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return [_slide(line) for line in csv.DictReader(stream)]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise StoreError(
            f"{path} cannot be read as an interpretation ({type(error).__name__}: {error}).",
            f"Choose the {SLIDES_NAME} that `napari-aln interpret` wrote.",
        ) from error


def _slide(line: Mapping[str, str]) -> InterpretedSlide:
    if line["label"] not in BINARY:
        message = f"label {line['label']!r}"
        raise ValueError(message)
    return InterpretedSlide(
        as_meant(line["patient"]),
        line["split"],
        line["label"] == BINARY[1],
        line["slide_hash"],
        float(line["score"]),
        int(line["n_patches"]),
        int(line["n_nuclei"]),
        {one.name: float(line[_VALUE + one.name] or "nan") for one in SLIDE_FEATURES},
        {one.name: float(line[_WEIGHT + one.name]) for one in PAPER_FEATURES},
    )


def read_interpretation(path: Path) -> Generator[Progress, None, InterpretedCohort]:
    """Read an interpretation and compare its patients.

    Raises
    ------
    StoreError
        See `read_slides`.
    """
    yield Progress("read interpretation", 0, 1)
    return compared(read_slides(path))
