"""Trains models in the window, one at a time and never beside a run, and watches trainings of a terminal.

Curves come from the table that each training writes after every epoch, whoever runs it.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from pydantic import ValidationError
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_aln.errors import StoreError
from napari_aln.widgets.jobs import JobState
from napari_aln.widgets.panels.file_dialogs import ask_for_files, kinds
from napari_aln.widgets.panels.labels import count
from napari_aln.widgets.panels.model_list import metric_text
from napari_aln.widgets.panels.run_panel import duration
from napari_aln.widgets.panels.training_panel import TrainingPanel
from napari_aln.workflows.training.curves import METRICS_NAME, Curves, read_curves, training_folder
from napari_aln.workflows.training.train_in_window import TrainingPlan, train_in_window

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_aln.mil.card import ModelCard
    from napari_aln.records import Progress
    from napari_aln.widgets.review import Review
    from napari_aln.workflows.training.train_in_window import TrainingEnd

LOOK_EVERY_MS = 1000
PATCHES = ("extract", "decode")
INNER = (*PATCHES, "validate")
"""Steps that are counted within others: the patches of a slide, the patients of an epoch's validation."""

BUSY = "A model is being trained. Cancel that (it goes on later), or wait."
WAITS = "Waits for the run on the slide to end."
CANCELLED = "Cancelled. What was learned is kept: the same training goes on from its last whole epoch."
FAILED = "Failed: see the message beside the slide and the log."


NO_SOURCE = "Say where the encoder's weights come from: a bundle, a file, or the download."
SEVERAL_SOURCES = "The encoder's weights have several sources: leave one."


class Training(QWidget):
    """Keeps the panel in step with the training.

    Parameters
    ----------
    review
        Whose window it is; its runs and trainings exclude each other.
    """

    def __init__(self, review: Review) -> None:
        super().__init__()
        self.review = review
        self.panel = TrainingPanel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.panel)
        self.job = review.new_job("train", self._on_end)
        self.job.progressed.connect(self._on_progress)
        self.job.state_changed.connect(self._on_state)
        review.memory.follow(self.job)
        review.running.state_changed.connect(self._on_run_state)
        self._plan: TrainingPlan | None = None  # of the training that is under way, or was last
        self._waiting: TrainingPlan | None = None  # for a run to end
        self._ended: TrainingEnd | None = None
        self._watched: Path | None = None  # a metrics.csv of another training
        self._seen: tuple[Path, int, int] | None = None  # the table that is drawn: path, time, size
        self._pace = Pace()
        self._share: float | None
        self._told, self._share = "", None  # how far it was, when that was said last
        self._epoch = -1  # when the curves were looked at last
        self._looking = QTimer(self)
        self._looking.setInterval(LOOK_EVERY_MS)
        self._looking.timeout.connect(self._look)
        self.panel.changed.connect(self._show_ready)
        self.panel.start_requested.connect(self._on_start)
        self.panel.cancel_requested.connect(self._on_cancel)
        self.panel.watch_requested.connect(self._on_watch)
        self.panel.load_requested.connect(self._on_load)
        self._show_ready()

    def showEvent(self, event: QShowEvent) -> None:
        """Look at the curves while they can be seen."""
        super().showEvent(event)
        self._looking.start()
        self._look()

    def hideEvent(self, event: QHideEvent) -> None:
        """Leave the file alone while nobody sees the curves."""
        super().hideEvent(event)
        self._looking.stop()

    # What the panel asks

    def plan(self) -> TrainingPlan | str:
        """Return what shall be trained, or why that cannot be said."""
        cohort, out = self.panel.cohort.path(), self.panel.out.path()
        if cohort is None:
            return "Choose the cohort table to train on."
        if out is None:
            return "Name the model to be written."
        try:
            recipe = self.panel.recipe()
        except ValidationError as error:
            return str(error.errors()[0]["msg"])
        sources = [recipe.encoder_from, recipe.encoder_weights, recipe.download or None]
        sources.append(getattr(recipe, "fresh", False) or None)
        named = sum(source is not None for source in sources)
        if named != 1:
            return SEVERAL_SOURCES if named else NO_SOURCE
        return TrainingPlan(
            self.panel.way, cohort, self.panel.mode, out, recipe, private=self.review.state.hide_names
        )

    def _show_ready(self) -> None:
        plan = self.plan()
        if isinstance(plan, str):
            self.panel.set_ready(plan, goes_on=False)
        else:
            self.panel.set_ready("", goes_on=plan.goes_on)

    def _on_start(self) -> None:
        plan = self.plan()
        if isinstance(plan, str):
            self.panel.set_ready(plan, goes_on=False)
            return
        self._stop_watching()
        if self.review.running.is_running:
            self._waiting = plan
            self.panel.set_running(running=True, text=WAITS)
            return
        self._start(plan)

    def _start(self, plan: TrainingPlan) -> None:
        self._waiting, self._plan, self._ended = None, plan, None
        self._pace = Pace()
        self.panel.set_result("", can_load=False)
        self.panel.set_progress(None, "")
        self.review.state.block(BUSY)
        self.job.start(partial(train_in_window, plan))

    def _on_cancel(self) -> None:
        if self._waiting is not None:
            self._waiting = None
            self.panel.set_running(running=False)
            self._show_ready()
        else:
            self.job.cancel()

    def _on_run_state(self, state: JobState) -> None:
        if self._waiting is not None and state is not JobState.RUNNING:
            self._start(self._waiting)

    def _on_load(self) -> None:
        if self._ended is not None:
            self.review.models.load([self._ended.bundle])

    # What the training says

    def _on_state(self, state: JobState) -> None:
        running = state is JobState.RUNNING
        texts = {JobState.CANCELLED: CANCELLED, JobState.FAILED: FAILED}
        if not running:
            self.review.state.block("")
        self.panel.set_running(running=running, text=texts.get(state, "Begins …" if running else ""))
        if not running:
            self._look()
            plan = self.plan()
            self.panel.start_button.setText(
                "Go on training" if isinstance(plan, TrainingPlan) and plan.goes_on else "Train"
            )

    def _on_progress(self, step: Progress) -> None:
        if step.step in INNER:  # of one slide or one epoch: its part of the whole goes on being shown
            what = "patches" if step.step in PATCHES else "patients validated"
            self.panel.set_progress(
                self._share, f"{self._told} · {count(step.done)} of {count(step.total)} {what}"
            )
            return
        eta_s = self._pace.left_s(step)
        self._share = step.done / step.total if step.total else None
        if step.step.startswith("epoch"):
            self._told = f"Epoch {count(min(step.done + 1, step.total))} of at most {count(step.total)}"
            left = "at most "
            if step.done != self._epoch:
                self._epoch = step.done
                self._look()
        else:
            self._told, left = f"{step.step.capitalize()}: {count(step.done)} of {count(step.total)}", ""
        self._told += "" if eta_s is None else f" · {left}{duration(eta_s)} left"
        self.panel.set_progress(self._share, self._told)

    def _on_end(self, end: TrainingEnd) -> None:
        self._ended = end
        lines = [f"Kept epoch {end.best_epoch} of {end.epochs}: {end.card.name}", *_figures(end.card)]
        self.panel.set_result("\n".join([*lines, *end.remarks]), can_load=True)
        self.review.told.emit("info", f"Trained: {end.card.name}, written to {end.bundle.name}.")
        for remark in end.remarks:
            self.review.told.emit("warning", remark)

    # Curves

    def _on_watch(self) -> None:
        if self._watched is not None:
            self._stop_watching()
        else:
            ask_for_files(
                self,
                "Choose the metrics.csv of a training",
                kinds("Curves of a training", (METRICS_NAME,)),
                lambda paths: self.watch(paths[0]),
                several=False,
            )

    def watch(self, metrics: Path) -> None:
        """Show the curves of a training that runs elsewhere, as they grow."""
        self._watched, self._seen = metrics, None
        self.panel.set_watching(metrics.parent.name)
        self.panel.set_result("", can_load=False)
        self._look()

    def _stop_watching(self) -> None:
        self._watched = self._seen = None
        self.panel.set_watching("")
        self.panel.set_curves(Curves())
        self._show_ready()

    def _look(self) -> None:
        """Draw the curves anew where their table has changed."""
        path = self._watched
        if path is None:
            if self._plan is None:
                return
            path = training_folder(self._plan.out) / METRICS_NAME
        try:
            about = path.stat()
            state = path, about.st_mtime_ns, about.st_size
        except OSError:
            state = path, 0, 0
        if state == self._seen:
            return
        self._seen = state
        try:
            curves = read_curves(path)
        except StoreError as error:
            self._watched = None
            self.panel.set_watching("")
            self.review.on_error(error)
            return
        self.panel.set_curves(curves)
        if self._watched is not None:
            kept = "" if curves.best is None else f", epoch {curves.epochs[curves.best]} is the best so far"
            self.panel.status.set_text(
                f"Watching {path.parent.name}: {count(len(curves))} epochs{kept}."
                if len(curves)
                else f"Watching {path.parent.name}: no epoch yet."
            )


def _figures(card: ModelCard) -> list[str]:
    """Return the measured figures with their intervals, under the patients they were measured on."""
    groups: dict[str, list[str]] = {}
    for metric in card.metrics:
        groups.setdefault(f"{metric.cohort.capitalize()}, {metric.n} patients", []).append(
            metric_text(metric)
        )
    return [line for title, lines in groups.items() for line in (f"{title}:", *lines)]


class Pace:
    """How long the present part of a training will take, told by how long it took so far."""

    def __init__(self) -> None:
        self._part, self._since, self._first = "", 0.0, 0

    def left_s(self, step: Progress) -> float | None:
        """Return the seconds that are left of this part; None: that cannot be told yet."""
        now, part = time.monotonic(), step.step.partition(" ")[0]
        if part != self._part or step.done < self._first:
            self._part, self._since, self._first = part, now, step.done
        done = step.done - self._first
        return None if done <= 0 else (now - self._since) * (step.total - step.done) / done
