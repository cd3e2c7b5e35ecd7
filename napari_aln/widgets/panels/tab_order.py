"""Controls made later are reached by Tab where they stand, not after everything else in the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence


def put_in_place(panel: QWidget, controls: Sequence[QWidget]) -> None:
    """Move controls of a panel, in this order, to where the panel stands in the tab order.

    Parameters
    ----------
    panel
        Already in its window: Qt orders a window's controls by when they came into it.
    controls
        Those that came later.
    """
    before: Any = panel.previousInFocusChain()
    while before is not panel and (before in controls or not _takes_tab(before)):
        before = before.previousInFocusChain()
    if before is panel:
        return  # nothing else in the window is reached by Tab
    for control in controls:
        QWidget.setTabOrder(before, control)
        before = control


def _takes_tab(widget: QWidget) -> bool:
    return bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus)
