"""Slides and pictures that napari opens by itself: which of them become the slide under review."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QObject, Qt, Signal

from napari_aln.widgets.dropped import SLIDE_PATH
from napari_aln.widgets.layers.held import RANK

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from napari.qt import QtViewer

    from napari_aln.widgets.jobs import Job
    from napari_aln.widgets.scene import Scene
    from napari_aln.widgets.state import ReviewState


class NapariFiles(QObject):
    """Looks at layers as they come; a slide that our reader read is chosen for review, in its place.

    Parameters
    ----------
    viewer
        Whose layers come.
    state, scene
        What is under review, and what shows it.
    opening
        Opens slides.
    """

    chosen = Signal(object)  # list of Path
    laid_over = Signal()  # a picture that is no slide lies over the slide
    _offered = Signal()

    def __init__(self, viewer: ViewerModel, state: ReviewState, scene: Scene, opening: Job) -> None:
        super().__init__()
        self._viewer, self._state, self._scene, self._opening = viewer, state, scene, opening
        self.everything = False  # whether this window is for slides, and one takes the place of the other
        self._layers: list[Layer] = []
        self._qt_viewer: QtViewer | None = None  # whose menu is the review's
        # Later: napari must not lose a layer that it is just inserting.
        self._offered.connect(self._open, Qt.ConnectionType.QueuedConnection)
        viewer.layers.events.inserted.connect(self._on_inserted)

    def close(self) -> None:
        """Stop looking, and give the menu back."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        if self._qt_viewer is not None:
            vars(self._qt_viewer).pop("_qt_open", None)
            self._qt_viewer = None

    def take_menu(self, qt_viewer: QtViewer) -> None:
        """Have what napari's File menu opens chosen for review, unless it is said how, or is an address."""
        by_napari = qt_viewer._qt_open  # noqa: SLF001 - behind all entries of the menu

        def open_files(filenames: list[str], *args: Any, **how: Any) -> None:  # noqa: ANN401 - as napari has it
            if args or any(how.values()) or any("://" in str(name) for name in filenames):
                by_napari(filenames, *args, **how)
            else:
                self.chosen.emit([Path(name) for name in filenames])

        qt_viewer._qt_open = open_files  # noqa: SLF001
        self._qt_viewer = qt_viewer

    def takes(self, layer: Layer) -> bool:
        """Whether a layer is to become the slide under review; inside another napari, where there is none."""
        return SLIDE_PATH in layer.metadata and (self.everything or self._state.slide is None)

    def _on_inserted(self, event: Any) -> None:  # noqa: ANN401 - napari's untyped event
        layer = event.value
        if self.takes(layer):
            self._layers.append(layer)
            self._offered.emit()
        elif self.everything and self._state.slide is not None and _is_of_others(layer):
            self.laid_over.emit()

    def _open(self) -> None:
        """Open what was offered together."""
        layers, self._layers = self._layers, []
        if not self.everything:
            busy = self._state.slide is not None or self._opening.is_running
            layers = [] if busy else layers[:1]
        for layer in layers:
            self._scene.take_out(layer)
        self.chosen.emit([Path(layer.metadata[SLIDE_PATH]) for layer in layers])


def _is_of_others(layer: Layer) -> bool:
    return isinstance(layer, Image) and RANK not in layer.metadata
