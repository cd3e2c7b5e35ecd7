"""Live what-if: as the ROI or a clinical value changes, answers are asked again, from cached features.

The stored result stays as it is; what would be said now stands beside it. Patches that no run has read yet
are extracted in the background, and the answer says how many are still to come.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_aln.errors import AlnError
from napari_aln.widgets.changes import can_be_asked_again, why_no_live
from napari_aln.widgets.jobs import Job
from napari_aln.widgets.state import networks
from napari_aln.workflows.review import steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_aln.store.features import FeatureCache
    from napari_aln.widgets.state import Answer, ReviewState
    from napari_aln.workflows.review.whatif import Extracted, WhatIf, WhatIfAnswer

TRIED_AGAIN = "It is tried again when the ROI or a value changes."
PAUSE_MS = 400  # without a change, before missing patches are read
AT_ONCE = 20_000  # patches: of more the answer waits, so that what is dragged goes on following the mouse
REST_MS = 300


class Live(QObject):
    """Asks again.

    Parameters
    ----------
    state
        Whose answers are asked again.
    cache
        Returns where features are kept.
    words
        Takes out of a message what may not be shown.
    parent
        With which it ends. At the end of a program Qt takes whatever has no parent in no order, and this one
        must not go before who closes it.
    """

    failed = Signal(object)  # the exception of a background extraction

    def __init__(
        self,
        state: ReviewState,
        cache: Callable[[], FeatureCache | None],
        words: Callable[[str], str],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._state, self._cache, self._words = state, cache, words
        self._asked: dict[str, tuple[Answer, WhatIf]] = {}  # by run
        self._failed: dict[str, str] = {}  # by run: why patches could not be read, until something changes
        self._extracting: str | None = None  # the run whose missing patches are being read
        self.job = Job("what-if", self)
        self.job.done.connect(self._on_extracted)
        self.job.failed.connect(self._on_failed)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self._extract_next)
        self._asking = QTimer(self)
        self._asking.setSingleShot(True)
        self._asking.setInterval(REST_MS)
        self._asking.timeout.connect(self._ask_all)
        self._preparing = QTimer(self)  # what the first question would wait for is made when a run has ended
        self._preparing.setSingleShot(True)
        self._preparing.timeout.connect(self._prepare)
        state.case_changed.connect(self.ask_again)
        state.answers_changed.connect(self._on_answers)

    def ask_again(self) -> None:
        """Answer for the present regions and clinical values; what could not be read is tried once more.

        At once, or soon where there are many patches.
        """
        self._failed.clear()
        if max((len(what_if) for _, what_if in self._asked.values()), default=0) <= AT_ONCE:
            self._ask_all()
        elif not self._asking.isActive():
            self._asking.start()

    def close(self) -> None:
        """Stop the work and stop listening."""
        self._pause.stop()
        self._asking.stop()
        self._preparing.stop()
        self._state.case_changed.disconnect(self.ask_again)
        self._state.answers_changed.disconnect(self._on_answers)
        self.job.close()

    def _ask_all(self) -> None:
        self._asking.stop()
        self._state.set_live({run: self._ask(run) for run in self._state.answers})
        if self._still_to_read():
            self._pause.start()

    def _ask(self, run: str) -> tuple[WhatIfAnswer | None, str]:
        """Return what a run would answer, and why it cannot, or only in part, be said."""
        state = self._state
        if not can_be_asked_again(state, run):
            return None, why_no_live(state, run) or ""
        try:
            return self._what_if(run).score(state.roi, state.clinical), self._failed.get(run, "")
        except AlnError as error:
            return None, error.fact

    def _still_to_read(self) -> str | None:
        """Return a run that waits for patches."""
        waiting = (run for run, live in self._state.live.items() if live is not None and len(live.pending))
        return next((run for run in waiting if run not in self._failed), None)

    def _what_if(self, run: str) -> WhatIf:
        from napari_aln.workflows.review.whatif import WhatIf

        state = self._state
        answer = state.answers[run]
        known = self._asked.get(run)
        if known is None or known[0] is not answer:
            assert state.slide is not None
            assert state.seen is not None
            seen = answer.seen or state.seen
            made = WhatIf.of_result(answer.result, answer.bundle, state.slide, seen, networks())
            self._asked[run] = known = answer, made
        return known[1]

    def _on_answers(self) -> None:
        answers = self._state.answers
        self._asked = {run: known for run, known in self._asked.items() if answers.get(run) is known[0]}
        if self._extracting not in self._asked:
            self.job.reset()
        self._failed.clear()
        self._ask_all()
        self._preparing.start()

    def _prepare(self) -> None:
        state = self._state
        if state.slide is None or state.seen is None:
            return
        for run, answer in state.answers.items():
            if run in answer.result.features:
                with contextlib.suppress(AlnError):  # then asking says why
                    self._what_if(run)

    def _extract_next(self) -> None:
        slide = self._state.slide
        if slide is None or self.job.is_running:
            return
        run = self._still_to_read()
        live = None if run is None else self._state.live[run]
        if run is not None and live is not None:
            self._extracting = run
            what_if = self._asked[run][1]
            work = partial(steps.extract_for, slide.info, what_if, live.pending, self._cache())
            self.job.start(work)

    def _on_extracted(self, extracted: Extracted) -> None:
        run, self._extracting = self._extracting, None
        if run in self._asked:
            self._asked[run][1].add(extracted)
            self._ask_all()

    def _on_failed(self, error: Exception) -> None:
        run, self._extracting = self._extracting, None
        live = None if run is None else self._state.live.get(run)
        if run is not None and live is not None:
            why = error.fact if isinstance(error, AlnError) else f"{type(error).__name__}: {error}."
            n = len(live.pending)
            failed = f"{n} patches are missing, reading them failed: {self._words(why)}"
            self._failed[run] = f"{failed} {TRIED_AGAIN}"
        self.failed.emit(error)
        self._ask_all()
