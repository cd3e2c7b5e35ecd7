"""Nucleus features in a dock: one slide's weights and values beside those of a cohort."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFrame, QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_aln.records import RESEARCH_NOTICE
from napari_aln.widgets.panels.feature_plot import FeaturePlot
from napari_aln.widgets.panels.file_dialogs import kinds
from napari_aln.widgets.panels.labels import TextLabel
from napari_aln.widgets.panels.path_line import PathLine
from napari_aln.widgets.panels.section import FOCUS_STYLE
from napari_aln.widgets.panels.wheel import guard_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.widgets.panels.feature_plot import FeatureRow

WIDTH_PX = 330
FILE_HELP = "The interpretation.csv that `napari-aln interpret` wrote for a cohort"
SLIDE_HELP = "Whose weights and values stand beside the cohort's; the slide under review is taken by itself"


class InterpretationPanel(QWidget):
    """Asks for a file and a slide of it; shows its features.

    Parameters
    ----------
    file_name
        How the file is usually called.
    labels
        Names of both groups.
    weight_note
        What a weight is.
    """

    file_chosen = Signal()
    slide_chosen = Signal(int)  # index of the slide; -1: none

    def __init__(
        self, file_name: str, labels: tuple[str, str], weight_note: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("interpretation_panel")
        self.setStyleSheet(FOCUS_STYLE)
        self.setMinimumWidth(WIDTH_PX)
        self.file = PathLine(
            "interpretation_file",
            "Choose an interpretation",
            kinds("Interpretations", (file_name,)),
            file_name,
        )
        self.file.line.setToolTip(FILE_HELP)
        self.slide_box = QComboBox()
        self.slide_box.setObjectName("interpretation_slide")
        self.slide_box.setAccessibleName("Slide")
        self.slide_box.setToolTip(SLIDE_HELP)
        self.slide_box.setMinimumContentsLength(8)
        guard_wheel(self.slide_box)
        rows = QGridLayout()
        rows.setColumnStretch(1, 1)
        for row, (title, part) in enumerate((("Cohort", self.file), ("Slide", self.slide_box))):
            label = QLabel(title)
            label.setBuddy(part)
            rows.addWidget(label, row, 0)
            rows.addWidget(part, row, 1)
        self.cohort_text, self.slide_text = TextLabel(), TextLabel(bold=True)
        self.cohort_text.setObjectName("interpretation_cohort")
        self.slide_text.setObjectName("interpretation_found")
        self.plot = FeaturePlot("interpretation_features", labels)
        self.weight_note = TextLabel(weight_note)
        self.weight_note.setObjectName("interpretation_note")
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(4)
        for shown in (self.cohort_text, self.slide_text, self.plot, self.weight_note):
            column.addWidget(shown)
        column.addStretch(1)
        self.area = QScrollArea()
        self.area.setObjectName("interpretation_area")
        self.area.setWidgetResizable(True)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setWidget(inner)
        self.area.setAccessibleName("Nucleus features")
        notice = QLabel(RESEARCH_NOTICE)
        notice.setObjectName("interpretation_notice")
        notice.setAlignment(Qt.AlignmentFlag.AlignCenter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 2)
        layout.setSpacing(4)
        layout.addLayout(rows)
        layout.addWidget(self.area, 1)
        layout.addWidget(notice)
        self.file.changed.connect(self.file_chosen)
        self.slide_box.activated.connect(self._on_activated)
        self.set_slides((), -1)
        self.set_features((), "", "")

    def set_slides(self, names: Sequence[str], chosen: int) -> None:
        """Offer slides; `chosen` is the index of the one that is shown, -1: none. Does not emit."""
        with QSignalBlocker(self.slide_box):
            self.slide_box.clear()
            self.slide_box.addItem("Cohort alone")
            self.slide_box.addItems(list(names))
            self.slide_box.setCurrentIndex(chosen + 1)
        self.slide_box.setEnabled(bool(names))

    def set_features(self, rows: Sequence[FeatureRow], cohort: str, slide: str) -> None:
        """Show features, and what is said of the cohort and of the slide."""
        self.plot.set_rows(rows)
        self.plot.setVisible(bool(rows))
        self.weight_note.setVisible(bool(rows))
        self.cohort_text.set_text(cohort)
        self.slide_text.set_text(slide)

    def _on_activated(self, index: int) -> None:
        self.slide_chosen.emit(index - 1)
