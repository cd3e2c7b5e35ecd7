"""States of the window during the demonstration's review: tools, runs, maps, answers anew."""

from __future__ import annotations

import shutil
from pathlib import Path

from pictured_window import AT_ONCE_MS, States, serve

ROI_OFF = '{"type": "Polygon", "coordinates": [[[100,100],[900,100],[900,700],[100,700],[100,100]]]}'
BESIDE_ROI_L0 = ((4600, 1800), (5100, 2300), (4700, 2900), (5200, 3400))
"""Tissue of the demonstration slide outside its ROI, (x, y) in level-0 pixels."""

BRUSH_PX = 110  # wide enough to take patches in


class ReviewStates(States):
    """One after another on one slide."""

    def demo(self) -> None:
        """The open slide, and what can be done before a run."""
        from qtpy.QtCore import Qt

        from napari_aln.workflows.demo import BUNDLES, ROI, SLIDE, sample_path

        window, dock, state = self.window, self.window.dock, self.window.review.state
        window.to_the_top()
        window.review.open_files([sample_path(name) for name in (SLIDE, ROI, *BUNDLES)])
        window.wait(lambda: window.idle() and len(state.bundles) == 2 and bool(state.regions))
        self.grab("open")
        if self.wants("help"):
            window.press(Qt.Key.Key_F1)
            self.grab("help")
            dock._help.close()
        if self.wants("layers"):
            window.press(Qt.Key.Key_F2)
            self.grab("layers")
            window.press(Qt.Key.Key_F2)
        if self.wants("settings"):
            for title, name in (("Settings", "settings"), ("Log", "log")):
                dock.reveal(title)
                self.grab(name)
                dock.sections[title].set_open(False)
        if self.wants("mask"):
            window.click(dock.map.mask_box)
            self.grab("mask")
            window.click(dock.map.mask_edit_button)
            self.grab("edited_mask")
            window.click(dock.map.mask_edit_button)
            window.click(dock.map.mask_box)
        if self.wants("outlines", "measure", "polygon"):
            self.tools()
        if self.wants("nuclei"):
            self.nuclei()
        if self.wants("origin"):
            self.origin()

    def nuclei(self) -> None:
        """Nuclei of the view, one of them chosen; of the whole slide, on the way, from afar, and some."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        window = self.window
        window.press(Qt.Key.Key_K, Qt.KeyboardModifier.ShiftModifier)
        dock = window.dock.side_docks.held("nuclei")
        panel = dock.panel
        self.grab("nuclei_none")
        window.look_at_tumour()
        window.press(Qt.Key.Key_3, Qt.KeyboardModifier.AltModifier)
        window.press(Qt.Key.Key_D, Qt.KeyboardModifier.ShiftModifier)
        window.wait(lambda: not dock.finding.is_running and dock.shown is not None)
        QTest.keyClick(panel.colours.feature_combo, Qt.Key.Key_Down)
        near_l0 = dock.shown.nuclei.l0_xy[len(dock.shown.nuclei) // 2]
        window.move(window.on_canvas(*near_l0))
        QTest.mouseClick(window.canvas, Qt.MouseButton.LeftButton, pos=window.on_canvas(*near_l0))
        self.grab("nuclei")
        window.press(Qt.Key.Key_0, Qt.KeyboardModifier.AltModifier)
        window.click(panel.find_buttons["slide"])
        window.wait(lambda: dock._n_shown > 0)
        self.grab("nuclei_running", AT_ONCE_MS)
        window.wait(lambda: not dock.finding.is_running)
        self.grab("nuclei_afar")
        window.look_at_tumour()
        window.press(Qt.Key.Key_2, Qt.KeyboardModifier.AltModifier)
        window.type_in(panel.filter.least_line, "60")
        QTest.keyClick(panel.filter.least_line, Qt.Key.Key_Return)
        self.grab("nuclei_some")
        window.press(Qt.Key.Key_K, Qt.KeyboardModifier.ShiftModifier)
        window.press(Qt.Key.Key_O, Qt.KeyboardModifier.ShiftModifier)
        window.press(Qt.Key.Key_0, Qt.KeyboardModifier.AltModifier)

    def tools(self) -> None:
        """The ROI's patches; a line being measured across them; a polygon that is half drawn."""
        from qtpy.QtCore import QPoint, Qt

        window, dock = self.window, self.window.dock
        window.look_at_tumour()
        window.press(Qt.Key.Key_1, Qt.KeyboardModifier.AltModifier)
        dock.reveal("Tumour ROI")
        self.grab("outlines")
        window.to_the_top()
        window.press(Qt.Key.Key_M, Qt.KeyboardModifier.ShiftModifier)
        middle = window.canvas.rect().center()
        window.drag(middle - QPoint(120, 60), middle + QPoint(130, 90))
        self.grab("measure")
        window.let_go(middle + QPoint(130, 90))
        window.press(Qt.Key.Key_Escape)
        window.click(dock.navigation.measure_clear)
        window.press(Qt.Key.Key_0, Qt.KeyboardModifier.AltModifier)
        if self.wants("polygon"):
            dock.reveal("Tumour ROI")
            serve(AT_ONCE_MS)
            window.click(dock.roi.tools["polygon"])
            for corner in BESIDE_ROI_L0[:3]:
                at = window.on_canvas(*corner)
                window.drag(at)
                window.let_go(at)
            window.move(window.on_canvas(*BESIDE_ROI_L0[3]))
            self.grab("polygon")
            window.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
            window.click(dock.roi.tools["polygon"])

    def origin(self) -> None:
        """Outlines that lie off the scanned area, and the offer to read them from the other origin."""
        from unittest.mock import patch

        from napari_aln.geometry import Rect
        from napari_aln.slides import openslide_reader
        from napari_aln.workflows.demo import ROI, SLIDE, sample_path

        window, dock = self.window, self.window.dock
        path = self.files / "S2026-004711_A1 outlines.geojson"
        path.write_text(ROI_OFF)
        with patch.object(openslide_reader, "_bounds", lambda *_: Rect(1000, 800, 4900, 4800)):
            self.open_slide(Path(shutil.copy(sample_path(SLIDE), self.files / "S2026-004711_A1.tif")))
            window.review.open_files([path])
            window.wait(dock.roi.origin.isVisible)
        dock.reveal("Tumour ROI")
        self.grab("origin")
        self.open_slide(sample_path(SLIDE), sample_path(ROI))
        window.wait(lambda: window.idle() and bool(window.review.state.regions))

    def runs(self) -> None:
        """Both runs, the first of them cancelled once; both beside each other."""
        from qtpy.QtCore import Qt

        window, dock = self.window, self.window.dock
        status, button = dock.run.status, dock.run.buttons["whole-slide"]
        self.fill_in_patient()
        if self.wants("running", "cancelled"):
            window.click(button)
            window.wait(lambda: " of " in status.shown_text() and "patches" in status.shown_text())
            self.grab("running", AT_ONCE_MS)
            window.click(dock.run.cancel_button)
            window.wait(window.idle)
            self.grab("cancelled")
        window.click(button)
        window.wait(lambda: window.idle() and "dlcnbc-ws" in dock.results.cards)
        self.grab("one")
        window.click(dock.run.buttons["roi"])
        window.wait(lambda: window.idle() and "dlcnbc" in dock.results.cards)
        self.grab("two")
        if self.wants("split"):
            window.press(Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)
            self.grab("split")
            window.press(Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)

    def maps(self) -> None:
        """The maps, near and far, and the difference of both runs."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        window, dock = self.window, self.window.dock
        window.click(dock.results.cards["dlcnbc-ws"].map_button)
        QTest.keyClick(dock.map.map_combo, Qt.Key.Key_Home)
        dock.reveal("Results")
        self.grab("attention")
        window.to_the_top()
        self.grab("top")
        dock.reveal("Map")
        window.look_at_tumour()
        window.press(Qt.Key.Key_2, Qt.KeyboardModifier.AltModifier)
        self.grab("x10")
        window.press(Qt.Key.Key_4, Qt.KeyboardModifier.AltModifier)
        window.move(window.canvas.rect().center())
        self.grab("x40")
        if self.wants("points"):
            window.press(Qt.Key.Key_2, Qt.KeyboardModifier.AltModifier)
            dock.reveal("Tumour ROI")
            serve(AT_ONCE_MS)
            window.click(dock.roi.tools["vertices"])
            self.grab("points")
            window.click(dock.roi.tools["vertices"])
        window.press(Qt.Key.Key_0, Qt.KeyboardModifier.AltModifier)
        dock.reveal("Map")
        dock.map.map_combo.setFocus()
        QTest.keyClick(dock.map.map_combo, Qt.Key.Key_Home)
        for _ in range(dock.map.map_combo.findData("contribution")):
            QTest.keyClick(dock.map.map_combo, Qt.Key.Key_Down)
        self.grab("signed")
        if self.wants("difference"):
            window.click(dock.compare.difference_button)
            dock.reveal("Map")
            self.grab("difference")
            window.click(dock.compare.difference_button)

    def brush(self) -> None:
        """Tissue painted into the ROI: while painting, with patches still to be read, answered anew."""
        from qtpy.QtCore import Qt

        from napari_aln.widgets.layers.brush_layer import NAME as BRUSH

        window, dock, state = self.window, self.window.dock, self.window.review.state
        dock.reveal("Tumour ROI")
        serve(AT_ONCE_MS)
        window.click(dock.roi.tools["brush"])
        window.viewer.layers[BRUSH].brush_size = BRUSH_PX
        places = [window.on_canvas(*place) for place in BESIDE_ROI_L0]
        window.drag(*places)
        self.grab("brush")
        regions = state.regions
        window.let_go(places[-1])
        window.wait(lambda: state.regions is not regions)
        dock.reveal("Results")
        self.grab("pending", AT_ONCE_MS)
        window.wait(
            lambda: window.idle() and not any(live and len(live.pending) for live in state.live.values())
        )
        self.grab("live")
        dock.reveal("Comparison")
        self.grab("compared")
        window.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        window.click(dock.roi.tools["brush"])
        window.move(window.canvas.rect().center())  # the brush leaves the pointer with the next move

    def stale(self) -> None:
        """Another seed than the results rest on."""
        window, dock = self.window, self.window.dock
        dock.sections["Settings"].set_open(True)
        serve(AT_ONCE_MS)
        seed = dock.settings.findChild(object, "setting_seed")
        window.type_in(seed, "7")
        dock.reveal("Results")
        self.grab("stale")
        window.click(dock.settings.reset_button)
        dock.sections["Settings"].set_open(False)

    def gallery(self) -> None:
        """Top and bottom patches of the map, one of them flown to, two more chosen; larger pictures."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        window = self.window
        window.press(Qt.Key.Key_G, Qt.KeyboardModifier.ShiftModifier)
        gallery = window.dock.side_docks.held("gallery")
        serve(300)
        window.wait(lambda: not gallery.reading.is_running)
        strips = gallery.panel.strips
        window.click_tile(strips["highest"], 1, Qt.KeyboardModifier.NoModifier)
        for end, place in (("highest", 2), ("lowest", 0)):
            window.click_tile(strips[end], place, Qt.KeyboardModifier.ControlModifier)
        self.grab("gallery")
        QTest.keyClick(gallery.panel.size_combo, Qt.Key.Key_End)
        serve(300)
        window.wait(lambda: not gallery.reading.is_running)
        self.grab("gallery_large")
        QTest.keyClick(gallery.panel.size_combo, Qt.Key.Key_Home)
        window.press(Qt.Key.Key_G, Qt.KeyboardModifier.ShiftModifier)
