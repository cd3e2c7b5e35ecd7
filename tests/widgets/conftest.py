"""A window of its own for each test that asks for one, and a look at what it leaves behind."""

from __future__ import annotations

import functools
import gc
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from qtpy.QtWidgets import QApplication, QMessageBox
from vispy.visuals.text.text import SDFRendererCPU
from window_hands import LONG_MS, Hands

OUR_THREADS = ("aln-", "napari-aln-tiles", "decode")


@pytest.fixture
def qtbot(qtbot):
    """Wait as long as a machine under load needs, where a test does not say how long."""
    for wait in ("waitUntil", "waitSignal"):
        setattr(qtbot, wait, functools.partial(getattr(qtbot, wait), timeout=LONG_MS))
    return qtbot


@pytest.fixture(scope="session")
def _manifests_read_once():
    """Read the plugins' manifests once, not for every window."""
    found = list(PluginManifest.discover())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda paths=(): iter(found))
        yield


@pytest.fixture(scope="session")
def _letters_drawn_once():
    """Draw each letter that stands on a canvas once, not for every window."""
    kept, draw = {}, SDFRendererCPU.render_to_texture

    def draw_once(renderer, data, texture, offset, size):
        (left, top), (width, height), key = offset, size, (data.shape, data.tobytes(), size)
        if key not in kept:
            kept[key] = np.empty((height, width, 3), np.uint8)
            draw(renderer, data, kept[key], (0, 0), size)
        texture[top : top + height, left : left + width, :] = kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SDFRendererCPU, "render_to_texture", draw_once)
        yield


@pytest.fixture
def make_dock(_manifests_read_once, _letters_drawn_once, make_napari_viewer, qtbot):
    """Return a maker of docks, each in a shown window of its own.

    Afterwards no thread, handle or widget may be left, and napari must have had nothing to complain about.
    """
    from napari_aln.widgets.desktop import Desktop
    from napari_aln.widgets.window import dock_of

    gc.collect()
    gc.freeze()  # what is there before, modules above all: napari looks for unused cycles while it is open
    slides_before, notes_before = _open_slides(), len(notification_manager.records)
    viewers = []

    def make(*, as_program: bool = True):
        viewer = make_napari_viewer(show=True)
        viewers.append(viewer)
        viewer.window._qt_window.resize(1280, 800)
        dock = dock_of(viewer)
        if as_program:
            dock.take_all_drops()
            Desktop(dock)
        qtbot.waitUntil(lambda: dock.slide_card.open_button.isVisible(), timeout=LONG_MS)
        return dock

    yield make
    pop_ups = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox) and w.isVisible()]
    threads = _our_threads()
    for viewer in viewers:
        if _is_open(viewer):
            viewer.close()
    viewers.clear()
    QApplication.processEvents()
    gc.unfreeze()
    gc.collect()
    qtbot.waitUntil(lambda: not any(t.is_alive() for t in threads), timeout=LONG_MS)
    assert _open_slides() <= slides_before
    assert [w.objectName() for w in QApplication.topLevelWidgets() if w.objectName().startswith("aln")] == []
    assert [note.message for note in list(notification_manager.records)[notes_before:]] == []
    assert pop_ups == []


@pytest.fixture
def how_long(request) -> tuple[int, int]:
    """Return how many actions the long walk does, and the seed by which they are drawn."""
    options = request.config.getoption("--soak"), request.config.getoption("--soak-seed")
    return int(options[0] or 60), int(options[1] or 1)


@pytest.fixture
def review(make_dock):
    """Return a dock in a window; see `make_dock`."""
    return make_dock()


@pytest.fixture
def hands(review, qtbot) -> Hands:
    """Return hands at a window."""
    return Hands(review, qtbot)


@pytest.fixture
def windows(make_dock, qtbot):
    """Return an opener of windows: each closes the one before, as a person does who comes back."""
    opened = []

    def again() -> Hands:
        if opened:
            opened.pop().close_window()
        opened.append(Hands(make_dock(), qtbot))
        return opened[0]

    return again


def _is_open(viewer) -> bool:
    return hasattr(viewer.window, "_qt_window")


def _our_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith(OUR_THREADS)]


def _open_slides() -> set[str]:
    suffixes = (".svs", ".tif", ".tiff", ".jpg", ".png", ".dcm")
    return {f.path for f in psutil.Process().open_files() if Path(f.path).suffix.lower() in suffixes}
