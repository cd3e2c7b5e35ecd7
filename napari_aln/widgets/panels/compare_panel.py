"""Two runs of one slide side by side, in numbers: what differs between ROI and whole slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE
from napari_aln.widgets.panels.labels import TextLabel, WarningNote, count
from napari_aln.widgets.panels.result_card import MODE_PLACES
from napari_aln.workflows.slide.maps import MAP_STYLES

if TYPE_CHECKING:
    from napari_aln.records import RunRecord
    from napari_aln.workflows.slide.compare import Comparison

MINUS = "\N{MINUS SIGN}"
UNDEFINED = "undefined"
PROBABILITY_HELP = "Probability inside the ROI minus that of the whole slide, per class: 0 where both agree."
INSIDE_HELP = (
    "How much of the whole slide's attention falls inside the ROI, beside how many of its patches lie there. "
    "1x: the model looks into the ROI no more than anywhere else."
)
OVERLAP_HELP = (
    "How many of the patches that rank highest in each run are the same: those in both over those in either "
    "(Jaccard). 1: all the same, 0: none."
)
CORRELATION_HELP = (
    "Whether both runs put the shared patches in the same order (Spearman's rho). "
    "1: the same order, 0: no relation, \N{MINUS SIGN}1: the reverse."
)
PATCHES_HELP = "Patches of the one grid that both runs scored, and those that only one of them did."
SPLIT_HELP = "Show both maps beside each other, moving together (Shift+S)"
DIFFERENCE_HELP = "Show the map of the ROI minus that of the whole slide, on the patches both scored"


class ComparePanel(QWidget):
    """Shows a comparison; asks for the difference map and the split view."""

    difference_toggled = Signal(bool)
    split_toggled = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        frame = QFrame()
        frame.setProperty("foreground", "true")
        self.title = TextLabel(bold=True)
        self.title.setObjectName("compare_title")
        self.live_note = TextLabel(bold=True)
        self.live_note.setObjectName("compare_live")
        self.stale_note = WarningNote()
        self.stale_note.setObjectName("compare_stale")
        self._grid = QGridLayout()
        self._grid.setColumnStretch(1, 1)
        self._grid.setVerticalSpacing(1)
        self._grid.setHorizontalSpacing(10)
        self._rows: dict[str, tuple[TextLabel, TextLabel, TextLabel]] = {}
        self._row("probability", PROBABILITY_HELP)
        self._row("inside", INSIDE_HELP)
        self._row("overlap", OVERLAP_HELP)
        self._row("correlation", CORRELATION_HELP)
        self._row("patches", PATCHES_HELP)
        self.difference_button = _button("compare_difference", "Show difference map", DIFFERENCE_HELP)
        self.split_button = _button("compare_split", "Split view", SPLIT_HELP)
        buttons = QHBoxLayout()
        buttons.addWidget(self.difference_button)
        buttons.addWidget(self.split_button)
        self.notice = TextLabel()
        self.notice.setObjectName("compare_notice")
        inner = QVBoxLayout(frame)
        inner.setContentsMargins(8, 4, 8, 4)
        inner.setSpacing(3)
        for part in (self.title, self.stale_note, self.live_note):
            inner.addWidget(part)
        inner.addLayout(self._grid)
        inner.addLayout(buttons)
        inner.addWidget(self.notice)
        inner.addWidget(TextLabel(RESEARCH_NOTICE, bold=True))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(frame)
        self.difference_button.toggled.connect(self.difference_toggled)
        self.split_button.toggled.connect(self.split_toggled)

    def set_comparison(
        self,
        compared: Comparison,
        records: tuple[RunRecord, RunRecord],
        *,
        live: bool = False,
        stale: str = "",
    ) -> None:
        """Show numbers.

        Parameters
        ----------
        compared
            Of the run inside the ROI, the first, and that of the whole slide.
        records
            Of both runs, in that order.
        live
            Whether a number is of what would be answered now, not of the stored results.
        stale
            Why a number is out of date.
        """
        self.title.set_text(f" {MINUS} ".join(f"{r.mode.upper()}, {MODE_PLACES[r.mode]}" for r in records))
        self.live_note.set_text("Now, as the ROI and the values stand" if live else "")
        self.stale_note.set_text(stale)
        quantity, reasons = MAP_STYLES[compared.map_name].quantity, compared.reasons
        names = compared.probability_difference or {}
        self._set(
            "probability",
            "Probability difference",
            "\n".join(f"{name} {_signed(value)}" for name, value in names.items()) or None,
            reasons.get("probability_difference"),
        )
        self._set(
            "inside", "Attention inside the ROI", _inside_words(compared), reasons.get("attention_in_roi")
        )
        top = "Top patches in both" if compared.top_k is None else f"Top {count(compared.top_k)} in both"
        overlap = None if compared.top_overlap is None else f"Jaccard {compared.top_overlap:.2f}"
        self._set("overlap", top, overlap, reasons.get("top_overlap"))
        rho = compared.rank_correlation
        n = 0 if compared.n_shared is None else compared.n_shared
        shown = None if rho is None else f"Spearman {_signed(rho, 2, plus='')}, n = {count(n)} shared"
        self._set("correlation", "Same order", shown, reasons.get("rank_correlation"))
        self._set("patches", "Patches", _patch_words(compared), reasons.get("n_shared"))
        notice = f"Patches compared by {quantity}."
        if compared.map_name.startswith("attention"):
            notice += f" {ATTENTION_NOTICE}"
        self.notice.set_text(notice)

    def set_difference(self, on: bool) -> None:
        """Show whether the difference map lies on the slide. Does not emit."""
        with QSignalBlocker(self.difference_button):
            self.difference_button.setChecked(on)

    def set_split(self, on: bool) -> None:
        """Show whether the view is split. Does not emit."""
        with QSignalBlocker(self.split_button):
            self.split_button.setChecked(on)

    def _row(self, name: str, help_text: str) -> None:
        title, value, reason = TextLabel(), TextLabel(), TextLabel()
        value.setObjectName(f"compare_{name}")
        value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        reason.setObjectName(f"compare_{name}_reason")
        for label in (title, value, reason):
            label.setToolTip(f"<qt>{help_text}</qt>")
        row = 2 * len(self._rows)
        self._grid.addWidget(title, row, 0, Qt.AlignmentFlag.AlignTop)
        self._grid.addWidget(value, row, 1)
        self._grid.addWidget(reason, row + 1, 0, 1, 2)
        self._rows[name] = title, value, reason

    def _set(self, name: str, title: str, value: str | None, reason: str | None) -> None:
        labels = self._rows[name]
        for label, text in zip(
            labels, (title, UNDEFINED if value is None else value, reason or ""), strict=True
        ):
            label.set_text(text)


def _inside_words(compared: Comparison) -> str | None:
    of_patches, of_attention = compared.patches_in_roi, compared.attention_in_roi
    if of_patches is None:
        return None
    patches = f"{of_patches:.1%} of the patches".replace("%", " %")
    if of_attention is None:
        return f"{UNDEFINED}, on {patches}"
    share = f"{of_attention:.1%}".replace("%", " %")
    times = f" ({of_attention / of_patches:.2g}x)" if of_patches else ""
    return f"{share}, on {patches}{times}"


def _patch_words(compared: Comparison) -> str | None:
    if compared.n_shared is None or compared.n_only_first is None or compared.n_only_second is None:
        return None
    first, second = count(compared.n_only_first), count(compared.n_only_second)
    return f"{count(compared.n_shared)} shared, {first} only in the ROI's run, {second} only in the slide's"


def _signed(value: float, decimals: int = 3, plus: str = "+") -> str:
    text = f"{abs(value):.{decimals}f}"
    return f"{MINUS}{text}" if value < 0 and float(text) else f"{plus}{text}"


def _button(name: str, text: str, help_text: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setCheckable(True)
    button.setToolTip(help_text)
    return button
