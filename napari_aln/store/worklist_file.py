"""The SQLite file of a work list: its schema, how it is opened and checked, and what its failures mean.

One file, in WAL mode: several windows may have it open, readers never wait, writers wait for each other. A
file that is not ours, newer, damaged or locked is left as it was found. Beside it, ``<name>.backup`` is a
whole copy of the list as it was when it was last opened.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from napari_aln.errors import StoreError, WorkListError
from napari_aln.store.atomic import atomic_file
from napari_aln.store.worklist_records import time_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

Clock = Callable[[], datetime]
SCHEMA_VERSION = 2  # 1 knew no colour scales of a run's maps; it becomes 2 with the next run that is recorded
APPLICATION_ID = 0x414C4E31  # "ALN1", in the file's header
BUSY_S = 5.0
"""How long a writer waits for another window."""

_SCHEMA = """
CREATE TABLE study (
    blinded INTEGER NOT NULL, classes TEXT NOT NULL, created_at TEXT NOT NULL, last_stamp TEXT NOT NULL
);
CREATE TABLE patient (id TEXT PRIMARY KEY, clinical TEXT NOT NULL, reference TEXT);
CREATE TABLE slide (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, quick_hash TEXT, patient TEXT REFERENCES patient (id),
    roi TEXT, state TEXT NOT NULL CHECK (state IN ('new', 'open', 'read', 'failed')),
    failure TEXT, next_step TEXT, added_at TEXT NOT NULL, opened_at TEXT, read_at TEXT
);
CREATE TABLE run (
    id INTEGER PRIMARY KEY, slide INTEGER NOT NULL REFERENCES slide (id), folder TEXT,
    recorded_at TEXT NOT NULL, summary TEXT NOT NULL
);
CREATE TABLE call (
    id INTEGER PRIMARY KEY, slide INTEGER NOT NULL REFERENCES slide (id), reader TEXT NOT NULL,
    aln_class TEXT NOT NULL, confidence REAL, comment TEXT NOT NULL, made_at TEXT NOT NULL, model_seen_at TEXT
);
CREATE TABLE shown (
    slide INTEGER NOT NULL REFERENCES slide (id), reader TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (slide, reader)
);
CREATE INDEX slide_of_patient ON slide (patient);
CREATE INDEX run_of_slide ON run (slide);
CREATE INDEX call_of_slide ON call (slide, reader);
"""


def create_file(path: Path, *, blinded: bool, classes: Sequence[str]) -> None:
    """Write an empty work list.

    Raises
    ------
    WorkListError
        Something stands there already.
    StoreError
        The place cannot be written to.
    """
    if path.exists():
        raise WorkListError(f"{path} exists already.", "Open it, or choose another name.")
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    with atomic_file(path) as temporary, translated(path):
        db = sqlite3.connect(temporary)
        try:
            db.executescript(_SCHEMA)
            db.execute("INSERT INTO study VALUES (?, ?, ?, ?)", (blinded, json.dumps(classes), now, now))
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            db.commit()
        finally:
            db.close()


def open_file(path: Path, busy_s: float) -> sqlite3.Connection:
    """Open a work list, check it whole and copy it to its backup.

    Raises
    ------
    WorkListError
        It is missing, something else, newer, damaged, locked or on a drive without shared memory.
    """
    if not path.is_file():
        raise WorkListError(
            f"There is no work list at {path}.", "Check the name and that the drive is there."
        )
    with translated(path):
        db = sqlite3.connect(path, timeout=busy_s, isolation_level=None)
        db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        try:
            _check(db, path)
        except BaseException:
            db.close()
            raise
    with contextlib.suppress(StoreError):  # on a full disk the list can still be looked at
        _back_up(db, path)
    return db


def backup_of(path: Path) -> Path:
    """Return where the copy of a work list lies."""
    return path.with_name(f"{path.name}.backup")


def _check(db: sqlite3.Connection, path: Path) -> None:
    """Look before anything is written, so that a foreign or newer file stays as it is."""
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise WorkListError(f"{path} is no work list of this program.", "Choose another file.")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise WorkListError(
            f"{path} was written by a newer version (schema {version}; this one knows {SCHEMA_VERSION}).",
            "Update napari-aln to open it; it was not changed.",
        )
    db.execute("PRAGMA trusted_schema = OFF")
    with contextlib.closing(sqlite3.connect(":memory:")) as ours:
        ours.executescript(_SCHEMA)
        as_made = _objects(ours)
    # A view, trigger or check in a file from elsewhere could compute for ever, also while it is checked.
    if _objects(db) != as_made or db.execute("SELECT count(*) FROM study").fetchone() != (1,):
        raise _damaged(path)
    if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
        raise _damaged(path)
    if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise WorkListError(
            f"{path} lies on a drive that several windows cannot share safely.",
            "Copy it to a drive of this computer and open it there.",
        )
    db.execute("PRAGMA foreign_keys = ON")


def _objects(db: sqlite3.Connection) -> set[tuple[str, ...]]:
    """Return tables and indexes with how they were made; the last, as text without line breaks."""
    rows = db.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    return {(str(kind), str(name), " ".join(str(sql).split())) for kind, name, sql in rows}


def _back_up(db: sqlite3.Connection, path: Path) -> None:
    with atomic_file(backup_of(path)) as temporary, translated(path):
        copy = sqlite3.connect(temporary)
        try:
            db.backup(copy)
        finally:
            copy.close()


def stored_path(list_path: Path, path: Path) -> bytes:
    """Return a path as the list keeps it: relative where it lies below the list, so that both can move."""
    path, home = path.absolute(), list_path.parent
    text = path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)
    return text.encode("utf-8", "surrogateescape")  # a file's name need not be text on every system


@contextlib.contextmanager
def writing(db: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """Do all of the block or nothing of it, alone among all windows."""
    with translated(path):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's refusals into a `WorkListError` with the next step."""
    try:
        yield
    except UnicodeDecodeError as error:  # SQLite names what is damaged in its own bytes
        raise _damaged(path) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise _damaged(path) from error
        told = _REFUSALS.get(code)
        if told is None:
            raise
        raise WorkListError(f"{path} {told[0]}.", told[1]) from error


_IN_USE = "is being written by another window", "Nothing was changed: wait a moment, then try again."
_NOT_WRITABLE = "may not be written to", "Copy it to a place that you may write to and open it there."
_REFUSALS = {
    sqlite3.SQLITE_BUSY: _IN_USE,
    sqlite3.SQLITE_LOCKED: _IN_USE,
    sqlite3.SQLITE_READONLY: _NOT_WRITABLE,
    sqlite3.SQLITE_PERM: _NOT_WRITABLE,
    sqlite3.SQLITE_CANTOPEN: _NOT_WRITABLE,
    sqlite3.SQLITE_FULL: ("could not be written: the disk is full", "Free some space, then try again."),
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written: its drive reports an error",
        "Check the drive, then open the list again.",
    ),
}


def _damaged(path: Path) -> WorkListError:
    backup = backup_of(path)
    with contextlib.suppress(OSError):
        saved = datetime.fromtimestamp(backup.stat().st_mtime).astimezone()
        return WorkListError(
            f"{path} is damaged; it was not changed.",
            f"Its last whole copy, of {saved:%Y-%m-%d %H:%M}, is {backup.name} beside it: copy that to a new "
            "name and open the copy.",
        )
    return WorkListError(f"{path} is damaged; it was not changed.", "Restore it from a backup.")


def now_utc() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)


class ListFile:
    """An open file: rows out, changes in as one step, each with a later time stamp.

    Parameters
    ----------
    path
        The file.
    busy_s
        How long to wait while another window writes.
    clock
        Tells the time, with its zone.
    """

    def __init__(self, path: Path, busy_s: float, clock: Clock) -> None:
        self.path = path.absolute()
        self._clock = clock
        self._db = open_file(self.path, busy_s)

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def together(self) -> AbstractContextManager[object]:
        """Do everything in the block as one step: all of it or nothing, and with one wait for the disk."""
        return self._writing()

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        return contextlib.nullcontext(self._db) if self._db.in_transaction else writing(self._db, self.path)

    def _rows(self, sql: str, *values: object, **named: object) -> list[tuple[Any, ...]]:
        with translated(self.path):
            return self._db.execute(sql, named or values).fetchall()

    def _stamp(self) -> str:
        """Return the time, later than every other one in the list even where the computer's clock is not."""
        last = time_of(self._rows("SELECT last_stamp FROM study")[0][0])
        now = max(self._clock().astimezone(UTC), last + timedelta(microseconds=1))
        stamp = now.isoformat(timespec="microseconds")
        self._db.execute("UPDATE study SET last_stamp = ?", (stamp,))
        return stamp

    def _stored(self, path: Path | None) -> bytes | None:
        return None if path is None else stored_path(self.path, path)
