"""Reviews that were cut off by a crash: the offer to restore them, one after the other."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

if TYPE_CHECKING:
    from napari_aln.widgets.keeping import Keeping
    from napari_aln.widgets.panels.offer_bar import OfferBar
    from napari_aln.workflows.review.resume import Unfinished


class CutOff(QObject):
    """Offers each review that was cut off.

    Parameters
    ----------
    keeping
        Finds and restores them.
    bar
        Shows the offer.
    """

    def __init__(self, keeping: Keeping, bar: OfferBar) -> None:
        super().__init__()
        self._keeping, self._bar = keeping, bar
        bar.chosen.connect(self._on_chosen)
        bar.dismissed.connect(keeping.later)
        keeping.offered.connect(self._on_offered)

    def _on_offered(self, offered: Unfinished | None) -> None:
        if offered is None:
            self._bar.hide()
            return
        when = datetime.fromisoformat(offered.saved_at).astimezone()
        self._bar.offer(
            f"The review of {self._keeping.name_of(offered)} from {when:%Y-%m-%d %H:%M} was cut off. "
            "Restore it?",
            (
                ("restore", "Restore", "Open it again as it stood"),
                ("discard", "Discard", "Drop what was kept of it"),
            ),
        )

    def _on_chosen(self, choice: str) -> None:
        {"restore": self._keeping.restore, "discard": self._keeping.discard}[choice]()
