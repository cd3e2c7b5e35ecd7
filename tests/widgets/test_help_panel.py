from qtpy.QtCore import Qt
from widget_records import all_texts

from napari_aln.records import RESEARCH_NOTICE
from napari_aln.widgets.keys import help_groups
from napari_aln.widgets.panels.help_panel import HelpPanel

GROUPS = [
    ("View", [("Alt+1", "5x"), (", .", "less, more opacity")]),
    ("Runs", [("Shift+H", "show or hide the map")]),
]


def test_all_keys_are_listed_with_notice_and_version(qtbot):
    panel = HelpPanel(GROUPS, "1.2.3")
    qtbot.addWidget(panel)
    panel.show()
    texts = all_texts(panel)
    for part in ("View", "Alt+1", "5x", ", .", "Runs", "show or hide the map", RESEARCH_NOTICE, "1.2.3"):
        assert part in texts, part
    qtbot.keyClick(panel, Qt.Key.Key_Escape)
    assert not panel.isVisible()


def test_keys_of_the_program_s_menu_are_listed_in_its_own_window_alone():
    own, plugin = ([row for _, rows in help_groups(in_program=own) for row in rows] for own in (True, False))
    assert [row for row in own if row not in plugin] == [
        ("Ctrl+O", "Open a slide"),
        ("Ctrl+S", "Save the session"),
    ]
