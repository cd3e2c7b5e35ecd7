"""The BCNB download as users have it: which parts are there, and what its lists say.

``WSIs/<id>.jpg`` and ``WSIs/<id>.json`` (also ``WSIs_1``, ``WSIs_2``: it comes in several archives),
``patient-clinical-data.xlsx``, ``dataset-splitting/{train,val,test}_id.txt``, and beside them, where there
are any, the reference's bag lists and the patches they name; see `bags`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_aln.cohort.table import SPLITS
from napari_aln.errors import CohortError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_aln.cohort.table import Split

SLIDES, WORKBOOK, SPLITTING = "WSIs", "patient-clinical-data.xlsx", "dataset-splitting"
_PICTURES = (".jpg", ".jpeg")
_BAG_LISTS = ("*.json", "json/*.json", "dataset/json/*.json", "dataset_json/*/*.json")
_PATCHES = ("patches", "paper_patches/patches", "paper_patches", "dataset/patches")


@dataclass(frozen=True)
class Download:
    """The parts that are there."""

    slides: Mapping[str, Path]  # patient id -> JPEG
    outlines: Mapping[str, Path]  # patient id -> JSON of the same name
    workbook: Path | None
    splits: Mapping[str, Split]  # patient id -> official split; empty where there are no lists
    bag_lists: tuple[Path, ...]
    patches: Path  # the folder that holds one folder a patient; may not be there
    absent: tuple[str, ...]  # what is not there, one sentence each


def find_parts(folder: Path) -> Download:
    """Look for the parts of the data set in the folder it was unpacked into.

    Raises
    ------
    CohortError
        There are neither slides nor the workbook; a patient has two slides or stands in two split lists.
    """
    if not folder.is_dir():
        raise CohortError(
            f"There is no folder {folder}.", "Give the folder that the BCNB archives were unpacked into."
        )
    workbook = folder / WORKBOOK
    slides, outlines = _pictures(folder)
    splits = read_splits(folder / SPLITTING)
    bag_lists = sorted(path for pattern in _BAG_LISTS for path in folder.glob(pattern))
    places = [folder / name for name in _PATCHES]
    patches = next((place for place in places if place.is_dir()), places[0])
    absent = []
    if not slides:
        absent.append(f"No slide: there is no {SLIDES}/<id>.jpg.")
    elif not outlines:
        absent.append(f"No outline: there is no {SLIDES}/<id>.json. Modes inside the ROI need them.")
    if not workbook.is_file():
        absent.append(f"No {WORKBOOK}: clinical values and labels stay empty.")
    absent += [
        f"No {SPLITTING}/{name}_id.txt: see `cohort split`." for name in SPLITS if name not in splits.values()
    ]
    if not patches.is_dir() and any(folder.glob("paper_patches*.zip")):
        absent.append("paper_patches.zip is not unpacked: its patches were left out.")
    if not slides and not workbook.is_file():
        raise CohortError(
            f"{folder} holds neither {SLIDES}/<id>.jpg nor {WORKBOOK}.",
            "Give the folder that the BCNB archives were unpacked into.",
        )
    return Download(
        slides,
        outlines,
        workbook if workbook.is_file() else None,
        splits,
        tuple(bag_lists),
        patches,
        tuple(absent),
    )


def _pictures(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return each patient's JPEG, and the outlines beside it."""
    slides: dict[str, Path] = {}
    outlines: dict[str, Path] = {}
    for place in sorted(path for path in folder.glob(f"{SLIDES}*") if path.is_dir()):
        for path in sorted(place.iterdir()):
            kind = path.suffix.lower()
            known = slides if kind in _PICTURES else outlines if kind == ".json" else None
            if known is None or path.name.startswith("."):
                continue
            if path.stem in known:
                raise CohortError(
                    f"Patient {path.stem} has two files: {known[path.stem]} and {path}.", "Keep one of them."
                )
            known[path.stem] = path
    return slides, outlines


def read_splits(folder: Path) -> dict[str, Split]:
    """Return each patient's official split; ids stand one a line, or with commas between.

    Raises
    ------
    CohortError
        A list cannot be read, or a patient stands in two: what was trained on would be tested on.
    """
    splits: dict[str, Split] = {}
    for split in SPLITS:
        path = folder / f"{split}_id.txt"
        if not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise CohortError(
                f"{path} cannot be read as text.", "Fetch the data set's file again."
            ) from error
        for patient_id in re.split(r"[\s,;]+", text.strip()):
            if not patient_id:
                continue
            earlier = splits.setdefault(patient_id, split)
            if earlier != split:
                raise CohortError(
                    f"{path} names patient {patient_id}, who stands in {earlier}_id.txt too.",
                    "A patient belongs to one split: fetch the data set's lists again.",
                )
    return splits
