"""Predict a cohort: each slide once, whatever is killed meanwhile.

A slide's result folder appears whole or not at all and says what it answers; the next run keeps it. Processes
of this machine do the work, or a Dask cluster; this process hands slides out, writes their states and the
summary, and holds the folder so that no second run does the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_aln.records import Progress
from napari_aln.store.cohort_run import CUT_OFF, Attempt, CohortFolder, SlideState, now
from napari_aln.store.result import shown_name
from napari_aln.workflows.cohorts.crews import Ended, Order, Said
from napari_aln.workflows.cohorts.local_crew import LocalCrew
from napari_aln.workflows.cohorts.slide_tasks import Failure, Predictor, SlideTask, request_sha256
from napari_aln.workflows.cohorts.summary import (
    ModelFacts,
    SlideLine,
    failures_first,
    runs_of,
    write_summary,
)
from napari_aln.workflows.cohorts.tasks import check_names, folder_of
from napari_aln.workflows.predict import check_modes

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from napari_aln.settings.prediction import CohortRunSettings
    from napari_aln.store.result import ResultDocument
    from napari_aln.workflows.cohorts.crews import Crew
    from napari_aln.workflows.cohorts.slide_tasks import Asked, Delivered
    from napari_aln.workflows.cohorts.tasks import Listed

_SECONDS_BETWEEN_SUMMARIES = 60.0
_SHOWN_AT_ONCE = 3
_NO_TASK = (
    "What belongs to this slide cannot be used or told; the terminal says what.",
    "Correct its line of the table, its ROI or its clinical values.",
)


@dataclass(frozen=True)
class CohortResult:
    """What a cohort run came to.

    Attributes
    ----------
    n_slides, n_kept
        How many there are; how many results were there before.
    failed
        Slide, or table that names none; cause and next step. Names files: for the terminal, not to be kept.
    lines
        What the summary says of each slide, failures first.
    """

    n_slides: int
    n_kept: int
    failed: tuple[tuple[Path, str], ...]
    lines: tuple[SlideLine, ...]


def predict_cohort(
    listed: Sequence[Listed], asked: Asked, settings: CohortRunSettings
) -> Generator[Progress, None, CohortResult]:
    """Predict what has no result yet; yield progress, return what failed. Closing the generator cancels.

    Parameters
    ----------
    listed
        The slides. One that fails is tried again, then named; it stops no other, and the next run tries it.
    asked
        What is asked of each. Below its output folder go the results, named as those of single slides,
        the files of `cohorts.summary` and what `store.cohort_run` keeps.
    settings
        Who works, and how stubbornly.

    Raises
    ------
    UsageError
        Results would overwrite each other, there is no slide, or models cannot be run together.
    BundleError
        A model cannot be used.
    StoreError
        Another run holds the folder, or it cannot be written.
    DeviceError
        The scheduler does not answer, or is gone.
    """
    check_names(listed, private=asked.private)
    models, facts = _models_of(asked)
    folder = CohortFolder(asked.out)
    with folder.locked():
        slides = [_Slide(n, one, asked) for n, one in enumerate(listed, start=1)]
        stand = _Stand(folder, asked, facts, slides)
        yield from stand.take_up(models)
        try:
            if stand.waiting:
                yield from _work(stand, _crew(asked, models, settings), settings.retries)
        finally:
            stand.write_summary()
        return CohortResult(stand.n_slides, stand.n_kept, tuple(stand.failed), stand.lines)


def _models_of(asked: Asked) -> tuple[tuple[str, ...], list[ModelFacts]]:
    """Return the models' hashes, and what the summary says of them; the weights are the workers' business."""
    predictor = Predictor(asked)
    check_modes(predictor.bundles)
    facts = [ModelFacts(b.card.mode, b.card.name, b.sha256, b.card_sha256) for b in predictor.bundles]
    return predictor.models, facts


def _crew(asked: Asked, models: tuple[str, ...], settings: CohortRunSettings) -> Crew:
    if settings.scheduler is None:
        return LocalCrew(asked, models, settings.workers, 60 * settings.stall_minutes)
    from napari_aln.workflows.cohorts.cluster_crew import ClusterCrew

    return ClusterCrew(asked, models, settings.scheduler)


def _work(stand: _Stand, crew: Crew, retries: int) -> Generator[Progress, None, None]:
    busy: dict[str, str] = {}
    with contextlib.closing(crew):
        while stand.waiting or busy:
            while stand.waiting and crew.room() > 0:
                order = stand.begin()
                crew.take(order)
                busy[order.key] = ""
            yield Progress(stand.words(busy), stand.n_ended, stand.n_slides)
            for event in crew.events():
                if isinstance(event, Said):
                    busy[event.key] = event.text
                else:
                    del busy[event.key]
                    stand.end(event, retries)
    yield Progress("write the summary", stand.n_ended, stand.n_slides)


class _Slide:
    """One slide and how far it is."""

    def __init__(self, number: int, listed: Listed, asked: Asked) -> None:
        self.path = listed.path
        self.task = listed.task
        who = listed.patient_id
        which = who if isinstance(listed.task, SlideTask) else f"{who}\0{number}"
        told = f"{listed.path.absolute()}\0{which}".encode("utf-8", "surrogateescape")
        self.key = hashlib.sha256(told).hexdigest()[:16]
        self.order: Order | None = None
        self.tries = 0  # of this run
        self.attempts: tuple[Attempt, ...] = ()  # earlier runs' too
        name = (listed.case_id or f"slide {number}") if asked.private else shown_name(listed.path)
        self.line = SlideLine(number, name, "" if asked.private else who)
        self._private = asked.private

    def shown(self, failure: Failure) -> Failure:
        """Return a failure as it may be written."""
        if not self._private:
            return failure
        if isinstance(self.task, SlideTask):
            cause, step = map(self.task.without_names, (failure.cause, failure.next_step))
        else:  # such an error may name other patients, too
            cause, step = _NO_TASK
        return failure._replace(cause=cause, next_step=step, details="")


class _Stand:
    """Where a run stands: in memory, in the states on disk, in the summary."""

    def __init__(
        self, folder: CohortFolder, asked: Asked, models: Sequence[ModelFacts], slides: Sequence[_Slide]
    ) -> None:
        self._folder, self._asked, self._models = folder, asked, models
        self._slides = {slide.key: slide for slide in slides}
        self.n_slides = len(self._slides)  # one that is named twice is done once
        self.waiting: deque[_Slide] = deque()
        self.n_kept = 0
        self.n_ended = 0
        self.failed: list[tuple[Path, str]] = []
        self._written_at = time.monotonic()

    def take_up(self, models: tuple[str, ...]) -> Generator[Progress, None, None]:
        """Find out what earlier runs have done; the rest waits."""
        for slide in self._slides.values():
            yield Progress("look for earlier results", self.n_ended, self.n_slides)
            if not isinstance(slide.task, SlideTask):
                self._fail(slide, Failure(slide.task.fact, slide.task.next_step))
                continue
            slide.order = Order(slide.key, slide.task, request_sha256(slide.task, self._asked, models))
            state = self._folder.read(slide.key)
            if state is not None and state.request_sha256 == slide.order.sha256:
                slide.attempts = tuple(
                    one if one.ended_at else one.model_copy(update={"ended_at": now(), "cause": CUT_OFF})
                    for one in state.attempts
                )
            known = folder_of(slide.task, private=self._asked.private) or (state.folder if state else None)
            document = self._folder.result(known, slide.order.sha256) if known else None
            if document is None or known is None:
                self.waiting.append(slide)
                continue
            self.n_kept += 1
            self._finish(slide, known, document)
            if state is None or state.state != "done":  # killed between the result and this
                self._write(slide, "done")

    def begin(self) -> Order:
        """Return the next slide's order, and write that it has begun."""
        slide = self.waiting.popleft()
        slide.tries += 1
        slide.attempts += (Attempt(started_at=now()),)
        self._write(slide, "started")
        if slide.order is None:
            raise ValueError("a slide without a task cannot wait")
        return slide.order

    def end(self, event: Ended, retries: int) -> None:
        """Take in what became of a slide; one that failed waits again while it may."""
        slide, outcome = self._slides[event.key], event.outcome
        if not isinstance(outcome, Failure):
            outcome = self._landed(slide, outcome)
        if isinstance(outcome, Failure):
            self._end_attempt(slide, outcome)
            if slide.tries <= retries:
                self.waiting.append(slide)
                self._write(slide, "failed")
            else:
                self._fail(slide, outcome)
        if time.monotonic() - self._written_at > _SECONDS_BETWEEN_SUMMARIES:
            self.write_summary()

    def _landed(self, slide: _Slide, outcome: Delivered) -> Delivered | Failure:
        """Look whether the result is where this process sees it, and note it."""
        document = self._folder.result(outcome.folder, slide.order.sha256 if slide.order else "")
        if document is None:
            return Failure(
                f"The result that {outcome.worker} wrote is not seen on this machine.",
                "Let all machines see the output folder under the same path.",
                outcome.worker,
            )
        twin = next((one.line for one in self._slides.values() if one.line.folder == outcome.folder), None)
        if twin is not None:  # content names folders in private mode
            return Failure(
                f"It has the same content as slide {twin.number}, whose result lay in the same folder.",
                "Take one of the two out and run again, or run without --private.",
                outcome.worker,
            )
        last = slide.attempts[-1].model_copy(update={"ended_at": now(), "worker": outcome.worker})
        slide.attempts = (*slide.attempts[:-1], last)
        self.n_kept += outcome.kept
        self._finish(slide, outcome.folder, document)
        self._write(slide, "done")
        return outcome

    def _finish(self, slide: _Slide, folder: str, document: ResultDocument) -> None:
        self.n_ended += 1
        slide.line = replace(
            slide.line,
            name=document.alias if self._asked.private else slide.line.name,
            state="done",
            cause="",
            next_step="",
            earlier=_causes(slide.attempts),
            attempts=len(slide.attempts),
            folder=folder,
            n_warnings=len({*document.warnings, *(text for run in document.runs for text in run.warnings)}),
            quick_hash=document.slide.quick_hash,
            mpp=document.slide.mpp,
            mpp_origin=document.slide.mpp_origin,
            runs=runs_of(document),
        )

    def _fail(self, slide: _Slide, failure: Failure) -> None:
        self.n_ended += 1
        self.failed.append((slide.path, f"{failure.cause} {failure.next_step}"))
        shown = slide.shown(failure)
        slide.line = replace(
            slide.line,
            state="failed",
            cause=shown.cause,
            next_step=shown.next_step,
            earlier=tuple(one for one in _causes(slide.attempts) if one != shown.cause),
            attempts=len(slide.attempts),
        )
        if slide.order is not None:
            self._write(slide, "failed")

    def _end_attempt(self, slide: _Slide, failure: Failure) -> None:
        last = slide.attempts[-1].model_copy(update=slide.shown(failure)._asdict() | {"ended_at": now()})
        slide.attempts = (*slide.attempts[:-1], last)

    def _write(self, slide: _Slide, state: str) -> None:
        known = slide.order.sha256 if slide.order else ""
        content = {
            "request_sha256": known,
            "state": state,
            "folder": slide.line.folder,
            "attempts": slide.attempts,
        }
        self._folder.write(slide.key, SlideState.model_validate(content))

    @property
    def lines(self) -> tuple[SlideLine, ...]:
        """What is known of each slide as things stand, failures first."""
        return tuple(failures_first(slide.line for slide in self._slides.values()))

    def write_summary(self) -> None:
        """Write the summary as things stand."""
        write_summary(self.lines, self._asked, self._models)
        self._written_at = time.monotonic()

    def words(self, busy: dict[str, str]) -> str:
        """Say what goes on, of the first few slides."""
        first = list(busy.items())[:_SHOWN_AT_ONCE]
        told = [f"{self._slides[key].line.name} {text}".strip() for key, text in first]
        more = len(busy) - len(first)
        return ", ".join(told) + (f" and {more} more" if more else "")


def _causes(attempts: Sequence[Attempt]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.cause for one in attempts if one.cause))
