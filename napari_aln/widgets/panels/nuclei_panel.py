"""Finding a slide's nuclei, their colours on the slide, which of them are shown, and their table."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from napari_aln.records import RESEARCH_NOTICE
from napari_aln.widgets.jobs import JobState
from napari_aln.widgets.panels.combo import named_combo
from napari_aln.widgets.panels.labels import TextLabel, WarningNote
from napari_aln.widgets.panels.nucleus_colours import NucleusColours
from napari_aln.widgets.panels.nucleus_table import NucleusTableView
from napari_aln.widgets.panels.range_filter import RangeFilter
from napari_aln.widgets.panels.section import FOCUS_STYLE
from napari_aln.widgets.panels.wheel import leave_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QResizeEvent

    from napari_aln.workflows.nuclei.view import NucleusMethod

SCOPES = {
    "view": ("View", "Find the nuclei of the tissue in view (Shift+D)"),
    "roi": ("ROI", "Find the nuclei inside the tumour ROI"),
    "top": ("Top patches", "Find the nuclei of the shown map's patches of highest value"),
    "slide": ("Whole slide", "Find the nuclei of all tissue: on large slides this takes long"),
}
"""What nuclei are looked for in: key -> button and tooltip."""

WIDTH_PX = 320
LEAST_TABLE_PX = 170
LEAST_ROWS_PX = 84  # of it: head, a row and the bar
SPARE_PX = 12  # frames, and what a label that wraps may need
MOST_SHARES = 1000  # of the progress bar
NO_NUCLEI = "No nuclei yet: find them, or open a nuclei.parquet of this slide."


class NucleiPanel(QWidget):
    """Asks for nuclei, their colours, ranges and files; shows progress, legend and table."""

    find_requested = Signal(str)  # a key of `SCOPES`
    cancel_requested = Signal()
    model_requested = Signal()
    open_requested = Signal()
    export_requested = Signal()
    contrast_requested = Signal()

    def __init__(self, methods: Sequence[NucleusMethod], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._running = self._is_moved = False
        self._no_contrast = "Run a model first."
        self._n_all: int | None = None
        self._reasons = dict.fromkeys(SCOPES, "")
        self._controls = controls = QWidget()
        controls.setStyleSheet(FOCUS_STYLE)
        column = QVBoxLayout(controls)
        column.setContentsMargins(6, 4, 6, 4)
        column.setSpacing(4)
        self._build_find(column, methods)
        self.shown_part = QWidget()
        column.addWidget(self.shown_part)
        column.addStretch()
        shown = QVBoxLayout(self.shown_part)
        shown.setContentsMargins(0, 0, 0, 0)
        shown.setSpacing(4)
        self.colours = NucleusColours()
        self.filter = RangeFilter()
        shown.addWidget(self.colours)
        shown.addWidget(self.filter)
        self._scroll_area = _scrolled(controls)
        self._table_part = table_part = QWidget()
        table_part.setStyleSheet(FOCUS_STYLE)
        self._build_table(table_part)
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.addWidget(self._scroll_area)
        self.splitter.addWidget(_scrolled(table_part))  # a low window must not grow with what it says
        self.splitter.setStretchFactor(0, 0)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.splitterMoved.connect(self._on_moved)
        controls.installEventFilter(self)
        notice = QLabel(RESEARCH_NOTICE)
        notice.setObjectName("nuclei_notice")
        notice.setAlignment(Qt.AlignmentFlag.AlignCenter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.splitter, 1)
        layout.addWidget(notice)
        self.setMinimumWidth(WIDTH_PX)
        self.set_state(JobState.IDLE)
        self.set_count(None, "")

    def _build_find(self, column: QVBoxLayout, methods: Sequence[NucleusMethod]) -> None:
        self.method_combo = named_combo("nuclei_method", "Method by which nuclei are found")
        leave_keys(self.method_combo)
        self.method_combo.currentIndexChanged.connect(self._on_method)
        for method in methods:
            self.add_method(method)
        self.model_button = QPushButton("Model…")
        self.model_button.setObjectName("nuclei_model_choose")
        self.model_button.setAccessibleName("Choose a nucleus model")
        self.model_button.setToolTip("Choose a nucleus model (.alnmodel) that `nuclei train` wrote")
        self.model_button.clicked.connect(self.model_requested)
        title_row = QHBoxLayout()
        title_row.setSpacing(4)
        title_row.addWidget(QLabel("Method"))
        title_row.addWidget(self.method_combo, 1)
        title_row.addWidget(self.model_button)
        column.addLayout(title_row)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        column.addLayout(buttons)
        self.find_buttons: dict[str, QPushButton] = {}
        for key, (title, tip) in SCOPES.items():
            button = QPushButton(title)
            button.setObjectName(f"find_nuclei_{key}")
            button.setAccessibleName(f"Find nuclei: {title}")
            button.setToolTip(tip)
            button.setMinimumWidth(20)
            button.clicked.connect(partial(self._on_find, key))
            buttons.addWidget(button, len(title) + 2)  # the longer title gets the wider button
            self.find_buttons[key] = button
        self.reason = TextLabel()
        self.reason.setObjectName("find_nuclei_reason")
        column.addWidget(self.reason)
        self.bar = QProgressBar()
        self.bar.setObjectName("nuclei_progress")
        self.bar.setAccessibleName("Progress of finding nuclei")
        self.bar.setTextVisible(False)
        self.bar.setRange(0, MOST_SHARES)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setObjectName("nuclei_cancel")
        self.cancel_button.setAccessibleName("Cancel finding nuclei")
        self.cancel_button.clicked.connect(self._on_cancel)
        progress = QHBoxLayout()
        progress.addWidget(self.bar, 1)
        progress.addWidget(self.cancel_button)
        column.addLayout(progress)
        self.status = TextLabel()
        self.status.setObjectName("nuclei_status")
        column.addWidget(self.status)
        self.warning = WarningNote()
        self.warning.setObjectName("nuclei_warning")
        column.addWidget(self.warning)

    def _build_table(self, part: QWidget) -> None:
        column = QVBoxLayout(part)
        column.setContentsMargins(6, 2, 6, 2)
        column.setSpacing(4)
        self.count_text = TextLabel(bold=True)
        self.count_text.setObjectName("nuclei_count")
        self.source_text = TextLabel()
        self.source_text.setObjectName("nuclei_source")
        self.open_button = QPushButton("Open…")
        self.open_button.setObjectName("nuclei_open")
        self.open_button.setAccessibleName("Open a nuclei.parquet of this slide")
        self.open_button.setToolTip("Open a nuclei.parquet of this slide; or drop it on the window")
        self.export_button = QPushButton("Export…")
        self.export_button.setObjectName("nuclei_export")
        self.export_button.setAccessibleName("Export nuclei")
        self.export_button.setToolTip("Write all nuclei as Parquet, CSV, or GeoJSON for QuPath")
        self.contrast_button = QPushButton("By attention…")
        self.contrast_button.setObjectName("nuclei_contrast")
        self.contrast_button.setAccessibleName("Nuclei of high- against low-attention patches")
        self.contrast_button.clicked.connect(self.contrast_requested)
        row = QHBoxLayout()
        for button in (self.open_button, self.export_button, self.contrast_button):
            row.addWidget(button, len(button.text()))  # the longer title gets the wider button
            button.setMinimumWidth(20)
        self.table = NucleusTableView()
        self.table.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self.table.setMinimumHeight(LEAST_ROWS_PX)
        column.addWidget(self.count_text)
        column.addLayout(row)
        column.addWidget(self.source_text)
        column.addWidget(self.table, 1)
        column.addStretch()
        self.open_button.clicked.connect(self.open_requested)
        self.export_button.clicked.connect(self.export_requested)

    # What is shown

    @property
    def method(self) -> str:
        """The chosen method: a name, or the path of a model."""
        return str(self.method_combo.currentData())

    @property
    def method_title(self) -> str:
        """What the chosen method is called."""
        return self.method_combo.currentText()

    def add_method(self, method: NucleusMethod) -> None:
        """Offer a method; one that is offered already is renewed."""
        index = self.method_combo.findData(method.method)
        if index < 0:
            index = self.method_combo.count()
            self.method_combo.addItem(method.title, method.method)
        self.method_combo.setItemText(index, method.title)
        self.method_combo.setItemData(index, method.about, Qt.ItemDataRole.ToolTipRole)
        self._on_method(self.method_combo.currentIndex())

    def set_method(self, method: str) -> None:
        """Choose a method where it is offered."""
        index = self.method_combo.findData(method)
        if index >= 0:
            self.method_combo.setCurrentIndex(index)

    def set_ready(self, reasons: dict[str, str]) -> None:
        """Enable what nuclei can be looked for in, or say why not: a key of `SCOPES` -> a sentence."""
        self._reasons = reasons
        alike = set(reasons.values())
        self.reason.set_text(alike.pop() if len(alike) == 1 else "")
        for key, button in self.find_buttons.items():
            button.setToolTip(reasons[key] or SCOPES[key][1])
        self._enable()

    def set_contrast_ready(self, why_not: str) -> None:
        """Say whether nuclei can be compared by attention."""
        self._no_contrast = why_not
        tip = "Compare nuclei where the model looked most with those where it looked least"
        self.contrast_button.setToolTip(why_not or tip)
        self._enable()

    def set_state(self, state: JobState, text: str = "") -> None:
        """Show the job's state and a line about it."""
        self._running = state is JobState.RUNNING
        self.bar.setVisible(self._running)
        self.bar.setValue(0)
        self.cancel_button.setVisible(self._running)
        self.cancel_button.setEnabled(self._running)
        self.status.set_text(text)
        self._enable()
        if self._running:  # how far it is, and how to end it, is to be seen in a low window, too
            self._controls.adjustSize()
            self._scroll_area.ensureWidgetVisible(self.cancel_button, 0, 2 * self.cancel_button.height())

    def show_progress(self, share: float, text: str) -> None:
        """Show how far a running job is."""
        if self._running and self.cancel_button.isEnabled():
            self.bar.setValue(round(share * MOST_SHARES))
            self.status.set_text(text)

    def set_count(self, n_all: int | None, source: str) -> None:
        """Say how many nuclei are there, and where they come from; None: there are none yet."""
        self.shown_part.setVisible(bool(n_all))
        self.table.setVisible(bool(n_all))
        self._n_all = n_all
        self.export_button.setEnabled(bool(n_all))
        self._enable()
        self.count_text.set_text(NO_NUCLEI if n_all is None else self.table.shown_text(n_all))
        self.source_text.set_text(source)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the controls what they need, and the table the rest."""
        super().resizeEvent(event)
        self._share_height()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Give the controls more or less height as parts of them come and go."""
        if watched is self._controls and event.type() == QEvent.Type.LayoutRequest:
            self._share_height()
        return False

    def _on_moved(self, _at: int, _index: int) -> None:
        self._is_moved = True  # by hand: there it stays

    def _share_height(self) -> None:
        if self._is_moved:
            return
        height = self.splitter.height()
        least = max(LEAST_TABLE_PX, self._table_part.minimumSizeHint().height() + SPARE_PX)
        wanted = min(self._controls.sizeHint().height() + SPARE_PX, height - least)
        self.splitter.setSizes([wanted, height - wanted])

    def _on_find(self, key: str) -> None:
        self.find_requested.emit(key)

    def _on_method(self, index: int) -> None:
        about = self.method_combo.itemData(index, Qt.ItemDataRole.ToolTipRole)
        self.method_combo.setToolTip(f"How nuclei are found. {about or ''}".rstrip())

    def _on_cancel(self) -> None:
        self.cancel_button.setEnabled(False)  # one click is enough; the state follows
        self.status.set_text("Cancelling …")
        self.cancel_requested.emit()

    def _enable(self) -> None:
        for key, button in self.find_buttons.items():
            button.setEnabled(not self._reasons[key] and not self._running)
        self.contrast_button.setEnabled(bool(self._n_all) and not self._no_contrast)
        self.open_button.setEnabled(not self._running and not self._reasons["slide"])


def _scrolled(part: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(part)
    return area
