"""A person at the gallery: looks at patches, chooses them, and sees where the view flies."""

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDockWidget


class GalleryHands:
    """Works the gallery of a window in which it was opened."""

    def __init__(self, hands):
        self.hands, self.qtbot = hands, hands.qtbot
        dock = hands.viewer.window._qt_window.findChild(QDockWidget, "aln_gallery")
        self.gallery = dock.widget()
        self.panel = self.gallery.panel

    def full(self) -> bool:
        """Whether the pictures of all patches of the shown map are there."""
        rects = [patch.l0_rect for end in self.panel.strips for patch in self.patches(end)]
        return bool(rects) and all(map(self.panel.has_picture, rects)) and not self.gallery.reading.is_running

    def patches(self, end):
        strip = self.panel.strips[end]
        return [strip.patch_of(item) for item in strip.tiles()]

    def texts(self, end):
        return [item.text() for item in self.panel.strips[end].tiles()]

    def click(self, end, row, modifier=Qt.KeyboardModifier.NoModifier):
        strip = self.panel.strips[end]
        strip.scrollToItem(strip.item(row))
        QApplication.processEvents()
        place = strip.visualItemRect(strip.item(row)).center()
        self.qtbot.mouseClick(strip.viewport(), self.hands.left, modifier, place)

    def chosen(self):
        return [
            (end, strip.patch_of(item).rank)
            for end, strip in self.panel.strips.items()
            for item in strip.tiles()
            if item.isSelected()
        ]

    def export_to(self, folder):
        self.qtbot.mouseClick(self.panel.export_button, self.hands.left)
        self.hands.answer_file_dialog(folder)

    def assert_looks_at(self, rect):
        """The patch lies in the middle of the view, framed where it is."""
        hands = self.hands
        scene, camera = hands.review.scene, hands.viewer.scene.camera
        assert scene.framed == rect
        middle = scene.frame.l0_xy(camera.center[-2:])
        np.testing.assert_allclose(middle, (rect.x + rect.width / 2, rect.y + rect.height / 2), atol=1e-6)
        layer = hands.viewer.layers["patch"]
        assert layer.visible
        assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
        vertices_um, _, colours = layer.data
        corners_um = scene.frame.world_yx([rect[:2], (rect.x + rect.width, rect.y + rect.height)])
        line_um = 3 / camera.zoom  # as wide on the screen at every magnification
        for vertices, n_lines in ((vertices_um[colours == 0], 1), (vertices_um, 2)):
            reach = np.stack([vertices.min(axis=0), vertices.max(axis=0)])
            by = n_lines * line_um * np.array([[-1], [1]])  # outside the patch's own pixels
            np.testing.assert_allclose(reach - corners_um, np.broadcast_to(by, (2, 2)), rtol=0.06, atol=0.1)
        assert hands.on_canvas(rect.x, rect.y).y() > 0
