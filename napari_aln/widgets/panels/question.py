"""The frame of a dialog that asks one thing: content above, what confirms it and Cancel below."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QVBoxLayout, QWidget

LEAST_WIDTH_PX = 380


class Question(QDialog):
    """Window-modal; show it with ``open()``.

    Parameters
    ----------
    name
        Its object name.
    title
        Of its window.
    confirm
        On the button that confirms, `ok_button`.
    """

    def __init__(self, name: str, title: str, confirm: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setWindowTitle(title)
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(LEAST_WIDTH_PX)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 16, 16, 12)
        layout.setSpacing(8)
        self.content = QVBoxLayout()
        layout.addLayout(self.content, 1)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        self.ok_button = buttons.button(QDialogButtonBox.StandardButton.Ok)
        self.ok_button.setText(confirm)
        for button in buttons.buttons():
            button.setIcon(QIcon())  # the platform's are drawn for one theme
        layout.addWidget(buttons)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
