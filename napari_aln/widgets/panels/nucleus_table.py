"""The nuclei as a table: any number of rows, none of them copied, sorted by a click on a column."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    Signal,
)
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_aln.widgets.panels.labels import INFO_COLOUR, count
from napari_aln.widgets.panels.wheel import leave_keys
from napari_aln.workflows.nuclei.view import FEATURE_NAMES, NUCLEUS_STYLES

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Index = QModelIndex | QPersistentModelIndex

COLUMNS = ("label", *FEATURE_NAMES)
CHOSEN_STYLE = f"QTableView::item:selected {{ background-color: {INFO_COLOUR}; color: white; }}"
MINUS = "\N{MINUS SIGN}"
MOST_SELECTED = 10_000  # rows that are told of; more are no choice


class NucleusModel(QAbstractTableModel):
    """Shows rows of a table of nuclei, those that are kept, in an order."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns: list[NDArray[Any]] = []
        self._order = np.zeros(0, np.intp)  # row of the table, by line shown
        self._line = np.zeros(0, np.intp)  # line shown, by row; -1: none
        self._kept: NDArray[np.bool_] | None = None
        self._sorted: tuple[int, Qt.SortOrder] = (-1, Qt.SortOrder.AscendingOrder)

    def set_table(self, table: pd.DataFrame | None) -> None:
        """Show all rows of a table."""
        self.beginResetModel()
        self._columns = [] if table is None else [table[name].to_numpy() for name in COLUMNS]
        self._kept = None
        self._arrange()
        self.endResetModel()

    def keep(self, kept: NDArray[np.bool_] | None) -> None:
        """Show only some rows; None: all."""
        self.beginResetModel()
        self._kept = kept
        self._arrange()
        self.endResetModel()

    def rows(self, lines: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the table's rows that are shown in these lines."""
        return self._order[lines]

    def line_of(self, row: int) -> int | None:
        """Return the line in which a row is shown; None: it is not."""
        line = int(self._line[row])
        return line if line >= 0 else None

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """Return how many rows are shown."""
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401 - Qt's
        """Return a cell's text."""
        if role == Qt.ItemDataRole.DisplayRole:
            return cell_text(self._columns[index.column()][self._order[index.row()]])
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:  # noqa: ANN401 - Qt's
        """Return a column's title."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        name = COLUMNS[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return "nucleus" if name == "label" else _title(name)
        if role == Qt.ItemDataRole.ToolTipRole and name in NUCLEUS_STYLES:
            style = NUCLEUS_STYLES[name]
            return f"{style.quantity} ({style.unit}); column {name} of files"
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; unknown values come last."""
        self.beginResetModel()
        self._sorted = column, order
        self._arrange()
        self.endResetModel()

    def _arrange(self) -> None:
        column, way = self._sorted
        n = len(self._columns[0]) if self._columns else 0
        if n and column >= 0:
            values = self._columns[column]
            order = np.argsort(values if way == Qt.SortOrder.AscendingOrder else -values, kind="stable")
        else:
            order = np.arange(n)
        self._order = order if self._kept is None else order[self._kept[order]]
        self._line = np.full(n, -1, np.intp)
        self._line[self._order] = np.arange(len(self._order))


class NucleusTableView(QTableView):
    """The table, whose selection is told by rows of the table of nuclei."""

    chosen = Signal(object)  # (n,) rows of the table, by mouse or keys

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("nuclei_table")
        self.setAccessibleName("Nuclei with their measures")
        self.model_ = NucleusModel(self)
        self.setModel(self.model_)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setSortingEnabled(True)
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.horizontalHeader().setHighlightSections(False)
        lines = self.verticalHeader()
        lines.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        lines.setDefaultSectionSize(self.fontMetrics().height() + 6)
        lines.hide()
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)  # Tab leaves the table
        self.setStyleSheet(CHOSEN_STYLE)
        leave_keys(self)
        self._telling = True
        self.selectionModel().selectionChanged.connect(self._on_selection)
        metrics = self.horizontalHeader().fontMetrics()
        for column in range(len(COLUMNS)):
            title = str(self.model_.headerData(column, Qt.Orientation.Horizontal))
            widest = max(metrics.horizontalAdvance(line) for line in title.splitlines())
            self.setColumnWidth(column, widest + 28)

    def set_table(self, table: pd.DataFrame | None) -> None:
        """Show the nuclei of a table."""
        self.model_.set_table(table)

    def keep(self, kept: NDArray[np.bool_] | None) -> None:
        """Show only some nuclei; None: all."""
        self.model_.keep(kept)

    def shown_text(self, n_all: int) -> str:
        """Return how many nuclei are listed, of how many."""
        shown = self.model_.rowCount()
        return f"{count(shown)} nuclei" if shown == n_all else f"{count(shown)} of {count(n_all)} nuclei"

    def choose(self, row: int | None) -> None:
        """Select a nucleus and scroll to it; None: none. Does not emit."""
        self._telling = False
        self.clearSelection()
        line = None if row is None else self.model_.line_of(row)
        if line is not None:
            index = self.model_.index(line, 0)
            flags = QItemSelectionModel.SelectionFlag
            self.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
            self.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)
        self._telling = True

    def _on_selection(self, _now: QItemSelection, _before: QItemSelection) -> None:
        if not self._telling:
            return
        lines: list[int] = []
        parts: Any = self.selectionModel().selection()  # Qt's own list
        for part in parts:
            lines += range(part.top(), min(part.bottom() + 1, part.top() + MOST_SELECTED - len(lines)))
        self.chosen.emit(self.model_.rows(np.array(sorted(lines), np.intp)))


def _title(name: str) -> str:
    """Return a measure's name, and its unit on a line below, where it has one."""
    style = NUCLEUS_STYLES[name]
    return style.quantity if ":" in style.unit else f"{style.quantity}\n{style.unit}"


def cell_text(value: Any) -> str:  # noqa: ANN401 - a number of any of NumPy's types
    """Return a measure as four digits, a number as it is; nothing for what is not known."""
    if isinstance(value, int | np.integer):
        return str(value)
    return f"{value:.4g}".replace("-", MINUS) if math.isfinite(value) else ""
