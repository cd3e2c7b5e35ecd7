"""Trainings side by side: each in a process of its own, with a GPU of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, NamedTuple

from napari_aln.errors import AlnError
from napari_aln.records import Progress
from napari_aln.runtimes.gpus import GPU_VARIABLE
from napari_aln.workflows.training.grid_outcome import read_outcome, train_one

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from napari_aln.workflows.training.grid_outcome import Job, Outcome
    from napari_aln.workflows.training.grid_plan import Combination

_SECONDS_BETWEEN_WORDS = 1.0
_LOOK_EVERY_S = 0.5


class _Running(NamedTuple):
    process: BaseProcess
    words: Connection
    combination: Combination


def on_gpus(
    job: Job, combinations: Sequence[Combination], gpus: Sequence[str]
) -> Generator[Progress | tuple[Combination, Outcome | str], None, None]:
    """Train on several GPUs; yield progress, and each training as it ends with its outcome or what failed.

    Processes are spawned anew for each training, so that one that dies (killed for memory, say) takes no
    other with it and leaves no memory behind. Closing the generator ends those that run.
    """
    context = multiprocessing.get_context("spawn")
    waiting, running = list(combinations), dict[str, _Running]()
    said: dict[str, str] = {}
    done, total = 0, len(combinations)
    try:
        while waiting or running:
            for gpu in [gpu for gpu in gpus if gpu not in running][: len(waiting)]:
                combination = waiting.pop(0)
                here, there = context.Pipe(duplex=False)
                process = context.Process(target=_child, args=(there, gpu, job, combination), daemon=True)
                process.start()
                there.close()  # so that the end of the process is the end of what it says
                running[gpu] = _Running(process, here, combination)
            wait([one.words for one in running.values()], timeout=_LOOK_EVERY_S)
            for gpu, one in list(running.items()):
                failed = _heard(one, said)
                if failed is None:
                    continue
                del running[gpu], said[one.combination.name]
                done += 1
                yield one.combination, failed or _outcome(job, one)
            yield Progress("; ".join(said.values()) or "start", done, total)
    finally:
        for one in running.values():
            one.process.terminate()
        for one in running.values():
            one.process.join()


def _heard(one: _Running, said: dict[str, str]) -> str | None:
    """Take in what a process says; return None while it works, then what failed, or nothing."""
    said.setdefault(one.combination.name, one.combination.name)
    try:
        while one.words.poll():
            kind, text = one.words.recv()
            if kind == "failed":
                one.process.join()
                return str(text)
            said[one.combination.name] = f"{one.combination.name}: {text}"
    except EOFError:  # it has ended
        one.process.join()
        code = one.process.exitcode
        return (
            ""
            if code == 0
            else f"Its process ended with code {code}: killed, for lack of memory most likely."
        )
    return None


def _outcome(job: Job, one: _Running) -> Outcome | str:
    return read_outcome(job, one.combination) or "It left no outcome."


def _child(words: Connection, gpu: str, job: Job, combination: Combination) -> None:
    """Train in this process; say how far it is."""
    os.environ[GPU_VARIABLE] = gpu
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears it, too, and ends this one
    spoken = 0.0
    work = train_one(job, combination)
    with contextlib.suppress(BrokenPipeError):  # the first process is gone: go on from the checkpoint later
        try:
            for step in work:
                if time.monotonic() - spoken > _SECONDS_BETWEEN_WORDS:
                    words.send(("at", step.step))
                    spoken = time.monotonic()
        except AlnError as error:
            words.send(("failed", str(error)))
