"""The first opening of a slide happens in a process of its own: a decoder that dies or hangs takes only that.

The libraries below are C, and a damaged file can end the process that reads it. So whoever must live on (a
window, a training on many slides) opens files not opened before by `open_untried` or `opening_untried`. The
process is kept: all but the first slide of a session cost no more than being opened twice.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import json
import os
import queue
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil

from napari_aln.allowance import memory
from napari_aln.errors import AlnError, SlideError
from napari_aln.records import Progress
from napari_aln.slides.opening import open_slide

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from napari_aln.records import Level
    from napari_aln.slides.facts import UserMpp
    from napari_aln.slides.protocol import Slide

PATIENCE_S = 60.0
"""How long a slide may take to open and to show a first picture; a sound one takes a hundredth of it."""

_LOOK_EVERY_S = 0.05
_THUMBNAIL_PX = 512
_CHEAP_PX = 16 * 10**6
"""A level of at most this many pixels is read whole for a thumbnail; else only a part of it is."""
_CHEAP_JPEG_PX = 100 * 10**6  # a JPEG gives its thumbnail without being decoded at full size
_SAMPLE_PX = 256
_MOST_MEMORY = 0.75  # of what this process may use, for a first picture
_PROGRAM = "from napari_aln.slides.first_open import serve; serve()"
_READY, _HARMLESS, _TOO_LARGE = b"ready\n", b"harmless\n", b"too large\n"


def try_slide(slide: Slide) -> None:
    """Read what a viewer asks for first: a thumbnail where that is cheap, and a little of every level.

    Raises
    ------
    SlideError
        It cannot be read.
    """
    cheap_px = _CHEAP_JPEG_PX if slide.info.vendor == "jpeg" else _CHEAP_PX
    if _pixels(slide.info.levels[-1]) <= cheap_px:
        slide.thumbnail(_THUMBNAIL_PX)
    for index, level in enumerate(slide.info.levels):
        size = min(_SAMPLE_PX, level.width_px), min(_SAMPLE_PX, level.height_px)
        corner = (level.width_px - size[0]) // 2, (level.height_px - size[1]) // 2
        if slide.info.reader != "image" or _pixels(level) <= _CHEAP_PX:
            slide.read_level(index, corner, size)


def _pixels(level: Level) -> int:
    return level.width_px * level.height_px


def first_opening(path: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Yield often until a slide is known to be harmless to open; at once for one that was opened before.

    What is wrong with a slide in an orderly way is not told here, but by `open_slide`. Closing the iterator
    gives the slide up.

    Raises
    ------
    SlideError
        Opening it ends the process that does, fills the memory, or takes longer than `patience_s`.
    """
    state = _state_of(path)
    if state is None or state in _harmless:
        return
    while not _one_at_a_time.acquire(timeout=_LOOK_EVERY_S):
        yield
    try:
        yield from _process.try_path(path, patience_s)
    finally:
        _one_at_a_time.release()
    _harmless.add(state)


def require_harmless(path: Path) -> None:
    """Wait for all of `first_opening`."""
    for _ in first_opening(path):
        pass


def open_untried(path: Path, mpp: UserMpp = None) -> Slide:
    """Open a slide that may never have been opened before; see `first_opening` and `open_slide`."""
    require_harmless(path)
    return open_slide(path, mpp)


def opening_untried(path: Path, mpp: UserMpp = None) -> Generator[Progress, None, Slide]:
    """Yield until a slide is known to be harmless, return it open: `open_untried` that can be cancelled."""
    for _ in first_opening(path):
        yield Progress("open", 0, 1)
    return open_slide(path, mpp)


def warm_up() -> None:
    """Start the process, so that the first slide need not wait for it."""
    if _one_at_a_time.acquire(blocking=False):
        try:
            _process.start()
        finally:
            _one_at_a_time.release()


def _state_of(path: Path) -> tuple[object, ...] | None:
    """Return what changes when a file, or one of a folder's, does; None where there is nothing to open."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        stats = [file.stat() for file in files]
    except OSError:
        return None
    return (path.absolute(), *((stat.st_size, stat.st_mtime_ns) for stat in stats))


class _Process:
    """The process that opens slides first, started when it is needed and anew after its death."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._ready = False
        self._cannot_start = bool(getattr(sys, "frozen", False)) or not sys.executable

    def start(self) -> bool:
        """Start it where it does not run; return whether that is possible at all."""
        if self._process is not None and self._process.poll() is None:
            return True
        self.stop()
        if self._cannot_start:
            return False
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM],  # -P: nothing is imported from the working folder
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError:
            self._cannot_start = True
            return False
        self._process, self._answers, self._ready = process, queue.Queue(), False
        listening = (process, self._answers)
        # Lives as long as the process, so as long as this program: it belongs to no window.
        threading.Thread(target=_listen, args=listening, name="first-opening", daemon=True).start()
        return True

    def try_path(self, path: Path, patience_s: float) -> Iterator[None]:
        if not self.start():
            return  # then slides are opened as before
        if not self._ready:
            _load_readers()  # needed here as well, so while it does the same
            self._ready = (yield from self._answer(PATIENCE_S)) == _READY  # no slide's fault
            if not self._ready:
                self.stop()
                self._cannot_start = True
                return
        self._ask({"path": os.fsencode(path.absolute()).hex(), "patience_s": patience_s})
        word = None
        try:
            word = yield from self._answer(patience_s)
        finally:
            if word in (None, b""):  # given up, busy for ever, or dead
                self.stop()
        if word != _HARMLESS:
            raise _refusal(path, word, patience_s)

    def _ask(self, question: dict[str, object]) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it has died: the answer says so
                self._process.stdin.write(json.dumps(question).encode() + b"\n")
                self._process.stdin.flush()

    def _answer(self, patience_s: float) -> Generator[None, None, bytes | None]:
        """Yield until it answers, return the answer: empty when it died, None when it takes too long."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                return self._answers.get(timeout=_LOOK_EVERY_S)
            yield
        return None

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
            self._process = None


def _listen(process: subprocess.Popen[bytes], answers: queue.Queue[bytes]) -> None:
    if process.stdout is not None:
        with process.stdout:
            for line in process.stdout:
                answers.put(line)
    answers.put(b"")  # it ended


def _refusal(path: Path, word: bytes | None, patience_s: float) -> SlideError:
    if word is None:
        return SlideError(
            f"{path} cannot be opened: it shows nothing within {patience_s:g} seconds.",
            "It is damaged, or its drive is too slow: copy it to a drive of this computer and try again.",
        )
    if word == _TOO_LARGE:
        return SlideError(
            f"{path} cannot be opened: a first picture of it takes more memory than this computer has.",
            "It is damaged, or made of huge tiles: convert it to a pyramid with small tiles.",
        )
    return SlideError(
        f"{path} cannot be opened: the library that decodes it crashed.",
        "The file is damaged, or made to do harm: copy or download it again from where you trust it.",
    )


_one_at_a_time = threading.Lock()
_process = _Process()
_harmless: set[tuple[object, ...]] = set()
atexit.register(_process.stop)


def serve() -> None:
    """Be the process: try the paths that come in, until nobody asks any more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    _load_readers()
    _limit_memory()
    answers.write(_READY)
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        # Whoever asked may have been killed meanwhile: a decoder that hangs ends by itself.
        faulthandler.dump_traceback_later(2 * asked["patience_s"], exit=True)
        word = _HARMLESS
        try:
            with open_slide(os.fsdecode(bytes.fromhex(asked["path"]))) as slide:
                try_slide(slide)
        except AlnError as error:
            word = _TOO_LARGE if isinstance(error.__cause__, MemoryError) else _HARMLESS
        except MemoryError:
            word = _TOO_LARGE
        faulthandler.cancel_dump_traceback_later()
        answers.write(word)


def _load_readers() -> None:
    from napari_aln.slides import image_reader, openslide_reader, tifffile_reader  # noqa: F401


def _limit_memory() -> None:
    """Take no more than most of the memory there is, where the system knows such limits."""
    try:
        import resource
    except ImportError:  # Windows
        return
    most = int(_MOST_MEMORY * memory().allowed) + psutil.Process().memory_info().vms
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
