"""How the process keeps large arrays: what was let go goes back to the system."""

from __future__ import annotations

import ctypes
import sys

LARGE_BYTES = 2**20

_M_MMAP_THRESHOLD = -3  # malloc.h of glibc


def give_back_large_arrays() -> bool:
    """Have arrays of 1 MiB and more returned to the system as soon as they are freed; for the whole process.

    glibc does so by itself, but each large array that is freed raises the size from which it does, up to
    32 MiB. Below that, tiles and patches come to lie among small things that stay, and the holes they leave
    are never given back: a window that runs models for hours grows by hundreds of MiB. Fixing the size costs
    fresh pages for each array, so this is for windows, which live long, not for commands.

    Returns
    -------
    Whether this C library can be asked; others are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES))
