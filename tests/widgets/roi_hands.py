"""The tumour ROI's tools in the open window, worked by mouse and keys."""

from __future__ import annotations

from itertools import pairwise

import shapely
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication


class RoiHands:
    """Works the tools of the ROI."""

    def __init__(self, hands):
        self.hands, self.panel, self.state = hands, hands.dock.roi, hands.state

    @property
    def area(self):
        """Return the regions' area in level-0 pixels."""
        return shapely.union_all([region.geometry for region in self.state.regions])

    @property
    def summary(self) -> str:
        return self.panel.summary.shown_text()

    @property
    def tool(self) -> list[str]:
        """Return the tools whose buttons are down."""
        return [name for name, button in self.panel.tools.items() if button.isChecked()]

    def lasso(self, area) -> None:
        self.hands.draw(area.exterior.coords[:-1])

    def choose(self, change: str) -> None:
        """Choose with the keys what a drawn area does."""
        combo = self.panel.change_box
        combo.setFocus()
        self.hands.qtbot.keyClick(combo, Qt.Key.Key_Home)
        for _ in range(combo.findData(change)):
            self.hands.qtbot.keyClick(combo, Qt.Key.Key_Down)
        assert combo.currentData() == change

    def take(self, tool: str) -> None:
        if self.tool != [tool]:
            self.hands.click(self.panel.tools[tool])
        assert self.tool == [tool]

    def click_corners(self, corners) -> None:
        """Click corner by corner, the last one twice."""
        for corner in corners:
            self.hands.click_slide(*corner)
        QTest.mouseDClick(self.hands.canvas, self.hands.left, pos=self.hands.on_canvas(*corners[-1]))
        QApplication.processEvents()

    def press(self, corner) -> None:
        self.move(self.hands.on_canvas(*corner))
        QTest.mousePress(self.hands.canvas, self.hands.left, pos=self.hands.on_canvas(*corner))
        QApplication.processEvents()

    def drag_to(self, start, end) -> None:
        first, last = self.hands.on_canvas(*start), self.hands.on_canvas(*end)
        for share in (1 / 3, 2 / 3, 1):
            self.hands.move(first + (last - first) * share, held=True)

    def release(self, corner) -> None:
        QTest.mouseRelease(self.hands.canvas, self.hands.left, pos=self.hands.on_canvas(*corner))
        QApplication.processEvents()

    def stroke(self, corners) -> None:
        """Drag through corners with the button down."""
        self.press(corners[0])
        for start, end in pairwise(corners):
            self.drag_to(start, end)
        self.release(corners[-1])

    def move(self, place) -> None:
        self.hands.move(place)

    def key(self, key, modifiers=Qt.KeyboardModifier.NoModifier) -> None:
        self.hands.qtbot.keyClick(self.hands.canvas, key, modifiers)
        QApplication.processEvents()
