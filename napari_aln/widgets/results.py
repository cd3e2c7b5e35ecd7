"""The result cards, one for each run, under one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_aln.widgets.labels import TextLabel
from napari_aln.widgets.result_card import ResultCard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_aln.records import RunRecord

NO_RESULTS = "No run yet."


class Results(QWidget):
    """Cards in the order in which the runs came."""

    show_map_requested = Signal(str)  # run

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = self._layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self.empty = TextLabel(NO_RESULTS)
        layout.addWidget(self.empty)
        self.cards: dict[str, ResultCard] = {}
        self._records: dict[str, RunRecord] = {}

    def set_records(self, records: Mapping[str, RunRecord]) -> None:
        """Show these runs; a card whose run is the same stays."""
        for run in [run for run in self.cards if records.get(run) is not self._records[run]]:
            card = self.cards.pop(run)
            card.hide()
            card.deleteLater()
        for run, record in records.items():
            if run not in self.cards:
                card = ResultCard(record)
                card.show_map_requested.connect(self.show_map_requested)
                self._layout.addWidget(card)
                self.cards[run] = card
        self._records = dict(records)
        self.empty.setVisible(not records)

    def set_stale(self, reasons: Mapping[str, str | None]) -> None:
        """Say of each run what changed since, if anything."""
        for run, reason in reasons.items():
            self.cards[run].set_stale(reason)

    def set_live(self, run: str, live: RunRecord | None, n_pending: int, problem: str = "") -> None:
        """Say what a run would answer now; see `ResultCard.set_live`."""
        if run in self.cards:
            self.cards[run].set_live(live, n_pending, problem)
