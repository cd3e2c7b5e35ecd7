"""Asks what kind of work list is to be made; it cannot be changed later."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QWidget

from napari_aln.records import BINARY, THREE_CLASSES
from napari_aln.widgets.panels.labels import TextLabel
from napari_aln.widgets.panels.question import Question

BLINDED_HELP = (
    "The model's numbers, maps and patches of a patient are shown when your own call on all of the patient's"
    " slides is stored. Runs can be made before."
)
FIXED_HELP = "Both are fixed once the list is made."


class NewListDialog(Question):
    """Show it with ``open()``. Emits `chosen` when it was confirmed."""

    chosen = Signal(bool, object)  # blinded, and the classes a reader may call

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("new_list_dialog", "New work list", "Choose a &file…", parent)
        layout = self.content
        self.blinded_box = QCheckBox("&Blinded first read")
        self.blinded_box.setObjectName("new_list_blinded")
        layout.addWidget(self.blinded_box)
        layout.addWidget(TextLabel(BLINDED_HELP))
        self.classes_box = QComboBox()
        self.classes_box.setObjectName("new_list_classes")
        self.classes_box.setAccessibleName("Classes of a call")
        for classes in (BINARY, THREE_CLASSES):
            self.classes_box.addItem(", ".join(classes), classes)
        form = QFormLayout()
        form.addRow("&Classes of a call", self.classes_box)
        layout.addLayout(form)
        layout.addWidget(TextLabel(FIXED_HELP))
        layout.addStretch(1)

    def accept(self) -> None:
        """Hand the choice up and close."""
        super().accept()
        self.chosen.emit(self.blinded_box.isChecked(), tuple(self.classes_box.currentData()))
