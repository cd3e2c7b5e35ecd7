"""Pictures of every state of the window, taken while mouse and keys drive it, to be looked at by a person.

Run ``xvfb-run -a -s "-screen 0 2560x1440x24" python tests/benchmarks/screenshots.py FOLDER``, or under any X
display that is large enough. Each theme and size walks through the states in a process of its own, with
napari's settings, the cache and what the window remembers in a temporary folder.

``--photo`` names a slide picture without µm/px, such as a BCNB JPEG; without one a PNG is drawn. ``--slide``
names a slide with label and macro images; without one that state is left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_aln.widgets.dock import ReviewDock

SIZES = ("1280x800", "2560x1440")
THEMES = ("dark", "light")
STATES = (
    "empty", "failed", "asking", "associated", "help", "open", "mask", "outlines", "measure",
    "running", "cancelled", "one", "two", "split", "attention", "top", "x10", "x40", "signed",
    "gallery", "withheld", "list", "recovery", "session", "patient",
)  # fmt: skip
BELONGS_TO = {
    "asked": "asking",
    "svs": "associated",
    "restored": "recovery",
    "moved": "session",
    "incomplete": "session",
    "taken": "patient",
}
"""Pictures taken with a state, not asked for by themselves."""

PATIENCE_S = 300.0


class Walk:
    """One window, led through the states in the order in which a user meets them."""

    def __init__(self, folder: Path, wanted: set[str], files: Path, slide: Path | None) -> None:
        self.folder, self.wanted, self.files, self.slide = folder, wanted, files, slide
        self.dock: ReviewDock

    def take(self, theme: str, size: tuple[int, int]) -> None:
        """Open the window and walk."""
        from napari.settings import get_settings

        from napari_aln.widgets.window import dock_of, open_window

        get_settings().appearance.theme = theme
        if self.wants("recovery"):
            leave_unfinished(self.files)
        self.stem = f"{size[0]}x{size[1]}-{theme}"
        self.size = size
        self.viewer = open_window()
        self.window = self.viewer.window._qt_window
        self.window.setGeometry(0, 0, *size)
        self.dock = dock_of(self.viewer)
        self.grab("empty")
        self.recovery()
        self.failed()
        self.asking()
        self.associated()
        self.demo()
        self.session()
        self.patient()
        self.work_list()
        self.viewer.close()

    def recovery(self) -> None:
        """The review of a window that was killed, offered at the next start."""
        if not self.wants("recovery"):
            return
        self.wait(self.dock.recovery.isVisible)
        self.grab("recovery")
        self.click(self.dock.recovery.button("restore"))
        self.wait(lambda: self.idle() and self.dock.review.state.slide is not None)
        self.grab("restored")

    def session(self) -> None:
        """A session whose slide was moved, and what could be had again."""
        if not self.wants("session"):
            return
        from napari_aln.workflows.demo import BUNDLES, SLIDE, sample_path

        slide = Path(shutil.copy(sample_path(SLIDE), self.files / "S2026-004713_A1_mamma_rechts.tif"))
        model = Path(shutil.copy(sample_path(BUNDLES[0]), self.files / "copied.alnmodel"))
        self.dock.review.open_files([slide, model])
        self.wait(lambda: self.idle() and self.dock.review.state.seen is not None)
        path = self.files / "second reading.alnsession"
        self.dock.keeping.save(path)
        self.wait(lambda: path.exists() and not self.dock.keeping.writing.is_running)
        self.grab("session")
        moved = slide.rename(self.files / "moved.tif")
        model.unlink()
        self.dock.review.open_files([path])
        self.wait(self.dock.moved.isVisible)
        self.grab("moved")
        self.dock.keeping.find_slide(moved)
        self.wait(lambda: self.idle() and "restored whole" in self.dock.banner.fact.shown_text())
        self.grab("incomplete")

    def patient(self) -> None:
        """A table that does not know the slide's name: the patient is chosen."""
        if not self.wants("patient"):
            return
        from napari_aln.widgets.panels.clinical_table_dialog import ClinicalTableDialog
        from napari_aln.workflows.demo import SLIDE, sample_path

        self.dock.review.open_files([sample_path(SLIDE)])
        self.wait(lambda: self.idle() and self.dock.review.state.seen is not None)
        table = self.files / "cohort_of_the_breast_centre_2026.csv"
        rows = [f"{number:04},{40 + number % 40},{1 + number % 3},+,-," for number in range(1058)]
        rows += ["2000,570,2,+,+,-"]
        table.write_text("\n".join(["patient_id,age_years,tumor_size_cm,er,pr,her2", *rows]) + "\n")
        self.dock.review.open_files([table])
        self.wait(lambda: self.dock.findChild(ClinicalTableDialog) is not None)
        dialog = self.dock.findChild(ClinicalTableDialog)
        self.type_in(dialog.search_line, "0041")
        self.grab("patient")
        self.click(dialog.ok_button)
        self.dock.reveal("Patient")
        self.grab("taken")

    def failed(self) -> None:
        """A slide that vanishes between opening and running; many warnings and long names beside it."""
        if not self.wants("failed"):
            return
        from napari_aln.workflows.demo import BUNDLES, SLIDE, sample_path

        name = "S2026-004711_A1_mamma_links_stanzbiopsie_HE_scanner-07_wiederholung.tif"
        copy = Path(shutil.copy(sample_path(SLIDE), self.files / name))
        self.dock.review.open_files([copy, sample_path(BUNDLES[1])])
        self.wait(lambda: self.idle() and bool(self.dock.review.state.bundles))
        self.dock.review.state.slide.close()
        copy.unlink()
        self.fill_in_patient()
        self.click(self.dock.run.buttons["whole-slide"])
        self.wait(self.idle)
        self.grab("failed")

    def asking(self) -> None:
        """A picture without µm/px."""
        if not self.wants("asking"):
            return
        from napari_aln.widgets.panels.mpp_dialog import MppDialog

        self.dock.review.open_files([self.files / "351899.jpg"])
        self.wait(lambda: self.dock.findChild(MppDialog) is not None)
        self.grab("asking")
        dialog = self.dock.findChild(MppDialog)
        self.type_in(dialog.line, "0.5")
        self.click(dialog.ok_button)
        self.wait(lambda: self.idle() and self.dock.review.state.seen is not None)
        self.grab("asked")

    def associated(self) -> None:
        """Label and macro, after their click."""
        if self.slide is None or not self.wants("associated"):
            return
        from napari_aln.widgets.panels.associated_dialog import AssociatedDialog

        self.dock.review.open_files([self.slide])
        self.wait(lambda: self.idle() and self.dock.slide_card.associated_button.isVisible())
        self.grab("svs")
        self.click(self.dock.slide_card.associated_button)
        self.wait(lambda: self.dock.findChild(AssociatedDialog) is not None)
        self.grab("associated")
        self.dock.findChild(AssociatedDialog).close()

    def demo(self) -> None:
        """The demonstration, from the open slide to two results."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        from napari_aln.workflows.demo import BUNDLES, ROI, SLIDE, sample_path

        review, dock = self.dock.review, self.dock
        dock.scroll_area.verticalScrollBar().setValue(0)
        review.open_files([sample_path(name) for name in (SLIDE, ROI, *BUNDLES)])
        self.wait(lambda: self.idle() and len(review.state.bundles) == 2 and bool(review.state.regions))
        self.grab("open")
        if self.wants("help"):
            self.press(Qt.Key.Key_F1, Qt.KeyboardModifier.NoModifier)
            self.grab("help")
            dock._help.close()
        if self.wants("mask"):
            self.click(dock.map.mask_box)
            self.grab("mask")
            self.click(dock.map.mask_box)
        if self.wants("outlines") or self.wants("measure"):
            self.outlines_and_measure()
        if not self.wanted & set(STATES[STATES.index("running") :]):
            return
        self.fill_in_patient()
        self.click(dock.run.buttons["whole-slide"])
        self.wait(
            lambda: " of " in dock.run.status.shown_text() and "patches" in dock.run.status.shown_text()
        )
        self.grab("running")
        self.click(dock.run.cancel_button)
        self.wait(self.idle)
        self.grab("cancelled")
        self.click(dock.run.buttons["whole-slide"])
        self.wait(lambda: self.idle() and "dlcnbc-ws" in dock.results.cards)
        self.grab("one")
        self.click(dock.run.buttons["roi"])
        self.wait(lambda: self.idle() and "dlcnbc" in dock.results.cards)
        self.grab("two")
        if self.wants("split"):
            self.press(Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)
            self.grab("split")
            self.press(Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)
        self.click(dock.results.cards["dlcnbc-ws"].map_button)
        QTest.keyClick(dock.map.map_combo, Qt.Key.Key_Home)
        dock.reveal("Results")
        self.grab("attention")
        dock.scroll_area.verticalScrollBar().setValue(0)
        self.grab("top")
        dock.reveal("Map")
        self.look_at_tumour()
        self.press(Qt.Key.Key_2, Qt.KeyboardModifier.AltModifier)
        self.grab("x10")
        self.press(Qt.Key.Key_4, Qt.KeyboardModifier.AltModifier)
        QTest.mouseMove(self.canvas, self.canvas.rect().center())
        self.grab("x40")
        self.press(Qt.Key.Key_0, Qt.KeyboardModifier.AltModifier)
        dock.map.map_combo.setFocus()
        QTest.keyClick(dock.map.map_combo, Qt.Key.Key_Home)
        for _ in range(dock.map.map_combo.findData("contribution")):
            QTest.keyClick(dock.map.map_combo, Qt.Key.Key_Down)
        self.grab("signed")
        if self.wants("gallery"):
            self.gallery()

    def outlines_and_measure(self) -> None:
        """The ROI's patches, and a line measured across them, still being dragged."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        self.look_at_tumour()
        self.press(Qt.Key.Key_1, Qt.KeyboardModifier.AltModifier)
        self.dock.reveal("Tumour ROI")
        self.grab("outlines")
        self.dock.scroll_area.verticalScrollBar().setValue(0)
        self.press(Qt.Key.Key_M, Qt.KeyboardModifier.ShiftModifier)
        middle = self.canvas.rect().center()
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=middle - QPoint(120, 60))
        QTest.mouseMove(self.canvas, middle + QPoint(130, 90))
        self.grab("measure")
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=middle + QPoint(130, 90))
        self.press(Qt.Key.Key_Escape, Qt.KeyboardModifier.NoModifier)
        self.click(self.dock.navigation.measure_clear)
        self.press(Qt.Key.Key_0, Qt.KeyboardModifier.AltModifier)

    def gallery(self) -> None:
        """Top and bottom patches of the map, one of them flown to, two more chosen."""
        from qtpy.QtCore import Qt

        self.press(Qt.Key.Key_G, Qt.KeyboardModifier.ShiftModifier)
        gallery = self.dock.side_docks.held("gallery")
        serve(300)
        self.wait(lambda: not gallery.reading.is_running)
        self.click_tile("highest", 1, Qt.KeyboardModifier.NoModifier)
        for end, place in (("highest", 2), ("lowest", 0)):
            self.click_tile(end, place, Qt.KeyboardModifier.ControlModifier)
        self.grab("gallery")
        self.press(Qt.Key.Key_G, Qt.KeyboardModifier.ShiftModifier)

    def click_tile(self, end: str, place: int, modifier: object) -> None:
        """Click a picture of the gallery."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        strip = self.dock.side_docks.held("gallery").panel.strips[end]
        at = strip.visualItemRect(strip.item(place)).center()
        QTest.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, modifier, at)

    def work_list(self) -> None:
        """A blinded list of a patient with two slides: before the reader's call, and after both."""
        if not self.wanted & {"withheld", "list"}:
            return
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QLineEdit, QPushButton, QRadioButton

        from napari_aln.store.worklist import WorkList
        from napari_aln.store.worklist_records import NewSlide, Patient
        from napari_aln.workflows.demo import SLIDE, demo_clinical, sample_path

        names = ("S2026-004711_A1_mamma_links.tif", "S2026-004711_A2.tif")
        slides = [Path(shutil.copy(sample_path(SLIDE), self.files / name)) for name in names]
        broken = self.files / "S2026-004712.svs"
        broken.write_bytes(b"no slide")
        path = self.files / "study.alnlist"
        with WorkList.create(path, blinded=True) as made:
            patients = [NewSlide(slide, "P-0007") for slide in slides]
            made.add([*patients, NewSlide(broken, "P-0008")], [Patient("P-0007", demo_clinical(), "N(+)")])
        self.dock.review.open_files([path])
        reading = self.dock.side_docks.held("work_list")
        serve(300)
        line = reading.findChild(QLineEdit, "list_reader")
        self.type_in(line, "MK")
        QTest.keyClick(line, Qt.Key.Key_Return)
        for number in range(len(slides)):
            self.click(reading.findChild(QPushButton, "list_unread"))
            self.wait(lambda at=slides[number]: self.idle() and self.dock.review.state.slide.info.path == at)
            self.wait(lambda: self.idle() and self.dock.review.state.seen is not None)
            self.click(self.dock.run.buttons["whole-slide"])
            self.wait(lambda: self.idle() and self.dock.review.state.n_kept_back == 1)
            if not number:
                self.grab("withheld")
            self.click(reading.findChild(QRadioButton, f"call_class_{number}"))
            self.type_in(reading.findChild(QLineEdit, "call_comment"), "dense lymphoid tissue at the edge")
            self.click(reading.findChild(QPushButton, "call_store"))
        self.grab("list")

    def fill_in_patient(self) -> None:
        """Type the demonstration patient's values."""
        from qtpy.QtWidgets import QLineEdit, QRadioButton

        form = self.dock.clinical
        self.type_in(form.findChild(QLineEdit, "clinical_age"), "58")
        self.type_in(form.findChild(QLineEdit, "clinical_tumor_size"), "2.1")
        for name in ("er_positive", "pr_positive", "her2_negative"):
            self.click(form.findChild(QRadioButton, f"clinical_{name}"))

    def look_at_tumour(self) -> None:
        """Put the middle of the ROI into the middle of the canvas."""
        review = self.dock.review
        middle = review.state.regions[0].geometry.centroid
        self.viewer.scene.camera.center = tuple(review.scene.frame.world_yx((middle.x, middle.y)))

    @property
    def canvas(self) -> object:
        """What napari draws on."""
        return self.viewer.window._qt_viewer.canvas.native

    def press(self, key: object, modifier: object) -> None:
        """Press a key on the canvas."""
        from qtpy.QtTest import QTest

        QTest.keyClick(self.canvas, key, modifier)

    def click(self, widget: object) -> None:
        """Click a control, scrolled to where a user would have to click it."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QCheckBox, QRadioButton

        if self.dock.scroll_area.isAncestorOf(widget):
            self.dock.scroll_area.ensureWidgetVisible(widget, 0, 8)
        at = QPoint(10, widget.height() // 2)
        if not isinstance(widget, QCheckBox | QRadioButton):
            at = widget.rect().center()
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=at)

    def type_in(self, line: object, text: str) -> None:
        """Type over what a line holds."""
        from qtpy.QtTest import QTest

        line.selectAll()
        QTest.keyClicks(line, text)

    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not any(job.is_running for job in self.dock.review.jobs)

    def wants(self, state: str) -> bool:
        """Whether a picture of this state is asked for."""
        return state in self.wanted

    def wait(self, until: Callable[[], bool]) -> None:
        """Serve the window until something holds."""
        end = time.monotonic() + PATIENCE_S
        while not until():
            if time.monotonic() > end:
                busy = [job.objectName() for job in self.dock.review.jobs if job.is_running]
                log = self.dock.log.text.toPlainText()
                raise TimeoutError(f"{self.stem}: this state did not come; at work: {busy}; log:\n{log}")
            serve(10)

    def grab(self, state: str) -> None:
        """Save what the screen shows, dialogs too."""
        if not self.wants(BELONGS_TO.get(state, state)):
            return
        serve(100 if state == "running" else 900)  # tiles come by and by
        picture = self.window.screen().grabWindow(0, 0, 0, *self.size)
        picture.save(str(self.folder / f"{self.stem}-{state}.png"))


def leave_unfinished(files: Path) -> None:
    """Leave what a window leaves that is killed during a review."""
    from napari_aln import open_slide
    from napari_aln.store.autosave import autosave_folder
    from napari_aln.store.session import write_session
    from napari_aln.workflows.demo import ROI, SLIDE, demo_clinical, sample_path
    from napari_aln.workflows.prepare import usable_roi
    from napari_aln.workflows.session import Review, SessionMaker

    name = "S2026-004714_A1_mamma_links_stanzbiopsie_HE_scanner-07.tif"
    with open_slide(Path(shutil.copy(sample_path(SLIDE), files / name))) as slide:
        regions, _ = usable_roi(slide, sample_path(ROI))
        review = Review(slide.info, regions=regions, clinical=demo_clinical())
    write_session(SessionMaker().make(review), autosave_folder() / "open-1-1-0badcafe.alnsession")


def serve(time_ms: int) -> None:
    """Let the window work; vispy replaces `QTest.qWait` by a busy loop that PySide6 does not survive."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(time_ms, loop.quit)
    loop.exec()


def draw_photo(path: Path) -> None:
    """Write a picture that could be a biopsy and states no µm/px."""
    import numpy as np
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (3000, 2200), (192, 190, 191))
    pen = ImageDraw.Draw(picture)
    for x, y in np.random.default_rng(1).normal((1500, 1100), (180, 420), (900, 2)):
        pen.ellipse((x - 40, y - 40, x + 40, y + 40), fill=(196, 120, 168))
    picture.save(path, format="JPEG", quality=90)


def walk_in_a_process_of_its_own(arguments: argparse.Namespace, theme: str, size: str) -> int:
    """Take one theme and size with settings that nobody else sees."""
    with tempfile.TemporaryDirectory() as own:
        folders = {
            "NAPARI_CONFIG": f"{own}/napari/settings.yaml",
            "NAPARI_ALN_CONFIG": f"{own}/config",
            "NAPARI_ALN_CACHE": f"{own}/cache",
        }
        files = Path(own, "slides")
        files.mkdir()
        photo = files / "351899.jpg"
        draw_photo(photo) if arguments.photo is None else shutil.copy(arguments.photo, photo)
        command = [sys.executable, __file__, str(arguments.folder), "--walk", str(files)]
        command += ["--themes", theme, "--sizes", size, "--states", *arguments.states]
        command += ["--slide", str(arguments.slide)] if arguments.slide else []
        return subprocess.run(command, env=os.environ | folders, check=False).returncode


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the pictures are written")
    parser.add_argument("--states", nargs="+", choices=STATES, default=list(STATES))
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), metavar="WxH")
    parser.add_argument("--themes", nargs="+", choices=THEMES, default=list(THEMES))
    parser.add_argument("--photo", type=Path, help="a picture of a slide that states no µm/px")
    parser.add_argument("--slide", type=Path, help="a slide with label and macro images")
    parser.add_argument("--walk", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.walk is None:
        runs = [(theme, size) for size in arguments.sizes for theme in arguments.themes]
        return max(walk_in_a_process_of_its_own(arguments, *run) for run in runs)
    width, height = (int(part) for part in arguments.sizes[0].split("x"))
    walk = Walk(arguments.folder, set(arguments.states), arguments.walk, arguments.slide)
    walk.take(arguments.themes[0], (width, height))
    return 0


if __name__ == "__main__":
    sys.exit(main())
