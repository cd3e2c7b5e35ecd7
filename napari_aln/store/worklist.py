"""The work list: slides to review, what became of each, and the reader's own calls.

The rule of a blinded list is kept here, not only in a window: model numbers and the reference standard of a
patient are handed out to a reader when that reader's call on all of the patient's slides is stored (a slide
that cannot be opened aside). Who sees one slide's numbers knows something about the others of the patient.
It guards against accident, not against someone who opens the file with another program.

The list holds local paths and patient ids: it is the user's own file, never part of an export.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Self

from napari_aln.errors import WorkListError
from napari_aln.records import BINARY, Clinical
from napari_aln.store.worklist_file import BUSY_S, SCHEMA_VERSION, Clock, ListFile, create_file, now_utc
from napari_aln.store.worklist_records import (
    call_of,
    check_call,
    classes_of,
    clinical_of,
    item_of,
    run_of,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Container, Iterable, Sequence
    from pathlib import Path

    from napari_aln.errors import AlnError
    from napari_aln.store.worklist_records import Call, Limits, Model, NewSlide, Patient, RunSummary, WorkItem

_ITEM = "SELECT id, path, quick_hash, patient, roi, state, failure, next_step, opened_at, read_at FROM slide"
_CALL = "SELECT slide, reader, aln_class, confidence, comment, made_at, model_seen_at FROM call"


class WorkList(ListFile):
    """An open work list. Use one in each thread; opening takes milliseconds.

    Parameters
    ----------
    path
        The file.
    busy_s
        How long to wait while another window writes.
    clock
        Tells the time, with its zone.

    Raises
    ------
    WorkListError
        The file is missing, something else, newer, damaged or locked. It is left as it was.
    """

    def __init__(self, path: Path, *, busy_s: float = BUSY_S, clock: Clock = now_utc) -> None:
        super().__init__(path, busy_s, clock)
        blinded, classes = self._rows("SELECT blinded, classes FROM study")[0]
        self.blinded = bool(blinded)
        self.classes: tuple[str, ...] = classes_of(classes)

    @classmethod
    def create(cls, path: Path, *, blinded: bool = False, classes: Sequence[str] = BINARY) -> Self:
        """Write an empty list and open it.

        Parameters
        ----------
        path
            A file that does not exist yet.
        blinded
            Whether the reader's call is asked for before model numbers are handed out.
        classes
            What a reader may call: `records.BINARY` or `THREE_CLASSES`.
        """
        create_file(path, blinded=blinded, classes=tuple(classes))
        return cls(path)

    # -- slides and patients ---------------------------------------------------------------------------

    def add(self, slides: Iterable[NewSlide], patients: Iterable[Patient] = ()) -> int:
        """Add slides that are not in the list yet; return how many are new.

        Patients are added, or changed to what is given now. A slide already there gets the patient, ROI or
        hash given now, where it had none.
        """
        added = 0
        with self._writing() as db:
            stamp = self._stamp()
            for patient in patients:
                db.execute(
                    "INSERT INTO patient VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                    " clinical = excluded.clinical, reference = coalesce(excluded.reference, reference)",
                    (patient.patient_id, json.dumps(asdict(patient.clinical)), patient.reference),
                )
            for slide in slides:
                self._know_patient(slide.patient_id)
                path, roi = self._stored(slide.path), self._stored(slide.roi)
                added += db.execute(
                    "INSERT OR IGNORE INTO slide (path, state, added_at) VALUES (CAST(? AS TEXT), 'new', ?)",
                    (path, stamp),
                ).rowcount
                db.execute(
                    "UPDATE slide SET patient = coalesce(patient, ?), roi = coalesce(roi, CAST(? AS TEXT)),"
                    " quick_hash = coalesce(quick_hash, ?) WHERE path = CAST(? AS TEXT)",
                    (slide.patient_id, roi, slide.quick_hash, path),
                )
        return added

    def remove(self, item_id: int) -> None:
        """Take a slide out of the list.

        Raises
        ------
        WorkListError
            A call on it is stored: calls are kept.
        """
        with self._writing() as db:
            if self.calls(item_id):
                raise WorkListError(f"{self.item(item_id).path} has been read.", "It stays in the list.")
            for table, column in (("run", "slide"), ("shown", "slide"), ("slide", "id")):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (item_id,))

    def set_patient(self, item_id: int, patient_id: str) -> None:
        """Say whose slide it is."""
        with self._writing() as db:
            self._know_patient(patient_id)
            db.execute("UPDATE slide SET patient = ? WHERE id = ?", (patient_id, item_id))

    def _know_patient(self, patient_id: str | None) -> None:
        if patient_id is not None:
            nothing = json.dumps(asdict(Clinical()))
            self._db.execute("INSERT OR IGNORE INTO patient VALUES (?, ?, NULL)", (patient_id, nothing))

    def items(self) -> tuple[WorkItem, ...]:
        """Return all slides in the order they were added."""
        return tuple(item_of(row, self.path.parent) for row in self._rows(f"{_ITEM} ORDER BY id"))

    def item(self, item_id: int) -> WorkItem:
        """Return one slide."""
        found = self._rows(f"{_ITEM} WHERE id = ?", item_id)
        if not found:
            raise WorkListError(f"{self.path} has no slide number {item_id}.", "Open the list again.")
        return item_of(found[0], self.path.parent)

    def clinical(self, item_id: int) -> Clinical:
        """Return the clinical values of a slide's patient; unknown ones are None."""
        clinical = self._of_patient("clinical", item_id)
        return clinical_of(clinical) if clinical else Clinical()

    def _of_patient(self, column: str, item_id: int) -> str | None:
        join = "patient JOIN slide ON slide.patient = patient.id WHERE slide.id = ?"
        found = self._rows(f"SELECT {column} FROM {join}", item_id)
        return found[0][0] if found else None

    def slides_of_patient(self, item_id: int) -> tuple[int, ...]:
        """Return all slides of a slide's patient, itself among them."""
        found = self._rows(
            "SELECT id FROM slide WHERE id = :id"
            " OR patient = (SELECT patient FROM slide WHERE id = :id) ORDER BY id",
            id=item_id,
        )
        return tuple(row[0] for row in found)

    def mark_open(self, item_id: int, quick_hash: str) -> None:
        """Note that a slide was opened and what it holds. A slide once read stays read.

        Raises
        ------
        WorkListError
            The file now holds another slide than the one that was added: nothing is noted.
        """
        with self._writing() as db:
            self._check_hash(item_id, quick_hash)
            db.execute(
                "UPDATE slide SET quick_hash = ?, opened_at = ?, failure = NULL, next_step = NULL, state ="
                " CASE WHEN read_at IS NULL THEN 'open' ELSE 'read' END WHERE id = ?",
                (quick_hash, self._stamp(), item_id),
            )

    def mark_failed(self, item_id: int, error: AlnError) -> None:
        """Note why a slide could not be opened or scored; its calls and results stay."""
        with self._writing() as db:
            db.execute(
                "UPDATE slide SET state = 'failed', failure = ?, next_step = ? WHERE id = ?",
                (error.fact, error.next_step, item_id),
            )

    def move(self, item_id: int, path: Path, quick_hash: str) -> None:
        """Note where a slide lies now.

        Raises
        ------
        WorkListError
            That file holds another slide, or is another one of the list.
        """
        with self._writing() as db:
            self._check_hash(item_id, quick_hash)
            stored = self._stored(path)
            taken = self._rows(
                "SELECT id FROM slide WHERE path = CAST(? AS TEXT) AND id != ?", stored, item_id
            )
            if taken:
                raise WorkListError(f"{path} is in the list already.", "Keep one of the two entries.")
            db.execute(
                "UPDATE slide SET path = CAST(? AS TEXT), quick_hash = ?, failure = NULL, next_step = NULL,"
                " state = CASE WHEN read_at IS NOT NULL THEN 'read' WHEN opened_at IS NOT NULL THEN 'open'"
                " ELSE 'new' END WHERE id = ?",
                (stored, quick_hash, item_id),
            )

    def _check_hash(self, item_id: int, quick_hash: str) -> None:
        item = self.item(item_id)
        if item.quick_hash not in (None, quick_hash):
            raise WorkListError(
                f"{item.path} holds another slide than when it was first opened.",
                "Put the slide back, find it in a folder, or add the new one under a name of its own.",
            )

    # -- the reader ------------------------------------------------------------------------------------

    def store_call(
        self,
        item_id: int,
        reader_id: str,
        aln_class: str,
        confidence: float | None = None,
        comment: str = "",
    ) -> Call:
        """Add a reader's call. One equal to the reader's last adds nothing.

        Raises
        ------
        WorkListError
            The reader has no name, the class is not one of the list's, or the confidence is not in 0..1.
        """
        check_call(self.classes, reader_id, aln_class, confidence)
        with self._writing() as db:
            self.item(item_id)
            last = self.calls(item_id, reader_id)[-1:]
            if [(c.aln_class, c.confidence, c.comment) for c in last] == [(aln_class, confidence, comment)]:
                return last[0]
            own = self.slides_of_patient(item_id)
            seen = self._rows(
                f"SELECT min(at) FROM shown WHERE reader = ? AND slide IN ({_marks(own)})", reader_id, *own
            )[0][0]
            stamp = self._stamp()
            db.execute(
                "INSERT INTO call (slide, reader, aln_class, confidence, comment, made_at, model_seen_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (item_id, reader_id, aln_class, confidence, comment, stamp, seen),
            )
            db.execute(
                "UPDATE slide SET read_at = ?, state = CASE state WHEN 'failed' THEN 'failed' ELSE 'read' END"
                " WHERE id = ?",
                (stamp, item_id),
            )
            return self.calls(item_id, reader_id)[-1]

    def calls(self, item_id: int, reader_id: str | None = None) -> tuple[Call, ...]:
        """Return the calls on a slide, of one reader or all, the first made first."""
        found = self._rows(
            f"{_CALL} WHERE slide = :slide AND (:reader IS NULL OR reader = :reader) ORDER BY id",
            slide=item_id,
            reader=reader_id,
        )
        return tuple(map(call_of, found))

    def readers(self) -> tuple[str, ...]:
        """Return who has made a call, in the order of their first."""
        return tuple(row[0] for row in self._rows("SELECT reader FROM call GROUP BY reader ORDER BY min(id)"))

    def unread(self, reader_id: str) -> tuple[int, ...]:
        """Return the slides that a reader has yet to call, failed ones aside."""
        found = self._rows(
            "SELECT id FROM slide WHERE state != 'failed' AND NOT EXISTS"
            " (SELECT 1 FROM call WHERE call.slide = slide.id AND reader = ?) ORDER BY id",
            reader_id,
        )
        return tuple(row[0] for row in found)

    # -- the models ------------------------------------------------------------------------------------

    def record_runs(self, item_id: int, runs: Sequence[RunSummary], folder: Path | None = None) -> None:
        """Add what models said of a slide; `folder` holds the whole result. May be done before any call."""
        with self._writing() as db:
            self.item(item_id)
            stamp = self._stamp()
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            for run in runs:
                summary = asdict(run)
                del summary["folder"], summary["recorded_at"]
                db.execute(
                    "INSERT INTO run (slide, folder, recorded_at, summary) VALUES (?, CAST(? AS TEXT), ?, ?)",
                    (item_id, self._stored(folder), stamp, json.dumps(summary)),
                )

    def may_see(self, item_id: int, reader_id: str) -> bool:
        """Whether model numbers and reference of a slide's patient are handed out to a reader."""
        return not self.blinded or not self._uncalled(item_id, reader_id)

    def _uncalled(self, item_id: int, reader_id: str) -> list[int]:
        """Return the slides of the patient that still need the reader's call."""
        return [
            own
            for own in self.slides_of_patient(item_id)
            if not self.calls(own, reader_id) and (own == item_id or self.item(own).state != "failed")
        ]

    def note_shown(self, item_id: int, reader_id: str) -> None:
        """Note that a reader is about to be shown model numbers of a slide; ask before showing any.

        Raises
        ------
        WorkListError
            The list is blinded and the reader's call is not stored yet: show nothing.
        """
        with self._writing() as db:
            self._release(db, item_id, reader_id)

    def _release(self, db: sqlite3.Connection, item_id: int, reader_id: str, *, note: bool = True) -> None:
        if self.blinded and (waiting := self._uncalled(item_id, reader_id)):
            others = "" if waiting == [item_id] else " on all slides of the patient"
            raise WorkListError(
                f"This list is read blinded: the model's numbers wait for the call of {reader_id}{others}.",
                "Make the call first.",
            )
        if note:
            db.execute("INSERT OR IGNORE INTO shown VALUES (?, ?, ?)", (item_id, reader_id, self._stamp()))

    def results(self, item_id: int, reader_id: str) -> tuple[RunSummary, ...]:
        """Hand out what models said of a slide, the newest run of each model, and note that it was seen.

        Raises
        ------
        WorkListError
            The list is blinded and the reader's call is not stored yet.
        """
        with self._writing() as db:
            newest = self._newest(item_id)
            self._release(db, item_id, reader_id, note=bool(newest))
        return newest

    def _newest(self, item_id: int) -> tuple[RunSummary, ...]:
        columns = "folder, recorded_at, summary"
        found = self._rows(f"SELECT {columns} FROM run WHERE slide = ? ORDER BY id", item_id)
        runs = (run_of(row, self.path.parent) for row in found)
        return tuple({run.model: run for run in runs}.values())

    def map_limits(self, map_name: str, models: Container[Model], reader_id: str) -> tuple[Limits, ...]:
        """Return the colour scale that a map has on each slide, for a scale that all slides share.

        Parameters
        ----------
        map_name
            As in `RunSummary.map_limits`.
        models
            Whose runs count; of each slide the newest.
        reader_id
            In a blinded list only slides count whose numbers this reader may see.

        Returns
        -------
        tuple of (float, float)
            One for each slide that has such a map, over its models.
        """
        limits = []
        for (item_id,) in self._rows("SELECT DISTINCT slide FROM run ORDER BY slide"):
            if not self.may_see(item_id, reader_id):
                continue
            runs = [run for run in self._newest(item_id) if run.model in models]
            own = [run.map_limits[map_name] for run in runs if map_name in run.map_limits]
            if own:
                limits.append((min(low for low, _ in own), max(high for _, high in own)))
        return tuple(limits)

    def reference(self, item_id: int, reader_id: str) -> str | None:
        """Hand out the class of a slide's patient by the reference standard, where known.

        Raises
        ------
        WorkListError
            The list is blinded and the reader's call is not stored yet.
        """
        with self._writing() as db:
            self._release(db, item_id, reader_id)
        return self._of_patient("reference", item_id)


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
