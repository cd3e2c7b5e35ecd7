"""The tumour ROI: draw, import, clear, and how large it is."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_aln.widgets.labels import TextLabel

NO_ROI = "No tumour ROI yet."
DRAWING = "Drag around the tumour on the slide. Layers (F2) holds the tools to change a shape."


class RoiPanel(QWidget):
    """Asks for a region to be drawn, imported or cleared."""

    draw_requested = Signal()
    import_requested = Signal()
    clear_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        self.draw_button = QPushButton("Draw &tumour ROI")
        self.import_button = QPushButton("&Import…")
        self.clear_button = QPushButton("Clear")
        for button, name, wanted in (
            (self.draw_button, "roi_draw", self.draw_requested),
            (self.import_button, "roi_import", self.import_requested),
            (self.clear_button, "roi_clear", self.clear_requested),
        ):
            button.setObjectName(name)
            button.setAccessibleName(f"Tumour ROI: {button.text().replace('&', '')}")
            button.clicked.connect(wanted)
            row.addWidget(button)
        layout.addLayout(row)
        self.draw_button.clicked.connect(self._on_draw)
        self.summary = TextLabel(NO_ROI)
        self.summary.setObjectName("roi_summary")
        layout.addWidget(self.summary)
        self.set_ready(slide_open=False)

    def set_ready(self, *, slide_open: bool) -> None:
        """Say whether there is a slide to draw on."""
        self.draw_button.setEnabled(slide_open)
        self.import_button.setEnabled(slide_open)

    def set_regions(self, n_regions: int, area_mm2: float | None) -> None:
        """Say what the ROI consists of; area in mm², None where µm/px is missing."""
        self.clear_button.setEnabled(n_regions > 0)
        if not n_regions:
            self.summary.set_text(NO_ROI)
            return
        regions = "1 region" if n_regions == 1 else f"{n_regions} regions"
        self.summary.set_text(regions if area_mm2 is None else f"{regions}, {area_mm2:.2f} mm²")

    def _on_draw(self) -> None:
        self.summary.set_text(DRAWING)
