"""The review on disk while it goes on, so that a killed process loses at most its last seconds.

One folder of the user's own. ``open-<process>-….alnsession`` is the review of a window that runs, or was
killed: `recoverable` tells which. ``<slide hash>.alnsession`` is how a slide was left when its review ended.
``results/`` holds the results they name, each written once.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from platformdirs import user_data_path

from napari_aln.errors import StoreError
from napari_aln.store.atomic import storing
from napari_aln.store.session import (
    RESULT_SUFFIX,
    RESULTS_FOLDER,
    SESSION_SUFFIX,
    parse_session,
    write_session,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_aln.store.session import SavedReview

INTERVAL_S = 2.0
"""Least time between two writes. With a timer of one second three are lost at most, five on a slow disk."""

KEPT_SLIDES = 200
_OPEN = "open"
_SECONDS_UNTIL_FORSAKEN = 86_400.0
_CLOCK_TOLERANCE_S = 5.0


def autosave_folder() -> Path:
    """Return the user's own folder: in ``NAPARI_ALN_CONFIG`` where that is set, else in the user's data."""
    own = os.environ.get("NAPARI_ALN_CONFIG")
    return (Path(own) if own else user_data_path("napari-aln", appauthor=False)) / "sessions"


class Autosave:
    """Keeps the newest state of one window's review on disk.

    Knows no timer: whoever holds it calls `tick` about once a second.

    Parameters
    ----------
    folder
        Where; left out: `autosave_folder`.
    interval_s
        Least time between two writes.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder or autosave_folder()
        self._interval_s = interval_s
        self._clock = clock
        self.path = self.folder / _own_name()
        self._slide: str | None = None  # hash of the slide under review
        self._unsaved: Callable[[], SavedReview] | None = None
        self._written_at: float | None = None

    def changed(self, slide_hash: str, make: Callable[[], SavedReview]) -> None:
        """Note that the review changed; `make` returns it as it is when it is written.

        Writes at once when the last write is long enough ago. Another slide than before: that one's review
        has ended.

        Raises
        ------
        StoreError
            It could not be written; it is tried again at the next `tick`.
        """
        if self._slide not in (None, slide_hash):
            self.finish()
        self._slide, self._unsaved = slide_hash, make
        self.tick()

    def tick(self) -> None:
        """Write what is unsaved, where the last write is long enough ago.

        Raises
        ------
        StoreError
            It could not be written; it is tried again at the next `tick`.
        """
        if self._written_at is None or self._clock() - self._written_at >= self._interval_s:
            self.flush()

    def flush(self) -> None:
        """Write what is unsaved, now. Call it before what `make` reads is gone.

        Raises
        ------
        StoreError
            It could not be written.
        """
        if self._unsaved is None:
            return
        self._written_at = self._clock()
        with storing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_session(self._unsaved(), self.path, embed=False)
        self._unsaved = None

    def finish(self) -> None:
        """Write what is unsaved and keep it as the slide's last state: the review ended as it should.

        Raises
        ------
        StoreError
            It could not be written.
        """
        self.flush()
        if self._slide is not None and self.path.exists():
            with storing(self.path):
                self.path.replace(kept_path(self.folder, self._slide))
            _prune(self.folder)
        self._slide, self._written_at = None, None

    def discard(self) -> None:
        """Forget the review under way."""
        self._slide = self._unsaved = self._written_at = None
        self.path.unlink(missing_ok=True)


def kept_path(folder: Path, slide_hash: str) -> Path:
    """Return where the last state of a slide lies, if it was ever reviewed."""
    return folder / f"{slide_hash}{SESSION_SUFFIX}"


def recoverable(folder: Path) -> tuple[Path, ...]:
    """Return the sessions of processes that ended without finishing, the newest first.

    Read them with `read_session`, then remove the file: its content goes on in the new window's autosave.
    """
    found = [path for path in folder.glob(f"{_OPEN}-*{SESSION_SUFFIX}") if not _runs(path)]
    return tuple(sorted(found, key=_age))


def claim(path: Path) -> Path:
    """Make a recoverable session this process's own, so that no other window offers it; return its new name.

    Remove it once its content stands in the window's own autosave. Should this process be killed before, it
    can be recovered again.

    Raises
    ------
    StoreError
        It is gone: another window has taken or dropped it.
    """
    own = path.with_name(_own_name())
    try:
        path.replace(own)
    except OSError as error:
        raise StoreError(
            "This review is no longer there: another window has restored or discarded it.",
            "Look for it in the other window.",
        ) from error
    return own


def _own_name() -> str:
    """Return a new name that tells which process writes the file, and nothing of the slide."""
    started = int(psutil.Process().create_time())
    return f"{_OPEN}-{os.getpid()}-{started}-{uuid.uuid4().hex[:8]}{SESSION_SUFFIX}"


def _runs(path: Path) -> bool:
    """Whether the process that writes a session still runs: the number alone may have been given again."""
    try:
        _, number, started, _ = path.stem.split("-")
        process = psutil.Process(int(number))
        return abs(process.create_time() - int(started)) <= _CLOCK_TOLERANCE_S
    except (ValueError, psutil.NoSuchProcess):
        return False
    except psutil.AccessDenied:  # another user's process: not the one that wrote this
        return False


def _age(path: Path) -> float:
    with contextlib.suppress(OSError):  # removed meanwhile by another window
        return time.time() - path.stat().st_mtime
    return float("inf")


def _prune(folder: Path) -> None:
    """Drop the oldest kept sessions, and results that no session names and nobody is about to name."""
    kept = sorted((p for p in folder.glob(f"*{SESSION_SUFFIX}") if not p.name.startswith(_OPEN)), key=_age)
    for path in kept[KEPT_SLIDES:]:
        path.unlink(missing_ok=True)
    results = folder / RESULTS_FOLDER
    forsaken = [p for p in results.glob(f"*{RESULT_SUFFIX}") if _age(p) > _SECONDS_UNTIL_FORSAKEN]
    if not forsaken:
        return
    named = set()
    for path in folder.glob(f"*{SESSION_SUFFIX}"):
        try:
            session = parse_session(path.read_bytes(), path)
        except (OSError, StoreError):
            return  # what cannot be read may name any result
        named |= {answer.result_sha256 for answer in session.answers}
    for path in forsaken:
        if path.stem not in named:
            path.unlink(missing_ok=True)
