"""Menu entries: each finds the dock of the viewer, or opens it, and asks it."""

from __future__ import annotations

from pathlib import Path

from napari.layers import Layer  # noqa: TC002 - napari hands over what the types ask for
from napari.viewer import Viewer  # noqa: TC002


def use_layer(viewer: Viewer, layer: Layer) -> None:
    """Take the file of the selected layer as the slide under review."""
    from napari_aln.contributions.readers import SLIDE_PATH
    from napari_aln.widgets.window import dock_of

    dock = dock_of(viewer)
    known = layer.metadata.get(SLIDE_PATH) or layer.source.path
    if not known:
        dock.review.failed.emit(
            f"The layer '{layer.name}' was not read from a file.", "Open the slide's file instead."
        )
        return
    viewer.layers.remove(layer)
    dock.review.open_slide(Path(known))


def open_demo(viewer: Viewer) -> None:
    """Review the demonstration slide, with its ROI, clinical values and models."""
    from napari_aln.widgets.window import dock_of

    dock_of(viewer).review.open_demo()
