"""What a folder is: which of its files are slides, and whether it is the result of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_aln.cohort.wording import counted
from napari_aln.errors import SlideError, StoreError
from napari_aln.slides.formats import SLIDE_SUFFIXES
from napari_aln.store.result import RESULT_JSON

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_SUFFIXES = frozenset(SLIDE_SUFFIXES)
_COMPANIONS = {".vms": (".jpg", ".jpeg"), ".vmu": (".jpg", ".jpeg")}
"""Index file of a slide -> its own pictures in the same folder, which are no slides."""


def require_one_result(folder: Path) -> None:
    """Refuse a folder that is there and is not the result of one slide; what is not there is not looked at.

    Raises
    ------
    StoreError
        It holds several results, or none.
    """
    if not folder.is_dir() or (folder / RESULT_JSON).exists():
        return
    within = sorted(folder.glob(f"*/{RESULT_JSON}"))
    if within:
        raise StoreError(
            f"{folder} is no result itself: it holds {counted(len(within), 'result')}.",
            f"Name one of them, for example {within[0].parent}.",
        )
    raise StoreError(
        f"{folder} is no finished result: there is no {RESULT_JSON} in it.",
        "Give the folder that `napari-aln predict` wrote for a slide.",
    )


def slides_below(folder: Path) -> Iterator[Path]:
    """Yield a slide given itself, or all slides in a folder and below, by name.

    A folder that holds DICOM files is one slide. Result folders, hidden files and the parts of slides made of
    several files are passed over.

    Raises
    ------
    SlideError
        There is no such file or folder, or it may not be read.
    """
    if not folder.exists():
        raise SlideError(f"{folder} does not exist.", "Check the name and that the drive is there.")
    if not folder.is_dir():
        yield folder
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise SlideError(
            f"{folder} cannot be read ({error.strerror or error}).", "Check its permissions and the drive."
        ) from error
    if any(entry.suffix.lower() == ".dcm" for entry in entries):
        yield folder
    elif not (folder / RESULT_JSON).is_file():
        yield from _slides_among(entries)


def _slides_among(entries: Sequence[Path]) -> Iterator[Path]:
    suffixes = {entry.suffix.lower() for entry in entries}
    parts = {suffix for index, own in _COMPANIONS.items() if index in suffixes for suffix in own}
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            if entry.suffix.lower() in _SUFFIXES - parts:
                yield entry
        elif not entry.with_name(f"{entry.name}.mrxs").exists():  # else the data of the slide beside it
            yield from slides_below(entry)
