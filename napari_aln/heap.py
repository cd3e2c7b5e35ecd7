"""How the process keeps its memory: few heaps, and what was let go goes back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_ARENAS = 2
LARGE_BYTES = 2**25  # glibc allows no more

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of glibc


def prepare_heaps() -> bool:
    """Have threads share two heaps, in which pictures find room again; for the whole process.

    glibc gives threads heaps of their own, up to eight for each core, and each keeps its own holes. Heaps
    that are there already stay in use, so ask before threads are started. Arrays below 32 MiB come from the
    heaps, and 64 MiB may lie free at their ends: what a canvas shows is 10 MiB, made anew at every pan, and
    fresh pages for it cost as much as filling it.

    Returns
    -------
    Whether this C library can be asked; others are left as they are.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    asked = {
        _M_ARENA_MAX: MOST_ARENAS,
        _M_MMAP_THRESHOLD: LARGE_BYTES,
        _M_TRIM_THRESHOLD: 2 * LARGE_BYTES,
    }
    return all(mallopt(what, value) for what, value in asked.items())


def return_freed() -> bool:
    """Give the system back what lies free in all heaps.

    Tiles and patches come to lie among small things that stay, in many places, and glibc keeps the holes they
    leave: a window that runs models for hours would hold a hundred MiB and more that nobody uses. Takes tens
    of milliseconds, in which other threads may have to wait for memory.

    Returns
    -------
    Whether this C library can be asked; others see to it themselves.
    """
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim is None:
        return False
    malloc_trim(0)
    return True


@contextmanager
def made_to_last() -> Iterator[None]:
    """Keep what is made meanwhile out of Python's search for unused cycles.

    Searching takes a seventh of the time in which a window opens. What the window is made of lives as long as
    the program: looked through again and again, it would only interrupt a person's work later.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _of_glibc(name: str) -> Callable[..., int] | None:
    """Return one of its own functions; None elsewhere (musl has neither)."""
    if not sys.platform.startswith("linux"):
        return None
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return function
