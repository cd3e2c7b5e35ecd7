"""All keys, in a window of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_aln.records import RESEARCH_NOTICE
from napari_aln.widgets.panels.labels import TextLabel

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        groups: Sequence[tuple[str, Sequence[tuple[str, str]]]],
        version: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("help_panel")
        self.setWindowTitle("Keys")
        self.setModal(False)
        keys = QWidget()
        grid = QGridLayout(keys)
        grid.setColumnStretch(1, 1)
        grid.setHorizontalSpacing(16)
        for title, rows in groups:
            grid.addWidget(TextLabel(title, bold=True), grid.rowCount(), 0, 1, 2)
            for pressed, effect in rows:
                key = QLabel(pressed)
                key.setTextFormat(Qt.TextFormat.PlainText)
                row = grid.rowCount()
                grid.addWidget(key, row, 0, Qt.AlignmentFlag.AlignTop)
                grid.addWidget(TextLabel(effect), row, 1)
        grid.setRowStretch(grid.rowCount(), 1)
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
        self.resize(460, 560)
