"""Menu entries: each finds the dock of the viewer, or opens it, and asks it."""

from __future__ import annotations

from napari.layers import Layer  # noqa: TC002 - napari hands over what the types ask for
from napari.viewer import Viewer  # noqa: TC002


def use_layer(viewer: Viewer, layer: Layer) -> None:
    """Take the file of the selected layer as the slide under review."""
    from napari_aln.widgets.window import dock_of

    dock_of(viewer).review.take_layer(layer)


def open_session(viewer: Viewer) -> None:
    """Go on with a saved review."""
    from napari_aln.widgets.window import dock_of

    dock_of(viewer).files.ask_for_session()


def save_session(viewer: Viewer) -> None:
    """Save the review as a session file."""
    from napari_aln.widgets.window import dock_of

    dock_of(viewer).files.ask_where_to_save_session()


def open_demo(viewer: Viewer) -> None:
    """Review the demonstration slide, with its ROI, clinical values and models."""
    from napari_aln.widgets.window import dock_of

    dock_of(viewer).review.open_demo()
