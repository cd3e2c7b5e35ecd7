"""Jobs: one state, true errors, cancel at the next yield, late answers dropped, nothing left behind."""

from __future__ import annotations

from threading import Event, current_thread, main_thread

import pytest

from napari_aln.records import Progress
from napari_aln.widgets import jobs
from napari_aln.widgets.jobs import Job, JobState, Precedence


@pytest.fixture
def job(qtbot):
    job = Job("test")
    yield job
    job.close()


class Steps:
    """A generator that waits for a go at each step, and notes what became of it."""

    def __init__(self, n: int = 3, result: object = "result") -> None:
        self.go, self.begun, self.closed = Event(), Event(), Event()
        self.n, self.result = n, result
        self.on_main_thread = None

    def __call__(self):
        try:
            for i in range(self.n):
                self.begun.set()
                yield Progress("step", i, self.n)
                assert self.go.wait(10)
            return self.result
        finally:
            self.on_main_thread = current_thread() is main_thread()
            self.closed.set()


def test_a_run_reports_progress_and_its_result(job, qtbot):
    steps = Steps()
    steps.go.set()
    seen, states = [], []
    job.progressed.connect(seen.append)
    job.state_changed.connect(states.append)
    with qtbot.waitSignal(job.done) as done:
        job.start(steps)
    assert done.args == ["result"]
    assert [step.done for step in seen] == [0, 1, 2]
    assert states == [JobState.RUNNING, JobState.DONE]
    assert steps.on_main_thread is False


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), ValueError("bad"), MemoryError()])
def test_whatever_is_raised_arrives(job, qtbot, error):
    def work():
        yield Progress("step", 0, 1)
        raise error

    with qtbot.waitSignal(job.failed) as failed:
        job.start(work)
    assert failed.args == [error]
    assert job.state is JobState.FAILED


def test_cancel_tells_at_once_and_closes_the_generator_on_its_thread(job, qtbot):
    steps = Steps()
    answers = []
    job.done.connect(answers.append)
    with qtbot.waitSignal(job.progressed):
        job.start(steps)
    job.cancel()
    assert job.state is JobState.CANCELLED
    steps.go.set()
    qtbot.waitUntil(steps.closed.is_set)
    assert steps.on_main_thread is False
    qtbot.waitUntil(lambda: not job._runs)
    assert answers == []


def test_a_new_start_drops_the_answer_of_the_run_before(job, qtbot):
    first, second = Steps(n=1, result="first"), Steps(n=1, result="second")
    answers = []
    job.done.connect(answers.append)
    with qtbot.waitSignal(job.progressed):
        job.start(first)
    job.start(second)
    assert not second.begun.is_set()  # one thread at a time
    first.go.set()
    second.go.set()
    with qtbot.waitSignal(job.done):
        pass
    assert answers == ["second"]
    assert first.closed.is_set()


def test_only_the_newest_of_several_starts_runs(job, qtbot):
    first, skipped, last = Steps(), Steps(), Steps(n=1, result="last")
    with qtbot.waitSignal(job.progressed):
        job.start(first)
    job.start(skipped)
    job.start(last)
    with qtbot.waitSignal(job.done) as done:
        first.go.set()
        last.go.set()
    assert done.args == ["last"]
    assert not skipped.begun.is_set()


def test_a_late_answer_that_can_be_closed_is_closed(job, qtbot):
    class Closable:
        closed = Event()

        def close(self):
            self.closed.set()

    handed_over = Event()

    def work():
        yield Progress("open", 0, 1)
        assert handed_over.wait(10)
        return Closable()

    run_thread_ended = []
    with qtbot.waitSignal(job.progressed):
        job.start(work)
    run = job._runs[0]
    run.ended.connect(run_thread_ended.append)
    handed_over.set()
    run.worker.join(10)
    job.cancel()  # the answer is on its way, not yet delivered
    qtbot.waitUntil(Closable.closed.is_set)
    assert job.state is JobState.CANCELLED


def test_close_during_a_run_leaves_no_thread(job, qtbot):
    steps = Steps()
    with qtbot.waitSignal(job.progressed):
        job.start(steps)
    worker = job._runs[0].worker
    steps.go.set()
    job.close()
    assert not worker.is_alive()
    job.start(Steps())
    assert not job._runs


def test_a_job_that_qt_has_taken_already_can_be_put_away(qtbot):
    shiboken6 = pytest.importorskip("shiboken6")
    job = Job("gone")
    shiboken6.delete(job)
    job.reset()
    job.close()


@pytest.fixture
def urgent_and_other(job, qtbot):
    """Return a job, and one that gives way to it."""
    precedence = Precedence(job)
    precedence.follow(job)
    other = Job("other", gives_way=precedence)
    yield job, other
    other.close()


def test_a_job_that_gives_way_begins_when_the_urgent_ones_answer_was_dealt_with(urgent_and_other, qtbot):
    urgent, other = urgent_and_other
    first, second, begun = Steps(n=1), Steps(n=1), []
    urgent.done.connect(lambda _: begun.append(second.begun.is_set()))
    with qtbot.waitSignal(urgent.progressed):
        urgent.start(first)
    other.start(second)
    assert other.is_running
    second.go.set()
    with qtbot.waitSignal(other.done):
        first.go.set()
    assert begun == [False]


def test_a_job_gives_way_to_none_that_only_waits(urgent_and_other, qtbot, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_PATIENCE_MS", 1)
    urgent, other = urgent_and_other
    first, second = Steps(n=1), Steps(n=1)
    with qtbot.waitSignal(urgent.progressed):
        urgent.start(first)
    second.go.set()
    with qtbot.waitSignal(other.done):
        other.start(second)
    assert urgent.is_running
    first.go.set()


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_a_job_that_waits_can_be_ended(urgent_and_other, qtbot, how):
    urgent, other = urgent_and_other
    first, second = Steps(n=1), Steps(n=1)
    with qtbot.waitSignal(urgent.progressed):
        urgent.start(first)
    other.start(second)
    getattr(other, how)()
    with qtbot.waitSignal(urgent.done):
        first.go.set()
    qtbot.waitUntil(lambda: not other._runs)
    assert not second.begun.is_set()
