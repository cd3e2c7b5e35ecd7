"""The work list as a table: slides, whose they are, what became of them, and the reader's own call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QFont, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_aln.widgets.panels.hint_line import HintLine
from napari_aln.widgets.panels.labels import TextLabel, WarningNote

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = ("#", "Slide", "Patient", "State", "Call")
NO_LIST = "A work list keeps slides to be read, your calls and what the models said. Make one, or open one."
NO_SLIDES = "No slide yet: press Add, or drop slides, a folder or a cohort table here."
NUMBER_PX, PATIENT_PX, STATE_PX, CALL_PX = 24, 64, 46, 52
LEAST_ROWS = 4
TABLE_STRETCH = 1000  # it takes what room there is


class Row(NamedTuple):
    """One slide as the table shows it.

    Attributes
    ----------
    item_id
        Its number in the list.
    name, patient, state, call
        As they stand in the columns.
    help_text
        All of it in words, with why it failed.
    is_open
        Whether it is under review.
    """

    item_id: int
    name: str
    patient: str
    state: str
    call: str
    help_text: str
    is_open: bool


class Rows(QAbstractTableModel):
    """Slides as rows."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[Row, ...] = ()

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show these slides; where only their words changed, selection and place stay."""
        before = [row.item_id for row in self.rows]
        if before and before == [row.item_id for row in rows]:
            self.rows = tuple(rows)
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(COLUMNS) - 1))
            return
        self.beginResetModel()
        self.rows = tuple(rows)
        self.endResetModel()

    def rowCount(self, parent: Any = QModelIndex()) -> int:  # noqa: ANN401, B008 - Qt's signature
        """Return the number of slides."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Any = QModelIndex()) -> int:  # noqa: ANN401, B008 - Qt's signature
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401
        """Return a cell's text, help or font."""
        if not index.isValid() or index.row() >= len(self.rows):
            return None
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return str((row.item_id, *row[1:])[index.column()])
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return row.help_text
        if role == Qt.ItemDataRole.FontRole and row.is_open and COLUMNS[index.column()] in ("#", "Slide"):
            font = QFont()
            font.setBold(True)
            return font
        return None

    def headerData(self, section: int, way: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401
        """Return a column's title."""
        if role == Qt.ItemDataRole.DisplayRole and way == Qt.Orientation.Horizontal:
            return COLUMNS[section]
        return None


class SlideTable(QTableView):
    """Opens a slide by double click or Enter."""

    opened = Signal(int)  # item number

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.setObjectName("list_table")
        self.setAccessibleName("Slides of the work list")
        self.setToolTip("Double click or Enter opens a slide")
        self.setModel(rows)
        self._rows = rows
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().hide()
        line = self.fontMetrics().height() + 8
        self.verticalHeader().setDefaultSectionSize(line)
        self.setMinimumHeight(line * (LEAST_ROWS + 1))
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(20)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        for column, width in ((0, NUMBER_PX), (2, PATIENT_PX), (3, STATE_PX), (4, CALL_PX)):
            header.resizeSection(column, width)
        self.doubleClicked.connect(self._on_double_click)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Open the chosen slide by Enter."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self._on_double_click(self.currentIndex())
        else:
            super().keyPressEvent(event)

    def _on_double_click(self, index: QModelIndex) -> None:
        self.opened.emit(self._rows.rows[index.row()].item_id)


class WorkListPanel(QWidget):
    """Asks for a list, for slides in it, and for one of them to be opened."""

    new_requested = Signal()
    open_requested = Signal()
    files_requested = Signal()  # slides and cohort tables to add
    folder_requested = Signal()  # to add
    reader_changed = Signal(str)
    slide_requested = Signal(int)  # item number
    step_requested = Signal(int, bool)  # how far, and whether only to slides without a call
    find_requested = Signal()
    cancel_requested = Signal()
    export_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self.new_button = _button("New…", "list_new", "Make an empty work list")
        self.open_button = _button("Open…", "list_open", "Open a work list")
        self.files_button = _button("Add slides…", "list_add_files", "Add slide files or a cohort table")
        self.folder_button = _button("Add folder…", "list_add_folder", "Add all slides below a folder")
        grid = QGridLayout()
        grid.setSpacing(4)
        for place, (button, wanted) in enumerate(
            (
                (self.new_button, self.new_requested),
                (self.open_button, self.open_requested),
                (self.files_button, self.files_requested),
                (self.folder_button, self.folder_requested),
            )
        ):
            button.clicked.connect(wanted)
            grid.addWidget(button, place // 2, place % 2)
        layout.addLayout(grid)
        self.title = TextLabel(NO_LIST)
        self.title.setObjectName("list_title")
        layout.addWidget(self.title)
        self._reader_id = ""
        self.reader_line = HintLine("initials or number")
        self.reader_line.setObjectName("list_reader")
        self.reader_line.setToolTip("Who makes the calls: initials or a number; remembered")
        self.reader_line.editingFinished.connect(self._on_reader)
        self._reader_row = QWidget()
        reader = QHBoxLayout(self._reader_row)
        reader.setContentsMargins(0, 0, 0, 0)
        label = QLabel("Reader")
        label.setBuddy(self.reader_line)
        reader.addWidget(label)
        reader.addWidget(self.reader_line, 1)
        layout.addWidget(self._reader_row)
        self.rows = Rows()
        self.table = SlideTable(self.rows)
        self.table.opened.connect(self.slide_requested)
        layout.addWidget(self.table, TABLE_STRETCH)
        self.empty = TextLabel(NO_SLIDES)
        layout.addWidget(self.empty)
        layout.addLayout(self._build_steps())
        layout.addLayout(self._build_work())
        layout.addStretch(1)  # without a table all else stays at the top
        self.set_working("")

    def _build_steps(self) -> QHBoxLayout:
        steps = QHBoxLayout()
        steps.setSpacing(4)
        self.previous_button = _button("Previous", "list_previous", "The slide before (Alt+Page up)")
        self.next_button = _button("Next", "list_next", "The next slide (Alt+Page down)")
        self.unread_button = _button("Next unread", "list_unread", "Next slide without your call (Shift+U)")
        self.previous_button.clicked.connect(lambda: self.step_requested.emit(-1, False))
        self.next_button.clicked.connect(lambda: self.step_requested.emit(1, False))
        self.unread_button.clicked.connect(lambda: self.step_requested.emit(1, True))
        for button in (self.previous_button, self.next_button, self.unread_button):
            steps.addWidget(button)
        return steps

    def _build_work(self) -> QVBoxLayout:
        work = QVBoxLayout()
        work.setSpacing(4)
        self.missing_note = WarningNote()
        self.missing_note.setObjectName("list_missing")
        self.find_button = _button("Find them…", "list_find", "Look below a folder, by content")
        self.find_button.clicked.connect(self.find_requested)
        self.progress = TextLabel()
        self.progress.setObjectName("list_progress")
        self.cancel_button = _button("Cancel", "list_cancel", "Stop looking at slides")
        self.cancel_button.clicked.connect(self.cancel_requested)
        self.export_button = _button(
            "Export reader study…",
            "list_export",
            "Tables of all calls, and of reader and models against the reference standard (CSV)",
        )
        self.export_button.clicked.connect(self.export_requested)
        parts = (self.missing_note, self.find_button, self.progress, self.cancel_button, self.export_button)
        for part in parts:
            work.addWidget(part)
        return work

    def set_list(self, title: str | None, reader_id: str) -> None:
        """Say which list is open, and who reads; None: there is none."""
        self.title.set_text(title or NO_LIST)
        if reader_id != self._reader_id:  # else what is being typed stays
            self._reader_id = reader_id
            self.reader_line.setText(reader_id)
        for part in (self._reader_row, self.table, self.export_button):
            part.setVisible(title is not None)
        for button in (self.files_button, self.folder_button):
            button.setEnabled(title is not None)

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show these slides; the one under review is chosen."""
        self.rows.set_rows(rows)
        self.empty.set_text(NO_SLIDES if self.table.isVisibleTo(self) and not rows else "")
        for button in (self.previous_button, self.next_button, self.unread_button):
            button.setVisible(bool(rows))
        self.export_button.setEnabled(bool(rows))
        at = next((number for number, row in enumerate(rows) if row.is_open), None)
        if at is not None:
            index = self.rows.index(at, 0)
            flags = QItemSelectionModel.SelectionFlag
            with QSignalBlocker(self.table):
                how = flags.ClearAndSelect | flags.Rows
                self.table.selectionModel().setCurrentIndex(index, how)
            self.table.scrollTo(index)

    def set_missing(self, n_missing: int) -> None:
        """Say how many slides are no longer where they were."""
        one = n_missing == 1
        text = "1 slide is not where it was." if one else f"{n_missing} slides are not where they were."
        self.missing_note.set_text(text if n_missing else "")
        self.find_button.setText("Find it…" if one else "Find them…")
        self.find_button.setVisible(bool(n_missing))

    def set_working(self, text: str) -> None:
        """Say what is being done on a thread; nothing: it ended."""
        self.progress.set_text(text)
        self.cancel_button.setVisible(bool(text))

    def set_note(self, text: str) -> None:
        """Say what was done, unless something is being done."""
        if self.cancel_button.isHidden():
            self.progress.set_text(text)

    def _on_reader(self) -> None:
        self.reader_changed.emit(self.reader_line.text())


def _button(text: str, name: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    button.setMinimumWidth(20)
    return button
