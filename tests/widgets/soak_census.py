"""What a process holds: memory, threads, open files, children, widgets and the objects behind them."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QApplication

WATCHED = ("napari", "napari_aln", "vispy", "torch", "openvino", "openslide", "tifffile")
"""Packages whose living objects are counted, by class."""


@dataclass(frozen=True)
class Census:
    """Counts of what lives in this process."""

    rss_mib: float
    threads: dict[str, int]
    os_threads: int
    files: dict[str, int]
    children: list[str]
    widgets: dict[str, int]
    top_levels: dict[str, int]
    objects: dict[str, int]

    def as_dict(self) -> dict:
        return asdict(self)


def take() -> Census:
    """Count, after all that can go has gone."""
    let_go()
    process = psutil.Process()
    app = QApplication.instance()
    return Census(
        rss_mib=process.memory_info().rss / 2**20,
        threads=dict(Counter(_kind(thread.name) for thread in threading.enumerate())),
        os_threads=process.num_threads(),
        files=dict(Counter(open_files())),
        children=[_name(child) for child in process.children(recursive=True)],
        widgets=dict(Counter(_class_of(widget) for widget in app.allWidgets())),
        top_levels=dict(Counter(_class_of(widget) for widget in app.topLevelWidgets())),
        objects=_living(),
    )


def let_go() -> None:
    """Delete what Qt and Python put off, and give free memory back to the system."""
    for _ in range(3):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QApplication.processEvents()
        gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def glance() -> dict[str, float]:
    """Count what is counted quickly."""
    return {
        "rss_mib": psutil.Process().memory_info().rss / 2**20,
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")) - 1,  # noqa: PTH208 - that one is the listing's own
        "widgets": len(QApplication.allWidgets()),
    }


def open_files() -> list[str]:
    """Return what each open descriptor leads to; numbers of sockets and pipes are left out.

    Qt's table of file types is left out too: it is opened with the first file dialog, and stays.
    """
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue  # the listing's own
        if not target.endswith("/mime/mime.cache"):
            found.append(target.partition(":[")[0])
    return found


def growth(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return what there is more of."""
    return {name: n - before.get(name, 0) for name, n in sorted(after.items()) if n > before.get(name, 0)}


def _living() -> dict[str, int]:
    found = Counter(type(thing) for thing in gc.get_objects())
    return {
        f"{kind.__module__}.{kind.__qualname__}": n
        for kind, n in found.items()
        if str(kind.__module__).partition(".")[0] in WATCHED  # C extensions have odd ones
    }


def _class_of(widget: object) -> str:
    return f"{type(widget).__module__.rpartition('.')[2]}.{type(widget).__name__}"


def _kind(thread_name: str) -> str:
    """Return a thread's name without its number."""
    return thread_name.rstrip("0123456789").rstrip("-_")


def _name(child: psutil.Process) -> str:
    try:
        return " ".join(child.cmdline())[-60:]
    except psutil.Error:
        return "gone"
