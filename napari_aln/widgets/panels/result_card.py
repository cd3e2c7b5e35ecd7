"""One run as a card: the numbers, what they rest on, and what they are not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFrame,
    QGraphicsOpacityEffect,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_aln.records import RESEARCH_NOTICE
from napari_aln.widgets.panels.labels import INFO_COLOUR, TextLabel, WarningNote, count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.records import RunRecord

MODE_PLACES = {
    "dlcnbc-ws": "whole slide",
    "dlcnbc": "inside the ROI",
    "dlcnb": "inside the ROI, picture alone",
}
CLINICAL_NAMES = {
    "age_years": ("age", "years"),
    "tumor_size_cm": ("tumour size", "cm"),
    "er": ("ER", ""),
    "pr": ("PR", ""),
    "her2": ("HER2", ""),
}
SPREAD_HELP = (
    "± is the spread over the bags: how much the draw of patches matters. It is no confidence interval."
)
BAR_STEPS = 1000
STALE_OPACITY = 0.66  # on both themes the numbers can still be read
SHORT_HASH = 8
CODE = re.compile(r"^[a-z_]+: ")  # of a warning, for programs


class ResultCard(QFrame):
    """Shows one run record; asks for its map.

    Parameters
    ----------
    record
        The run.
    slide_warnings
        Of the slide it rests on, with their codes: `SlideResult.warnings`.
    """

    show_map_requested = Signal(str)  # RunRecord.run

    def __init__(
        self, record: RunRecord, slide_warnings: Sequence[str] = (), parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._run = record.run
        self.setObjectName(f"result_{record.run}")
        self.setProperty("foreground", "true")
        self.setAccessibleName(f"Result of {record.mode.upper()}")
        self.map_button = QPushButton("Show map")
        self.map_button.setObjectName("result_show_map")
        self.map_button.setAccessibleName(f"Show the map of {record.mode.upper()}")
        self.map_button.clicked.connect(self._on_show_map)
        head = QHBoxLayout()
        head.addWidget(TextLabel(f"{record.mode.upper()}, {MODE_PLACES[record.mode]}", bold=True), 1)
        head.addWidget(self.map_button, 0, Qt.AlignmentFlag.AlignTop)
        self.stale_note = WarningNote()
        self.stale_note.setObjectName("result_stale")
        self.live_note = TextLabel(bold=True)
        self.live_note.setObjectName("result_live")
        self._record = record
        self._body = QFrame()
        self._body.setProperty("foreground", "true")
        body = QVBoxLayout(self._body)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(1)
        body.addLayout(_probability_rows(record))
        self.decision = TextLabel(f"Decision: {record.prediction}", bold=True)
        self.decision.setObjectName("result_decision")
        body.addWidget(self.decision)
        self.facts = TextLabel("\n".join(run_facts(record)))
        self.facts.setObjectName("result_facts")
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        body.addWidget(self.facts)
        for text in (*record.warnings, *(CODE.sub("", warning) for warning in slide_warnings)):
            body.addWidget(WarningNote(text))
        self._grey = QGraphicsOpacityEffect(self._body)
        self._grey.setOpacity(STALE_OPACITY)
        self._grey.setEnabled(False)
        self._body.setGraphicsEffect(self._grey)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(2)
        layout.addLayout(head)
        layout.addWidget(self.stale_note)
        layout.addWidget(self.live_note)
        layout.addWidget(self._body)
        layout.addWidget(TextLabel(RESEARCH_NOTICE, bold=True))

    def set_stale(self, reason: str | None) -> None:
        """Grey the numbers and say why they no longer belong to what is shown; None: they do again."""
        self.stale_note.set_text(reason or "")
        self._grey.setEnabled(bool(reason))

    def set_live(self, live: RunRecord | None, n_pending: int, problem: str = "") -> None:
        """Say beside the stored result what the model would answer now; `problem`: why it cannot be said."""
        lines = []
        if live is not None:
            name = live.classes[-1]
            change = live.probabilities[name] - self._record.probabilities[name]
            sign = "+" if change >= 0 else "\N{MINUS SIGN}"
            now = f"{live.probabilities[name]:.3f} ({sign}{abs(change):.3f})"
            lines.append(f"Now {name} {now}: {live.prediction}")
            lines.append(f"from {count(live.n_patches)} patches, {count(live.n_bags)} bags")
        if n_pending and not problem:
            lines.append(f"{count(n_pending)} patches are pending: being read")
        self.live_note.set_text("\n".join([*lines, problem] if problem else lines))

    def _on_show_map(self) -> None:
        self.show_map_requested.emit(self._run)


def _probability_rows(record: RunRecord) -> QGridLayout:
    grid = QGridLayout()
    grid.setColumnStretch(1, 1)
    grid.setVerticalSpacing(1)
    for row, (name, probability) in enumerate(record.probabilities.items()):
        number = QLabel(f"{probability:.3f} ± {record.bag_spread[name]:.3f}")
        number.setObjectName(f"result_probability_{row}")
        number.setToolTip(f"<qt>{SPREAD_HELP}</qt>")
        title = QLabel(name)
        title.setTextFormat(Qt.TextFormat.PlainText)
        bar = _bar(probability)
        bar.setAccessibleName(f"Probability of {name}: {probability:.3f}")
        for column, part in enumerate((title, bar, number)):
            grid.addWidget(part, row, column)
    return grid


def _bar(share: float) -> QProgressBar:
    bar = QProgressBar()
    bar.setRange(0, BAR_STEPS)
    bar.setValue(round(share * BAR_STEPS))
    bar.setTextVisible(False)
    bar.setFixedHeight(8)
    bar.setMinimumWidth(60)
    bar.setStyleSheet(f"QProgressBar::chunk {{ background-color: {INFO_COLOUR}; }}")
    return bar


def run_facts(record: RunRecord) -> list[str]:
    """Return what the numbers rest on, as short lines, units beside the numbers."""
    partitions = f"{record.n_partitions} partition{'' if record.n_partitions == 1 else 's'}"
    bags = f"{count(record.n_bags)} bag{'' if record.n_bags == 1 else 's'}"
    lines = [
        record.operating_point,
        f"± spread over {bags} in {partitions}, seed {record.seed}",
        f"{count(record.n_patches)} patches of {record.patch_px} px at {record.mpp_used:g} µm/px",
        f"{record.device}, {record.runtime}, {record.precision} · {sum(record.seconds.values()):.1f} s",
        f"{record.model_name} · {record.model_sha256[:SHORT_HASH]}",
    ]
    if record.clinical_filled:
        filled = "; ".join(_clinical_words(name, value) for name, value in record.clinical_filled.items())
        lines.append(f"Filled from the training cohort: {filled}")
    return lines


def _clinical_words(name: str, value: float | bool) -> str:
    title, unit = CLINICAL_NAMES[name]
    if isinstance(value, bool):
        return f"{title} {'positive' if value else 'negative'}"
    return f"{title} {value:.1f} {unit}"
