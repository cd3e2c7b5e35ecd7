from qtpy.QtCore import Qt
from widget_records import LONG_NAME, child

from napari_aln.widgets.panels.labels import TextLabel, breakable
from napari_aln.widgets.panels.section import Section


def test_title_folds_and_opens_by_mouse_and_key(qtbot):
    content = TextLabel("content")
    section = Section("Slide & more", content)
    qtbot.addWidget(section)
    section.show()
    button = child(section, "section_title")
    assert content.isVisible()
    assert button.text().endswith("Slide && more")
    with qtbot.waitSignal(section.toggled) as told:
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert told.args == [False]
    assert not content.isVisible()
    qtbot.keyClick(button, Qt.Key.Key_Space)
    assert content.isVisible()


def test_folded_from_the_start(qtbot):
    content = TextLabel("content")
    section = Section("Settings", content, is_open=False)
    qtbot.addWidget(section)
    section.show()
    assert not content.isVisible()
    section.set_open(True)
    assert content.isVisible()


def test_long_words_break_and_stay_readable():
    broken = breakable(f"see {LONG_NAME} here")
    assert broken.replace("\u200b", "") == f"see {LONG_NAME} here"
    assert max(len(part) for part in broken.replace(" ", "\u200b").split("\u200b")) <= 8
    assert breakable("short words stay") == "short words stay"


def test_a_label_filled_before_it_has_a_parent_is_shown_with_it(qtbot):
    label = TextLabel("")
    label.set_text("found")
    assert not label.isVisible()  # no window of its own
    section = Section("x", label)
    qtbot.addWidget(section)
    section.show()
    assert label.isVisible()
