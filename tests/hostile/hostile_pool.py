"""Processes that open hostile files: one that an input hangs or kills is a finding, and started anew."""

import json
import os
import queue
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

PATIENCE_S = 30.0
"""For one input; a sound one of the same size takes a hundredth of it."""

_HERE = Path(__file__).parent
_STARTING_S = 180.0


ENDS_WELL = frozenset({"fine", "refused"})


class Ended(NamedTuple):
    """How one input ended."""

    ended: str  # "fine", "refused", "unclear", "traceback", "crash" or "hang"
    told: str


class _Worker:
    """One process, started anew after an input that killed it."""

    def __init__(self, doors: tuple[str, ...], scratch: Path) -> None:
        self._doors, self._scratch = doors, scratch
        self._start()

    def _start(self) -> None:
        path = [str(_HERE), str(_HERE.parent / "store"), os.environ.get("PYTHONPATH", "")]
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        own = {"PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONFAULTHANDLER": "1"}
        homes = dict.fromkeys(("HOME", "TMPDIR", "NAPARI_ALN_CONFIG", "NAPARI_ALN_CACHE"), str(self._scratch))
        self._errors = (self._scratch / f"stderr-{id(self)}").open("w+b")
        self._process = subprocess.Popen(
            [sys.executable, str(_HERE / "hostile_doors.py"), ",".join(self._doors)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=self._scratch,
            env=os.environ | one | own | homes,
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, args=(self._process, self._lines), daemon=True).start()
        assert self._lines.get(timeout=_STARTING_S).strip() == b"ready", self._last_words()

    @staticmethod
    def _read(process: subprocess.Popen, lines: queue.Queue) -> None:
        for line in process.stdout:
            lines.put(line)
        lines.put(b"")  # it ended

    def open(self, door: str, path: Path) -> Ended:
        asked = json.dumps({"door": door, "path": str(path)}).encode() + b"\n"
        try:
            self._process.stdin.write(asked)
            self._process.stdin.flush()
            answer = self._lines.get(timeout=PATIENCE_S)
        except queue.Empty:
            self.close()
            self._start()
            return Ended("hang", f"no answer within {PATIENCE_S:g} s")
        except BrokenPipeError:
            answer = b""
        if answer:
            return Ended(**json.loads(answer))
        code = self._process.wait()
        told = f"exit code {code}: {self._last_words()}"
        self.close()
        self._start()
        return Ended("crash", told)

    def _last_words(self) -> str:
        self._errors.flush()
        self._errors.seek(0)
        return self._errors.read()[-3000:].decode(errors="replace")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._errors.close()


class Pool:
    """Processes for the doors named, one input at a time each."""

    def __init__(self, doors: tuple[str, ...], scratch: Path, workers: int) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self.scratch = scratch
        self._free: queue.Queue[_Worker] = queue.Queue()
        self._threads = ThreadPoolExecutor(workers)
        for worker in self._threads.map(lambda _: _Worker(doors, scratch), range(workers)):
            self._free.put(worker)

    def open(self, door: str, path: Path) -> Ended:
        """Open one file, as soon as a process is free."""
        worker = self._free.get()
        try:
            return worker.open(door, path)
        finally:
            self._free.put(worker)

    def open_all(self, inputs, remove) -> list[tuple[str, Ended]]:
        """Open (name, door, make) in order, where `make` writes the file and returns its path.

        `remove` gets the path of one that ended well.
        """

        def one(entry) -> tuple[str, Ended]:
            name, door, make = entry
            path = make()
            ended = self.open(door, path)
            if ended.ended in ENDS_WELL:
                remove(path)
            return name, ended

        return list(self._threads.map(one, inputs))

    def close(self) -> None:
        self._threads.shutdown()
        while not self._free.empty():
            self._free.get().close()
