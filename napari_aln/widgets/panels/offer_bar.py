"""Something that can be done about something: a bar with a fact and a few buttons, never in the way."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_aln.widgets.panels.labels import INFO_COLOUR, StripedFrame, TextLabel
from napari_aln.widgets.panels.tab_order import put_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence


class OfferBar(StripedFrame):
    """Hidden while nothing is offered.

    Parameters
    ----------
    name
        Object name; its buttons are ``<name>_<choice>``.
    """

    chosen = Signal(str)  # the choice; the bar is hidden then
    dismissed = Signal()

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(INFO_COLOUR, parent)
        self.setObjectName(name)
        self.text = TextLabel()
        self.text.setObjectName(f"{name}_text")
        self._buttons: dict[str, QPushButton] = {}
        self._choices = QHBoxLayout()
        self._choices.setSpacing(4)
        self._choices.addStretch()
        column = QVBoxLayout()
        column.setContentsMargins(2, 4, 0, 4)
        column.setSpacing(4)
        column.addWidget(self.text)
        column.addLayout(self._choices)
        self.dismiss_button = QToolButton()
        self.dismiss_button.setText("×")
        self.dismiss_button.setObjectName(f"{name}_dismiss")
        self.dismiss_button.setAccessibleName("Not now")
        self.dismiss_button.setToolTip("Not now")
        self.dismiss_button.setFixedSize(26, 24)
        self.dismiss_button.clicked.connect(self._on_dismissed)
        self.row.addLayout(column, 1)
        self.row.addWidget(self.dismiss_button, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    def offer(self, text: str, choices: Sequence[tuple[str, str, str]]) -> None:
        """Show a fact and what can be done: choice, its button's text, what it does."""
        for button in self._buttons.values():
            self._choices.removeWidget(button)
            button.deleteLater()
        self._buttons = {}
        for choice, label, tooltip in choices:
            button = QPushButton(label)
            button.setObjectName(f"{self.objectName()}_{choice}")
            button.setToolTip(tooltip)
            button.clicked.connect(partial(self._on_chosen, choice))
            self._choices.insertWidget(len(self._buttons), button)
            self._buttons[choice] = button
        self.text.set_text(text)
        self.setAccessibleName(text)
        self.show()
        put_in_place(self, [*self._buttons.values(), self.dismiss_button])

    def button(self, choice: str) -> QPushButton:
        """Return the button of a choice that is offered."""
        return self._buttons[choice]

    def _on_chosen(self, choice: str) -> None:
        self.hide()
        self.chosen.emit(choice)

    def _on_dismissed(self) -> None:
        self.hide()
        self.dismissed.emit()
