"""Start and stop a run, and see how far it is."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_aln.widgets.jobs import JobState
from napari_aln.widgets.panels.labels import NARROW_SPACE, TextLabel, count

TITLES = {"whole-slide": "Run whole &slide (DLCNBC-WS)", "roi": "Run &ROI (DLCNBC)"}
SHORT_TITLES = {"whole-slide": "Whole slide", "roi": "ROI"}
LONGEST_BAR = 1_000_000  # Qt's bar counts in 32 bits; longer work is shown in shares


class RunPanel(QWidget):
    """One button a mode, each with the reason why it cannot be pressed; progress; cancel."""

    run_requested = Signal(str)  # "whole-slide" or "roi"
    cancel_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        row = QHBoxLayout()
        layout.addLayout(row)
        self.buttons: dict[str, QPushButton] = {}
        self.reasons: dict[str, TextLabel] = {}
        self._ready: dict[str, bool] = {}
        self._reasons: dict[str, str] = {}
        for kind, title in TITLES.items():
            button = QPushButton(title)
            button.setObjectName(f"run_{kind}")
            button.setAccessibleName(title.replace("&", ""))
            button.clicked.connect(partial(self._on_run, kind))
            reason = TextLabel()
            reason.setObjectName(f"run_{kind}_reason")
            row.addWidget(button, len(title))  # the longer title gets the wider button
            layout.addWidget(reason)
            self.buttons[kind], self.reasons[kind], self._ready[kind] = button, reason, False
            self._reasons[kind] = ""
        self.bar = QProgressBar()
        self.bar.setObjectName("run_progress")
        self.bar.setAccessibleName("Progress")
        self.bar.setTextVisible(False)
        self.cancel_button = QPushButton("&Cancel")
        self.cancel_button.setObjectName("run_cancel")
        self.cancel_button.clicked.connect(self._on_cancel)
        progress = QHBoxLayout()
        progress.addWidget(self.bar, 1)
        progress.addWidget(self.cancel_button)
        layout.addLayout(progress)
        self.status = TextLabel()
        self.status.setObjectName("run_status")
        layout.addWidget(self.status)
        self.set_state(JobState.IDLE)

    def set_ready(self, kind: str, reason: str | None) -> None:
        """Enable a button, or say why it cannot be pressed."""
        self._ready[kind] = reason is None
        self._reasons[kind] = reason or ""
        alike = len(set(self._reasons.values())) == 1  # then said once, and not of which run
        for number, (each, label) in enumerate(self.reasons.items()):
            own = self._reasons[each]
            if own and not alike:
                own = f"{SHORT_TITLES[each]}: {own}"
            label.set_text("" if alike and number else own)
        self._enable()

    def set_state(self, state: JobState, text: str = "") -> None:
        """Show the job's state and a line about it."""
        self._state = state
        self._cancelling = False
        running = state is JobState.RUNNING
        self.bar.setVisible(running)
        self._show_share(0, 1)  # until the first progress
        self.cancel_button.setVisible(running)
        self.cancel_button.setEnabled(running)
        self.status.set_text(text)
        self._enable()

    def show_progress(
        self, step: str, done: int, total: int, per_second: float | None, eta_s: float | None
    ) -> None:
        """Show how far a running job is; late reports, after its end or a cancel, are ignored."""
        if self._state is not JobState.RUNNING or self._cancelling:
            return
        self._show_share(done, max(total, 1))
        self.status.set_text(progress_line(step, done, total, per_second, eta_s))

    def _show_share(self, done: int, total: int) -> None:
        # Never Qt's busy bar: beside an OpenGL canvas each step of its animation draws the whole window anew,
        # which without a graphics card takes a processor core from the run.
        scale = max(1, -(-total // LONGEST_BAR))
        self.bar.setRange(0, total // scale)
        self.bar.setValue(done // scale)

    def _on_run(self, kind: str) -> None:
        self.run_requested.emit(kind)

    def _on_cancel(self) -> None:
        self._cancelling = True
        self.cancel_button.setEnabled(False)  # one click is enough; the state follows
        self.status.set_text("Cancelling …")
        self.cancel_requested.emit()

    def _enable(self) -> None:
        for kind, button in self.buttons.items():
            button.setEnabled(self._ready[kind] and self._state is not JobState.RUNNING)


def progress_line(step: str, done: int, total: int, per_second: float | None, eta_s: float | None) -> str:
    """Return progress in words, such as "412 of 1 900 patches · 21/s · 1 min 10 s left"."""
    if step == "extract":
        parts = [f"{count(done)} of {count(total)} patches"]
    elif total > 1:
        parts = [f"{step.capitalize()}: {count(done)} of {count(total)}"]
    else:
        return f"{step.capitalize()} …"
    if per_second:
        parts.append(f"{per_second:.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s")
    if eta_s is not None:
        parts.append(f"{duration(eta_s)} left")
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """Return a duration in the two largest units that it fills, seconds rounded up."""
    whole = max(0, int(-(-seconds // 1)))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}{NARROW_SPACE}h {minutes}{NARROW_SPACE}min"
    return f"{minutes}{NARROW_SPACE}min {rest}{NARROW_SPACE}s" if minutes else f"{rest}{NARROW_SPACE}s"
