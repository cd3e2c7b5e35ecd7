"""Docks beside the review's own: made when they are first asked for, hidden and shown from then on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from qtpy import compat
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QDockWidget, QMainWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qtpy.QtWidgets import QWidget

SIDES = Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.RightDockWidgetArea


class SideDock(NamedTuple):
    """A dock that can be shown.

    Attributes
    ----------
    title
        What stands over it.
    area
        Where it first appears; the user may move it.
    make
        Makes what it holds.
    """

    title: str
    area: Qt.DockWidgetArea
    make: Callable[[], QWidget]


class SideDocks(QObject):
    """Shows docks in the window of a widget.

    Parameters
    ----------
    owner
        A widget in the window.
    docks
        By name.
    """

    shown = Signal(str, bool)  # name, and whether it is in view now

    def __init__(self, owner: QWidget, docks: Mapping[str, SideDock]) -> None:
        super().__init__()
        self._owner, self._docks = owner, dict(docks)
        self._made: dict[str, QDockWidget] = {}

    def show(self, name: str, on: bool = True) -> None:
        """Show a dock, or hide it."""
        dock = self._made.get(name)
        if dock is None:
            window = self._owner.window()
            if not on or not isinstance(window, QMainWindow):
                return
            dock = self._made[name] = self._make(name, window)
        dock.setVisible(on)
        if on:
            dock.raise_()

    @property
    def names(self) -> tuple[str, ...]:
        """The docks that can be shown."""
        return tuple(self._docks)

    def is_shown(self, name: str) -> bool:
        """Whether a dock is open, be its window in view or not."""
        dock = self._made.get(name)
        return dock is not None and not dock.isHidden()

    def toggle(self, name: str) -> None:
        """Show a dock that is hidden, hide one that is shown."""
        dock = self._made.get(name)
        # Behind another one's tab it lies, as Qt sees it, visible outside the window.
        self.show(name, dock is None or dock.isHidden() or dock.visibleRegion().isEmpty())

    def held(self, name: str) -> QWidget | None:
        """Return what a dock holds, or None while it was never shown."""
        dock = self._made.get(name)
        return None if dock is None else dock.widget()

    def close(self) -> None:
        """Take all docks out of the window."""
        for dock in self._made.values():
            if compat.isalive(dock):  # type: ignore[no-untyped-call]  # a window that goes takes its tabs first
                dock.close()
                dock.deleteLater()
        self._made.clear()

    def _make(self, name: str, window: QMainWindow) -> QDockWidget:
        title, area, make = self._docks[name]
        dock = QDockWidget(title, window)
        dock.setObjectName(f"aln_{name}")
        dock.setWidget(make())
        # The panels at the right keep their whole height: what lies below lies below the slide alone.
        window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        beside = [other for other in self._made.values() if window.dockWidgetArea(other) == area]
        window.addDockWidget(area, dock)
        if area in SIDES:  # else it is as narrow as it may be
            for other in beside[-1:]:  # one above the other, neither would have room
                if not other.isFloating():
                    window.tabifyDockWidget(other, dock)
            window.resizeDocks([dock], [dock.sizeHint().width()], Qt.Orientation.Horizontal)
        dock.visibilityChanged.connect(partial(self.shown.emit, name))
        return dock
