import re

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel, QVBoxLayout, QWidget
from widget_records import LONG_NAME, child

from napari_aln.widgets.panels.log_panel import Banner, LogPanel


@pytest.fixture
def log(qtbot):
    log = LogPanel()
    qtbot.addWidget(log)
    log.resize(320, 200)
    log.show()
    return log


@pytest.fixture
def banner(qtbot):
    holder = QWidget()
    layout = QVBoxLayout(holder)
    banner = Banner()
    layout.addWidget(banner)
    layout.addWidget(QLabel("below"))
    qtbot.addWidget(holder)
    holder.resize(320, 300)
    holder.show()
    yield banner
    holder.close()


def test_messages_stand_in_order_with_time_and_next_step(log):
    log.add("info", "Opened case 7.")
    log.add("error", "The slide is truncated.", "Copy it again.")
    first, second = child(log, "log_text").toPlainText().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d  Opened case 7\.", first)
    assert second.endswith("Error: The slide is truncated. Copy it again.")


def test_many_messages_keep_the_newest_in_view(log, qtbot):
    for number in range(60):
        log.add("warning", f"{LONG_NAME} {number}")
    text = child(log, "log_text")
    assert text.verticalScrollBar().value() == text.verticalScrollBar().maximum() > 0
    assert not text.horizontalScrollBar().isVisible()


def test_copy_all_and_clear(log, qtbot):
    log.add("info", "Opened case 7.")
    qtbot.mouseClick(child(log, "log_copy"), Qt.MouseButton.LeftButton)
    assert QApplication.clipboard().text().endswith("Opened case 7.")
    qtbot.mouseClick(child(log, "log_clear"), Qt.MouseButton.LeftButton)
    assert child(log, "log_text").toPlainText() == ""


def test_banner_shows_what_is_wrong_and_what_to_do_until_dismissed(banner, qtbot):
    assert not banner.isVisible()
    banner.show_error(f"{LONG_NAME} is truncated.", "Copy it again.")
    assert banner.isVisible()
    assert child(banner, "banner_fact").shown_text() == f"{LONG_NAME} is truncated."
    assert child(banner, "banner_next_step").shown_text() == "Copy it again."
    assert banner.minimumSizeHint().width() <= 300
    qtbot.mouseClick(child(banner, "banner_dismiss"), Qt.MouseButton.LeftButton)
    assert not banner.isVisible()


def test_a_note_after_an_error_keeps_nothing_of_it(banner):
    banner.show_error("It failed.", "Try again.")
    red = banner.grab().toImage().pixelColor(2, 10).name()
    banner.show_info("All is well.")
    assert child(banner, "banner_fact").shown_text() == "All is well."
    assert not child(banner, "banner_next_step").isVisible()
    assert banner.grab().toImage().pixelColor(2, 10).name() != red
