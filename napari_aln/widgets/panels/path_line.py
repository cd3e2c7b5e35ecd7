"""A line with the path of a file, and a button that opens a dialog to choose it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QToolButton, QWidget

from napari_aln.widgets.panels.file_dialogs import ask_for_files, ask_where_to_write
from napari_aln.widgets.panels.hint_line import HintLine

if TYPE_CHECKING:
    from qtpy.QtGui import QDragEnterEvent, QDropEvent


class PathLine(QWidget):
    """Holds a path, typed or chosen; empty: none.

    Parameters
    ----------
    name
        Object name of the line; its button is called ``<name>_choose``.
    title
        What the dialog asks for, such as "Choose a cohort table".
    wanted
        Filter of the dialog (see `file_dialogs.kinds`); of a file to be written: the name of such files.
    hint
        Shown while it is empty.
    suggested
        Of a file to be written: its name at first, whose suffix is given to names without one.
    """

    changed = Signal()

    def __init__(
        self,
        name: str,
        title: str,
        wanted: str = "All files (*)",
        hint: str = "",
        suggested: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._title, self._wanted, self._suggested = title, wanted, suggested
        self.line = HintLine(hint)
        self.line.setObjectName(name)
        self.line.setAccessibleName(title)
        self.line.textEdited.connect(self._on_edited)
        self.button = QToolButton()
        self.button.setText("…")
        self.button.setObjectName(f"{name}_choose")
        self.button.setAccessibleName(title)
        self.button.setToolTip(title)
        self.button.clicked.connect(self._ask)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.line, 1)
        row.addWidget(self.button)
        self.setFocusProxy(self.line)
        self.line.setAcceptDrops(False)  # a dropped file is no text
        self.setAcceptDrops(True)

    def path(self) -> Path | None:
        """Return the path, or None where nothing is written."""
        text = self.line.text().strip()
        return Path(text) if text else None

    def set_path(self, path: Path | None) -> None:
        """Show a path. Does not emit."""
        self.line.setText("" if path is None else str(path))
        self.line.setToolTip(self.line.text())

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept a file."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Take the file that was dropped."""
        from napari_aln.widgets.drops import paths_of  # loads napari, which forms alone do not need

        paths = paths_of(event.mimeData())
        if paths:
            self._on_chosen(paths[0])
            event.acceptProposedAction()

    def _ask(self) -> None:
        if self._suggested:
            suggested = str(self.path() or self._suggested)
            ask_where_to_write(self, self._title, self._wanted, suggested, self._on_chosen)
        else:
            ask_for_files(
                self, self._title, self._wanted, lambda paths: self._on_chosen(paths[0]), several=False
            )

    def _on_chosen(self, path: Path) -> None:
        self.set_path(path)
        self.changed.emit()

    def _on_edited(self, text: str) -> None:
        self.line.setToolTip(text)
        self.changed.emit()
