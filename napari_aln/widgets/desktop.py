"""What the program's own window has beyond napari's: a menu of the review, and the slide in its title."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.qt import QtViewer
from qtpy.QtCore import QObject
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAbstractButton, QLabel, QMainWindow, QMenu

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_aln.widgets.dock import ReviewDock

PROGRAM = "napari-aln"


class Desktop(QObject):
    """Gives the review the keys that every program has, and what napari's File menu opens.

    napari itself would lay a picture over the slide.

    Parameters
    ----------
    dock
        The review's dock in that window; owns this.
    """

    def __init__(self, dock: ReviewDock) -> None:
        super().__init__(dock)
        self._dock = dock
        window = dock.window()
        assert isinstance(window, QMainWindow)
        self.menu = QMenu("Review", window)
        self.menu.setObjectName("review_menu")
        files = dock.files
        self._add("Open slide…", files.ask_for_slide, QKeySequence("Ctrl+O"))
        recent = dock.slide_card.recent_button.menu()
        recent.setTitle("Recent slides")
        self.menu.addMenu(recent)
        self._add("Open session…", files.ask_for_session, QKeySequence("Ctrl+Shift+O"))
        self.menu.addSeparator()
        self._add("Save session…", files.ask_where_to_save_session, QKeySequence("Ctrl+S"))
        self._add("Save result…", files.ask_where_to_save, QKeySequence("Ctrl+Shift+S"))
        self.menu.addSeparator()
        self._add("Show the demonstration", dock.review.open_demo, QKeySequence())
        self._add("All keys", dock.show_help, QKeySequence())
        parts: list[QAbstractButton | QLabel] = [
            *dock.findChildren(QAbstractButton),
            *dock.findChildren(QLabel),
        ]
        letters = {QKeySequence.mnemonic(part.text()).toString() for part in parts}  # underlined there
        keys = ({action.shortcut().toString() for action in self.menu.actions()} | letters) - {""}
        bar = window.menuBar()
        for menu in [action.menu() for action in bar.actions()]:
            for action in menu.actions() if isinstance(menu, QMenu) else ():
                if action.shortcut().toString() in keys:
                    action.setShortcut(QKeySequence())  # one key with two meanings would do nothing
        bar.insertMenu(bar.actions()[0], self.menu)
        self.destroyed.connect(self.menu.deleteLater)
        qt_viewer = window.findChild(QtViewer)
        if qt_viewer is not None:
            dock.review.napari_files.take_menu(qt_viewer)
        dock.review.state.slide_changed.connect(self._show_title)
        self._show_title()

    def _add(self, text: str, act: Callable[[], None], keys: QKeySequence) -> None:
        action = self.menu.addAction(text)
        action.setShortcut(keys)
        action.triggered.connect(lambda _checked: act())

    def _show_title(self) -> None:
        state = self._dock.review.state
        self._dock.viewer.title = f"{state.name} – {PROGRAM}" if state.slide is not None else PROGRAM
