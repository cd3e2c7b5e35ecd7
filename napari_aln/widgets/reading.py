"""The work list's dock: slides to be read one after another, and the reader's own calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFrame, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from napari_aln.cohort.spreadsheet import READABLE_SUFFIXES
from napari_aln.slides.formats import SLIDE_SUFFIXES
from napari_aln.widgets.dropped import LIST_SUFFIX
from napari_aln.widgets.drops import paths_of
from napari_aln.widgets.open_list import OpenList
from napari_aln.widgets.panels.call_form import CallForm
from napari_aln.widgets.panels.file_dialogs import ask_for_files, ask_for_folder, ask_where_to_write, kinds
from napari_aln.widgets.panels.labels import show_if
from napari_aln.widgets.panels.new_list_dialog import NewListDialog
from napari_aln.widgets.panels.patient_card import PatientCard
from napari_aln.widgets.panels.section import FOCUS_STYLE, Section
from napari_aln.widgets.panels.work_list_panel import Row, WorkListPanel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShowEvent

    from napari_aln.records import Progress
    from napari_aln.store.worklist_records import WorkItem
    from napari_aln.widgets.review import Review

WIDTH_PX, LEAST_WIDTH_PX = 340, 280


class Reading(QWidget):
    """Keeps the work list in step with the review.

    Parameters
    ----------
    review
        What is opened from the list, and whose results it keeps.
    """

    def __init__(self, review: Review) -> None:
        super().__init__()
        self.review = review
        self.setObjectName("work_list")
        self.setMinimumWidth(LEAST_WIDTH_PX)
        self.setAcceptDrops(True)
        self.setStyleSheet(FOCUS_STYLE)
        self.list = OpenList(review)
        self.panel = WorkListPanel()
        self.form = CallForm()
        self.patient = PatientCard()
        self._item_id: int | None = None  # whose call is asked for
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(4, 2, 4, 4)
        column.addWidget(self.panel, 1)
        self.call_section = Section("Your call", self.form)
        column.addWidget(self.call_section)
        column.addWidget(self.patient)
        scroll_area = QScrollArea()
        scroll_area.setWidgetResizable(True)
        scroll_area.setFrameShape(QFrame.Shape.NoFrame)
        scroll_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll_area.setWidget(inner)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll_area)
        for line in self.findChildren(QLineEdit):
            line.setAcceptDrops(False)  # a dropped slide is no text
        self._connect()
        self._show()
        self._show_missing()

    def _connect(self) -> None:
        own, panel = self.list, self.panel
        panel.new_requested.connect(self._ask_for_new)
        panel.open_requested.connect(self._ask_for_list)
        panel.files_requested.connect(self._ask_for_files)
        panel.folder_requested.connect(self._ask_for_folder)
        panel.find_requested.connect(self._ask_where_to_find)
        panel.export_requested.connect(self._ask_where_to_export)
        panel.cancel_requested.connect(own.collecting.cancel)
        panel.cancel_requested.connect(own.finding.cancel)
        panel.reader_changed.connect(own.set_reader)
        panel.slide_requested.connect(own.open_slide)
        panel.step_requested.connect(self._on_step)
        self.form.store_requested.connect(own.store_call)
        own.changed.connect(self._show)
        own.changed.connect(self._show_missing)
        own.told.connect(self._on_told)
        own.failed.connect(self.review.failed)
        for job in (own.collecting, own.finding):
            job.progressed.connect(self._on_progress)
            job.state_changed.connect(self._on_job)
        self.destroyed.connect(own.close)

    def open_list(self, path: Path) -> None:
        """Open a work list."""
        self.list.open(path)
        if self.list.work_list is not None and not self.list.reader_id:
            self.panel.reader_line.setFocus()

    def step(self, by: int, *, unread: bool = False) -> None:
        """Open the next slide or the one before; `unread`: only such that need the reader's call."""
        self.list.step(by, unread=unread)

    # Files

    def _ask_for_new(self) -> None:
        dialog = NewListDialog(self)
        dialog.chosen.connect(self._ask_where)
        dialog.open()

    def _ask_where(self, blinded: bool, classes: tuple[str, ...]) -> None:
        ask_where_to_write(
            self,
            "Write the work list to",
            "Work lists",
            f"reading{LIST_SUFFIX}",
            lambda path: self._create(path, blinded, classes),
            overwrites=False,
        )

    def _create(self, path: Path, blinded: bool, classes: tuple[str, ...]) -> None:
        self.list.create(path, blinded=blinded, classes=classes)
        if not self.list.reader_id:
            self.panel.reader_line.setFocus()

    def _ask_for_list(self) -> None:
        wanted = kinds("Work lists", [LIST_SUFFIX])
        ask_for_files(self, "Open a work list", wanted, lambda paths: self.open_list(paths[0]), several=False)

    def _ask_for_files(self) -> None:
        wanted = kinds("Slides and tables", (*SLIDE_SUFFIXES, *READABLE_SUFFIXES))
        ask_for_files(self, "Add slides or a cohort table", wanted, self.list.add)

    def _ask_for_folder(self) -> None:
        ask_for_folder(self, "Add all slides below a folder", lambda folder: self.list.add([folder]))

    def _ask_where_to_find(self) -> None:
        ask_for_folder(self, "Look for the slides below a folder", self.list.find_moved)

    def _ask_where_to_export(self) -> None:
        work_list = self.list.work_list
        suggested = "reader-study.csv"
        if work_list is not None and not self.review.state.hide_names:
            suggested = f"{work_list.path.stem}-{suggested}"
        ask_where_to_write(self, "Write the reader study to", "Tables", suggested, self.list.export_study)

    def take(self, paths: Sequence[Path]) -> None:
        """Take dropped files: a work list is opened, all else is added to the one that is open."""
        lists = [path for path in paths if path.suffix.lower() == LIST_SUFFIX]
        others = [path for path in paths if path not in lists]
        if lists:
            self.open_list(lists[0])
        if others:
            self.list.add(others)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept files."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Take what was dropped."""
        self.take(paths_of(event.mimeData()))
        event.acceptProposedAction()

    # What is shown

    def sizeHint(self) -> QSize:
        """Return room for a slide's name beside the other columns."""
        return QSize(WIDTH_PX, super().sizeHint().height())

    def showEvent(self, event: QShowEvent) -> None:
        """Show what happened while this was hidden."""
        super().showEvent(event)
        self._show()

    def _show(self) -> None:
        own, work_list = self.list, self.list.work_list
        if work_list is None:
            self.panel.set_list(None, own.reader_id)
            self.panel.set_rows(())
            show_if(self.call_section, False)
            show_if(self.patient, False)
            return
        n_called = sum(bool(own.calls(item.item_id)) for item in own.items)
        kind = "blinded first read" if work_list.blinded else "not blinded"
        title = f"{work_list.path.name} · {kind} · {n_called} of {len(own.items)} called"
        self.panel.set_list(title, own.reader_id)
        self.panel.set_rows([self._row(item) for item in own.items])
        show_if(self.call_section, bool(own.items))
        if self.isVisible():
            self.form.set_classes(work_list.classes)  # in its window, where the order of Tab is known
        self._show_call()
        self._show_patient()

    def _row(self, item: WorkItem) -> Row:
        own = self.list
        calls = own.calls(item.item_id)
        call = calls[-1].aln_class if calls else ""
        name, patient = own.name_of(item), own.patient_of(item)
        lines = [name, f"Patient: {patient or 'not known'}", f"State: {item.state}"]
        if item.failure:
            lines.append(own.without_paths(f"{item.failure} {item.next_step or ''}".strip()))
        lines.append(f"Your call: {call or 'none yet'}")
        is_open = own.current is not None and own.current.item_id == item.item_id
        return Row(item.item_id, name, patient, item.state, call, "\n".join(lines), is_open)

    def _show_call(self) -> None:
        own, item = self.list, self.list.current
        now = item.item_id if item is not None else None
        if now != self._item_id:
            self._item_id = now
            self.form.clear()
            self.panel.set_note("")
        if item is None:
            self.form.set_slide("", "Open a slide of the list first.", ())
            return
        why_not = None if own.reader_id else "Give your reader id above first."
        self.form.set_slide(f"{item.item_id}  {own.name_of(item)}", why_not, own.calls(item.item_id))

    def _show_patient(self) -> None:
        from napari_aln.workflows.review.worklist import PATIENT_RULE

        own, item = self.list, self.list.current
        n_slides = own.n_slides_of_patient()
        show_if(self.patient, n_slides > 1)
        if item is None or n_slides < 2 or not self.isVisible():
            return
        withheld = own.gate.why_withheld()
        runs = own.gate.patient_runs()
        self.patient.set_patient(own.patient_of(item), n_slides, withheld, runs, PATIENT_RULE)

    def _show_missing(self) -> None:
        self.panel.set_missing(len(self.list.missing))

    def _on_step(self, by: int, unread: bool) -> None:
        self.list.step(by, unread=unread)

    def _on_told(self, text: str) -> None:
        self.panel.set_note(text)
        self.review.told.emit("info", text)

    def _on_progress(self, step: Progress) -> None:
        self.panel.set_working(f"{step.step.capitalize()}: {step.done} of {step.total}")

    def _on_job(self, _state: object) -> None:
        if not any(job.is_running for job in (self.list.collecting, self.list.finding)):
            self.panel.set_working("")
