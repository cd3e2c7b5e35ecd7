"""A few lines beside the mouse, over the slide."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QPoint, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QLabel, QWidget

STYLE = "background-color: rgba(255, 255, 255, 225); color: black; padding: 3px 6px;"
"""Dark on light in both themes, as the slide is."""
AWAY_PX = 18  # from the mouse


class CanvasLabel(QLabel):
    """Follows the mouse over a canvas and never takes it.

    Parameters
    ----------
    name
        The label's object name.
    canvas
        Over which it stands.
    """

    def __init__(self, name: str, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setObjectName(name)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setStyleSheet(STYLE)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._mouse = QPoint(0, 0)
        canvas.installEventFilter(self)
        self.hide()

    def say(self, text: str) -> None:
        """Show a text; none hides the label."""
        if text:
            self.setText(text)
            self.adjustSize()
            self._place()
        self.setVisible(bool(text))

    def eventFilter(self, _canvas: QObject, event: QEvent) -> bool:
        """Note where the mouse is; hide with it."""
        if isinstance(event, QMouseEvent):
            self._mouse = event.position().toPoint()
            if self.isVisible():
                self._place()
        elif event.type() == QEvent.Type.Leave:
            self.hide()
        return False

    def _place(self) -> None:
        """Stand below and right of the mouse, or on its other side where there is no room."""
        canvas = self.parentWidget()
        assert canvas is not None
        at = self._mouse + QPoint(AWAY_PX, AWAY_PX)
        if at.x() + self.width() > canvas.width():
            at.setX(max(0, self._mouse.x() - AWAY_PX - self.width()))
        if at.y() + self.height() > canvas.height():
            at.setY(max(0, self._mouse.y() - AWAY_PX - self.height()))
        self.move(at)
