"""A line a slide of an interpretation: written as a table of scores, read back for the window."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_aln.cohort.writing import as_meant, write_table
from napari_aln.errors import StoreError
from napari_aln.nuclei.slide_features import PAPER_FEATURES, SLIDE_FEATURES
from napari_aln.store.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SLIDES_NAME = "interpretation.csv"
LABELS = ("N0", "N(+)")
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
            "label": LABELS[one.positive],
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
    if line["label"] not in LABELS:
        message = f"label {line['label']!r}"
        raise ValueError(message)
    return InterpretedSlide(
        as_meant(line["patient"]),
        line["split"],
        line["label"] == LABELS[1],
        line["slide_hash"],
        float(line["score"]),
        int(line["n_patches"]),
        int(line["n_nuclei"]),
        {one.name: float(line[_VALUE + one.name] or "nan") for one in SLIDE_FEATURES},
        {one.name: float(line[_WEIGHT + one.name]) for one in PAPER_FEATURES},
    )
