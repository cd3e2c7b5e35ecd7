"""Long work beside the window: the only place with a thread.

A job runs one generator at a time and has one state. Whatever happens (a new start, a cancel, the window closing)
the generator is closed on the thread that runs it, and an answer that comes too late is dropped by its number.
"""

from __future__ import annotations

from enum import StrEnum
from threading import Event
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QThread, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_aln.records import Progress


class JobState(StrEnum):
    """What a job is doing."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLED = "cancelled"
    FAILED = "failed"
    DONE = "done"
