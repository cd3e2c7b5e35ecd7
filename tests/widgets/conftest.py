"""A window of its own for each test that asks for one, and a look at what it leaves behind."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import psutil
import pytest
from qtpy.QtWidgets import QApplication

OUR_THREADS = ("aln-", "napari-aln-tiles", "decode")


@pytest.fixture
def review(make_napari_viewer, qtbot):
    """Return the dock in a window that is shown; afterwards no thread, handle or widget may be left."""
    from napari_aln.widgets.window import dock_of

    slides_before = _open_slides()
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    dock = dock_of(viewer)
    qtbot.waitExposed(dock)
    yield dock
    threads = [t for t in threading.enumerate() if t.name.startswith(OUR_THREADS)]
    viewer.close()
    del dock
    QApplication.processEvents()
    gc.collect()
    qtbot.waitUntil(lambda: not any(t.is_alive() for t in threads), timeout=30_000)
    assert _open_slides() == slides_before
    assert [w.objectName() for w in QApplication.topLevelWidgets() if w.objectName().startswith("aln")] == []


def _open_slides() -> set[str]:
    suffixes = (".svs", ".tif", ".tiff", ".jpg", ".png", ".dcm")
    return {f.path for f in psutil.Process().open_files() if Path(f.path).suffix.lower() in suffixes}
