"""A person at the window: drops, clicks, types, draws and reads. Nothing here calls a slot."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QDialogButtonBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QRadioButton,
    QWidget,
)
from shiboken6 import isValid

from napari_aln.widgets.panels.labels import TextLabel
from napari_aln.widgets.panels.mpp_dialog import MppDialog

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_MS = 120_000  # for a machine under load; whoever waits goes on as soon as it can
_DATA = Path(__file__).parents[3] / "shared" / "data"


def real(relative: str) -> Path:
    """Return a file of the real data, or skip."""
    path = _DATA / relative
    if not path.exists():
        pytest.skip(f"../shared/data/{relative} is not here")
    return path


class Hands:
    """Works a dock with mouse and keys."""

    left = Qt.MouseButton.LeftButton

    def __init__(self, dock, qtbot):
        self.dock, self.qtbot = dock, qtbot
        self.review, self.state, self.viewer = dock.review, dock.review.state, dock.viewer
        self.canvas: QWidget = dock.viewer.window._qt_viewer.canvas.native

    def until(self, condition) -> None:
        self.qtbot.waitUntil(condition, timeout=LONG_MS)

    # Mouse and keys

    def drop(self, *paths: Path, onto: QWidget | None = None) -> None:
        """Drop files on the dock, or on another widget, as Qt does: enter, move, drop."""
        widget = onto or self.dock.slide_card.title
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        centre = QPoint(widget.width() // 2, widget.height() // 2)
        how = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
        enter = QDragEnterEvent(centre, *how)
        QApplication.sendEvent(widget, enter)
        assert enter.isAccepted(), "the window does not take the drop"
        QApplication.sendEvent(widget, QDragMoveEvent(centre, *how))
        QApplication.sendEvent(widget, QDropEvent(QPointF(centre), *how))

    def click(self, widget: QWidget) -> None:
        self.dock.scroll_area.ensureWidgetVisible(widget)
        QApplication.processEvents()
        assert widget.isVisible(), f"{widget.objectName()} is not to be seen"
        assert widget.isEnabled(), f"{widget.objectName()} cannot be clicked"
        has_sign = isinstance(widget, (QCheckBox, QRadioButton))  # at the left; beside its text is nothing
        where = QPoint(12, widget.height() // 2) if has_sign else QPoint()
        self.qtbot.mouseClick(widget, Qt.MouseButton.LeftButton, pos=where)

    def write(self, line: QLineEdit, text: str) -> None:
        """Type a text in place of what stands in a line."""
        self.click(line)
        self.write_in(line, text)

    def write_in(self, line: QLineEdit, text: str) -> None:
        """Type into the line that has the keys."""
        self.qtbot.keyClick(line, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        self.qtbot.keyClick(line, Qt.Key.Key_Delete)
        self.qtbot.keyClicks(line, text)

    def fill_patient(self, age="52", size="2.3", er="positive", pr="positive", her2="negative") -> None:
        self.write(self.part(QLineEdit, "clinical_age"), age)
        self.write(self.part(QLineEdit, "clinical_tumor_size"), size)
        for name, word in (("er", er), ("pr", pr), ("her2", her2)):
            self.click(self.part(QRadioButton, f"clinical_{name}_{word}"))

    def answer_mpp(self, text: str) -> None:
        """Type a µm/px into the dialog and confirm it."""
        dialog = self.mpp_dialog()
        self.qtbot.keyClicks(dialog.line, text)
        self.qtbot.mouseClick(dialog.ok_button, Qt.MouseButton.LeftButton)

    def mpp_dialog(self) -> MppDialog:
        self.until(lambda: any(d.isVisible() for d in self.dock.findChildren(MppDialog)))
        return next(d for d in self.dock.findChildren(MppDialog) if d.isVisible())

    def draw(self, l0_xy) -> None:
        """Draw a closed line through places in level-0 pixels, in one stroke of the mouse."""
        before = self.state.regions
        if not self.dock.roi.draw_button.isChecked():  # the tool stays in the hand
            self.click(self.dock.roi.draw_button)
        self.stroke(l0_xy)
        self.until(lambda: self.state.regions != before)

    def stroke(self, l0_xy) -> None:
        """Lead the tool in hand around places in level-0 pixels, back to the first."""
        places = np.asarray(l0_xy, float)
        corners = [self.on_canvas(*place) for place in [*places, places[0]]]
        self.move(corners[0])
        QTest.mousePress(self.canvas, self.left, pos=corners[0])
        for start, end in pairwise(corners):
            for share in np.linspace(0.2, 1, 5):  # with fewer, the lasso cuts corners
                self.move(start + (end - start) * share, held=True)
        QTest.mouseRelease(self.canvas, self.left, pos=corners[-1])
        QApplication.processEvents()

    def dragging(self, start_l0_xy, end_l0_xy, steps: int = 4) -> Iterator[None]:
        """Drag from one place to another; goes on at each step, with the button still down."""
        start, end = self.on_canvas(*start_l0_xy), self.on_canvas(*end_l0_xy)
        self.move(start)
        QTest.mousePress(self.canvas, self.left, pos=start)
        for share in np.linspace(1 / steps, 1, steps):
            self.move(start + (end - start) * share, held=True)
            yield
        QTest.mouseRelease(self.canvas, self.left, pos=end)
        QApplication.processEvents()

    def drag(self, start_l0_xy, end_l0_xy) -> None:
        for _ in self.dragging(start_l0_xy, end_l0_xy):
            pass

    def click_slide(self, x_l0: float, y_l0: float) -> None:
        """Move to a place of the slide and click."""
        place = self.on_canvas(x_l0, y_l0)
        self.move(place)
        QTest.mouseClick(self.canvas, self.left, pos=place)
        QApplication.processEvents()

    def move(self, place: QPoint, *, held: bool = False, over: QWidget | None = None) -> None:
        """Move the mouse to a pixel of the canvas, or of another widget; `held`: with the left button down.

        Not by `QTest.mouseMove`: that moves the screen's pointer, of which the widget hears when it pleases
        the screen, which may be after the next click.
        """
        widget, none = over or self.canvas, Qt.MouseButton.NoButton
        where = QPointF(place), QPointF(widget.mapToGlobal(place))
        how = none, self.left if held else none, Qt.KeyboardModifier.NoModifier
        QApplication.sendEvent(widget, QMouseEvent(QEvent.Type.MouseMove, *where, *how))
        QApplication.processEvents()

    def key(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key on the canvas."""
        self.qtbot.keyClick(self.canvas, key, modifiers)
        QApplication.processEvents()

    def on_canvas(self, x_l0: float, y_l0: float) -> QPoint:
        """Return where a level-0 pixel is drawn."""
        camera = self.viewer.scene.camera
        world_yx = self.review.scene.frame.world_yx((x_l0, y_l0))
        middle = np.array([self.canvas.height(), self.canvas.width()]) / 2
        y, x = (world_yx - np.array(camera.center[-2:])) * camera.zoom + middle
        return QPoint(round(x), round(y))

    # A person's ways

    def open(self, path: Path, onto: QWidget | None = None) -> None:
        """Drop a slide and wait until it and its tissue are there."""
        self.drop(path, onto=onto)
        self.until(lambda: self.is_open(path) and not self.review.surveying.is_running)

    def is_open(self, path: Path) -> bool:
        slide = self.state.slide
        return slide is not None and slide.info.path == path and not self.review.opening.is_running

    def load(self, *bundles: Path) -> None:
        """Drop bundles and wait until they are there."""
        expected = len(self.state.bundles) + len(bundles)
        self.drop(*bundles)
        self.until(lambda: len(self.state.bundles) == expected)

    def import_roi(self, path: Path) -> None:
        self.drop(path)
        self.until(lambda: bool(self.state.regions) and not self.review.importing.is_running)

    def start(self, kind: str) -> None:
        self.click(self.dock.run.buttons[kind])
        assert self.review.running.is_running

    def run(self, kind: str) -> None:
        """Press a run's button and wait for its end; its card must be there."""
        known, errors = dict(self.dock.results.cards), self.errors()
        self.start(kind)
        self.until(lambda: not self.review.running.is_running)
        assert self.errors() == errors
        assert self.banner() == ""
        cards = self.dock.results.cards
        assert [run for run, card in cards.items() if known.get(run) is not card], "no new card"

    def answer_file_dialog(self, path: Path) -> None:
        """Paste a path into the file dialog that is open, and confirm it."""
        self.until(lambda: bool(_file_dialogs()))
        (dialog,) = _file_dialogs()
        line = dialog.findChild(QLineEdit, "fileNameEdit")
        QApplication.clipboard().setText(str(path))
        self.qtbot.keyClick(line, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        self.qtbot.keyClick(line, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
        roles = QDialogButtonBox.StandardButton
        role = roles.Save if dialog.acceptMode() == QFileDialog.AcceptMode.AcceptSave else roles.Open
        self.qtbot.mouseClick(dialog.findChild(QDialogButtonBox).button(role), self.left)
        assert not _file_dialogs(), f"{path.name} was not taken"

    def close_window(self) -> None:
        """Close the window as its × does."""
        window = self.viewer.window._qt_window
        window.close()
        self.qtbot.waitUntil(lambda: not isValid(window), timeout=LONG_MS)
        del self.viewer.window._qt_window  # or napari's fixture closes it once more

    # What a person reads

    def part(self, kind: type, name: str):
        found = [w for w in self.dock.findChildren(kind, name) if w.isVisible()]
        assert len(found) == 1, f"{len(found)} parts named {name} are to be seen"
        return found[0]

    def log(self) -> list[str]:
        return self.dock.log.text.toPlainText().splitlines()

    def errors(self) -> list[str]:
        """Return the errors in the log, without their times."""
        return [re.sub(r"^\S+  Error: ", "", line) for line in self.log() if "  Error: " in line]

    def warnings(self) -> list[str]:
        return [re.sub(r"^\S+  Warning: ", "", line) for line in self.log() if "  Warning: " in line]

    def banner(self) -> str:
        """Return the banner's text, or nothing while it is hidden."""
        banner = self.dock.banner
        text = f"{banner.fact.shown_text()} {banner.next_step.shown_text()}".strip()
        return text if banner.isVisible() else ""

    def shown_texts(self, widget: QWidget) -> list[str]:
        """Return the texts of the labels in a widget, as they were given."""
        return [part.shown_text() for part in widget.findChildren(TextLabel)]

    def shown_probabilities(self) -> dict[str, list[str]]:
        """Return the numbers on the cards, by run."""
        return {
            run: [label.text() for label in card.findChildren(QLabel) if "±" in label.text()[:12]]
            for run, card in self.dock.results.cards.items()
        }


def _file_dialogs() -> list[QFileDialog]:
    return [w for w in QApplication.topLevelWidgets() if isinstance(w, QFileDialog) and w.isVisible()]
