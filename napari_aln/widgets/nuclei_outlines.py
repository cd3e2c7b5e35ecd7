"""Outlines that lie in a file: read beside the window as the view needs them, and a little ahead of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_aln.nuclei.outline_column import StoredOutlines
from napari_aln.workflows.nuclei.view import read_outlines_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_aln.geometry import Rect
    from napari_aln.nuclei.located import LocatedNuclei
    from napari_aln.widgets.review import Review


class OutlineReading(QObject):
    """Has the outlines of what is in view at hand.

    Parameters
    ----------
    review
        Through which errors are shown.
    """

    read = Signal()  # more outlines are at hand, or none will come

    def __init__(self, review: Review) -> None:
        super().__init__()
        self.job = review.new_job("read outlines", self._on_read)
        self.job.failed.connect(self._on_failed)
        self._nuclei: LocatedNuclei | None = None
        self._stored: StoredOutlines | None = None  # None: all that there are lie in memory
        self._wanted: list[int] = []  # row groups of what is in view and around it

    def follow(self, nuclei: LocatedNuclei | None) -> None:
        """Read the outlines of these nuclei from now on; None: of none."""
        self.job.reset()
        self._nuclei = nuclei
        outlines = None if nuclei is None else nuclei.outlines
        self._stored = outlines if isinstance(outlines, StoredOutlines) else None
        self._wanted = []

    def has(self, rows: NDArray[np.intp], ahead: Rect) -> bool:
        """Return whether the outlines of `rows` are at hand; if not, `read` says when they are.

        `ahead`: what may come into view, in level-0 pixels; its nuclei's outlines are read next.
        """
        stored, nuclei = self._stored, self._nuclei
        if stored is None or nuclei is None:
            return True
        around = nuclei.rows_in(ahead)
        lacking, later = stored.lacking(rows), stored.lacking(around)
        if (lacking or later) and not self.job.is_running:
            self._wanted = sorted({*stored.groups_of(rows), *stored.groups_of(around)})
            self.job.start(partial(read_outlines_of, stored, lacking or later))
        return not lacking

    def _on_read(self, found: dict[int, NDArray[np.object_]]) -> None:
        if self._stored is not None:
            self._stored.keep(found, self._wanted)
            self.read.emit()

    def _on_failed(self, _error: Exception) -> None:
        self._stored = None  # ellipses stand for what is not at hand
        self.read.emit()
