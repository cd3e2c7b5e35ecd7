"""Files and folders that appear whole or not at all, whether a process is killed or the power fails."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
import uuid
from functools import cache
from typing import TYPE_CHECKING

import psutil

from napari_aln.errors import AlnError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ASIDE_SUFFIX = ".replaced"
INCOMPLETE_SUFFIX = ".incomplete"
"""Ends the name of a folder or file that is still being written, or whose writer was killed."""
SECONDS_UNTIL_FORSAKEN = 86_400.0
"""What another machine has not touched for so long, it will not finish."""


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
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; moved into place when the block ends well, removed otherwise.

    Parameters
    ----------
    path
        Where the finished file goes.
    durable
        Whether it must be whole after a loss of power, too; False where a damaged one is made again.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{INCOMPLETE_SUFFIX}")
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            if durable:
                _to_disk(temporary)
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
    # Machine and process tell a later run whose leftovers these are.
    own = f"{folder.name}.{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    unfinished = folder.with_name(f"{own}{INCOMPLETE_SUFFIX}")
    with storing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(folder.parent, folder.name)
        unfinished.mkdir()
        try:
            yield unfinished
            for path in (*unfinished.rglob("*"), unfinished):
                _to_disk(path)
            _swap(unfinished, folder, keep)
            _to_disk(folder.parent)
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

    Another machine that shares the folder may be at work: what is its own is left alone for a day.

    Parameters
    ----------
    parent
        Where results lie.
    name
        Of the one result whose leftovers are meant; left out: all.
    """
    leftover = re.compile(
        rf"({'.+' if name is None else re.escape(name)})\.([0-9a-f]{{8}})-(\d+)-[0-9a-f]{{8}}"
        rf"({re.escape(INCOMPLETE_SUFFIX)}|{re.escape(ASIDE_SUFFIX)})"
    )
    with os.scandir(parent) as entries:  # of thousands: a path is made only of those that matter
        found = [match for entry in entries if (match := leftover.fullmatch(entry.name))]
    for match in found:
        path, place = parent / match[0], parent / match[1]
        if not _forsaken(path, match[2], int(match[3])):
            continue
        if match[4] == ASIDE_SUFFIX and not place.exists():
            path.replace(place)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _forsaken(path: Path, machine: str, process: int) -> bool:
    if machine == _machine():
        return not psutil.pid_exists(process)
    try:
        touched = max(one.stat().st_mtime for one in (path, *path.rglob("*")))
    except OSError:  # it is being finished just now
        return False
    return time.time() - touched > SECONDS_UNTIL_FORSAKEN


@cache
def _machine() -> str:
    """Return what tells apart the machines, and the containers of one, that count processes by themselves."""
    try:
        numbering = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  (no file's path)
    except OSError:  # not Linux
        numbering = ""
    return hashlib.sha256(f"{socket.gethostname()}\0{numbering}".encode()).hexdigest()[:8]


def _to_disk(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, would survive a loss of power.

    Else a name may get to the disk before the content: a result that is said to be whole, and is not.
    """
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":  # there folders cannot be opened, and need not be
        return
    file = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # of a write-protected copy, too
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some shared drives know no such thing
            raise
    finally:
        os.close(file)


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
        with tempfile.NamedTemporaryFile(dir=folder, prefix="write-test.", suffix=INCOMPLETE_SUFFIX) as probe:
            probe.write(b"x")
            probe.flush()  # a full disk is met here
