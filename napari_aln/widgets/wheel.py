"""Guard against values changed by scrolling: the wheel belongs to the panel until a control is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt

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


def guard_wheel(control: QWidget) -> None:
    """Let a spin box, combo box or slider answer the wheel only while it has the focus."""
    control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    control.installEventFilter(_WheelGuard(control))
