"""How the process keeps its memory: what was let go goes back to the system."""

from __future__ import annotations

import ctypes
import sys

LARGE_BYTES = 2**20
MOST_ARENAS = 2

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h of glibc


def keep_heap_small() -> bool:
    """Have memory that was freed returned to the system; for the whole process.

    glibc returns large arrays at once, but each that is freed raises the size from which it does, up to
    32 MiB; and it gives threads heaps of their own, up to eight for each core. Tiles and patches come to lie
    among small things that stay, in many places, and the holes they leave are never given back: a window
    that runs models for hours grows by hundreds of MiB. From here on arrays of 1 MiB and more are returned,
    and threads share two heaps; heaps that are there already stay in use, so ask before threads are started.
    New pages for each large array cost time, so this is for windows, which live long, not for commands.

    Returns
    -------
    Whether this C library can be asked; others are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)) and bool(mallopt(_M_ARENA_MAX, MOST_ARENAS))
