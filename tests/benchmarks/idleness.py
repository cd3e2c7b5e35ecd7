"""How much of the machine others used while something was measured. Needs psutil alone."""

from __future__ import annotations

import contextlib
import os
import time

import psutil


def seconds_of_others() -> float:
    """Return the processor seconds that others than this process and its children have used so far."""
    machine = psutil.cpu_times()
    return sum(machine) - machine.idle - getattr(machine, "iowait", 0.0) - own_seconds()


def own_seconds() -> float:
    """Return the processor seconds that this process and its children have used so far."""
    this, mine = psutil.Process(), 0.0
    for process in (this, *this.children(recursive=True)):
        with contextlib.suppress(psutil.Error):  # it has ended, and is its parent's from now on
            mine += sum(process.cpu_times()[:4])  # its own and its ended children's, user and system
    return mine


class Stopwatch:
    """Times a piece of work, and says how much of the machine others took meanwhile.

    Attributes
    ----------
    seconds
        What the work took.
    others_share
        Processor time of other processes over that of all cores, 0..1.
    cores_used
        Processor time of the work over `seconds`.
    """

    seconds: float
    others_share: float
    cores_used: float

    def __enter__(self) -> Stopwatch:
        self._own, self._others, self._start = own_seconds(), seconds_of_others(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        spent = seconds_of_others() - self._others
        self.cores_used = (own_seconds() - self._own) / self.seconds
        self.others_share = max(0.0, spent) / (self.seconds * (os.cpu_count() or 1))
