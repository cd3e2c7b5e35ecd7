"""What the desktop program adds: room for the slide, an overview, a welcome, names that stay hidden."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAbstractButton, QDockWidget, QFileDialog, QLabel

from napari_aln.store.remembered import Remembered
from napari_aln.widgets.dock import NAPARI_DOCKS
from napari_aln.workflows.demo import BUNDLES, ROI, SLIDE, demo_clinical, sample_path

ALT, SHIFT, PLAIN = (
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.NoModifier,
)


def idle(dock) -> bool:
    return not any(job.is_running for job in dock.review.jobs)


@pytest.fixture
def opened(review, qtbot):
    """The demonstration, open and surveyed."""
    review.review.open_files([sample_path(name) for name in (SLIDE, ROI)])
    qtbot.waitUntil(lambda: idle(review) and bool(review.review.state.regions), timeout=30_000)
    qtbot.waitUntil(lambda: review.navigation.overview.isVisible(), timeout=30_000)
    return review


def answer(opened, qtbot):
    """Load a model and run it inside the ROI."""
    opened.review.open_files([sample_path(BUNDLES[0])])
    opened.review.state.set_clinical(demo_clinical())
    qtbot.waitUntil(opened.run.buttons["roi"].isEnabled, timeout=30_000)
    with qtbot.waitSignal(opened.review.running.done, timeout=60_000):
        qtbot.mouseClick(opened.run.buttons["roi"], Qt.MouseButton.LeftButton)


def canvas(dock):
    return dock.viewer.window._qt_viewer.canvas.native


def test_the_open_demonstration_step_by_step(opened, qtbot, tissue_slide):
    the_view_is_the_share_of_the_slide_that_the_canvas_shows(opened)
    outlines_are_as_wide_on_the_screen_at_every_zoom(opened)
    a_click_on_the_overview_moves_the_view_there(opened, qtbot)
    recent_slides_can_be_forgotten(opened, qtbot)
    answer(opened, qtbot)
    result_and_legend_come_into_view(opened, qtbot)
    the_value_under_a_resting_cursor_follows_the_map(opened)
    panel_and_layer_agree_on_how_the_map_looks(opened)
    keys_work_with_every_layer_chosen_and_from_the_panels(opened, qtbot)
    a_number_with_a_comma_is_typed_not_taken_for_a_key(opened, qtbot)
    how_the_last_run_ended_is_not_said_of_another_slide(opened, qtbot, tissue_slide)
    a_slide_that_was_reviewed_before_can_be_gone_on_with(opened, qtbot, tissue_slide)


def test_the_window_without_a_slide_step_by_step(review, qtbot, tmp_path):
    napari_s_layer_docks_make_room_and_come_back(review, qtbot)
    the_usual_keys_are_the_review_s_not_napari_s(review, qtbot)
    messages_name_no_folder(review, qtbot, tmp_path)
    the_demonstration_models_are_one_click_away(review, qtbot)
    hidden_names_are_hidden_everywhere_and_stay_so(review, qtbot, tmp_path)


def napari_s_layer_docks_make_room_and_come_back(review, qtbot):
    docks = [review.window().findChild(QDockWidget, name) for name in NAPARI_DOCKS]
    assert all(dock is not None for dock in docks)
    assert review.navigation.layers_button.isChecked()
    review.take_room()
    assert not any(dock.isVisible() for dock in docks)
    assert not review.navigation.layers_button.isChecked()
    qtbot.mouseClick(review.navigation.layers_button, Qt.MouseButton.LeftButton)
    assert all(dock.isVisible() for dock in docks)
    qtbot.keyClick(canvas(review), Qt.Key.Key_F2)
    assert not any(dock.isVisible() for dock in docks)


def a_click_on_the_overview_moves_the_view_there(opened, qtbot):
    overview, camera = opened.navigation.overview, opened.viewer.scene.camera
    qtbot.keyClick(canvas(opened), Qt.Key.Key_4, ALT)
    place = QPoint(overview.width() // 4, overview.height() * 3 // 4)
    qtbot.mouseClick(overview, Qt.MouseButton.LeftButton, pos=place)
    size_um = np.array(opened.review.state.slide.info.size_px) * 0.5
    x_um, y_um = camera.center[-1], camera.center[-2]
    share = np.array([place.x() / overview.width(), place.y() / overview.height()])
    assert (x_um, y_um) == pytest.approx(tuple(size_um * share))
    frame = overview.frame().center()
    assert (frame.x(), frame.y()) == pytest.approx((place.x(), place.y()), abs=1.5)
    assert opened.navigation.zoom_text.text() == "Now 40x"


def the_view_is_the_share_of_the_slide_that_the_canvas_shows(opened):
    scene, camera = opened.review.scene, opened.viewer.scene.camera
    camera.center, camera.zoom = (704.0, 744.0), 0.5
    height_px, width_px = opened.viewer.canvas.size
    x, y, width, height = scene.view()
    slide_um = np.array(opened.review.state.slide.info.size_px) * 0.5
    assert (width, height) == pytest.approx((width_px / 0.5 / slide_um[0], height_px / 0.5 / slide_um[1]))
    middle = (x + width / 2) * slide_um[0], (y + height / 2) * slide_um[1]
    assert middle == pytest.approx((744.0, 704.0))


def outlines_are_as_wide_on_the_screen_at_every_zoom(opened):
    layer = opened.viewer.layers["tumour ROI"]
    widths = []
    for zoom in (0.05, 0.4, 3.0):
        opened.viewer.scene.camera.zoom = zoom
        widths.append(np.array(layer.edge_width) * 0.5 * zoom)  # level-0 px -> µm -> px of the screen
    assert np.ptp(np.concatenate(widths)) < 0.15
    assert opened.review.state.regions == opened.review.scene.regions._regions


def keys_work_with_every_layer_chosen_and_from_the_panels(answered, qtbot):
    dock, camera = answered, answered.viewer.scene.camera
    places = [canvas(dock), dock.run.buttons["roi"], dock.map.opacity_slider, dock.map.map_combo]
    qtbot.mouseClick(dock.map.mask_box, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert {layer.name for layer in dock.viewer.layers} >= {"slide", "tissue mask", "map", "tumour ROI"}
    for layer in list(dock.viewer.layers):
        dock.viewer.layers.selection.active = layer
        for place in places:
            shown, opacity = dock.map.visible_box.isChecked(), dock.map.opacity_slider.value()
            camera.zoom = 0.07
            qtbot.keyClick(place, Qt.Key.Key_2, ALT)
            qtbot.keyClick(place, Qt.Key.Key_H, SHIFT)
            qtbot.keyClick(place, Qt.Key.Key_Period, PLAIN)
            where = f"{layer.name}, {type(place).__name__}"
            assert camera.zoom == pytest.approx(1.0), where
            assert dock.map.visible_box.isChecked() is not shown, where
            assert dock.map.opacity_slider.value() == opacity + 10, where
            qtbot.keyClick(place, Qt.Key.Key_Comma, PLAIN)
            assert dock.map.opacity_slider.value() == opacity, where
    menus = dock.window().menuBar().actions()
    letters = [QKeySequence.mnemonic(part.text()).toString() for part in [*menus, *labelled(dock)]]
    letters = [letter for letter in letters if letter]
    assert len(letters) > 15
    assert len(set(letters)) == len(letters), sorted(letters)  # the same one twice would do nothing
    taken = {entry.shortcut().toString() for part in menus for entry in part.menu().actions()}
    assert "Ctrl+O" in taken
    assert not taken.intersection(letters)  # napari takes pictures of the screen by Alt+S


def labelled(dock) -> list:
    """Return what Alt and a letter can reach in the panels."""
    labels = [label for label in dock.findChildren(QLabel) if label.buddy() is not None]
    return [*dock.findChildren(QAbstractButton), *labels]


def a_number_with_a_comma_is_typed_not_taken_for_a_key(answered, qtbot):
    line = answered.clinical._size.line
    opacity = answered.map.opacity_slider.value()
    line.clear()
    qtbot.keyClicks(line, "2,5")
    assert line.text() == "2,5"
    assert answered.map.opacity_slider.value() == opacity


def panel_and_layer_agree_on_how_the_map_looks(answered):
    layer = answered.viewer.layers["map"]
    assert answered.map.opacity_slider.value() == round(layer.opacity * 100) == 40
    layer.opacity, layer.visible = 0.8, False
    assert answered.map.opacity_slider.value() == 80
    assert not answered.map.visible_box.isChecked()


def result_and_legend_come_into_view(answered, qtbot):
    port = answered.scroll_area.viewport()

    def seen(widget) -> bool:
        top = widget.mapTo(port, QPoint(0, 0)).y()
        return top >= 0 and top + widget.height() <= port.height()

    qtbot.waitUntil(lambda: seen(answered.results.cards["dlcnbc"]) and seen(answered.map.legend))


def the_value_under_a_resting_cursor_follows_the_map(answered):
    region = answered.review.state.regions[0].geometry.representative_point()
    answered.viewer.cursor.position = tuple(answered.review.scene.frame.world_yx((region.x, region.y)))
    texts = []
    for name in ("probability", "entropy"):
        answered.review.state.show("dlcnbc", name)
        texts.append(answered.map.cursor_text.text())
    assert "no patch" not in "".join(texts)
    assert texts[0] != texts[1]


def hidden_names_are_hidden_everywhere_and_stay_so(review, qtbot, tmp_path):
    slide = shutil.copy(sample_path(SLIDE), tmp_path / "Jane Doe 1950.tif")
    review.review.open_files([slide])
    qtbot.waitUntil(lambda: idle(review) and review.review.state.slide is not None, timeout=30_000)
    assert review.slide_card.title.shown_text() == "Jane Doe 1950.tif"
    assert review.window().windowTitle() == "Jane Doe 1950.tif – napari-aln"
    qtbot.mouseClick(review.slide_card.hide_names_box, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    menu = [action.text() for action in review.slide_card.recent_button.menu().actions()]
    title = review.window().windowTitle()
    assert "Jane" not in review.slide_card.title.shown_text() + title + "".join(menu)
    assert title.startswith("slide-")
    missing = tmp_path / "Jane Doe 1951.tif"
    review.review.open_files([missing])
    qtbot.waitUntil(lambda: idle(review) and review.banner.isVisible(), timeout=30_000)
    assert "Jane" not in review.banner.fact.shown_text() + review.log.text.toPlainText()
    assert Remembered().hide_names


def the_usual_keys_are_the_review_s_not_napari_s(review, qtbot):
    def dialogs():
        return [(d.windowTitle(), d) for d in review.findChildren(QFileDialog) if d.isVisible()]

    window, ctrl = review.window(), Qt.KeyboardModifier.ControlModifier
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    for key, modifiers, title in (
        (Qt.Key.Key_O, ctrl, "Open a slide"),
        (Qt.Key.Key_O, ctrl | SHIFT, "Open a session"),
    ):
        qtbot.keyClick(canvas(review), key, modifiers)
        qtbot.waitUntil(lambda: bool(dialogs()))
        ((shown, dialog),) = dialogs()
        assert shown == title
        dialog.reject()
    qtbot.keyClick(canvas(review), Qt.Key.Key_S, ctrl)
    assert "no review to save" in review.banner.fact.shown_text()
    qtbot.keyClick(canvas(review), Qt.Key.Key_S, ctrl | SHIFT)
    assert "no result to save" in review.banner.fact.shown_text()
    assert window.menuBar().actions()[0].text() == "Review"
    review.banner.hide()


def messages_name_no_folder(review, qtbot, tmp_path):
    review.review.open_files([tmp_path / "missing.tif"])
    qtbot.waitUntil(lambda: idle(review) and review.banner.isVisible(), timeout=30_000)
    assert "missing.tif" in review.banner.fact.shown_text()
    assert str(tmp_path) not in review.banner.fact.shown_text()


def recent_slides_can_be_forgotten(opened, qtbot):
    actions = opened.slide_card.recent_button.menu().actions()
    assert [action.text() for action in actions if action.text()] == [SLIDE, "Forget recent slides"]
    actions[-1].trigger()
    assert not opened.slide_card.recent_button.isEnabled()
    assert Remembered().recent == ()


def test_an_empty_window_offers_a_slide_and_the_demonstration(review, qtbot):
    review.welcome()
    welcome = review.window().findChild(type(review._welcome))
    assert welcome.isVisible()
    assert welcome.size() == canvas(review).size()
    qtbot.mouseClick(welcome.demo_button, Qt.MouseButton.LeftButton)
    assert welcome.title.shown_text().startswith(f"Opening {SLIDE}")
    assert not welcome.open_button.isEnabled()
    qtbot.waitUntil(lambda: idle(review) and len(review.review.state.bundles) == 2, timeout=30_000)
    assert not welcome.isVisible()
    review.viewer.layers.remove("slide")
    assert welcome.isVisible()
    assert welcome.title.shown_text() == "Drop a slide here"


def the_demonstration_models_are_one_click_away(review, qtbot):
    qtbot.mouseClick(review.models.demo_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(review.review.state.bundles) == 2, timeout=30_000)
    assert not review.models.demo_button.isVisible()


def how_the_last_run_ended_is_not_said_of_another_slide(answered, qtbot, tissue_slide):
    status = answered.run.status
    answered.review.running.failed.emit(ValueError("x"))
    answered.run.set_state(answered.review.running.state, "Failed.")
    answered.review.open_files([tissue_slide])
    qtbot.waitUntil(lambda: idle(answered), timeout=30_000)
    assert not status.isVisible()


def a_slide_that_was_reviewed_before_can_be_gone_on_with(dock, qtbot, other):
    bar, state = dock.left_off_bar, dock.review.state

    def open_again(path):
        dock.review.open_files([path])
        qtbot.waitUntil(lambda: idle(dock) and state.slide.info.path == path, timeout=30_000)
        qtbot.waitUntil(lambda: not dock.keeping.writing.is_running and idle(dock), timeout=30_000)

    assert not bar.isVisible()  # nothing was done on this one
    open_again(sample_path(SLIDE))
    assert (state.regions, state.answers) == ((), {})
    qtbot.waitUntil(bar.isVisible)
    assert "You reviewed this slide before" in bar.text.shown_text()
    open_again(sample_path(SLIDE))  # opened without doing anything: that is no review to be kept
    qtbot.waitUntil(bar.isVisible)
    qtbot.mouseClick(bar.button("restore"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(state.answers) and not dock.keeping.opening.is_running, timeout=30_000)
    assert list(state.answers) == ["dlcnbc"]
    assert len(state.regions) == 2
    assert state.clinical.tumor_size_cm == 2.5  # as it was typed last
    assert not bar.isVisible()
    open_again(other)
    assert not bar.isVisible()
    open_again(sample_path(SLIDE))
    qtbot.waitUntil(bar.isVisible)
    dock.review.open_files([sample_path(ROI)])
    answer(dock, qtbot)
    assert not bar.isVisible()  # going on from there would take the place of what was done since
