"""Freed memory goes back once the last long work has ended, and not while any is under way."""

from __future__ import annotations

from threading import Event

import pytest
from qtpy.QtWidgets import QApplication

from napari_aln.records import Progress
from napari_aln.widgets import memory
from napari_aln.widgets.jobs import Job


@pytest.fixture
def returned(monkeypatch):
    calls: list[bool] = []
    monkeypatch.setattr(memory, "return_freed", lambda: calls.append(True))
    monkeypatch.setattr(memory, "QUIET_MS", 0)
    return calls


def working_until(go: Event):
    def work():
        while not go.wait(0.001):
            yield Progress("step", 0, 1)

    return work


def test_after_the_last_job_and_once(qtbot, returned):
    parent = Job("parent")
    jobs, goes = [Job("first", parent), Job("second", parent)], [Event(), Event()]
    keeper = memory.Memory(parent)
    for job, go in zip(jobs, goes, strict=True):
        keeper.follow(job)
        job.start(working_until(go))
    with qtbot.waitSignal(jobs[0].done):
        goes[0].set()
    for _ in range(20):
        QApplication.processEvents()
    assert returned == []  # the other is still at work
    with qtbot.waitSignal(keeper.job.done):
        goes[1].set()
    assert returned == [True]
    for each in (*jobs, keeper):
        each.close()


def test_closed_it_returns_nothing_more(qtbot, returned):
    parent = Job("parent")
    job, keeper = Job("run", parent), memory.Memory(parent)
    keeper.follow(job)
    go = Event()
    go.set()
    job.done.connect(lambda _: keeper.close())
    with qtbot.waitSignal(job.done):
        job.start(working_until(go))
    for _ in range(20):
        QApplication.processEvents()
    assert returned == []
    job.close()
