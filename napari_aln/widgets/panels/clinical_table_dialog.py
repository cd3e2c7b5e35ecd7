"""Asks whose values a slide gets, where its file's name does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, QSortFilterProxyModel, QStringListModel, Signal
from qtpy.QtWidgets import QLabel, QListView, QWidget

from napari_aln.widgets.panels.clinical_form import STATUSES
from napari_aln.widgets.panels.hint_line import HintLine
from napari_aln.widgets.panels.labels import TextLabel, WarningNote, count
from napari_aln.widgets.panels.question import Question

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_aln.records import Clinical

EXPLANATION = "Nothing is guessed: ids are compared letter by letter, 007 is not 7."


class ClinicalTableDialog(Question):
    """Show it with ``open()``. Emits `patient_chosen` when one was confirmed.

    Parameters
    ----------
    why
        Why it is asked.
    patients
        Patient id -> values.
    problems
        Lines that were left out.
    """

    patient_chosen = Signal(str)

    def __init__(
        self,
        why: str,
        patients: Mapping[str, Clinical],
        problems: Sequence[str] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("clinical_table_dialog", "Whose values?", "&Use these values", parent)
        self._patients = patients
        layout = self.content
        layout.addWidget(TextLabel(why, bold=True))
        layout.addWidget(TextLabel(EXPLANATION))
        if problems:
            n = len(problems)
            left_out = "1 line is" if n == 1 else f"{count(n)} lines are"
            layout.addWidget(WarningNote(f"{left_out} left out: {problems[0]}{' …' if n > 1 else ''}"))
        self.search_line = HintLine("Part of the id")
        self.search_line.setObjectName("patient_search")
        label = QLabel(f"&Patient, one of {count(len(patients))}")
        label.setBuddy(self.search_line)
        layout.addWidget(label)
        layout.addWidget(self.search_line)
        self._found = QSortFilterProxyModel(self)
        self._found.setSourceModel(QStringListModel(list(patients), self))
        self.list = QListView()
        self.list.setObjectName("patient_list")
        self.list.setAccessibleName("Patients")
        self.list.setModel(self._found)
        self.list.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.list.setUniformItemSizes(True)
        self.list.setMinimumHeight(140)
        layout.addWidget(self.list, 1)
        self.values = TextLabel()
        self.values.setObjectName("patient_values")
        layout.addWidget(self.values)
        self.search_line.textChanged.connect(self._on_search)
        self.list.selectionModel().currentChanged.connect(self._on_current)
        self.list.doubleClicked.connect(self._on_double_click)
        self._show()
        self.search_line.setFocus()

    def patient(self) -> str | None:
        """Return the id that is chosen, or None."""
        index = self.list.currentIndex()
        return str(index.data()) if index.isValid() else None

    def accept(self) -> None:
        """Hand the patient up and close; while none is chosen, stay open."""
        patient = self.patient()
        if patient is None:
            return
        super().accept()
        self.patient_chosen.emit(patient)

    def _on_search(self, text: str) -> None:
        self._found.setFilterFixedString(text.strip())
        rows = range(self._found.rowCount())
        exact = [i for i in map(self._index, rows) if i.data() == text.strip()]
        self.list.setCurrentIndex(exact[0] if exact else QModelIndex())
        self._show()

    def _index(self, row: int) -> QModelIndex:
        return self._found.index(row, 0)

    def _on_current(self, _now: QModelIndex, _before: QModelIndex) -> None:
        self._show()

    def _on_double_click(self, _index: QModelIndex) -> None:
        self.accept()

    def _show(self) -> None:
        patient = self.patient()
        self.ok_button.setEnabled(patient is not None)
        text = "No patient is chosen." if patient is None else values_of(self._patients[patient])
        self.values.set_text(text)


def values_of(clinical: Clinical) -> str:
    """Return the five values as one line, units beside the numbers."""
    signs = {known: sign for known, sign, _ in STATUSES}
    age, size = clinical.age_years, clinical.tumor_size_cm
    parts = [
        "age unknown" if age is None else f"{age:g} years",
        "tumour size unknown" if size is None else f"{size:g} cm",
    ]
    parts += [f"{name.upper()} {signs[getattr(clinical, name)]}" for name in ("er", "pr", "her2")]
    return ", ".join(parts)
