"""Doing something once, after all that is going on now and before the window is painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, Signal

if TYPE_CHECKING:
    from collections.abc import Callable


class Later(QObject):
    """Puts an act off. A timer of 0 ms would let the window be painted first, and once more afterwards.

    Parameters
    ----------
    act
        What is done, once for all times it was asked for.
    parent
        With which it ends.
    """

    _due = Signal()

    def __init__(self, act: Callable[[], None], parent: QObject) -> None:
        super().__init__(parent)
        self._act = act
        self._asked = False
        self._due.connect(self._on_due, Qt.ConnectionType.QueuedConnection)

    def ask(self) -> None:
        """Have it done soon."""
        if not self._asked:
            self._asked = True
            self._due.emit()

    def _on_due(self) -> None:
        self._asked = False
        self._act()
