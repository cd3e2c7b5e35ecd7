"""The result cards, one for each run, under one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_aln.widgets.panels.labels import TextLabel, WarningNote
from napari_aln.widgets.panels.result_card import ResultCard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_aln.records import RunRecord

NO_RESULTS = "No run yet."


class Results(QWidget):
    """Cards in the order in which the runs came."""

    show_map_requested = Signal(str)  # run
    save_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = self._layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self.empty = TextLabel(NO_RESULTS)
        layout.addWidget(self.empty)
        self.withheld_note = WarningNote()
        self.withheld_note.setObjectName("results_withheld")
        layout.addWidget(self.withheld_note)
        self.save_button = QPushButton("Save result…")
        self.save_button.setObjectName("results_save")
        self.save_button.setToolTip(
            "Write report, heatmaps, patches and regions into a folder. The slide's file is named nowhere."
        )
        self.save_button.clicked.connect(lambda: self.save_requested.emit())
        self.save_button.hide()
        layout.addWidget(self.save_button)
        self.saved_note = TextLabel()
        self.saved_note.setObjectName("results_saved")
        layout.addWidget(self.saved_note)
        self.report_button = QPushButton("Open report")
        self.report_button.setObjectName("results_open_report")
        self.report_button.setToolTip("Show the saved report.html in the browser")
        self.report_button.clicked.connect(self._on_report)
        self.report_button.hide()
        layout.addWidget(self.report_button)
        self._report: Path | None = None
        self.cards: dict[str, ResultCard] = {}
        self._records: dict[str, RunRecord] = {}

    def set_records(
        self, records: Mapping[str, RunRecord], slide_warnings: Mapping[str, Sequence[str]]
    ) -> None:
        """Show these runs, each with what is wrong with its slide; a card whose run is the same stays."""
        for run in [run for run in self.cards if records.get(run) is not self._records[run]]:
            card = self.cards.pop(run)
            card.hide()
            card.deleteLater()
        for run, record in records.items():
            if run not in self.cards:
                card = ResultCard(record, slide_warnings[run])
                card.show_map_requested.connect(self.show_map_requested)
                self._layout.insertWidget(self._layout.indexOf(self.save_button), card)
                self.cards[run] = card
        if self._records != dict(records):
            self.set_saving(busy=False)  # what was said spoke of other runs
        self._records = dict(records)
        self.empty.setVisible(not records)
        self.save_button.setVisible(bool(records))

    def set_withheld(self, reason: str, n_kept_back: int) -> None:
        """Say why no result is shown, and how many wait; no reason: nothing is kept back."""
        done = "1 run is done. " if n_kept_back == 1 else f"{n_kept_back} runs are done. "
        self.withheld_note.set_text(f"{done if n_kept_back else ''}{reason}" if reason else "")
        self.empty.setVisible(not self._records and not reason)

    def set_saving(self, busy: bool, note: str = "", report: Path | None = None) -> None:
        """Say that the result is being saved, or where it was, and offer its report."""
        self.save_button.setEnabled(not busy)
        self.saved_note.set_text(note)
        self._report = report
        self.report_button.setVisible(report is not None)

    def _on_report(self) -> None:
        report = self._report
        if report is not None and not QDesktopServices.openUrl(QUrl.fromLocalFile(str(report))):
            place = f"{report.name} of {report.parent.name}"
            self.saved_note.set_text(f"No program here shows it: open {place} in a browser.")

    def set_stale(self, reasons: Mapping[str, str | None]) -> None:
        """Say of each run what changed since, if anything."""
        for run, reason in reasons.items():
            self.cards[run].set_stale(reason)

    def set_live(self, run: str, live: RunRecord | None, n_pending: int, problem: str = "") -> None:
        """Say what a run would answer now; see `ResultCard.set_live`."""
        if run in self.cards:
            self.cards[run].set_live(live, n_pending, problem)
