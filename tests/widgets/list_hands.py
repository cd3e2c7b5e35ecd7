"""A person at the work list: makes one, adds to it, opens slides from it, makes calls and reads them."""

from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QTableView,
)

from napari_aln.widgets.panels.new_list_dialog import NewListDialog


class ListHands:
    """Works the work list's dock; opens it by its key where it is not open."""

    def __init__(self, hands):
        self.hands, self.qtbot = hands, hands.qtbot
        if not hands.dock.side_docks.is_shown("work_list"):
            hands.key(Qt.Key.Key_W, Qt.KeyboardModifier.ShiftModifier)
        self.dock = hands.dock.side_docks.held("work_list")
        hands.until(self.dock.isVisible)
        self.table = self.part(QTableView, "list_table", shown=False)

    def part(self, kind, name, *, shown=True):
        found = [w for w in self.dock.findChildren(kind, name) if w.isVisible() or not shown]
        assert len(found) == 1, f"{len(found)} parts named {name} are to be seen"
        return found[0]

    def press(self, name, kind=QPushButton):
        self.hands.click(self.part(kind, name))

    def make(self, path, *, blinded):
        self.press("list_new")
        dialog = next(d for d in self.dock.findChildren(NewListDialog) if d.isVisible())
        if blinded:
            box = dialog.findChild(QCheckBox)
            self.qtbot.mouseClick(box, self.hands.left, pos=QPoint(12, box.height() // 2))
        self.qtbot.mouseClick(dialog.ok_button, self.hands.left)
        self.hands.answer_file_dialog(path)

    def name_reader(self, reader_id):
        line = self.part(QLineEdit, "list_reader")
        self.hands.write(line, reader_id)
        self.qtbot.keyClick(line, Qt.Key.Key_Return)

    def rows(self):
        model = self.table.model()
        return [
            [model.index(row, column).data() for column in range(model.columnCount())]
            for row in range(model.rowCount())
        ]

    def open_row(self, row, path):
        index = self.table.model().index(row, 1)
        spot = self.table.visualRect(index).center()
        QTest.mouseClick(self.table.viewport(), self.hands.left, pos=spot)
        QTest.mouseDClick(self.table.viewport(), self.hands.left, pos=spot)
        self.wait_open(path)

    def wait_open(self, path):
        hands = self.hands
        hands.until(lambda: hands.is_open(path) and not hands.review.surveying.is_running)

    def call(self, number, comment="", *, sure_percent=None):
        self.press(f"call_class_{number}", QRadioButton)
        if sure_percent is not None:
            box = self.part(QComboBox, "call_confidence")
            box.setFocus()
            self.qtbot.keyClicks(box, f"{sure_percent} %")
            assert box.currentText() == f"{sure_percent} %"
        if comment:
            self.hands.write(self.part(QLineEdit, "call_comment"), comment)
        self.press("call_store")

    def said(self, name):
        QApplication.processEvents()  # shows what was added last
        return [w.shown_text() for w in self.dock.findChildren(QLabel, name) if w.isVisible()]
