"""A window that is driven by mouse and keys, and pictured as the screen shows it."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qtpy.QtCore import QPoint

    from napari_aln.widgets.dock import ReviewDock

PATIENCE_S = 300.0
TILES_MS = 900  # tiles come by and by
AT_ONCE_MS = 100  # of what does not stay
STEPS = 6  # of the mouse between two places


BELONGS_TO = {
    "no_list": "new_list",
    "watched": "training",
    "restored": "recovery",
    "asked": "asking",
    "svs": "associated",
    "log": "settings",
    "nuclei_none": "nuclei",
    "nuclei_running": "nuclei",
    "nuclei_afar": "nuclei",
    "nuclei_some": "nuclei",
    "edited_mask": "mask",
    "pending": "brush",
    "live": "brush",
    "compared": "brush",
    "gallery_large": "gallery",
    "moved": "session",
    "incomplete": "session",
    "taken": "patient",
    "hidden": "list",
}
"""Pictures taken with a state, not asked for by themselves."""


class PicturedWindow:
    """One window on the screen.

    Parameters
    ----------
    folder
        Where pictures are written.
    theme
        napari's.
    size
        Of the window, (width, height) in pixels.
    """

    dock: ReviewDock

    def __init__(self, folder: Path, theme: str, size: tuple[int, int]) -> None:
        self.folder, self.theme, self.size = folder, theme, size
        self.stem = f"{size[0]}x{size[1]}-{theme}"

    def open(self) -> None:
        """Open it."""
        from napari.settings import get_settings

        from napari_aln.widgets.window import dock_of, open_window

        get_settings().appearance.theme = self.theme
        self.viewer = open_window()
        self.window = self.viewer.window._qt_window
        self.window.setGeometry(0, 0, *self.size)
        self.dock = dock_of(self.viewer)
        self.review = self.dock.review

    def take(self, name: str, after_ms: int = TILES_MS) -> None:
        """Save what the screen shows, dialogs too."""
        serve(after_ms)
        picture = self.window.screen().grabWindow(0, 0, 0, *self.size)
        picture.save(str(self.folder / f"{self.stem}-{name}.png"))

    # What a user does

    @property
    def canvas(self) -> Any:
        """What napari draws on."""
        return self.viewer.window._qt_viewer.canvas.native

    def press(self, key: object, modifier: object = None) -> None:
        """Press a key on the canvas."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        QTest.keyClick(self.canvas, key, modifier or Qt.KeyboardModifier.NoModifier)

    def click(self, widget: Any) -> None:
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

    def click_tile(self, strip: Any, place: int, modifier: object) -> None:
        """Click a picture of the gallery."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        at = strip.visualItemRect(strip.item(place)).center()
        QTest.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, modifier, at)

    def type_in(self, line: Any, text: str) -> None:
        """Type over what a line holds."""
        from qtpy.QtTest import QTest

        line.selectAll()
        QTest.keyClicks(line, text)

    def drag(self, *places: QPoint) -> None:
        """Draw the mouse over the canvas, its button still down at the end."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self.move(places[0])
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=places[0])
        for start, end in pairwise(places):
            for step in range(1, STEPS + 1):
                self.move(start + (end - start) * (step / STEPS))

    def let_go(self, at: QPoint) -> None:
        """Let the mouse's button go."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=at)

    def move(self, place: QPoint) -> None:
        """Move the mouse over the canvas."""
        from qtpy.QtTest import QTest

        QTest.mouseMove(self.canvas, place)
        serve(20)

    def on_canvas(self, x_l0: float, y_l0: float) -> QPoint:
        """Return where a level-0 pixel is drawn."""
        from qtpy.QtCore import QPoint

        camera = self.viewer.scene.camera
        world_yx = self.review.scene.frame.world_yx((x_l0, y_l0))
        y, x = (world_yx - camera.center[-2:]) * camera.zoom
        return QPoint(round(x + self.canvas.width() / 2), round(y + self.canvas.height() / 2))

    def look_at_tumour(self) -> None:
        """Put the middle of the ROI into the middle of the canvas."""
        middle = self.review.state.regions[0].geometry.centroid
        self.viewer.scene.camera.center = tuple(self.review.scene.frame.world_yx((middle.x, middle.y)))

    def to_the_top(self) -> None:
        """Scroll the panels to their beginning."""
        self.dock.scroll_area.verticalScrollBar().setValue(0)

    # Waiting

    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not any(job.is_running for job in self.review.jobs)

    def wait(self, until: Callable[[], bool]) -> None:
        """Serve the window until something holds."""
        end = time.monotonic() + PATIENCE_S
        while not until():
            if time.monotonic() > end:
                busy = [job.objectName() for job in self.review.jobs if job.is_running]
                log = self.dock.log.text.toPlainText()
                raise TimeoutError(f"{self.stem}: this state did not come; at work: {busy}; log:\n{log}")
            serve(10)


class States:
    """What is led through, with what the way there needs.

    Parameters
    ----------
    window
        Not yet open.
    wanted
        The states to be pictured.
    files
        A folder for slides and tables that are made on the way.
    slide
        With label and macro images; None: that state is left out.
    """

    def __init__(self, window: PicturedWindow, wanted: set[str], files: Path, slide: Path | None) -> None:
        self.window, self.wanted, self.files, self.slide = window, wanted, files, slide

    def wants(self, *states: str) -> bool:
        """Whether a picture of any of these states is asked for."""
        return bool(self.wanted.intersection(states))

    def grab(self, name: str, after_ms: int = TILES_MS) -> None:
        """Take a picture if it is asked for."""
        if self.wants(BELONGS_TO.get(name, name)):
            self.window.take(name, after_ms)

    def open_slide(self, *paths: Path) -> None:
        """Open a slide and what belongs to it, and wait for its tissue."""
        window = self.window
        window.review.open_files(paths)
        window.wait(lambda: window.idle() and window.review.state.seen is not None)

    def fill_in_patient(self) -> None:
        """Type the demonstration patient's values."""
        from qtpy.QtWidgets import QLineEdit, QRadioButton

        form = self.window.dock.clinical
        self.window.type_in(form.findChild(QLineEdit, "clinical_age"), "58")
        self.window.type_in(form.findChild(QLineEdit, "clinical_tumor_size"), "2.1")
        for name in ("er_positive", "pr_positive", "her2_negative"):
            self.window.click(form.findChild(QRadioButton, f"clinical_{name}"))


def serve(time_ms: int) -> None:
    """Let the window work; vispy replaces `QTest.qWait` by a busy loop that PySide6 does not survive."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(time_ms, loop.quit)
    loop.exec()
