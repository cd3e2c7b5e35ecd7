"""Slides side by side on this machine: processes that each predict one slide after the other.

A decoder that crashes takes one of them along, never the run. Words go through pipes: nothing listens.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from threading import Thread
from typing import TYPE_CHECKING

import psutil

from napari_aln.runtimes.gpus import GPU_VARIABLE, visible_gpus
from napari_aln.workflows.cohorts.crews import Ended, Said
from napari_aln.workflows.cohorts.slide_tasks import Failure, answer, worker_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

    from napari_aln.records import Progress
    from napari_aln.workflows.cohorts.crews import Order
    from napari_aln.workflows.cohorts.slide_tasks import Asked

_LOOK_EVERY_S = 0.5
_SECONDS_BETWEEN_WORDS = 1.0
_SECONDS_TO_END = 5.0
_SLIDES_A_PROCESS = 100
"""Then another one takes its place: libraries keep a little memory of each slide (0.5 MB was measured)."""


class LocalCrew:
    """Processes of this machine.

    Parameters
    ----------
    asked, models
        See `slide_tasks.answer`.
    workers
        How many; begun as slides come. They share the processor's cores, and each has a GPU in turn.
    stall_s
        One that says nothing for so long is ended.
    """

    def __init__(self, asked: Asked, models: tuple[str, ...], workers: int, stall_s: float) -> None:
        self._asked, self._models, self._stall_s = asked, models, stall_s
        self._workers: list[_Worker | None] = [None] * workers

    def room(self) -> int:
        """Return how many processes have nothing to do."""
        return sum(one is None or one.order is None for one in self._workers)

    def take(self, order: Order) -> None:
        """Give a slide to a process that has none."""
        place = next(i for i, one in enumerate(self._workers) if one is None or one.order is None)
        worker = self._workers[place]
        if worker is None or not worker.process.is_alive() or worker.n_slides >= _SLIDES_A_PROCESS:
            if worker is not None:
                worker.end()
            worker = _Worker(self._asked, self._models, place, len(self._workers))
            self._workers[place] = worker
        worker.begin(order)

    def events(self) -> Sequence[Said | Ended]:
        """Wait a moment, return what the processes said and which slides ended."""
        busy = [one for one in self._workers if one is not None and one.order is not None]
        wait([one.words for one in busy], timeout=_LOOK_EVERY_S)
        found: list[Said | Ended] = []
        for worker in busy:
            found += worker.heard(self._stall_s)
            if worker.forsaken:
                worker.end()
                self._workers[self._workers.index(worker)] = None
        return found

    def close(self) -> None:
        """End all processes; what slides they were at is not finished."""
        for worker in self._workers:
            if worker is not None:
                worker.end()
        self._workers = [None] * len(self._workers)


class _Worker:
    """One process and what it is at."""

    def __init__(self, asked: Asked, models: tuple[str, ...], place: int, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.words, said = context.Pipe(duplex=False)
        told, self._orders = context.Pipe(duplex=False)
        self.process = context.Process(
            target=_predict_slides, args=(told, said, asked, models, place, workers)
        )
        with interrupts_held_back():
            self.process.start()
        self.name = worker_name(self.process.pid)
        said.close()  # so that the end of the process is the end of what it says
        told.close()
        self.order: Order | None = None
        self.n_slides = 0
        self.forsaken = False
        self._heard_at = time.monotonic()

    def begin(self, order: Order) -> None:
        self.order, self._heard_at = order, time.monotonic()
        self.n_slides += 1
        with contextlib.suppress(OSError):  # it has just died: that is heard next
            self._orders.send((order.task, order.sha256))

    def heard(self, stall_s: float) -> list[Said | Ended]:
        """Take in what the process said, or that it is gone or stuck."""
        if self.order is None:
            return []
        key, found = self.order.key, list[Said | Ended]()
        try:
            while self.words.poll():
                kind, what = self.words.recv()
                self._heard_at = time.monotonic()
                if kind == "ended":
                    self.order = None
                    return [*found, Ended(key, what)]
                found.append(Said(key, what))
        except (EOFError, OSError):  # half a word, or none
            self.process.join(_SECONDS_TO_END)
            self.forsaken, self.order = True, None
            return [*found, Ended(key, _death(self.process.exitcode)._replace(worker=self.name))]
        if time.monotonic() - self._heard_at > stall_s:
            self.forsaken, self.order = True, None
            found.append(Ended(key, _stalled(stall_s)._replace(worker=self.name)))
        return found

    def end(self) -> None:
        """End the process and wait for that."""
        self.process.terminate()
        self.process.join(_SECONDS_TO_END)
        if self.process.is_alive():  # inside a decoder that hears nothing
            self.process.kill()
            self.process.join()
        self.words.close()
        self._orders.close()
        self.process.close()


def _death(code: int | None) -> Failure:
    if code is not None and -code == getattr(signal, "SIGKILL", None):
        return Failure(
            "Its process was killed, for lack of memory most likely.",
            "Use fewer --workers or a smaller --batch.",
        )
    known = code is not None and -code in {int(one) for one in signal.Signals}
    how = f"by {signal.Signals(-code).name}" if known and code is not None else f"with code {code}"
    return Failure(
        f"Its process crashed (ended {how}): the file is damaged in a way its decoder does not survive.",
        "Open it in another viewer; copy or export it again.",
    )


def _stalled(stall_s: float) -> Failure:
    return Failure(
        f"It got no further for {stall_s / 60:g} minutes and was ended.",
        "Check the drive it lies on; --stall-minutes waits longer.",
    )


def _predict_slides(
    told: Connection, said: Connection, asked: Asked, models: tuple[str, ...], place: int, workers: int
) -> None:
    """Predict what is told, in this process, until no more can come."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears it, too, and ends this one
    Thread(target=_end_with_parent, daemon=True).start()
    _take_share(asked, place, workers)
    spoken = 0.0

    def say(step: Progress) -> None:
        nonlocal spoken
        if time.monotonic() - spoken > _SECONDS_BETWEEN_WORDS:
            share = f" {100 * step.done // step.total} %" if step.total > 1 else ""
            said.send(("at", f"{step.step}{share}"))
            spoken = time.monotonic()

    with contextlib.suppress(EOFError, BrokenPipeError):  # the first process is gone
        while True:
            task, sha256 = told.recv()
            said.send(("ended", answer(asked, models, task, sha256, say)))


def _end_with_parent() -> None:
    """End this process with the one that began it, however that ended: a slide half done is nobody's then."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


@contextlib.contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Let processes that are started here not hear Ctrl-C; what comes meanwhile reaches this one afterwards.

    One that is still importing would answer with a traceback, and the first process ends it anyway.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # when it starts, it lets interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _take_share(asked: Asked, place: int, workers: int) -> None:
    """Keep to this process's share of the cores, so that threads do not grow with workers; and to one GPU."""
    own = psutil.Process()
    if workers > 1 and hasattr(own, "cpu_affinity"):  # not on macOS
        cores = own.cpu_affinity() or []
        if len(cores) >= workers:
            own.cpu_affinity(cores[place::workers])
    if asked.settings.engine.device != "cpu" and workers > 1:
        gpus = visible_gpus()
        if len(gpus) > 1:
            os.environ[GPU_VARIABLE] = gpus[place % len(gpus)]
