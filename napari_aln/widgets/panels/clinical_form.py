"""The five clinical values of a patient; an empty one is unknown."""

from __future__ import annotations

import math

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QWidget,
)

from napari_aln.records import AGE_LIMIT_YEARS, TUMOR_SIZE_LIMIT_CM, Clinical
from napari_aln.widgets.panels.hint_line import HintLine
from napari_aln.widgets.panels.labels import TextLabel, show_if

CHOICES_APART_PX = 18  # so that no sign is read as the next choice's
STATUSES: tuple[tuple[bool | None, str, str], ...] = (
    (None, "unknown", "unknown"),
    (False, "−", "negative"),
    (True, "+", "positive"),
)


class ClinicalForm(QWidget):
    """Age, tumour size and receptors. Nothing is filled in beforehand."""

    changed = Signal()
    table_requested = Signal()
    patient_requested = Signal()  # another one of the table

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        grid.setVerticalSpacing(3)
        numbers = QHBoxLayout()
        grid.addLayout(numbers, 0, 0, 1, 2)
        self._age = _NumberLine("age", "A&ge", "years", AGE_LIMIT_YEARS)
        self._size = _NumberLine("tumor_size", "&Tumour size", "cm", TUMOR_SIZE_LIMIT_CM)
        for number in (self._age, self._size):
            number.add_to(numbers, grid)
            number.line.textChanged.connect(self.changed)
        self._receptors = {name: _StatusRow(name, grid) for name in ("er", "pr", "her2")}
        for row in self._receptors.values():
            row.group.idToggled.connect(self._on_status)
        self.table_button = QPushButton("From table…")
        self.table_button.setObjectName("clinical_table")
        self.table_button.setAccessibleName("Clinical values from a table")
        self.table_button.setToolTip(
            "CSV or XLSX with a row for each patient, found by the slide's file name or chosen by you"
        )
        self.table_button.clicked.connect(self.table_requested)
        self.patient_button = QPushButton("Choose patient…")
        self.patient_button.setObjectName("clinical_patient")
        self.patient_button.setToolTip("Take another patient's values from the table")
        self.patient_button.clicked.connect(self.patient_requested)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self.table_button, 1)
        buttons.addWidget(self.patient_button, 1)
        row_number = grid.rowCount()
        grid.addLayout(buttons, row_number, 0, 1, 2)
        self.source = TextLabel()
        self.source.setObjectName("clinical_source")
        grid.addWidget(self.source, row_number + 1, 0, 1, 2)
        self.set_source("")

    def clinical(self) -> Clinical:
        """Return the values; unknown, and None too where the text is no possible value (see `problem`)."""
        receptors = {name: row.status() for name, row in self._receptors.items()}
        return Clinical(self._age.value(), self._size.value(), **receptors)

    def set_clinical(self, clinical: Clinical | None) -> None:
        """Show values; None: nothing is known. Does not emit `changed`."""
        values = clinical or Clinical()
        with QSignalBlocker(self):
            self._age.show_value(values.age_years)
            self._size.show_value(values.tumor_size_cm)
            for name, row in self._receptors.items():
                row.show_status(getattr(values, name))

    def set_source(self, text: str) -> None:
        """Say which table the values come from; nothing: there is none."""
        self.source.set_text(text)
        show_if(self.patient_button, bool(text))

    def problem(self) -> str | None:
        """Return why a typed value cannot be used, or None."""
        return self._age.problem() or self._size.problem()

    def _on_status(self, _id: int, checked: bool) -> None:
        if checked:  # the one that was let go reports too
            self.changed.emit()


class _NumberLine:
    """A number that may be left empty, with the reason beside it where it is impossible."""

    def __init__(self, name: str, title: str, unit: str, high: float) -> None:
        self._title, self._unit, self._high = title.replace("&", ""), unit, high
        self.line = HintLine("unknown")
        self.line.setObjectName(f"clinical_{name}")
        self.line.setAccessibleName(f"{self._title} in {unit}")
        self.line.setMinimumWidth(40)
        self.label = QLabel(title)
        self.label.setBuddy(self.line)
        self.note = TextLabel()
        self.note.setObjectName(f"clinical_{name}_problem")
        self.line.textChanged.connect(lambda _: self.note.set_text(self.problem() or ""))

    def add_to(self, row: QHBoxLayout, grid: QGridLayout) -> None:
        for part in (self.label, self.line, QLabel(self._unit)):
            row.addWidget(part, int(part is self.line))
        grid.addWidget(self.note, grid.rowCount(), 0, 1, 2)

    def value(self) -> float | None:
        number = self._number()
        return number if number is not None and 0 < number <= self._high else None

    def show_value(self, value: float | None) -> None:
        self.line.setText("" if value is None else repr(float(value)).removesuffix(".0"))  # every digit

    def problem(self) -> str | None:
        if not self.line.text().strip() or self.value() is not None:
            return None
        return f"{self._title}: give a number above 0, at most {self._high:g} {self._unit}, or nothing."

    def _number(self) -> float | None:
        try:
            number = float(self.line.text().strip().replace(",", "."))
        except ValueError:
            return None
        return number if math.isfinite(number) else None


class _StatusRow:
    """A receptor: unknown, negative or positive."""

    def __init__(self, name: str, grid: QGridLayout) -> None:
        row = grid.rowCount()
        grid.addWidget(QLabel(name.upper()), row, 0)
        choices = QHBoxLayout()
        choices.setSpacing(CHOICES_APART_PX)
        self.group = QButtonGroup(grid.parentWidget())
        for number, (_, sign, word) in enumerate(STATUSES):
            button = QRadioButton(sign)
            button.setObjectName(f"clinical_{name}_{word}")
            button.setAccessibleName(f"{name.upper()} {word}")
            button.setToolTip(f"{name.upper()} {word}")
            self.group.addButton(button, number)
            choices.addWidget(button)
        choices.addStretch()
        grid.addLayout(choices, row, 1)
        self.group.button(0).setChecked(True)

    def status(self) -> bool | None:
        return STATUSES[self.group.checkedId()][0]

    def show_status(self, status: bool | None) -> None:
        number = next(i for i, (known, *_) in enumerate(STATUSES) if known is status)
        self.group.button(number).setChecked(True)
