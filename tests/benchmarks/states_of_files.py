"""States of the window that come with files: slides, tables, sessions and work lists, sound and broken."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pictured_window import States


class FileStates(States):
    """Each by itself, before or after the demonstration."""

    def new_list(self) -> None:
        """The work list's dock without a list, and the question which kind is to be made."""
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QPushButton

        from napari_aln.widgets.panels.new_list_dialog import NewListDialog

        window = self.window
        window.press(Qt.Key.Key_W, Qt.KeyboardModifier.ShiftModifier)
        self.grab("no_list")
        reading = window.dock.side_docks.held("work_list")
        window.click(reading.findChild(QPushButton, "list_new"))
        window.wait(lambda: reading.findChild(NewListDialog) is not None)
        self.grab("new_list")
        reading.findChild(NewListDialog).reject()
        window.press(Qt.Key.Key_W, Qt.KeyboardModifier.ShiftModifier)

    def training(self) -> None:
        """The training's dock before anything is chosen, and the curves of a training that is watched."""
        from qtpy.QtCore import Qt

        window = self.window
        window.press(Qt.Key.Key_T, Qt.KeyboardModifier.ShiftModifier)
        self.grab("training")
        metrics = self.files / "dlcnbc-ws 2026.training" / "metrics.csv"
        metrics.parent.mkdir()
        falling = [0.7 * 0.93**epoch + 0.1 for epoch in range(60)]
        lines = [
            f"{epoch},{loss},{0.9 - loss / 2},{loss + 0.003 * epoch},0.0005,{1 - loss / 2}"
            for epoch, loss in enumerate(falling, 1)
        ]
        head = "epoch,loss,validation_auc,validation_loss,learning_rate,training_auc"
        metrics.write_text("\n".join([head, *lines]), encoding="utf-8-sig")
        held: Any = window.dock.side_docks.held("training")
        held.watch(metrics)
        self.grab("watched")
        window.press(Qt.Key.Key_T, Qt.KeyboardModifier.ShiftModifier)

    def recovery(self) -> None:
        """The review of a window that was killed, offered at the next start."""
        window = self.window
        window.wait(window.dock.recovery.isVisible)
        self.grab("recovery")
        window.click(window.dock.recovery.button("restore"))
        window.wait(lambda: window.idle() and window.review.state.slide is not None)
        self.grab("restored")

    def failed(self) -> None:
        """A slide that vanishes between opening and running; many warnings and long names beside it."""
        from napari_aln.workflows.demo import BUNDLES, SLIDE, sample_path

        window, state = self.window, self.window.review.state
        name = "S2026-004711_A1_mamma_links_stanzbiopsie_HE_scanner-07_wiederholung.tif"
        copy = Path(shutil.copy(sample_path(SLIDE), self.files / name))
        window.review.open_files([copy, sample_path(BUNDLES[1])])
        window.wait(lambda: window.idle() and bool(state.bundles))
        state.slide.close()
        copy.unlink()
        self.fill_in_patient()
        window.click(window.dock.run.buttons["whole-slide"])
        window.wait(window.idle)
        self.grab("failed")

    def asking(self) -> None:
        """A picture without µm/px."""
        from napari_aln.widgets.panels.mpp_dialog import MppDialog

        window = self.window
        window.review.open_files([self.files / "351899.jpg"])
        window.wait(lambda: window.dock.findChild(MppDialog) is not None)
        self.grab("asking")
        dialog = window.dock.findChild(MppDialog)
        window.type_in(dialog.line, "0.5")
        window.click(dialog.ok_button)
        window.wait(lambda: window.idle() and window.review.state.seen is not None)
        self.grab("asked")

    def associated(self) -> None:
        """Label and macro, after their click."""
        from napari_aln.widgets.panels.associated_dialog import AssociatedDialog

        if self.slide is None:
            return
        window, dock = self.window, self.window.dock
        window.review.open_files([self.slide])
        window.wait(lambda: window.idle() and dock.slide_card.associated_button.isVisible())
        self.grab("svs")
        window.click(dock.slide_card.associated_button)
        window.wait(lambda: dock.findChild(AssociatedDialog) is not None)
        self.grab("associated")
        dock.findChild(AssociatedDialog).close()

    def session(self) -> None:
        """A session whose slide was moved, and what could be had again."""
        from napari_aln.workflows.demo import BUNDLES, SLIDE, sample_path

        window, dock = self.window, self.window.dock
        slide = Path(shutil.copy(sample_path(SLIDE), self.files / "S2026-004713_A1_mamma_rechts.tif"))
        model = Path(shutil.copy(sample_path(BUNDLES[0]), self.files / "copied.alnmodel"))
        self.open_slide(slide, model)
        path = self.files / "second reading.alnsession"
        dock.keeping.save(path)
        window.wait(lambda: path.exists() and not dock.keeping.writing.is_running)
        self.grab("session")
        moved = slide.rename(self.files / "moved.tif")
        model.unlink()
        window.review.open_files([path])
        window.wait(dock.moved.isVisible)
        self.grab("moved")
        dock.keeping.find_slide(moved)
        window.wait(lambda: window.idle() and "restored whole" in dock.banner.fact.shown_text())
        self.grab("incomplete")

    def patient(self) -> None:
        """A table that does not know the slide's name: the patient is chosen."""
        from napari_aln.widgets.panels.clinical_table_dialog import ClinicalTableDialog
        from napari_aln.workflows.demo import SLIDE, sample_path

        window, dock = self.window, self.window.dock
        self.open_slide(sample_path(SLIDE))
        table = self.files / "cohort_of_the_breast_centre_2026.csv"
        rows = [f"{number:04},{40 + number % 40},{1 + number % 3},+,-," for number in range(1058)]
        rows += ["2000,570,2,+,+,-"]
        table.write_text("\n".join(["patient_id,age_years,tumor_size_cm,er,pr,her2", *rows]) + "\n")
        window.review.open_files([table])
        window.wait(lambda: dock.findChild(ClinicalTableDialog) is not None)
        dialog = dock.findChild(ClinicalTableDialog)
        window.type_in(dialog.search_line, "0041")
        self.grab("patient")
        window.click(dialog.ok_button)
        dock.reveal("Patient")
        self.grab("taken")

    def work_list(self) -> None:
        """A blinded list of a patient with two slides: before the reader's call, and after both."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QLineEdit, QPushButton, QRadioButton

        from napari_aln.workflows.demo import SLIDE, sample_path

        window, dock, state = self.window, self.window.dock, self.window.review.state
        names = ("S2026-004711_A1_mamma_links.tif", "S2026-004711_A2.tif")
        slides = [Path(shutil.copy(sample_path(SLIDE), self.files / name)) for name in names]
        window.review.open_files([blinded_list(self.files, slides)])
        reading: Any = dock.side_docks.held("work_list")
        line = reading.findChild(QLineEdit, "list_reader")
        window.wait(line.isVisible)
        window.type_in(line, "MK")
        QTest.keyClick(line, Qt.Key.Key_Return)
        window.wait(lambda: reading.list.reader_id == "MK")
        for number, slide in enumerate(slides):
            window.click(reading.findChild(QPushButton, "list_unread"))
            window.wait(lambda at=slide: window.idle() and state.slide.info.path == at)
            window.wait(lambda: window.idle() and state.seen is not None)
            window.click(dock.run.buttons["whole-slide"])
            window.wait(lambda: window.idle() and state.n_kept_back == 1)
            if not number:
                self.grab("withheld")
            window.click(reading.findChild(QRadioButton, f"call_class_{number}"))
            window.type_in(reading.findChild(QLineEdit, "call_comment"), "dense lymphoid tissue at the edge")
            window.click(reading.findChild(QPushButton, "call_store"))
        self.grab("list")
        window.to_the_top()
        window.click(dock.slide_card.hide_names_box)
        self.grab("hidden")


def blinded_list(files: Path, slides: list[Path]) -> Path:
    """Write a blinded work list: one patient with these slides, another with a broken one."""
    from napari_aln.store.worklist import WorkList
    from napari_aln.store.worklist_records import NewSlide, Patient
    from napari_aln.workflows.demo import demo_clinical

    broken = files / "S2026-004712.svs"
    broken.write_bytes(b"no slide")
    path = files / "study.alnlist"
    with WorkList.create(path, blinded=True) as made:
        patients = [NewSlide(slide, "P-0007") for slide in slides]
        made.add([*patients, NewSlide(broken, "P-0008")], [Patient("P-0007", demo_clinical(), "N(+)")])
    return path


def leave_unfinished(files: Path) -> None:
    """Leave what a window leaves that is killed during a review."""
    from napari_aln import open_slide
    from napari_aln.store.autosave import autosave_folder
    from napari_aln.store.session import write_session
    from napari_aln.workflows.demo import ROI, SLIDE, demo_clinical, sample_path
    from napari_aln.workflows.review.session import Review, SessionMaker
    from napari_aln.workflows.slide.prepare import usable_roi

    name = "S2026-004714_A1_mamma_links_stanzbiopsie_HE_scanner-07.tif"
    with open_slide(Path(shutil.copy(sample_path(SLIDE), files / name))) as slide:
        regions, _ = usable_roi(slide, sample_path(ROI))
        review = Review(slide.info, regions=regions, clinical=demo_clinical())
    write_session(SessionMaker().make(review), autosave_folder() / "open-1-1-0badcafe.alnsession")
