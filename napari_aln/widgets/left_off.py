"""A slide that was reviewed before: the offer to go on from where it was left."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_aln.records import Progress
    from napari_aln.slides import Slide
    from napari_aln.widgets.keeping import Keeping
    from napari_aln.widgets.panels.offer_bar import OfferBar
    from napari_aln.widgets.review import Review
    from napari_aln.workflows.review.resume import Unfinished

WRITING_MS = 100  # the review before may be that of the same slide: it is looked for once it is written


class LeftOff(QObject):
    """Looks for the last state of each slide that is opened, and offers it.

    Parameters
    ----------
    review, keeping
        Where slides are opened, and reviews reopened.
    bar
        Shows the offer.
    """

    def __init__(self, review: Review, keeping: Keeping, bar: OfferBar) -> None:
        super().__init__()
        self._review, self._keeping, self._bar = review, keeping, bar
        self.looking = review.new_job("left-off", self._on_found)
        self._found: Unfinished | None = None
        bar.chosen.connect(self._on_chosen)
        review.slide_asked.connect(self._on_asked)
        review.opening.done.connect(self._on_opened)
        keeping.opening_changed.connect(self._on_session)
        review.answered.connect(self._on_work)
        review.roi.previewed.connect(self._on_work)

    def _on_asked(self, _path: Path) -> None:
        self.looking.reset()
        self._bar.hide()

    def _on_session(self, opening: bool) -> None:
        if opening:
            self._bar.hide()

    def _on_opened(self, _slide: Slide) -> None:
        self._look()

    def _on_work(self, _done: object) -> None:
        """Offer no more what would take the place of work that has begun anew."""
        self.looking.reset()
        self._bar.hide()

    def _look(self) -> None:
        slide = self._review.state.slide
        if slide is None:
            return
        if self._keeping.writing.is_running:
            QTimer.singleShot(WRITING_MS, self, self._look)
            return
        self.looking.start(partial(_last_state, slide.info.quick_hash))

    def _on_found(self, found: Unfinished | None) -> None:
        slide = self._review.state.slide
        if found is None or slide is None or slide.info.quick_hash != found.slide_hash:
            return
        self._found = found
        when = datetime.fromisoformat(found.saved_at).astimezone()
        self._bar.offer(
            f"You reviewed this slide before, last on {when:%Y-%m-%d %H:%M}. Go on from there?",
            (
                ("restore", "Go on", "Open that review as it was left, in place of what is open now"),
                ("anew", "Start anew", "Leave it: what you do now takes its place"),
            ),
        )

    def _on_chosen(self, choice: str) -> None:
        slide = self._review.state.slide
        if choice == "restore" and self._found is not None and slide is not None:
            self._keeping.open(self._found.path, slide_path=slide.info.path)


def _last_state(slide_hash: str) -> Generator[Progress, None, Unfinished | None]:
    """See `last_state`; loaded on the job's thread, for the slide is about to be drawn."""
    from napari_aln.store.autosave import autosave_folder
    from napari_aln.workflows.review.resume import last_state

    return (yield from last_state(autosave_folder(), slide_hash))
