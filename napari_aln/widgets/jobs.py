"""Long work beside the window: the only place with a thread.

A job runs one generator at a time and has one state. Whatever happens (a new start, a cancel, the window
closing) the generator is closed on the thread that runs it, and an answer that comes too late is dropped by
its number. superqt's workers are not used: they lose a RuntimeError and leave the generator open.
"""

from __future__ import annotations

from enum import StrEnum
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from qtpy import compat
from qtpy.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_aln.records import Progress

    Work = Callable[[], Generator[Progress, None, Any]]
    NewJob = Callable[[str, Callable[[Any], None]], "Job"]  # name and what is done with the answer


MOST_PATIENCE_MS = 2000
"""After which others start beside it: it waits for a slow drive, not for the processor."""


class JobState(StrEnum):
    """What a job is doing."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLED = "cancelled"
    FAILED = "failed"
    DONE = "done"


class _Run(QObject):
    """One run of one generator on a thread of its own; each signal carries the run's number."""

    progressed = Signal(int, object)
    returned = Signal(int, object)
    raised = Signal(int, object)
    ended = Signal(int)

    def __init__(self, number: int, work: Work, name: str) -> None:
        super().__init__()
        self.number = number
        self.stop = Event()
        self._work = work
        self.worker = Thread(target=self._run, name=name)

    @property
    def has_begun(self) -> bool:
        return self.worker.ident is not None

    def _run(self) -> None:
        try:
            self._follow(self._work())
        except Exception as error:  # noqa: BLE001 - the end of the thread: whatever it was, the user is told
            self.raised.emit(self.number, error)
        self.ended.emit(self.number)

    def _follow(self, work: Generator[Progress, None, Any]) -> None:
        try:
            while not self.stop.is_set():
                self.progressed.emit(self.number, next(work))
        except StopIteration as end:
            self.returned.emit(self.number, end.value)
        finally:
            work.close()


class Job(QObject):
    """One kind of long work, one run at a time.

    A start during a run cancels that run and follows when its thread has let go. A late answer that can be
    closed, such as a slide, is closed.

    Parameters
    ----------
    name
        Names the thread.
    parent
        Owns the job. Call `close` before it goes.
    gives_way
        What comes first: beside it no thread of this job is started.
    """

    state_changed = Signal(object)  # JobState
    progressed = Signal(object)  # Progress
    done = Signal(object)  # what the generator returned
    failed = Signal(object)  # the exception

    def __init__(self, name: str, parent: QObject | None = None, gives_way: Precedence | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self._state = JobState.IDLE
        self._number = 0  # of the newest run
        self._awaited: int | None = None  # the run whose answers count
        self._runs: list[_Run] = []  # the one whose thread works, and at most one that waits for it
        self._closed = False
        self._gives_way = gives_way
        if gives_way is not None:
            gives_way.ended.connect(self._begin)

    @property
    def state(self) -> JobState:
        """What the job is doing."""
        return self._state

    @property
    def is_running(self) -> bool:
        """Whether an answer is awaited."""
        return self._state is JobState.RUNNING

    def start(self, work: Work) -> None:
        """Run a generator; `work` makes it, on the thread. A run that is under way is cancelled."""
        if self._closed:
            return
        self._let_go()
        self._number += 1
        run = _Run(self._number, work, f"aln-{self.objectName()}-{self._number}")
        run.progressed.connect(self._on_progressed)
        run.returned.connect(self._on_returned)
        run.raised.connect(self._on_raised)
        run.ended.connect(self._on_ended)
        self._awaited = run.number
        self._runs = [*self._runs[:1], run]  # one that still waited was cancelled before it began
        self._set_state(JobState.RUNNING)
        self._begin()

    def cancel(self) -> None:
        """Drop the run that is under way; its thread ends at the generator's next yield."""
        if self.is_running:
            self._let_go()
            self._set_state(JobState.CANCELLED)

    def reset(self) -> None:
        """Forget how the last run ended, and drop one that is under way."""
        self._let_go()
        alive: bool = compat.isalive(self)  # type: ignore[no-untyped-call]
        if alive:  # at the end of a program Qt may have taken it before those who put it away
            self._set_state(JobState.IDLE)

    def close(self, patience_s: float = 30.0) -> None:
        """Cancel and wait for the thread; nothing starts afterwards."""
        self._closed = True
        self._let_go()
        for run in self._runs[:1]:
            if run.has_begun:
                run.worker.join(patience_s)
        self._runs.clear()

    def _let_go(self) -> None:
        self._awaited = None
        for run in self._runs:
            run.stop.set()

    def _set_state(self, state: JobState) -> None:
        self._state = state
        self.state_changed.emit(state)

    def _on_progressed(self, number: int, step: Progress) -> None:
        if number == self._awaited:
            self.progressed.emit(step)

    def _on_returned(self, number: int, result: object) -> None:
        if number == self._awaited:
            self._awaited = None
            self._set_state(JobState.DONE)
            self.done.emit(result)
        elif close := getattr(result, "close", None):
            close()

    def _on_raised(self, number: int, error: Exception) -> None:
        if number == self._awaited:
            self._awaited = None
            self._set_state(JobState.FAILED)
            self.failed.emit(error)

    def _on_ended(self, number: int) -> None:
        if not self._runs or self._runs[0].number != number:
            return  # closed meanwhile
        self._runs.pop(0).worker.join()
        self._begin()

    def _begin(self) -> None:
        held = self._gives_way is not None and self._gives_way.is_claimed
        if self._runs and not self._runs[0].has_begun and not held:
            self._runs[0].worker.start()


class Precedence(QObject):
    """Lets jobs wait while what one job answers is on its way to the screen.

    Threads that load modules take turns with the window's own: beside three of them a first picture took more
    than twice as long.
    """

    ended = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self.ended)

    @property
    def is_claimed(self) -> bool:
        """Whether others are to wait."""
        return self._timer.isActive()

    def follow(self, job: Job) -> None:
        """Give it to a job, until its answer is drawn."""
        job.state_changed.connect(self._on_state)

    def _on_state(self, state: JobState) -> None:
        self._timer.start(MOST_PATIENCE_MS if state is JobState.RUNNING else 0)  # Qt paints before timers
