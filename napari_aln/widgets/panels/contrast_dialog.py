"""Nuclei of high- against low-attention patches, as violins with their tests, in a window of their own."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE
from napari_aln.widgets.panels.labels import TextLabel, count

if TYPE_CHECKING:
    from napari_aln.workflows.nuclei.by_attention import NucleiContrast

SHARE_OF_ROOM = 0.85  # of the window, or of the screen without one


class ContrastDialog(QDialog):
    """Shows a comparison, and asks for it to be written.

    Parameters
    ----------
    found
        The comparison.
    """

    save_requested = Signal(object)  # NucleiContrast

    def __init__(self, found: NucleiContrast, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("contrast_dialog")
        self.setWindowTitle("Nuclei by attention")
        self.found = found
        self.picture = QLabel()
        self.picture.setObjectName("contrast_picture")
        self.picture.setAccessibleName(found.title)
        self.picture.setPixmap(_picture(found))
        scroll_area = QScrollArea()
        scroll_area.setWidget(self.picture)
        high, low = found.nuclei
        self.about = TextLabel(
            f"{found.title}: {count(high)} against {count(low)} nuclei, from "
            f"{count(found.n_patches)} measured patches. {ATTENTION_NOTICE} {RESEARCH_NOTICE}"
        )
        self.about.setObjectName("contrast_about")
        self.note = QLabel()
        self.note.setObjectName("contrast_note")
        self.save_button = QPushButton("Save…")
        self.save_button.setObjectName("contrast_save")
        self.save_button.setToolTip("Write the table and the plots into a folder")
        self.save_button.clicked.connect(self._on_save)
        self.close_button = QPushButton("Close")
        self.close_button.setObjectName("contrast_close")
        self.close_button.clicked.connect(self.close)
        row = QHBoxLayout()
        row.addWidget(self.note, 1)
        row.addWidget(self.save_button)
        row.addWidget(self.close_button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.about)
        layout.addWidget(scroll_area, 1)
        layout.addLayout(row)
        room = (self.screen().availableSize() if parent is None else parent.window().size()) * SHARE_OF_ROOM
        picture = self.picture.pixmap().deviceIndependentSize()
        self.resize(
            min(room.width(), round(picture.width()) + 60), min(room.height(), round(picture.height()) + 140)
        )

    def set_note(self, text: str) -> None:
        """Say what was done."""
        self.note.setText(text)

    def _on_save(self) -> None:
        self.save_requested.emit(self.found)


def _picture(found: NucleiContrast) -> QPixmap:
    drawn = io.BytesIO()
    found.figure().savefig(drawn, format="png")
    picture = QPixmap()
    picture.loadFromData(drawn.getvalue(), "PNG")
    picture.setDevicePixelRatio(1.0)
    return picture.scaledToWidth(min(picture.width(), 1200), Qt.TransformationMode.SmoothTransformation)
