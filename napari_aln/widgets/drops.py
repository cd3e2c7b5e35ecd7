"""Files dropped on the canvas: ours go to the review, all others to napari."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.qt import QtViewer
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_aln.widgets.dropped import is_ours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtCore import QMimeData

DROPS = (QEvent.Type.DragEnter, QEvent.Type.DragMove, QEvent.Type.Drop)


class CanvasDrops(QObject):
    """Looks at what is dropped on napari's canvas before napari does.

    Parameters
    ----------
    take
        Gets the files that are ours.
    """

    def __init__(self, take: Callable[[Sequence[Path]], None]) -> None:
        super().__init__()
        self._take = take
        self.everything = False  # whether pictures and plain TIFFs are slides too

    def watch(self, window: QWidget) -> None:
        """Look at drops on every canvas of a window; again does no harm."""
        for canvas in window.findChildren(QtViewer):
            for widget in (canvas, *canvas.findChildren(QWidget)):
                if widget.acceptDrops():
                    widget.installEventFilter(self)

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        """Take drops in which every file is ours."""
        if event.type() not in DROPS:
            return False
        paths = paths_of(event.mimeData())  # type: ignore[attr-defined]
        if not paths or not (self.everything or all(is_ours(path) for path in paths)):
            return False
        event.accept()
        if event.type() == QEvent.Type.Drop:
            self._take(paths)
        return True


def paths_of(mime: QMimeData) -> list[Path]:
    """Return the local files of a drop."""
    return [Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()]
