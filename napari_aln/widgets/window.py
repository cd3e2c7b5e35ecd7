"""The desktop program: napari with the dock in place."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import napari
from napari.viewer import Viewer

from napari_aln.store.session import SESSION_SUFFIX
from napari_aln.widgets.desktop import PROGRAM, Desktop

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_aln.widgets.dock import ReviewDock

PLUGIN, WIDGET = "napari-aln", "Review a slide"  # as in napari.yaml


def dock_of(viewer: Viewer) -> ReviewDock:
    """Return the review's dock in a viewer; opened where it is not yet."""
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    review_dock: ReviewDock = dock
    return review_dock


def open_window(paths: Sequence[Path] = (), *, demo: bool = False) -> Viewer:
    """Show the window.

    Parameters
    ----------
    paths
        Slide, bundles and annotations to open.
    demo
        Open the demonstration instead, and run both modes.
    """
    viewer = Viewer(title=PROGRAM, show_welcome_screen=False)
    dock = dock_of(viewer)
    dock.welcome()
    dock.take_all_drops()
    dock.take_room()
    Desktop(dock)
    if demo:
        dock.review.open_demo(and_run=True)
    else:
        dock.review.open_files(list(paths))
        if not any(path.suffix.lower() == SESSION_SUFFIX for path in paths):  # it brings its own
            dock.review.models.load_remembered()
    return viewer


def run() -> None:
    """Serve the window until it is closed, by a system that shuts down too.

    Raises
    ------
    KeyboardInterrupt
        By Ctrl+C or such a system. napari hears of Ctrl+C alone; any other signal would reach whatever Python
        code of the window happens to run.
    """
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    napari.run()
