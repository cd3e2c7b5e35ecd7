from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QPushButton, QVBoxLayout, QWidget
from widget_records import model_card

from napari_aln.widgets.panels.model_list import ModelList
from napari_aln.widgets.panels.section import Section


def test_models_loaded_later_are_reached_between_their_neighbours(qtbot):
    window = QWidget()
    layout = QVBoxLayout(window)
    models = ModelList()
    before, after = QPushButton("before"), QPushButton("after")
    for part in (before, Section("Models", models), after):
        layout.addWidget(part)
    qtbot.addWidget(window)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    for keys in ("ab", "abc"):  # and again, when the list is made anew
        models.set_models({key: model_card() for key in keys}, {"dlcnbc-ws": "b"})
    QApplication.processEvents()
    before.setFocus()
    reached = []
    while not after.hasFocus():
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        reached.append(QApplication.focusWidget().objectName())
    sides = ["model_details", "model_remove"]
    assert [name for name in reached if name != "model_choose"] == [
        "section_title",
        *sides * 3,
        "model_add",
        "model_train",
        "",
    ]
    assert "model_choose" in reached
