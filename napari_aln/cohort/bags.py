"""The reference's bags: lists of ten patches, kept beside the cohort table for repeating the papers.

A list is ``{train,val,test}-type-<k>.json``: ``[{"id": "71", "label": "0", "patch_paths": [ten paths]}, …]``
with paths like ``patches/71/71_0_256_512.jpg``: patient, number of the outline, and x and y of the patch in
pixels of that outline's box. Each task has a split of its own. `<table>-bags.parquet` holds all lists, one
row a bag; `<table>-patches.parquet` all patch files, in bags or not.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, cast

import pandas as pd
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from napari_aln.cohort.table import SPLITS
from napari_aln.errors import CohortError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.cohort.table import Split

TASKS: dict[str, tuple[str, ...]] = {
    "type-0": ("N0", "N(+)"),
    "type-1": ("N+(1-2)", "N+(>2)"),
    "type-2": ("N0", "N+(1-2)", "N+(>2)"),
    "type-3": ("N0", "N+(1-2)"),
    "type-4": ("N0", "N+(>2)"),
}
"""The reference's tasks, and the class that each label of its lists stands for."""

_LIST_NAME = re.compile(r"(train|val|test)(?:-(.+))?")
_PATCH_NAME = re.compile(r"(.+)_(\d+)_(\d+)_(\d+)")
_PATCHES = "patches"


class _Entry(BaseModel):
    id: str = Field(min_length=1, coerce_numbers_to_str=True)
    label: int
    patch_paths: list[str] = Field(min_length=1)


_ENTRIES = TypeAdapter(list[_Entry])


class ReferenceBag(NamedTuple):
    """One bag of a list."""

    task: str  # "type-0" ... "type-4", or the folder's name where the file names none
    split: Split
    number: int  # place in its list, from 0
    patient_id: str
    label: int
    patches: tuple[Path, ...]

    @property
    def class_name(self) -> str | None:
        """The class that the label stands for, where the task is one of `TASKS`."""
        classes = TASKS.get(self.task, ())
        return classes[self.label] if 0 <= self.label < len(classes) else None


class PatchFile(NamedTuple):
    """A patch that the reference cut."""

    patient_id: str
    region: int  # number of the outline, from 0
    box_xy_px: tuple[int, int]  # upper-left corner in pixels of the outline's bounding box
    path: Path


def read_bag_list(path: Path) -> list[ReferenceBag]:
    """Read one list; its patches are relative to the folder of patches, without the leading ``patches``.

    Raises
    ------
    CohortError
        The file's name says no split, or what it holds is no bag list.
    """
    named = _LIST_NAME.fullmatch(path.stem)
    if named is None:
        raise CohortError(
            f"{path} does not say whether it is of train, val or test.", "Name it like train-type-0.json."
        )
    split, task = cast("Split", named[1]), named[2] or path.parent.name
    try:
        return [
            ReferenceBag(task, split, number, entry.id, entry.label, tuple(map(_below, entry.patch_paths)))
            for number, entry in enumerate(_ENTRIES.validate_json(path.read_bytes()))
        ]
    except (OSError, ValueError) as error:  # pydantic's errors are ValueErrors
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        where = " > ".join(map(str, first["loc"])) if first else ""
        reason = f"{where}: {first['msg']}".removeprefix(": ") if first else str(error)
        raise CohortError(
            f"{path} is no list of bags ({reason}).",
            'It should hold [{"id": ..., "label": ..., "patch_paths": [...]}, ...]: fetch it again.',
        ) from error


def _below(name: str) -> Path:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        fact = f"the patch path {name!r} leaves the folder"
        raise ValueError(fact)
    return Path(*(path.parts[1:] if path.parts[0] == _PATCHES else path.parts))


def patches_in(folder: Path) -> list[PatchFile]:
    """Return the patches in one patient's folder, by outline and row by row; other files are passed over."""
    found = []
    for path in folder.iterdir():
        named = _PATCH_NAME.fullmatch(path.stem)
        if named and path.suffix.lower() == ".jpg":
            place = int(named[3]), int(named[4])
            found.append(PatchFile(named[1], int(named[2]), place, path))
    return sorted(found, key=lambda patch: (patch.region, *reversed(patch.box_xy_px)))


def bags_beside(table: Path) -> Path:
    """Return where a table's bags are kept."""
    return table.with_name(f"{table.stem}-bags.parquet")


def patches_beside(table: Path) -> Path:
    """Return where a table's list of patch files is kept."""
    return table.with_name(f"{table.stem}-patches.parquet")


def write_bags(path: Path, bags: Sequence[ReferenceBag], folder: Path) -> None:
    """Write bags: task, split, number, patient_id, label, patches.

    Parameters
    ----------
    path
        See `bags_beside`.
    bags
        Their patches are relative to `folder`.
    folder
        The folder of patches, relative to the table.
    """
    frame = pd.DataFrame([bag._asdict() for bag in bags], columns=pd.Index(ReferenceBag._fields))
    frame["patches"] = [[f"{folder.as_posix()}/{patch.as_posix()}" for patch in bag.patches] for bag in bags]
    frame.to_parquet(path, index=False)


def write_patches(path: Path, patches: Sequence[PatchFile], folder: Path) -> None:
    """Write patch files whose paths are relative to `folder`, and that relative to the table."""
    rows = [
        (p.patient_id, p.region, *p.box_xy_px, f"{folder.as_posix()}/{p.path.as_posix()}") for p in patches
    ]
    names = pd.Index(["patient_id", "region", "box_x_px", "box_y_px", "path"])
    pd.DataFrame(rows, columns=names).to_parquet(path, index=False)


def read_bags(table: Path, task: str | None = None) -> list[ReferenceBag]:
    """Return the bags kept beside a cohort table, their patches as paths that can be opened.

    Parameters
    ----------
    table
        The cohort table that `cohort import-bcnb` wrote.
    task
        One of `TASKS`. None: all.

    Raises
    ------
    CohortError
        There are none, or none of that task.
    """
    path = bags_beside(table)
    try:
        frame = pd.read_parquet(path)
        bags = [
            ReferenceBag(
                row["task"],
                row["split"],
                int(row["number"]),
                str(row["patient_id"]),
                int(row["label"]),
                tuple(table.parent / patch for patch in row["patches"]),
            )
            for row in frame.to_dict("records")
            if task in (None, row["task"])
        ]
    except FileNotFoundError as error:
        raise CohortError(
            f"{table.name} has no bags of the reference beside it ({path.name}).",
            "Import the data set again with its bag lists in a folder json.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CohortError(f"{path} is no table of bags.", "Import the data set again.") from error
    if not bags or any(bag.split not in SPLITS for bag in bags):
        tasks = ", ".join(sorted(set(map(str, frame["task"])))) or "none"
        raise CohortError(f"{path} has no usable bag of the task {task}.", f"It has tasks: {tasks}.")
    return bags
