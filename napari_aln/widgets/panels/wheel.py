"""What controls leave to others: the wheel to the panel until they are chosen, the window's keys always."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget


class _WheelGuard(QObject):
    def __init__(self, control: QWidget) -> None:
        super().__init__(control)
        self._control = control

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and not self._control.hasFocus():
            event.ignore()  # the scroll area above takes it
            return True
        return False


class _KeyGuard(QObject):
    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            text = event.text()
            if text.strip() and text.isprintable():  # Esc is text to Qt, and the control's own
                event.ignore()  # the window takes it
                return True
        return False


def leave_keys(control: QWidget) -> None:
    """Leave keys that write to the window: a combo box would search its entries for them."""
    control.installEventFilter(_KeyGuard(control))


def guard_wheel(control: QWidget) -> None:
    """Let a spin box, combo box or slider answer the wheel only while it has the focus."""
    control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    control.installEventFilter(_WheelGuard(control))
