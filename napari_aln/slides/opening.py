"""Open a slide: check the path, then ask the readers in order."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from napari_aln.errors import SlideError
from napari_aln.slides.facts import UserMpp, user_mpp
from napari_aln.slides.formats import FORMATS

if TYPE_CHECKING:
    from os import PathLike

    from napari_aln.slides.protocol import Slide

_READERS = (
    ("image_reader", "try_open"),
    ("tifffile_reader", "try_open_ome"),
    ("openslide_reader", "try_open"),
    ("tifffile_reader", "try_open"),
)
"""Modules and functions ``(path, given_mpp) -> Slide | None`` in the order they are asked: None when the file
is none of theirs, `SlideError` when it is but cannot be read. The first two know theirs by their start."""


def open_slide(path: str | PathLike[str], mpp: UserMpp = None) -> Slide:
    """Open a slide for reading.

    Parameters
    ----------
    path
        A slide file, or a folder of DICOM files.
    mpp
        Micrometres per level-0 pixel, one value or (x, y). Wins over what the file states; without either,
        ``info.mpp`` is None: it is never guessed.

    Returns
    -------
    Slide
        Safe to read from several threads; close it, or use it in a ``with`` block.

    Raises
    ------
    SlideError
        The file is missing, empty, truncated, of a type no reader knows, or cannot be read.
    MppError
        `mpp` is impossible.
    """
    given = user_mpp(mpp)
    path = Path(path).expanduser().absolute()
    check_readable(path)
    reasons: list[SlideError] = []
    for module, function in _READERS:
        try:
            reader = getattr(import_module(f"napari_aln.slides.{module}"), function)
            slide: Slide | None = reader(path, given)
        except SlideError as error:
            reasons.append(error)
            continue
        except OSError as error:
            raise _unreadable(path, error) from error
        if slide is not None:
            return slide
    if reasons:
        raise reasons[-1]
    if path.is_dir():
        raise SlideError(
            f"The folder {path} holds no slide.",
            "Give a slide file, or a folder with the DICOM files of one.",
        )
    known = ", ".join(dict.fromkeys(suffix for entry in FORMATS for suffix in entry.suffixes))
    raise SlideError(
        f"{path} is not a slide of a known type, or it is damaged at its start.",
        f"Give a file that opens in another viewer, of one of the types {known}.",
    )


def check_readable(path: Path) -> None:
    """Raise `SlideError` when the path is missing, empty or may not be read."""
    try:
        there = path.exists()
    except OSError as error:  # in a folder that may not be entered, or of too long a name
        raise _unreadable(path, error) from error
    if not there:
        raise SlideError(f"{path} does not exist.", "Check the name and that the drive is there.")
    if path.is_dir():
        return
    if not path.is_file():
        raise SlideError(f"{path} is neither a file nor a folder.", "Give a slide file.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if empty:
        raise SlideError(f"{path} is empty (0 bytes).", "Copy or download the file again.")


def _unreadable(path: Path, error: OSError) -> SlideError:
    return SlideError(
        f"{path} cannot be read ({error.strerror or error}).", "Check its permissions and the drive."
    )
