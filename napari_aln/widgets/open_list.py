"""The open work list beside the review: what is opened, called and run is written down in it.

Holds the list's file on the window's thread; slides are looked at and looked for on jobs' threads.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_aln.errors import AlnError, SlideError, TissueError, WorkListError
from napari_aln.records import Clinical, Progress
from napari_aln.store.result import alias_of_hash, read_document, shown_name
from napari_aln.store.worklist import WorkList
from napari_aln.store.worklist_records import RunSummary, patients_by_number
from napari_aln.widgets.jobs import Job
from napari_aln.widgets.list_gate import ListGate
from napari_aln.workflows.slide.maps import limits_of_maps

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from napari_aln.records import SlideResult
    from napari_aln.store.worklist_records import Call, WorkItem
    from napari_aln.widgets.review import Review
    from napari_aln.workflows.review.worklist import Collected

BUSY_S = 1.5  # how long the window waits for another one that writes


class OpenList(QObject):
    """Keeps one work list in step with one review.

    Parameters
    ----------
    review
        What is opened from the list, and whose answers it records.
    """

    changed = Signal()  # the list, its slides, the reader or the slide under review
    failed = Signal(str, str)  # fact and next step, for the user
    told = Signal(str)  # what was done, for the user

    def __init__(self, review: Review) -> None:
        super().__init__()
        self._review, self._state = review, review.state
        self.work_list: WorkList | None = None
        self.items: tuple[WorkItem, ...] = ()
        self.missing: tuple[WorkItem, ...] = ()  # no longer where they were
        self.current: WorkItem | None = None  # whose slide is under review
        self.reader_id = review.remembered.reader_id
        self._asked: Path | None = None
        self._marked: object = None  # list, number and slide that were last noted as open
        self.collecting = self._job("collect", self._on_collected)
        self.finding = self._job("find moved", self._on_found)
        self.looking = self._job("find missing", self._on_missing)
        self.gate = ListGate(self, self._state)
        self._state.slide_changed.connect(self._on_slide)
        review.slide_asked.connect(self._on_asked)
        review.opening.failed.connect(self._on_opening_failed)
        review.running.failed.connect(self._on_run_failed)
        review.answered.connect(self._on_answered)
        review.saved.connect(self._on_saved)

    def _job(self, name: str, on_done: Callable[[Any], None]) -> Job:
        job = Job(name, self)
        job.done.connect(on_done)
        job.failed.connect(self.fail)
        self._review.jobs.append(job)  # it ends with the review
        return job

    def close(self) -> None:
        """Stop the work and let go of the file."""
        for job in (self.collecting, self.finding, self.looking):
            job.close()
        self._state.slide_changed.disconnect(self._on_slide)
        if self.work_list is not None:
            self.work_list.close()
            self.work_list = None

    # The list

    def create(self, path: Path, *, blinded: bool, classes: Sequence[str]) -> None:
        """Write an empty list and open it in place of the one before."""
        with self.telling(path):
            WorkList.create(path, blinded=blinded, classes=classes).close()
            self.open(path)

    def open(self, path: Path) -> None:
        """Open a list in place of the one before, which stays open where this one cannot be."""
        with self.telling(path):
            opened = WorkList(path, busy_s=BUSY_S)
            for job in (self.collecting, self.finding, self.looking):
                job.reset()
            if self.work_list is not None:
                self.work_list.close()
            self._state.drop_kept_back()  # another list may not keep them back
            self.work_list, self.missing = opened, ()
            self._review.work_list = path
            self.gate.forget()
            self.refresh()
            self._on_slide()
            self.looking.start(partial(_look_for, self.items))

    def refresh(self) -> None:
        """Read the list anew, and ask again what may be shown."""
        self.gate.forget_scales()
        with self.telling():
            self.items = self.work_list.items() if self.work_list is not None else ()
            own = self.current.item_id if self.current is not None else None
            self.current = next((item for item in self.items if item.item_id == own), None)
        self._state.pass_gate()
        self.changed.emit()

    def _opened(self) -> WorkList:
        """Return the list.

        Raises
        ------
        WorkListError
            None is open.
        """
        if self.work_list is None:
            raise WorkListError("No work list is open.", "Press New list or Open list first.")
        return self.work_list

    def add(self, sources: Sequence[Path]) -> None:
        """Add what folders, slides and cohort tables hold; slides are looked at on a thread."""
        from napari_aln.workflows.review.worklist import collect

        with self.telling():
            self.collecting.start(partial(collect, tuple(sources), self._opened().classes, self.items))

    def find_moved(self, folder: Path) -> None:
        """Look below a folder for the slides that are no longer where they were."""
        from napari_aln.workflows.review.worklist import find_moved

        self.finding.start(partial(find_moved, self.missing, folder))

    def export_study(self, path: Path) -> None:
        """Write the tables of the reader study."""
        from napari_aln.workflows.evaluation.reader_study import (
            export_reader_study,
            performances,
            reader_cases,
        )

        with self.telling():
            work_list = self._opened()
            table, cases = export_reader_study(work_list, path, private=self._state.hide_names)
            judged = performances(reader_cases(work_list))
            empty = " No patient has both a call and a reference standard: it holds no measures."
            self.told.emit(f"Exported {table.name} and {cases.name}.{'' if judged else empty}")

    # Slides

    def name_of(self, item: WorkItem) -> str:
        """Return what a slide is called on the screen; nothing of its file where names are hidden."""
        if not self._state.hide_names:
            return shown_name(item.path)
        return alias_of_hash(item.quick_hash) if item.quick_hash else f"Slide {item.item_id}"

    def patient_of(self, item: WorkItem) -> str:
        """Return what a slide's patient is called on the screen."""
        if item.patient_id is None or not self._state.hide_names:
            return item.patient_id or ""
        return patients_by_number(self.items)[item.patient_id]

    def calls(self, item_id: int) -> tuple[Call, ...]:
        """Return the reader's own calls on a slide."""
        if self.work_list is None or not self.reader_id:
            return ()
        return self.work_list.calls(item_id, self.reader_id)

    def open_slide(self, item_id: int) -> None:
        """Open a slide for review, with its ROI file and its patient's clinical values."""
        with self.telling():
            work_list = self._opened()
            item, clinical = work_list.item(item_id), work_list.clinical(item_id)
            self._review.open_case(item.path, item.roi, clinical if clinical != Clinical() else None)

    def step(self, by: int, *, unread: bool = False) -> None:
        """Open the next slide or the one before; `unread`: the next that the reader has yet to call."""
        with self.telling():
            work_list = self._opened()
            ids = [item.item_id for item in self.items]
            at = ids.index(self.current.item_id) if self.current is not None else -1 if by > 0 else len(ids)
            ahead = ids[at + 1 :] if by > 0 else ids[:at][::-1]
            if unread:
                wanted = set(work_list.unread(self.reader_id))
                ahead = [number for number in (*ahead, *ids[: at + 1]) if number in wanted]
            if ahead:
                self.open_slide(ahead[0])
            else:
                self.told.emit("Every slide has your call." if unread else "There is no further slide.")

    # The reader

    def set_reader(self, reader_id: str) -> None:
        """Say who reads; remembered for the next start."""
        reader_id = reader_id.strip()
        if reader_id == self.reader_id:
            return
        self.reader_id = reader_id
        with self.telling():
            self._review.remembered.remember_reader(reader_id)
            self.gate.note_reader()
        self.refresh()

    def store_call(self, aln_class: str, confidence: float | None, comment: str) -> bool:
        """Add the reader's call on the slide under review; return whether it was stored."""
        stored = False
        with self.telling():
            if self.work_list is not None and self.current is not None:
                own = self.current.item_id
                self.work_list.store_call(own, self.reader_id, aln_class, confidence, comment)
                stored = True
        self.refresh()
        if stored:
            self.told.emit("Your call is stored.")
        return stored

    def n_slides_of_patient(self) -> int:
        """Return how many slides the patient under review has; 0 without one."""
        if self.work_list is None or self.current is None:
            return 0
        with self.telling():
            return len(self.work_list.slides_of_patient(self.current.item_id))
        return 0

    # What the review tells

    def _on_asked(self, path: Path) -> None:
        self._asked = path

    def _on_slide(self) -> None:
        """Know the slide under review in the list, however it was opened."""
        slide, item = self._state.slide, None
        if slide is not None:
            path, content = slide.info.path.absolute(), slide.info.quick_hash
            same = [i for i in self.items if i.path == path] or [
                i for i in self.items if i.quick_hash == content
            ]
            item = same[0] if same else None
        self.current = item
        opened = item and slide and (self.work_list, item.item_id, slide)
        if item and slide and self.work_list and opened != self._marked:
            with self.telling():
                self.work_list.mark_open(item.item_id, slide.info.quick_hash)
        self._marked = opened
        self.refresh()

    def _on_opening_failed(self, error: Exception) -> None:
        asked = self._asked.absolute() if self._asked is not None else None
        self._mark_failed(next((item for item in self.items if item.path == asked), None), error)

    def _on_run_failed(self, error: Exception) -> None:
        if isinstance(error, (SlideError, TissueError)):  # others say nothing of the slide
            self._mark_failed(self.current, error)

    def _mark_failed(self, item: WorkItem | None, error: Exception) -> None:
        if self.work_list is None or item is None or not isinstance(error, AlnError):
            return
        with self.telling():
            self.work_list.mark_failed(item.item_id, error)
        self.refresh()

    def _on_answered(self, result: SlideResult) -> None:
        if self.work_list is None or self.current is None:
            return
        limits = {run: limits_of_maps(scores) for run, scores in result.scores.items()}
        summaries = [RunSummary.of(run, limits.get(run.run)) for run in result.runs]
        with self.telling():
            self.work_list.record_runs(self.current.item_id, summaries)
        self.gate.forget_scales()
        self.changed.emit()

    def _on_saved(self, place: Path) -> None:
        slide = self._state.slide
        if self.work_list is None or self.current is None or slide is None:
            return
        with self.telling():
            document = read_document(place)
            if document.slide.quick_hash != slide.info.quick_hash:
                return  # another slide was opened meanwhile
            answers = self._state.answers
            saved = [run for run in document.runs if run.run in answers]
            same = [run for run in saved if answers[run.run].record.probabilities == run.probabilities]
            summaries = [RunSummary.of(run, limits_of_maps(answers[run.run].scores)) for run in same]
            self.work_list.record_runs(self.current.item_id, summaries, place)

    # What the jobs answer

    def _on_collected(self, found: Collected) -> None:
        added = 0
        with self.telling():
            if self.work_list is None:
                return
            added = self.work_list.add(found.slides, found.patients)
            known = len(found.slides) - added
            words = [f"{added} slide{'s' * (added != 1)} added"]
            words += [f"{known} in the list already"] if known else []
            n_patients = len(found.patients)
            words += [f"{n_patients} patient{'s' * (n_patients != 1)} in the table"] if n_patients else []
            self.told.emit(", ".join(words) + ".")
        self._on_slide()
        self.looking.start(partial(_look_for, self.items))

    def _on_missing(self, missing: tuple[WorkItem, ...]) -> None:
        self.missing = missing
        self.changed.emit()

    def _on_found(self, found: dict[int, Path]) -> None:
        if self.work_list is None:
            return
        for item in self.missing:
            if item.item_id in found and item.quick_hash is not None:
                with self.telling():
                    self.work_list.move(item.item_id, found[item.item_id], item.quick_hash)
        n_left = len(self.missing) - len(found)
        self.told.emit(
            f"{len(found)} found" + (f", {n_left} not: look in another folder." if n_left else ".")
        )
        self._on_slide()
        self.looking.start(partial(_look_for, self.items))

    # Errors

    @contextmanager
    def telling(self, path: Path | None = None) -> Iterator[None]:
        """Tell the user of an error, and go on: the window and the list stay as they were."""
        try:
            yield
        except AlnError as error:
            self.fail(error, path)

    def fail(self, error: Exception, path: Path | None = None) -> None:
        """Tell the user of an error."""
        if isinstance(error, AlnError):
            self.failed.emit(self.without_paths(error.fact, path), self.without_paths(error.next_step, path))
        else:
            self.failed.emit(f"Something went wrong: {type(error).__name__}: {error}.", "See the log.")

    def without_paths(self, text: str, path: Path | None = None) -> str:
        """Name files without their folders, and slides not at all where names are hidden."""
        for item in self.items:
            text = text.replace(str(item.path), self.name_of(item))
        for own in (path, self.work_list.path if self.work_list is not None else None):
            if own is not None:
                text = text.replace(str(own.absolute()), own.name).replace(str(own), own.name)
        return text


def _look_for(items: Sequence[WorkItem]) -> Generator[Progress, None, tuple[WorkItem, ...]]:
    from napari_aln.workflows.review.worklist import missing

    gone: list[WorkItem] = []
    for done, item in enumerate(items):
        yield Progress("look whether slides are there", done, len(items))
        gone += missing([item])
    return tuple(gone)
