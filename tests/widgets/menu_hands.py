"""A person's right hand: clicks and drags with the right button, and chooses in the menu that opens."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QContextMenuEvent, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMenu


class RightHand:
    """Clicks with the right button and chooses in the menu."""

    def __init__(self, hands):
        self.hands = hands

    def menu(self) -> QMenu | None:
        shown = [menu for menu in self.hands.dock.findChildren(QMenu, "slide_menu") if menu.isVisible()]
        assert len(shown) < 2
        return shown[0] if shown else None

    def click(self, x_l0: float, y_l0: float) -> list[str]:
        """Click on the slide; return what the menu offers."""
        return self._click(self.hands.on_canvas(x_l0, y_l0))

    def click_middle(self) -> list[str]:
        """Click on the middle of the view; return what the menu offers."""
        return self._click(self.hands.canvas.rect().center())

    def _click(self, place: QPoint) -> list[str]:
        self.hands.move(place)
        QTest.mouseClick(self.hands.canvas, Qt.MouseButton.RightButton, pos=place)
        return self.offered()

    def click_row(self, row: int) -> list[str]:
        """Click on a region in the list; return what the menu offers."""
        regions = self.hands.dock.roi.regions
        self.hands.dock.scroll_area.ensureWidgetVisible(regions)
        regions.scrollToItem(regions.item(row))
        QApplication.processEvents()
        port, place = regions.viewport(), regions.visualItemRect(regions.item(row)).center()
        clicked = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, place, port.mapToGlobal(place))
        QApplication.sendEvent(port, clicked)
        return self.offered()

    def offered(self) -> list[str]:
        QApplication.processEvents()
        menu = self.menu()
        return [action.text() for action in menu.actions() if action.text()] if menu else []

    def choose(self, text: str) -> None:
        menu = self.menu()
        action = next(action for action in menu.actions() if action.text() == text and action.isEnabled())
        QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(action).center())
        QApplication.processEvents()
        assert self.menu() is None

    def leave(self) -> None:
        """Press Escape: nothing is chosen."""
        QTest.keyClick(self.menu(), Qt.Key.Key_Escape)
        QApplication.processEvents()
        assert self.menu() is None

    def drag(self, start_l0_xy, end_l0_xy) -> None:
        start, end = self.hands.on_canvas(*start_l0_xy), self.hands.on_canvas(*end_l0_xy)
        right, canvas = Qt.MouseButton.RightButton, self.hands.canvas
        QTest.mousePress(canvas, right, pos=start)
        for place in ((start + end) / 2, end):
            where = QPointF(place), QPointF(canvas.mapToGlobal(place))
            how = Qt.MouseButton.NoButton, right, Qt.KeyboardModifier.NoModifier
            QApplication.sendEvent(canvas, QMouseEvent(QEvent.Type.MouseMove, *where, *how))
        QTest.mouseRelease(canvas, right, pos=end)
        QApplication.processEvents()
