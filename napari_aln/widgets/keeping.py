"""The review on disk: session files the user saves and opens, and the autosave that survives a crash.

The state is noted on the GUI's thread, which costs nothing: all of it is immutable. It is packed and written
on one thread of its own, in the order in which it was noted.
"""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_aln.errors import AlnError, SlideMovedError, StoreError
from napari_aln.records import Clinical, Progress
from napari_aln.store.result import alias_of_hash, shown_name
from napari_aln.widgets.jobs import Job, JobState
from napari_aln.widgets.reopening import record_of, show_reopened

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from napari_aln.records import Region
    from napari_aln.slides import Slide
    from napari_aln.store.autosave import Autosave
    from napari_aln.widgets.review import Review
    from napari_aln.widgets.window_look import WindowLook
    from napari_aln.workflows.review.resume import Unfinished
    from napari_aln.workflows.review.session import Reopened, SessionMaker
    from napari_aln.workflows.review.session import Review as ReviewRecord

PAUSE_MS = 1500  # from the first change to writing: with the writing itself far below 5 s
VIEW_PAUSE_MS = 3000  # where only the view moved
LOOK_AFTER_MS = 300  # the window stands by then
AGAIN_MS = 2000  # after a write that failed


@dataclass(frozen=True)
class _Note:
    """A state of the review that is to be written."""

    review: ReviewRecord | None  # None: it has ended, and what was written last is how the slide was left
    path: Path | None = None  # the user's session file; None: the autosave
    then_drop: Path | None = None  # what it was recovered from

    def is_passed_by(self, later: Iterable[_Note]) -> bool:
        """Whether a newer state of the same slide takes this one's place."""
        if self.review is None or self.path is not None or self.then_drop is not None:
            return False
        own = self.review.slide.quick_hash
        for note in later:
            if note.review is None:
                return False
            if note.path is None and note.review.slide.quick_hash == own:
                return True
        return False


class Keeping(QObject):
    """Saves, reopens and recovers.

    Parameters
    ----------
    review
        What is kept.
    look
        How the window around it looks, which is kept with it.
    """

    told = Signal(str)  # a session was saved or reopened
    offered = Signal(object)  # Unfinished, or None: nothing to recover any more
    slide_moved = Signal(str)  # what is wrong; `find_slide` says where it lies now
    opening_changed = Signal(bool)
    saving_changed = Signal(bool)

    def __init__(self, review: Review, look: WindowLook) -> None:
        super().__init__()
        self._review, self._state, self._look = review, review.state, look
        self.opening = review.new_job("open-session", self._on_reopened)
        self.opening.failed.disconnect()  # the slide may be found elsewhere
        self.opening.failed.connect(self._on_not_reopened)
        self.opening.state_changed.connect(self._on_opening_state)
        self.looking = review.new_job("recover", self._on_found)
        self.writing = Job("keep", self)  # ends here, after the last state is written
        self.writing.done.connect(self._on_written)
        self.writing.failed.connect(self._on_not_written)
        self._notes: deque[_Note] = deque()
        self._autosave: Autosave | None = None
        self._maker: SessionMaker | None = None
        self._unsaved = False
        self._worth_keeping: str | None = None  # hash of a slide on which something was done
        self._trouble = ""  # the last of the autosave, told once
        self._unfinished: list[Unfinished] = []
        self._asked: tuple[Path, Path | None] | None = None  # session, and what to drop once it is reopened
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.timeout.connect(self.keep_now)
        state = self._state
        for signal in (state.overview_changed, state.bundles_changed, state.case_changed):
            signal.connect(self._on_change)
        for signal in (state.answers_changed, state.shown_changed):
            signal.connect(self._on_change)
        review.scene.map.look_changed.connect(self._on_look)
        review.scene.view_changed.connect(self._on_view)
        review.slide_asked.connect(self._on_slide_asked)
        review.opening.done.connect(self._on_opened)  # after the review, which shows it
        review.roi.previewed.connect(self._on_drawing)
        look.changed.connect(self._on_change)
        QTimer.singleShot(LOOK_AFTER_MS, self.look_for_unfinished)

    # Session files

    def save(self, path: Path) -> None:
        """Write a session file with everything in it."""
        if self._state.slide is not None:
            self._notes.append(_Note(self._now(), path))
            self.saving_changed.emit(True)
            self._write_next()

    def open(self, path: Path, *, slide_path: Path | None = None) -> None:
        """Reopen a session in place of the present review."""
        self._open(path, None, slide_path)

    def find_slide(self, slide_path: Path) -> None:
        """Reopen the session whose slide was not where it was: it lies here now."""
        if self._asked is not None:
            self._open(*self._asked, slide_path)

    def let_go(self) -> None:
        """Do not reopen the session whose slide was not found."""
        self._asked = None

    def _open(self, path: Path, then_drop: Path | None, slide_path: Path | None) -> None:
        from napari_aln.workflows.review.resume import open_session

        self.keep_now()
        self._asked = path, then_drop
        cache = self._review.cache()
        self.opening.start(partial(open_session, path, slide_path=slide_path, cache=cache))

    # Reviews whose window was killed

    def look_for_unfinished(self) -> None:
        """Look for reviews that ended without their window being closed."""
        self.looking.start(_unfinished)

    def restore(self) -> None:
        """Reopen the review that was offered."""
        if self._unfinished:
            from napari_aln.store.autosave import claim

            offered = self._unfinished.pop(0)
            self.offered.emit(None)
            try:
                own = claim(offered.path)
            except StoreError as error:
                self._review.failed.emit(error.fact, error.next_step)
                self._offer_next()
            else:
                self._open(own, own, None)

    def discard(self) -> None:
        """Drop the review that was offered, and offer the next."""
        if self._unfinished:
            dropped = self._unfinished.pop(0)
            with contextlib.suppress(OSError):  # in use, or gone: it is offered again, or is not
                dropped.path.unlink(missing_ok=True)
            self._offer_next()

    def later(self) -> None:
        """Offer nothing more until the next start."""
        self._unfinished.clear()

    def name_of(self, offered: Unfinished) -> str:
        """Return what the slide of an unfinished review is called on the screen."""
        hide = offered.hide_names or self._state.hide_names
        return alias_of_hash(offered.slide_hash) if hide else shown_name(offered.slide_path)

    # Autosave

    def keep_now(self) -> None:
        """Note the present state, if it changed, and have it written."""
        self._pause.stop()
        if self._unsaved and self._state.slide is not None:
            self._unsaved = False
            self._notes.append(_Note(self._now()))
            self._write_next()

    def close(self) -> None:
        """Write the last state: the review ended as it should, and nothing is left to recover."""
        self._pause.stop()
        if self._unsaved and self._state.slide is not None:
            self._notes.append(_Note(record_of(self._review, self._look.last)))  # the panels are gone by now
        state = self._state
        for signal in (state.overview_changed, state.bundles_changed, state.case_changed):
            signal.disconnect(self._on_change)
        for signal in (state.answers_changed, state.shown_changed):
            signal.disconnect(self._on_change)
        self._review.scene.map.look_changed.disconnect(self._on_look)
        self._review.scene.view_changed.disconnect(self._on_view)
        self.writing.close()
        with contextlib.suppress(AlnError):  # nobody is left to be told
            while self._notes:
                self._write(self._notes.popleft())
            if self._autosave is not None:
                self._autosave.finish()

    def _on_change(self) -> None:
        slide = self._state.slide
        if slide is None or not self._is_worth_keeping():
            return
        self._unsaved = True
        if not self._pause.isActive() or self._pause.remainingTime() > PAUSE_MS:
            self._pause.start(PAUSE_MS)

    def _on_drawing(self, _regions: tuple[Region, ...]) -> None:
        self._on_change()

    def _on_look(self, _visible: bool, _opacity: float) -> None:
        self._on_change()

    def _on_view(self) -> None:
        if self._state.slide is not None and self._is_worth_keeping():
            self._unsaved = True
            if not self._pause.isActive():
                self._pause.start(VIEW_PAUSE_MS)

    def _on_slide_asked(self, _path: Path) -> None:
        self.keep_now()  # before it gives way to the next
        self._notes.append(_Note(None))
        self._write_next()

    def _on_opened(self, _slide: Slide) -> None:
        """Let what was kept of this slide be, until something is done on it anew."""
        self._pause.stop()
        self._unsaved, self._worth_keeping = False, None

    def _is_worth_keeping(self) -> bool:
        """Whether anything was done on this slide that would be lost; once so, every change is kept."""
        state = self._state
        if state.slide is None:
            return False
        own = state.slide.info.quick_hash
        done = self._review.roi.so_far or state.answers or state.clinical != Clinical()
        if done or (state.seen is not None and state.seen.edited):
            self._worth_keeping = own
        return self._worth_keeping == own

    def _now(self) -> ReviewRecord:
        return record_of(self._review, self._look.now())

    def _write_next(self) -> None:
        if self._notes and not self.writing.is_running:
            self.writing.start(self._write_all)

    def _write_all(self) -> Generator[Progress, None, tuple[list[_Note], AlnError | None]]:
        """Write what was noted; a state that a newer one of the same slide follows is passed over."""
        written: list[_Note] = []
        while self._notes:
            note = self._notes.popleft()
            if note.is_passed_by(self._notes):
                continue
            try:
                self._write(note)
            except AlnError as error:
                return [*written, note], error
            written.append(note)
            yield Progress("keep", len(written), len(written) + len(self._notes))
        return written, None

    def _write(self, note: _Note) -> None:
        if note.review is None:
            if self._autosave is not None:
                self._autosave.finish()
            return
        from napari_aln.store.autosave import Autosave
        from napari_aln.workflows.review.resume import write_to_hand_on
        from napari_aln.workflows.review.session import SessionMaker

        self._maker = self._maker or SessionMaker()
        if note.path is not None:
            write_to_hand_on(self._maker, note.review, note.path)
            return
        saved = self._maker.make(note.review)
        self._autosave = self._autosave or Autosave(interval_s=0.0)  # the pause is the timer's
        self._autosave.changed(note.review.slide.quick_hash, lambda: saved)
        if note.then_drop is not None:
            note.then_drop.unlink(missing_ok=True)

    def _on_written(self, answer: tuple[list[_Note], AlnError | None]) -> None:
        written, error = answer
        failed = written.pop() if error is not None else None
        for note in written:
            if note.path is not None:
                name = "the session" if self._state.hide_names else shown_name(note.path)
                self.told.emit(f"Saved {name}.")
            else:
                self._trouble = ""
        if failed is not None and error is not None:
            self._on_refused(failed, error)
        self.saving_changed.emit(any(note.path is not None for note in self._notes))
        self._write_next()

    def _on_refused(self, note: _Note, error: AlnError) -> None:
        if note.path is not None:
            name = "The session" if self._state.hide_names else shown_name(note.path)
            self._review.failed.emit(error.fact.replace(str(note.path), name), error.next_step)
            return
        self._unsaved = True
        self._pause.start(AGAIN_MS)
        if error.fact != self._trouble:
            self._trouble = error.fact
            self._review.told.emit("warning", f"The review is not kept against a crash. {error.fact}")

    def _on_not_written(self, error: Exception) -> None:
        self._review.failed.emit(
            f"The review could not be saved: {type(error).__name__}.", "Save the result, and report this."
        )
        self.saving_changed.emit(False)

    # What the jobs answer

    def _on_found(self, answer: tuple[tuple[Unfinished, ...], int]) -> None:
        found, n_unreadable = answer
        self._unfinished = list(found)
        if n_unreadable:
            self._review.told.emit(
                "warning", f"{n_unreadable} autosaved review(s) could not be read and were left as they are."
            )
        self._offer_next()

    def _offer_next(self) -> None:
        self.offered.emit(self._unfinished[0] if self._unfinished else None)

    def _on_opening_state(self, job: JobState) -> None:
        self.opening_changed.emit(job is JobState.RUNNING)

    def _on_reopened(self, reopened: Reopened) -> None:
        _, then_drop = self._asked or (None, None)
        self._asked = None
        self.keep_now()
        show_reopened(self._review, reopened)
        self._look.show(reopened.review.window)
        self._worth_keeping = reopened.slide.info.quick_hash
        self._unsaved = False
        self._pause.stop()
        self._notes.append(_Note(self._now(), then_drop=then_drop))
        self._write_next()
        for problem in reopened.problems:
            self._review.told.emit("warning", problem)
        if reopened.problems:
            self._review.failed.emit("The session was not restored whole.", " ".join(reopened.problems))
        else:
            self.told.emit("The session is open again, as it was saved.")

    def _on_not_reopened(self, error: Exception) -> None:
        path = self._asked[0] if self._asked else None
        if isinstance(error, SlideMovedError):
            hide = self._state.hide_names
            name = "The slide's file" if hide else shown_name(error.path)
            self.slide_moved.emit(error.fact.replace(str(error.path), name))
            return
        self._asked = None
        if isinstance(error, AlnError) and path is not None:
            name = "The session" if self._state.hide_names else shown_name(path)
            fact = error.fact.replace(str(path), name)
            self._review.failed.emit(self._review.without_paths(fact), error.next_step)
        else:
            self._review.on_error(error)


def _unfinished() -> Generator[Progress, None, tuple[tuple[Unfinished, ...], int]]:
    from napari_aln.store.autosave import autosave_folder
    from napari_aln.workflows.review.resume import unfinished

    return (yield from unfinished(autosave_folder()))
