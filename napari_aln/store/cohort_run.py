"""What a cohort run keeps beside its results: who runs, and how far each slide is.

In ``.cohort`` of the output folder: ``lock``, held by the operating system for as long as the run lives, so
that no killed run leaves one; ``running.json``, which says who holds it; ``slides/<key>.json``, a slide's
`SlideState`. The results beside it are the truth: a state that says less is made good by them.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from napari_aln.errors import StoreError
from napari_aln.store.atomic import atomic_file, check_writable, storing, sweep_leftovers
from napari_aln.store.result import answers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_aln.store.result import ResultDocument

STATE_FOLDER = ".cohort"
CUT_OFF = "It was cut off: the run was killed."


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Attempt(_Frozen):
    """One try at a slide; without an end it goes on, or was cut off."""

    started_at: str
    ended_at: str | None = None
    worker: str = ""
    cause: str = ""  # why it failed; empty where it did not
    next_step: str = ""
    details: str = ""


class SlideState(_Frozen):
    """How far a slide is.

    Attributes
    ----------
    request_sha256
        Of all that is asked, see `slide_tasks.request_sha256`.
    state
        What the last attempt came to.
    folder
        Name of the result folder, once it is there.
    attempts
        All tries for this request, earlier runs' too.
    """

    request_sha256: str
    state: Literal["started", "done", "failed"]
    folder: str | None = None
    attempts: tuple[Attempt, ...] = ()


def now() -> str:
    """Return the time as states write it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class CohortFolder:
    """The output folder of a cohort run.

    Parameters
    ----------
    out
        Parent of the result folders; made where it is not there.

    Raises
    ------
    StoreError
        It cannot be written to.
    """

    def __init__(self, out: Path) -> None:
        check_writable(out)
        self.out = out
        self._home = out / STATE_FOLDER
        self._slides = self._home / "slides"
        with storing(self._slides):
            self._slides.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one run, and clear what killed ones left half written.

        Raises
        ------
        StoreError
            Another run holds it.
        """
        lock = FileLock(self._home / "lock", thread_local=False)
        holder = self._home / "running.json"
        with storing(self._home):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise StoreError(
                    f"Another run is writing to {self.out} ({_who(holder)}).",
                    "Wait for its end or stop it, or choose another output folder.",
                ) from None
        try:
            with atomic_file(holder) as temporary:
                facts = {"process": os.getpid(), "host": socket.gethostname(), "since": now()}
                temporary.write_text(json.dumps(facts), encoding="utf-8")
            sweep_leftovers(self.out)
            for path in self._slides.glob("*.incomplete"):
                path.unlink(missing_ok=True)
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def read(self, key: str) -> SlideState | None:
        """Return what is known of a slide; None where that is nothing, or cannot be read."""
        try:
            return SlideState.model_validate_json((self._slides / f"{key}.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, key: str, state: SlideState) -> None:
        """Write a slide's state, whole or not at all.

        Raises
        ------
        StoreError
            The disk is full or may not be written to.
        """
        with atomic_file(self._slides / f"{key}.json") as temporary:
            temporary.write_text(state.model_dump_json(indent=1), encoding="utf-8")

    def result(self, folder: str, request_sha256: str) -> ResultDocument | None:
        """Return a slide's finished result where it answers just this request, or None."""
        return answers(self.out / folder, request_sha256)


def _who(holder: Path) -> str:
    try:
        facts = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {facts['process']} on {facts['host']}, since {facts['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "which has just begun"
