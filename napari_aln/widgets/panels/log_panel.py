"""What happened: a banner for the one message that counts now, and the log of all of them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QPlainTextEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_aln.widgets.panels.labels import (
    ERROR_COLOUR,
    INFO_COLOUR,
    WARNING_COLOUR,
    StripedFrame,
    TextLabel,
)

Kind = Literal["info", "warning", "error"]

PREFIXES: dict[Kind, str] = {"info": "", "warning": "Warning: ", "error": "Error: "}
MOST_LINES = 2000
LOG_HEIGHT = 130


class LogPanel(QWidget):
    """Messages with their times, the newest at the bottom."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.text = QPlainTextEdit()
        self.text.setObjectName("log_text")
        self.text.setAccessibleName("Log")
        self.text.setReadOnly(True)
        self.text.setMaximumBlockCount(MOST_LINES)
        self.text.setFixedHeight(LOG_HEIGHT)
        self.text.setTabChangesFocus(True)
        self.text.setPlaceholderText("Nothing has happened yet.")
        layout.addWidget(self.text)
        self.copy_button = QPushButton("Copy all")
        self.copy_button.setObjectName("log_copy")
        self.copy_button.clicked.connect(self._on_copy)
        self.clear_button = QPushButton("Clear")
        self.clear_button.setObjectName("log_clear")
        self.clear_button.setAccessibleName("Clear the log")
        self.clear_button.clicked.connect(self.text.clear)
        row = QHBoxLayout()
        row.addStretch()
        row.addWidget(self.copy_button)
        row.addWidget(self.clear_button)
        layout.addLayout(row)

    def add(self, kind: Kind, text: str, next_step: str = "") -> None:
        """Append a message, with what the user can do about it."""
        now = datetime.now().astimezone()
        self.text.appendPlainText(f"{now:%H:%M:%S}  {PREFIXES[kind]}{text} {next_step}".rstrip())
        bar = self.text.verticalScrollBar()
        bar.setValue(bar.maximum())

    def _on_copy(self) -> None:
        QApplication.clipboard().setText(self.text.toPlainText())


class Banner(StripedFrame):
    """One prominent message: what is wrong and what to do; hidden while there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(ERROR_COLOUR, parent)
        self.setObjectName("banner")
        self.fact = TextLabel(bold=True)
        self.fact.setObjectName("banner_fact")
        self.next_step = TextLabel()
        self.next_step.setObjectName("banner_next_step")
        for label in (self.fact, self.next_step):
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        texts = QVBoxLayout()
        texts.setContentsMargins(2, 4, 0, 4)
        texts.setSpacing(2)
        texts.addWidget(self.fact)
        texts.addWidget(self.next_step)
        self.dismiss_button = QToolButton()
        self.dismiss_button.setText("×")
        self.dismiss_button.setObjectName("banner_dismiss")
        self.dismiss_button.setAccessibleName("Dismiss the message")
        self.dismiss_button.setFixedSize(26, 24)
        self.dismiss_button.clicked.connect(self.hide)
        self.row.addLayout(texts, 1)
        self.row.addWidget(self.dismiss_button, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    def show_error(self, fact: str, next_step: str) -> None:
        """Show what is wrong and what can be done."""
        self._show(ERROR_COLOUR, fact, next_step)

    def show_warning(self, fact: str, next_step: str) -> None:
        """Show what was done otherwise than asked, and what can be done about it."""
        self._show(WARNING_COLOUR, fact, next_step)

    def show_info(self, text: str) -> None:
        """Show what is worth knowing."""
        self._show(INFO_COLOUR, text, "")

    def _show(self, colour: str, fact: str, next_step: str) -> None:
        self.set_colour(colour)
        self.fact.set_text(fact)
        self.next_step.set_text(next_step)
        self.setAccessibleName(f"{fact} {next_step}".rstrip())
        self.show()
