"""All keys, in a window of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_aln.records import RESEARCH_NOTICE
from napari_aln.widgets.panels.labels import TextLabel

if TYPE_CHECKING:
    from collections.abc import Sequence

    Groups = Sequence[tuple[str, Sequence[tuple[str, str]]]]

SIZE_PX = (900, 660)
APART_PX = 10  # between groups


class HelpPanel(QDialog):
    """Not modal: it may stay open beside the slide.

    Parameters
    ----------
    groups
        Title and rows of each group; a row is (keys, what they do).
    version
        Shown at the bottom.
    """

    def __init__(
        self,
        groups: Groups,
        version: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("help_panel")
        self.setWindowTitle("Keys")
        self.setModal(False)
        keys = QWidget()
        sides = QHBoxLayout(keys)
        sides.setSpacing(24)
        sides.addLayout(_column(groups[:1]))  # the longest; the others beside it, so that all is seen
        sides.addLayout(_column(groups[1:]))
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(keys)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.button(QDialogButtonBox.StandardButton.Close).setIcon(QIcon())  # drawn for one theme
        buttons.rejected.connect(self.close)
        layout = QVBoxLayout(self)
        layout.addWidget(scroll, 1)
        layout.addWidget(TextLabel(RESEARCH_NOTICE, bold=True))
        layout.addWidget(TextLabel(f"napari-aln {version}"))
        layout.addWidget(buttons)
        self.resize(*SIZE_PX)


def _column(groups: Groups) -> QGridLayout:
    grid = QGridLayout()
    grid.setColumnStretch(1, 1)
    grid.setHorizontalSpacing(16)
    grid.setVerticalSpacing(4)
    for title, rows in groups:
        if grid.count():
            grid.setRowMinimumHeight(grid.rowCount(), APART_PX)
        grid.addWidget(TextLabel(title, bold=True), grid.rowCount(), 0, 1, 2)
        for pressed, effect in rows:
            row = grid.rowCount()
            for column, text in enumerate((pressed, effect)):
                label = QLabel(text)
                label.setTextFormat(Qt.TextFormat.PlainText)
                grid.addWidget(label, row, column)
    grid.setRowStretch(grid.rowCount(), 1)
    return grid
