"""The work list: slides to be read one after another, and the reader's own calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari_aln.widgets.review import Review


class Reading(QWidget):
    """Keeps the work list in step with the review.

    Parameters
    ----------
    review
        What is opened from the list, and whose results it keeps.
    """

    def __init__(self, review: Review) -> None:
        super().__init__()
        self.review = review
