"""Clinical values from a table of patients: looked up for each slide by its file's stem, or chosen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_aln.errors import AlnError
from napari_aln.records import Progress
from napari_aln.store.result import shown_name

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_aln.cohort.clinical_table import ClinicalTable
    from napari_aln.records import Clinical
    from napari_aln.widgets.review import Review

MOST_PROBLEMS = 5  # told one by one


class ClinicalValues(QObject):
    """Keeps the table while the window is open.

    Parameters
    ----------
    review
        Whose clinical values are set.
    """

    source_changed = Signal(str)  # where the values come from, or why they do not
    choice_wanted = Signal()  # the slide's name is no patient of the table

    def __init__(self, review: Review) -> None:
        super().__init__()
        self._review, self._state = review, review.state
        self.table: ClinicalTable | None = None
        self._taken: tuple[str, Clinical] | None = None  # patient id and values
        self._slide: tuple[Path, str] | None = None  # the one looked up last; a copy may be another patient's
        self._asks_for_next = False  # whose patient: the slide's that is being opened
        self._path: Path | None = None
        self.reading = review.new_job("table", self._on_read)
        self.reading.failed.disconnect()  # its file is named differently
        self.reading.failed.connect(self._on_failed)
        self._state.slide_changed.connect(self._on_slide)
        review.opening.failed.connect(self._on_not_opened)
        self._state.case_changed.connect(self._tell)

    def open(self, path: Path) -> None:
        """Read a table and take the present slide's patient from it."""
        self._path = path
        self.reading.start(partial(_read, path))

    def take(self, patient: str) -> None:
        """Take a patient's values."""
        if self.table is None:
            return
        clinical = self.table.clinical[patient]
        self._taken = patient, clinical
        self._review.set_clinical(clinical, None)
        self._tell()

    def close(self) -> None:
        """Stop listening."""
        self._state.slide_changed.disconnect(self._on_slide)
        self._state.case_changed.disconnect(self._tell)

    @property
    def name(self) -> str:
        """What the table is called on the screen."""
        if self.table is None or self._state.hide_names:
            return "the table"
        return shown_name(self.table.path)

    def text(self) -> str:
        """Return where the values come from, or why they do not."""
        if self.table is None:
            return ""
        if self._taken is not None:
            patient, clinical = self._taken
            changed = self._state.clinical_problem or clinical != self._state.clinical
            who = "" if self._state.hide_names else f", patient {patient}"
            return f"From {self.name}{who}{'; changed since' if changed else ''}."
        if self._state.slide is None:
            return f"Patients are looked up in {self.name} as slides open."
        if self._state.hide_names:
            return "The slide's name is no patient of the table: choose the patient."
        return f"{self.name} has no patient {self._state.slide.info.path.stem}: choose the patient."

    def _look_up(self) -> bool:
        slide = self._state.slide
        self._taken = None
        if self.table is None or slide is None:
            return False
        patient = self.table.find(slide.info.path.stem)
        if patient is not None:
            self.take(patient)
        return patient is not None

    def _on_read(self, table: ClinicalTable) -> None:
        self.table = table
        hidden = self._state.hide_names  # what is in a cell may be a name
        told = () if hidden else table.problems[:MOST_PROBLEMS]
        for problem in told:
            self._review.told.emit("warning", f"{self.name}, {problem} That line is left out.")
        n_more = len(table.problems) - len(told)
        if n_more:
            self._review.told.emit("warning", f"{n_more} more lines of {self.name} cannot be used.")
        if not table.clinical:
            self._review.failed.emit(
                f"No line of {self.name} can be used: {'see the table' if hidden else table.problems[0]}",
                "Correct it and choose the table again.",
            )
            self.table = None
        elif self._review.opening.is_running:
            self._asks_for_next = True
        else:
            self._look_up_or_ask()
        self._tell()

    def _look_up_or_ask(self) -> None:
        self._asks_for_next = False
        if not self._look_up() and self._state.slide is not None:
            self.choice_wanted.emit()

    def _on_not_opened(self, _error: Exception) -> None:
        if self._asks_for_next:  # the slide before stays
            self._look_up_or_ask()
            self._tell()

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, AlnError) and self._path is not None:
            name = "The table" if self._state.hide_names else shown_name(self._path)
            self._review.failed.emit(error.fact.replace(str(self._path), name), error.next_step)
        else:
            self._review.on_error(error)

    def _on_slide(self) -> None:
        slide = self._state.slide
        own = None if slide is None else (slide.info.path, slide.info.quick_hash)
        is_another = own != self._slide  # names may have been hidden alone
        self._slide = own
        if self._asks_for_next and not self._review.opening.is_running:
            self._look_up_or_ask()
        elif is_another:
            self._look_up()
        self._tell()

    def _tell(self) -> None:
        self.source_changed.emit(self.text())


def _read(path: Path) -> Generator[Progress, None, ClinicalTable]:
    from napari_aln.cohort.clinical_table import read_clinical_table

    yield Progress("read the table", 0, 1)
    return read_clinical_table(path)
