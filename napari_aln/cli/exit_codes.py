"""How a command ends where it is not done, as the help of `napari-aln` lists it."""

from __future__ import annotations

SOME_FAILED = 1
"""Done, but something failed, differs or is missing."""
BAD_INPUT = 2
INTERRUPTED = 130
