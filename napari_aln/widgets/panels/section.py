"""A section of the dock that folds away under its title."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_aln.widgets.panels.labels import INFO_COLOUR

OPEN_SIGN, FOLDED_SIGN = "▾", "▸"
# Open is the usual state: napari's colour of a pressed button would shout.
TITLE_STYLE = """
QPushButton, QPushButton:checked {
    text-align: left; font-weight: bold; padding: 4px 4px; border-radius: 0px;
    background-color: transparent; border-top: 1px solid rgba(128, 128, 128, 120);
}
QPushButton:hover, QPushButton:focus { text-decoration: underline; }
"""
# napari shows no focus; who works by keys has to see it.
FOCUS_STYLE = f"""
QPushButton:focus, QToolButton:focus, QComboBox:focus, QLineEdit:focus, QAbstractSpinBox:focus,
QPlainTextEdit:focus, QCheckBox:focus, QRadioButton:focus, QSlider:focus {{
    border: 1px solid {INFO_COLOUR};
}}
"""


class Section(QWidget):
    """A title that folds one panel away and back.

    superqt's collapsible fixes its content's height when it opens, which cuts wrapped text as soon as the
    dock changes its width, and paints its arrow once, in the colour of the first theme.
    """

    toggled = Signal(bool)

    def __init__(
        self, title: str, content: QWidget, *, is_open: bool = True, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._title = title
        self.content = content
        self.button = QPushButton()
        self.button.setObjectName("section_title")
        self.button.setCheckable(True)
        self.button.setAccessibleName(title)
        self.button.setStyleSheet(TITLE_STYLE)
        self.setStyleSheet(FOCUS_STYLE)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.button)
        layout.addWidget(content)
        self.button.toggled.connect(self._on_toggled)
        self.button.setChecked(is_open)
        self._show(is_open)

    def is_open(self) -> bool:
        """Return whether the content is shown."""
        return bool(self.button.isChecked())

    def set_open(self, is_open: bool) -> None:
        """Open or fold the section."""
        self.button.setChecked(is_open)

    def set_title(self, title: str) -> None:
        """Change the title."""
        self._title = title
        self.button.setAccessibleName(title)
        self._show(self.is_open())

    def _on_toggled(self, is_open: bool) -> None:
        self._show(is_open)
        self.toggled.emit(is_open)

    def _show(self, is_open: bool) -> None:
        self.button.setText(f"{OPEN_SIGN if is_open else FOLDED_SIGN}  {self._title}".replace("&", "&&"))
        self.content.setVisible(is_open)
