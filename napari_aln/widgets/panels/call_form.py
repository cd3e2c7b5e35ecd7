"""The reader's own call on the slide under review; former ones stay and are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from napari_aln.widgets.panels.labels import TextLabel
from napari_aln.widgets.panels.tab_order import put_in_place
from napari_aln.widgets.panels.wheel import guard_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.store.worklist_records import Call

CONFIDENCES = (None, *(step / 10 for step in range(1, 11)))
NOT_GIVEN = "not given"


class CallForm(QWidget):
    """Class, confidence and comment."""

    store_requested = Signal(str, object, str)  # class, confidence 0..1 or None, comment

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        grid.setVerticalSpacing(3)
        self.about = TextLabel(bold=True)
        self.about.setObjectName("call_about")
        grid.addWidget(self.about, 0, 0, 1, 2)
        self._classes: tuple[str, ...] = ()
        self._choices = QHBoxLayout()
        self.group = QButtonGroup(self)
        grid.addWidget(QLabel("Class"), 1, 0)
        grid.addLayout(self._choices, 1, 1)
        self.confidence_box = QComboBox()
        self.confidence_box.setObjectName("call_confidence")
        self.confidence_box.setAccessibleName("Confidence")
        self.confidence_box.setToolTip("How sure you are of this class")
        for share in CONFIDENCES:
            self.confidence_box.addItem(NOT_GIVEN if share is None else f"{share * 100:.0f} %", share)
        guard_wheel(self.confidence_box)
        grid.addWidget(QLabel("Confidence"), 2, 0)
        grid.addWidget(self.confidence_box, 2, 1)
        self.comment_line = QLineEdit()
        self.comment_line.setObjectName("call_comment")
        self.comment_line.setAccessibleName("Comment")
        self.comment_line.setAcceptDrops(False)
        grid.addWidget(QLabel("Comment"), 3, 0)
        grid.addWidget(self.comment_line, 3, 1)
        self.store_button = QPushButton("Store call")
        self.store_button.setObjectName("call_store")
        self.store_button.setToolTip("Keep this call; former ones stay")
        self.store_button.clicked.connect(self._on_store)
        grid.addWidget(self.store_button, 4, 0, 1, 2)
        self.hint = TextLabel()
        self.hint.setObjectName("call_hint")
        grid.addWidget(self.hint, 5, 0, 1, 2)
        self.former = QVBoxLayout()
        self.former.setSpacing(1)
        grid.addLayout(self.former, 6, 0, 1, 2)
        self._former: list[TextLabel] = []
        self._reason: str | None = None

    def set_classes(self, classes: Sequence[str]) -> None:
        """Offer the classes of a list."""
        if self._classes == tuple(classes):
            return
        self._classes = tuple(classes)
        for button in self.group.buttons():
            self.group.removeButton(button)
            button.hide()
            button.deleteLater()
        for number, name in enumerate(classes):
            choice = QRadioButton(name)
            choice.setObjectName(f"call_class_{number}")
            choice.setAccessibleName(f"Your call: {name}")
            choice.toggled.connect(self._enable)
            self.group.addButton(choice, number)
            self._choices.addWidget(choice)
        put_in_place(self, [*self.group.buttons(), self.confidence_box, self.comment_line, self.store_button])

    def set_slide(self, about: str, why_not: str | None, calls: Sequence[Call]) -> None:
        """Say whose call is asked for, why none can be made, and which the reader made before."""
        self.about.set_text(about)
        self._reason = why_not
        for label in self._former:
            label.hide()
            label.deleteLater()
        self._former = [TextLabel(call_words(call)) for call in reversed(calls)]
        for label in self._former:
            label.setObjectName("call_former")
            self.former.addWidget(label)
        self._enable()

    def clear(self) -> None:
        """Forget what was chosen: another slide is under review."""
        self.group.setExclusive(False)
        for button in self.group.buttons():
            button.setChecked(False)
        self.group.setExclusive(True)
        self.confidence_box.setCurrentIndex(0)
        self.comment_line.clear()
        self._enable()

    def _enable(self, _checked: bool = False) -> None:
        chosen = self.group.checkedId() >= 0
        for control in (*self.group.buttons(), self.confidence_box, self.comment_line):
            control.setEnabled(self._reason is None)
        self.store_button.setEnabled(self._reason is None and chosen)
        self.hint.set_text(self._reason or ("" if chosen else "Choose a class."))

    def _on_store(self) -> None:
        aln_class = self._classes[self.group.checkedId()]
        self.store_requested.emit(
            aln_class, self.confidence_box.currentData(), self.comment_line.text().strip()
        )


def call_words(call: Call) -> str:
    """Return a call as a line: when, what, how sure, and whether the model's numbers were known."""
    made = call.made_at.astimezone()
    sure = "" if call.confidence is None else f", {call.confidence * 100:.0f} %"
    comment = f", “{call.comment}”" if call.comment else ""
    knew = "" if call.model_seen_at is None else ", with the model's numbers known"
    return f"{made:%Y-%m-%d %H:%M}  {call.aln_class}{sure}{comment}{knew}"
