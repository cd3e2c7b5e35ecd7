"""The regions of the ROI by name, each with a tick: what is ticked off is set aside, not deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtCore import QPoint, QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QSizePolicy, QWidget

from napari_aln.widgets.panels.labels import INFO_COLOUR, show_if

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS_SHOWN = 4  # further ones are scrolled to
STYLE = f"""
QListWidget {{ background: transparent; border: 1px solid transparent; }}
QListWidget:focus {{ border-color: {INFO_COLOUR}; }}
QListWidget::item {{ padding: 3px 1px; }}
QListWidget::indicator {{ width: 12px; height: 12px; border: 2px solid #8a8a8a; border-radius: 2px; }}
QListWidget::indicator:checked {{ background-color: {INFO_COLOUR}; }}
"""  # napari's themes leave the boxes of lists to the platform, which draws them dark on dark
HELP = "Tick a region off to see the answers without it: it stays on the slide, grey. Right click: more."


class RegionRow(NamedTuple):
    """A region as it is listed."""

    name: str
    area_mm2: float | None  # None: µm/px is missing
    in_use: bool


class RegionList(QListWidget):
    """Shows itself from two regions on, or where one is set aside."""

    toggled = Signal(int, bool)  # place of the region, and whether it is in use now
    menu_requested = Signal(int, QPoint)  # place of the region, and where on the screen

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("roi_regions")
        self.setAccessibleName("Regions of the tumour ROI")
        self.setToolTip(HELP)
        self.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setUniformItemSizes(True)
        self.setTabKeyNavigation(False)
        self.setStyleSheet(STYLE)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.itemChanged.connect(self._on_changed)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._on_menu)

    def set_rows(self, rows: Sequence[RegionRow]) -> None:
        """List regions in place of those before. Does not emit."""
        with QSignalBlocker(self):
            while self.count() > len(rows):
                self.takeItem(self.count() - 1)
            while self.count() < len(rows):
                self.addItem(QListWidgetItem())
            for place, row in enumerate(rows):
                item, text = self.item(place), _text(place, row)
                if item.text() != text:
                    item.setText(text)
                ticked = Qt.CheckState.Checked if row.in_use else Qt.CheckState.Unchecked
                if item.checkState() != ticked or item.data(Qt.ItemDataRole.CheckStateRole) is None:
                    item.setCheckState(ticked)
        if self.count():
            height = self.sizeHintForRow(0) * min(self.count(), ROWS_SHOWN) + 2 * self.frameWidth()
            self.setFixedHeight(height)
        show_if(self, len(rows) > 1 or any(not row.in_use for row in rows))

    def _on_menu(self, at: QPoint) -> None:
        item = self.itemAt(at)
        if item is not None:
            self.menu_requested.emit(self.row(item), self.viewport().mapToGlobal(at))

    def _on_changed(self, item: QListWidgetItem) -> None:
        self.toggled.emit(self.row(item), item.checkState() == Qt.CheckState.Checked)


def region_title(place: int, name: str) -> str:
    """Return what the region at a place of the list is called."""
    return " ".join(name.split()) or f"Region {place + 1}"


def _text(place: int, row: RegionRow) -> str:
    name = region_title(place, row.name)
    return name if row.area_mm2 is None else f"{name} · {row.area_mm2:.2f} mm²"
