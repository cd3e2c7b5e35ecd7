"""The gallery: patches of highest and lowest value of the shown map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari_aln.widgets.review import Review


class Gallery(QWidget):
    """Keeps the gallery in step with the review.

    Parameters
    ----------
    review
        Whose slide and answers are shown.
    """

    def __init__(self, review: Review) -> None:
        super().__init__()
        self.review = review
