"""A line that says in words what belongs into it, or what its being empty means, readable in any theme."""

from __future__ import annotations

from qtpy.QtCore import QEvent
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QLineEdit, QWidget

HINT_OPACITY = 0.75  # of the text's colour: 5 to 1 on napari's themes; Qt's own half is 3 to 1


class HintLine(QLineEdit):
    """A line with a hint while it is empty."""

    def __init__(self, hint: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setPlaceholderText(hint)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange, QEvent.Type.EnabledChange):
            self._colour_hint()

    def _colour_hint(self) -> None:
        palette = self.palette()
        colour = palette.color(QPalette.ColorRole.Text)
        colour.setAlphaF(HINT_OPACITY * colour.alphaF())
        if colour != palette.color(QPalette.ColorRole.PlaceholderText):
            palette.setColor(QPalette.ColorRole.PlaceholderText, colour)
            self.setPalette(palette)
