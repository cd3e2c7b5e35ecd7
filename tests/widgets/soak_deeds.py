"""What a person does on the slide and in the panels: where and how much is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely
from gallery_hands import GalleryHands
from menu_hands import RightHand
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit

if TYPE_CHECKING:
    from window_hands import Hands

SHIFT, CTRL, ALT = (getattr(Qt.KeyboardModifier, f"{name}Modifier") for name in ("Shift", "Control", "Alt"))
DOCK_KEYS = {
    "gallery": Qt.Key.Key_G,
    "work_list": Qt.Key.Key_W,
    "nuclei": Qt.Key.Key_K,
    "training": Qt.Key.Key_T,
    "interpretation": Qt.Key.Key_I,
}
POWERS_HERE = ["5x here", "10x here", "20x here", "40x here"]
MAP_COMBOS = ("run", "map", "scaling", "colour")


class Deeds:
    """What can be done in an open window, and whether it can be done now.

    Attributes
    ----------
    hands
        Of the window.
    rng
        Draws what is not told.
    """

    hands: Hands
    rng: np.random.Generator

    def __init__(self, qtbot) -> None:
        self._qtbot = qtbot

    def _has_slide(self) -> bool:
        return self.hands.state.slide is not None

    def _has_roi(self) -> bool:
        return bool(self.hands.state.roi)

    def _has_regions(self) -> bool:
        return self._has_slide() and bool(self.hands.state.regions)

    def _has_map(self) -> bool:
        return not isinstance(self.hands.review.scene.shown, str | None)

    def _has_pair(self) -> bool:
        return self.hands.state.pair() is not None

    def _has_mask(self) -> bool:
        return self.hands.state.seen is not None

    def _has_tiles(self) -> bool:
        docks = self.hands.dock.side_docks
        return docks.is_shown("gallery") and GalleryHands(self.hands).full()

    def _pick(self, among):
        return among[int(self.rng.integers(len(among)))]

    # On the slide

    def _inner(self, share: float = 0.3):
        """Return a rectangle within the slide as corners in level-0 pixels."""
        size = np.array(self.hands.state.slide.info.size_px, float)
        span = size * self.rng.uniform(share / 2, share, 2)
        corner = size * 0.15 + self.rng.random(2) * (size * 0.7 - span)
        return np.array(shapely.box(*corner, *(corner + span)).exterior.coords[:-1])

    def _whole(self) -> None:
        self.hands.key(Qt.Key.Key_0, ALT)

    def _zoom(self) -> None:
        canvas = self.hands.canvas
        place = QPointF(canvas.rect().center())
        for _ in range(int(self.rng.integers(1, 5))):
            wheel = QWheelEvent(
                *(place, QPointF(canvas.mapToGlobal(place))),
                *(QPoint(), QPoint(0, self._pick((120, -120)))),
                *(Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier),
                *(Qt.ScrollPhase.NoScrollPhase, False),
            )
            QApplication.sendEvent(canvas, wheel)
            QApplication.processEvents()

    def _pan(self) -> None:
        self._end_tool()
        corners = self._inner()
        self.hands.drag(corners[0], corners[2])

    def _magnify(self, power: int | None = None) -> None:
        number = int(self.rng.integers(0, 5)) if power is None else power
        self.hands.key(getattr(Qt.Key, f"Key_{number}"), ALT)

    def _take(self, tool: str) -> None:
        self._whole()
        button = self.hands.dock.roi.tools[tool]
        if not button.isChecked():
            self.hands.click(button)

    def _end_tool(self) -> None:
        for button in self.hands.dock.roi.tools.values():
            if button.isChecked():
                self.hands.click(button)

    def _lasso(self) -> None:
        combo = self.hands.dock.roi.change_box
        combo.setFocus()
        self._qtbot.keyClick(combo, self._pick((Qt.Key.Key_Home, Qt.Key.Key_Home, Qt.Key.Key_Down)))
        self._take("lasso")
        self.hands.stroke(self._inner())

    def _polygon(self) -> None:
        self._take("polygon")
        corners = self._inner()
        for corner in corners:
            self.hands.click_slide(*corner)
        QTest.mouseDClick(self.hands.canvas, self.hands.left, pos=self.hands.on_canvas(*corners[-1]))
        QApplication.processEvents()

    def _brush(self) -> None:
        self._take("brush")
        corners = self._inner()
        self.hands.drag(corners[0], corners[2])
        self._end_tool()

    def _drag_point(self) -> None:
        self._take("vertices")
        corners = shapely.get_coordinates(self.hands.state.roi[0].geometry)
        self.hands.drag(self._pick(corners), self._inner()[0])
        self._end_tool()

    def _measure(self) -> None:
        self._whole()
        self.hands.key(Qt.Key.Key_M, SHIFT)
        corners = self._inner()
        self.hands.drag(corners[0], corners[2])
        self.hands.key(Qt.Key.Key_Escape)

    def _edit_mask(self) -> None:
        self._whole()
        button = self.hands.dock.map.mask_edit_button
        self.hands.click(button)
        corners = self._inner()
        self.hands.drag(corners[0], corners[2])
        self.hands.click(button)
        assert not button.isChecked()

    # By the right mouse button

    def _choose_here(self, among: list[str]) -> None:
        """Click on the slide, and choose one of these in the menu."""
        self._end_tool()
        self._whole()
        right = RightHand(self.hands)
        offered = right.click(*self._inner()[0])
        right.choose(self._pick([text for text in offered if text in among]))

    def _look_at_menu(self) -> None:
        self._end_tool()
        right = RightHand(self.hands)
        assert "Whole slide" in right.click_middle()
        right.leave()

    def _choose_of_region(self, *among: str) -> None:
        """Click on a region of the slide, or on its row, and choose one of these in the menu."""
        self._end_tool()
        self._whole()
        right, regions = RightHand(self.hands), self.hands.state.regions
        place = int(self.rng.integers(len(regions)))
        if self.hands.dock.roi.regions.isVisible() and self.rng.random() < 0.5:
            offered = right.click_row(place)
        else:
            inside = regions[place].geometry.representative_point()
            offered = right.click(inside.x, inside.y)
        if fitting := [text for text in offered if text in among]:
            right.choose(fitting[0])
        else:  # the region is narrower than a pixel of the screen
            right.leave()

    # In the panels

    def _type_age(self) -> None:
        self.hands.write(self.hands.part(QLineEdit, "clinical_age"), str(self.rng.integers(30, 80)))

    def _choose_map(self) -> None:
        combo = self._pick([getattr(self.hands.dock.map, f"{name}_combo") for name in MAP_COMBOS])
        combo.setFocus()
        self._qtbot.keyClick(combo, self._pick((Qt.Key.Key_Down, Qt.Key.Key_Up)))

    def _filter_map(self) -> None:
        slider = self.hands.dock.map.threshold_slider
        slider.setFocus()
        self._qtbot.keyClick(slider, self._pick((Qt.Key.Key_Home, Qt.Key.Key_PageUp)))

    def _click_gallery(self) -> None:
        tiles = GalleryHands(self.hands)
        end = self._pick(sorted(end for end in tiles.panel.strips if tiles.texts(end)))
        tiles.click(end, int(self.rng.integers(len(tiles.texts(end)))))

    def _show_difference(self) -> None:
        self.hands.click(self.hands.dock.compare.difference_button)

    def _toggle_mask(self) -> None:
        self.hands.click(self.hands.dock.map.mask_box)

    def _toggle_dock(self, name: str) -> None:
        self.hands.key(DOCK_KEYS[name], SHIFT)

    def _look_at_help(self) -> None:
        self.hands.key(Qt.Key.Key_F1)
        panel = self.hands.dock._help
        self.hands.until(panel.isVisible)
        self._qtbot.keyClick(panel, Qt.Key.Key_Escape)
        panel.close()
