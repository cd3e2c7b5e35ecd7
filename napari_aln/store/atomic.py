"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import uuid
from typing import TYPE_CHECKING

import psutil

from napari_aln.errors import AlnError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ASIDE_SUFFIX = ".replaced"
INCOMPLETE_SUFFIX = ".incomplete"
"""Ends the name of a folder or file that is still being written, or whose writer was killed."""


_ANY_STEP = "Choose a place that you may write to."
_STEPS = {
    errno.EEXIST: "A file stands where a folder is needed: choose another place.",
    errno.ENOTDIR: "A file stands where a folder is needed: choose another place.",
    errno.ENAMETOOLONG: "Shorten the name, or use --private, which names results by content.",
}


@contextlib.contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals while writing `path` into a `StoreError` with the next step."""
    try:
        yield
    except OSError as error:
        if isinstance(error, AlnError):  # a slide that cannot be read is no fault of the output's place
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"The disk is full: {path} could not be written.",
                "Free some space or choose another place, then run the same command again.",
            ) from error
        reason = error.strerror or type(error).__name__
        raise StoreError(
            f"{path} could not be written ({reason}).", _STEPS.get(error.errno or 0, _ANY_STEP)
        ) from error


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; moved into place when the block ends well, removed otherwise."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{INCOMPLETE_SUFFIX}")
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(
    folder: Path, *, known_by: str, keep: Callable[[Path], bool] | None = None
) -> Iterator[Path]:
    """Yield an empty folder to fill; moved to `folder` when the block ends well, removed otherwise.

    Parameters
    ----------
    folder
        Where the finished folder goes. An earlier one is replaced.
    known_by
        Name of a file that marks a folder as ours. One without it is never touched.
    keep
        Whether the finished folder that stands there when the block ends stays, and the new one is dropped:
        another process may have been quicker. Left out: the new one takes its place.

    Raises
    ------
    StoreError
        `folder` holds something else, or cannot be written.
    """
    refuse_foreign(folder, known_by=known_by)
    # The process number tells a later run whose leftovers these are.
    own = f"{folder.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}"
    unfinished = folder.with_name(f"{own}{INCOMPLETE_SUFFIX}")
    with storing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(folder.parent, folder.name)
        unfinished.mkdir()
        try:
            yield unfinished
            _swap(unfinished, folder, keep)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def refuse_foreign(folder: Path, *, known_by: str) -> None:
    """Refuse a folder that exists and holds something else than what `known_by` marks.

    Raises
    ------
    StoreError
        It is not ours to replace.
    """
    if folder.exists() and not (folder / known_by).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise StoreError(
            f"{folder} exists and is not a result of this program.", "Choose another output folder."
        )


def sweep_leftovers(parent: Path, name: str | None = None) -> None:
    """Remove what runs that were killed left in a folder; bring earlier results back that they moved.

    Parameters
    ----------
    parent
        Where results lie.
    name
        Of the one result whose leftovers are meant; left out: all.
    """
    leftover = re.compile(
        rf"({'.+' if name is None else re.escape(name)})\.(\d+)-[0-9a-f]{{8}}"
        rf"({re.escape(INCOMPLETE_SUFFIX)}|{re.escape(ASIDE_SUFFIX)})"
    )
    for path in list(parent.iterdir()):
        found = leftover.fullmatch(path.name)
        if found is None or psutil.pid_exists(int(found[2])):
            continue
        if found[3] == ASIDE_SUFFIX and not path.with_name(found[1]).exists():
            path.replace(path.with_name(found[1]))
        else:
            shutil.rmtree(path, ignore_errors=True)


def _swap(new: Path, place: Path, keep: Callable[[Path], bool] | None) -> None:
    """Put a finished folder in its place; an earlier one is moved aside first, back if that fails."""
    if not place.exists():
        try:
            new.replace(place)
        except OSError:
            if not place.exists():
                raise
        else:
            return
    if keep is not None and keep(place):
        return
    aside = place.with_name(new.name.removesuffix(INCOMPLETE_SUFFIX) + ASIDE_SUFFIX)
    place.replace(aside)
    try:
        new.replace(place)
    except OSError:
        aside.replace(place)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def check_writable(folder: Path) -> None:
    """Create `folder` and prove that files can be written there, before hours of work are spent.

    Raises
    ------
    StoreError
        The folder cannot be made or written to.
    """
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / "write-test") as probe:
            probe.write_bytes(b"x")
        (folder / "write-test").unlink()
