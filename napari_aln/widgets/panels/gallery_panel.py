"""Patches of highest and lowest value side by side, as tiles that can be clicked, chosen and exported."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QItemSelectionModel, QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QIcon, QKeyEvent, QMouseEvent, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE
from napari_aln.widgets.panels.labels import INFO_COLOUR
from napari_aln.widgets.panels.wheel import guard_wheel, leave_keys
from napari_aln.workflows.slide.maps import MAP_STYLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QFocusEvent

    from napari_aln.geometry import Mpp, Rect
    from napari_aln.workflows.results.gallery import End, RankedPatch

SIZES_PX = {"Small": 92, "Medium": 144, "Large": 256}
"""Sides of a tile's picture on the screen."""
MOST_PATCHES = 100
TITLES: dict[End, str] = {"highest": "Highest", "lowest": "Lowest"}
NO_MAP = "No map yet: run a model, then its patches of highest and lowest value are shown here."
MINUS = "\N{MINUS SIGN}"
MOVES = (
    Qt.Key.Key_Left,
    Qt.Key.Key_Right,
    Qt.Key.Key_Up,
    Qt.Key.Key_Down,
    Qt.Key.Key_Home,
    Qt.Key.Key_End,
    Qt.Key.Key_PageUp,
    Qt.Key.Key_PageDown,
    Qt.Key.Key_Return,
    Qt.Key.Key_Enter,
    Qt.Key.Key_Space,
)
SEVERAL = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
PATCH_ROLE = int(Qt.ItemDataRole.UserRole)
CHOSEN_STYLE = f"QListWidget::item:selected {{ background-color: {INFO_COLOUR}; color: white; }}"
LONGEST_TEXT = "100  −0.000123"


class Strip(QListWidget):
    """The tiles of one end of the map."""

    visited = Signal(object)  # RankedPatch: by click, by arrow keys, by Return
    left = Signal()  # the mouse chose no tile, or Esc was pressed

    def __init__(self, end: End, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(f"gallery_{end}")
        self.setAccessibleName(f"Patches of {end} value")
        self.setViewMode(QListWidget.ViewMode.IconMode)
        self.setMovement(QListWidget.Movement.Static)
        self.setResizeMode(QListWidget.ResizeMode.Adjust)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setUniformItemSizes(True)
        self.setWordWrap(False)
        self.setStyleSheet(CHOSEN_STYLE)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        leave_keys(self)  # writing keys are the window's

    def patch_of(self, item: QListWidgetItem) -> RankedPatch:
        """Return the patch of a tile."""
        patch: RankedPatch = item.data(PATCH_ROLE)
        return patch

    def tiles(self) -> list[QListWidgetItem]:
        """Return all tiles, in their order."""
        return [self.item(row) for row in range(self.count())]

    def sizeHint(self) -> QSize:
        """Return room for one row."""
        return QSize(3 * self.gridSize().width(), self.minimumHeight())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Visit a tile that was clicked without Ctrl or Shift."""
        super().mouseReleaseEvent(event)
        if event.button() != Qt.MouseButton.LeftButton or event.modifiers() & SEVERAL:
            return
        item = self.itemAt(event.position().toPoint())
        if item is None:
            self.left.emit()
        elif item.isSelected():
            self.visited.emit(self.patch_of(item))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Visit the tile that an arrow key leads to; Esc leaves the patch."""
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
            return
        super().keyPressEvent(event)
        if event.key() in MOVES and not event.modifiers() & SEVERAL and self.currentItem() is not None:
            self.visited.emit(self.patch_of(self.currentItem()))

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Start at the first tile, so that arrow keys have where to go from."""
        super().focusInEvent(event)
        if self.currentRow() < 0 and self.count():
            with QSignalBlocker(self):
                self.setCurrentRow(0, QItemSelectionModel.SelectionFlag.NoUpdate)


class GalleryPanel(QWidget):
    """Shows patches; asks to visit one, for another number of them, and for an export."""

    visited = Signal(object)  # RankedPatch
    left = Signal()
    number_changed = Signal(int)
    size_changed = Signal()
    export_requested = Signal()

    def __init__(self, number: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("gallery_panel")
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 2, 4, 2)
        column.setSpacing(2)
        column.addLayout(self._head(number))
        both = QHBoxLayout()
        both.setSpacing(8)
        self.strips: dict[End, Strip] = {}
        self.headings: dict[End, QLabel] = {}
        for end, title in TITLES.items():
            strip, heading = Strip(end), QLabel(title)
            heading.setObjectName(f"gallery_{end}_title")
            heading.setStyleSheet("font-weight: bold;")
            heading.setBuddy(strip)
            strip.visited.connect(self._on_visited)
            strip.left.connect(self._on_left)
            strip.itemSelectionChanged.connect(self._show_export)
            half = QVBoxLayout()
            half.setSpacing(1)
            half.addWidget(heading)
            half.addWidget(strip, 1)
            both.addLayout(half, 1)
            self.strips[end], self.headings[end] = strip, heading
        column.addLayout(both, 1)
        self.notice = QLabel(RESEARCH_NOTICE)
        self.notice.setObjectName("gallery_notice")
        self.notice.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        column.addWidget(self.notice)
        self._pictures: dict[Rect, QPixmap] = {}
        self._exporting = False
        self._set_edge()
        self.set_patches("", "", None, (), ())

    def _head(self, number: int) -> QHBoxLayout:
        self.title = QElidingLabel()
        self.title.setObjectName("gallery_map")
        self.title.setTextFormat(Qt.TextFormat.PlainText)
        self.title.setStyleSheet("font-weight: bold;")
        self.note = QLabel()
        self.note.setObjectName("gallery_note")
        self.number_box = QSpinBox()
        self.number_box.setObjectName("gallery_number")
        self.number_box.setAccessibleName("Patches of either end")
        self.number_box.setToolTip("How many of the highest and of the lowest patches are shown")
        self.number_box.setRange(1, MOST_PATCHES)
        self.number_box.setValue(number)
        self.number_box.setKeyboardTracking(False)
        self.number_box.setMaximumWidth(96)
        guard_wheel(self.number_box)
        self.number_box.valueChanged.connect(self.number_changed)
        self.size_combo = QComboBox()
        self.size_combo.setObjectName("gallery_size")
        self.size_combo.setAccessibleName("Size of the pictures")
        self.size_combo.setToolTip("Size of the pictures; a click on one shows it on the slide")
        self.size_combo.addItems(list(SIZES_PX))
        guard_wheel(self.size_combo)
        leave_keys(self.size_combo)
        self.size_combo.currentIndexChanged.connect(self._on_size)
        self.export_button = QPushButton("Export all…")
        self.export_button.setObjectName("gallery_export")
        self.export_button.setToolTip(
            "Write the chosen patches, or all, at full resolution, with coordinates, weights and µm/px.\n"
            "Choose with Ctrl+click and Shift+click. The slide's file is named nowhere."
        )
        self.export_button.clicked.connect(lambda: self.export_requested.emit())
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.title, 1)
        row.addWidget(self.note)
        row.addWidget(self.number_box)
        row.addWidget(self.size_combo)
        row.addWidget(self.export_button)
        return row

    @property
    def edge_px(self) -> int:
        """Side of a picture on the screen."""
        return SIZES_PX[self.size_combo.currentText()]

    def set_patches(
        self,
        title: str,
        unit: str,
        mpp: Mpp | None,
        highest: Sequence[RankedPatch],
        lowest: Sequence[RankedPatch],
        *,
        of_attention: bool = False,
    ) -> None:
        """Show patches in place of those before; pictures and choices of those that stay are kept.

        Parameters
        ----------
        title
            What the map is, or why none is shown; nothing: there is none yet.
        unit
            Of the values.
        mpp
            Of level 0, for the places in µm.
        highest, lowest
            The most extreme first.
        of_attention
            Whether the map is one of attention, which is easily taken for something else.
        """
        self.title.setText(title or NO_MAP)
        self.title.setToolTip(title)
        for end, heading in self.headings.items():
            heading.setText(f"{TITLES[end]} · {unit}" if unit else TITLES[end])
        self.notice.setText(f"{ATTENTION_NOTICE} {RESEARCH_NOTICE}" if of_attention else RESEARCH_NOTICE)
        ends: dict[End, Sequence[RankedPatch]] = {"highest": highest, "lowest": lowest}
        there = {patch.l0_rect for patches in ends.values() for patch in patches}
        self._pictures = {place: picture for place, picture in self._pictures.items() if place in there}
        for end, patches in ends.items():
            self._fill(self.strips[end], patches, unit, mpp)
        self._show_export()

    def _fill(self, strip: Strip, patches: Sequence[RankedPatch], unit: str, mpp: Mpp | None) -> None:
        chosen = {strip.patch_of(item).l0_rect for item in strip.selectedItems()}
        current = strip.currentItem()
        current_place = None if current is None else strip.patch_of(current).l0_rect
        with QSignalBlocker(strip):
            while strip.count() > len(patches):
                strip.takeItem(strip.count() - 1)
            while strip.count() < len(patches):
                strip.addItem(QListWidgetItem())
            strip.clearSelection()
            for row, (item, patch) in enumerate(zip(strip.tiles(), patches, strict=True)):
                item.setData(PATCH_ROLE, patch)
                item.setText(f"{patch.rank}  {shown_value(patch.value)}")
                item.setToolTip(_tip(patch, unit, mpp))
                item.setIcon(_icon(self._pictures.get(patch.l0_rect, self._blank)))
                item.setSelected(patch.l0_rect in chosen)
                if patch.l0_rect == current_place:
                    strip.setCurrentRow(row, QItemSelectionModel.SelectionFlag.NoUpdate)

    def set_picture(self, place: Rect, picture: QPixmap) -> None:
        """Show the picture of a patch, wherever it stands."""
        self._pictures[place] = picture
        for strip in self.strips.values():
            for item in strip.tiles():
                if strip.patch_of(item).l0_rect == place:
                    item.setIcon(_icon(picture))

    def has_picture(self, place: Rect) -> bool:
        """Whether a picture of this patch is shown."""
        return place in self._pictures

    def set_current(self, place: Rect | None) -> None:
        """Mark the patch that is framed on the slide; None: none is. Several chosen ones stay chosen."""
        several = sum(len(strip.selectedItems()) for strip in self.strips.values()) > 1
        for strip in self.strips.values():
            found = next((i for i in strip.tiles() if strip.patch_of(i).l0_rect == place), None)
            with QSignalBlocker(strip):
                if not several and (found is None or not found.isSelected()):
                    strip.clearSelection()
                if found is not None:
                    flag = QItemSelectionModel.SelectionFlag
                    strip.setCurrentItem(found, flag.NoUpdate if several else flag.Select)
                    strip.scrollToItem(found)
            strip.viewport().update()
        self._show_export()

    def selected(self) -> list[RankedPatch]:
        """Return the chosen patches, or all where none is."""
        chosen = [s.patch_of(item) for s in self.strips.values() for item in s.tiles() if item.isSelected()]
        return chosen or [s.patch_of(item) for s in self.strips.values() for item in s.tiles()]

    def set_note(self, text: str) -> None:
        """Say where one stands, what is being done, or what was."""
        self.note.setText(text)
        self.note.setToolTip(text)

    def set_exporting(self, busy: bool) -> None:
        """Say whether patches are being written."""
        self._exporting = busy
        self._show_export()

    def _on_visited(self, patch: RankedPatch) -> None:
        for strip in self.strips.values():
            if strip is not self.sender():
                with QSignalBlocker(strip):
                    strip.clearSelection()
                strip.viewport().update()
        self._show_export()
        self.visited.emit(patch)

    def _on_left(self) -> None:
        for strip in self.strips.values():
            strip.clearSelection()
        self.left.emit()

    def _on_size(self, _index: int) -> None:
        self._set_edge()
        self._pictures.clear()
        for strip in self.strips.values():
            for item in strip.tiles():
                item.setIcon(_icon(self._blank))
        self.size_changed.emit()

    def _set_edge(self) -> None:
        edge = self.edge_px
        self._blank = QPixmap(edge, edge)
        self._blank.fill(Qt.GlobalColor.transparent)
        text = self.fontMetrics()
        width = max(edge, text.horizontalAdvance(LONGEST_TEXT)) + 8
        for strip in self.strips.values():
            strip.setIconSize(QSize(edge, edge))
            strip.setGridSize(QSize(width, edge + text.height() + 12))
            strip.setMinimumHeight(edge + text.height() + 16)  # a patch with its value can be seen whole
            strip.updateGeometry()

    def _show_export(self) -> None:
        n = sum(len(strip.selectedItems()) for strip in self.strips.values())
        there = any(strip.count() for strip in self.strips.values())
        self.export_button.setText("Export all…" if not n else f"Export {n} selected…")
        self.export_button.setEnabled(there and not self._exporting)


def shown_value(value: float, unit: str = "") -> str:
    """Return a value as the legend would say it; a range such as "0 to 1" is no unit to write behind it."""
    if not math.isfinite(value):
        return "none"
    number = f"{value:.3g}".replace("-", MINUS)
    return f"{number} {unit}" if unit and " to " not in unit else number


def _icon(picture: QPixmap) -> QIcon:
    """Return a picture that keeps its colours when it is chosen: a stain must not turn blue."""
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Selected)
    return icon


def _tip(patch: RankedPatch, unit: str, mpp: Mpp | None) -> str:
    x, y, width, height = patch.l0_rect
    lines = [f"{TITLES[patch.end]} {patch.rank}: {shown_value(patch.value, unit)}"]
    if mpp is not None:
        lines.append(f"x {x * mpp.x:.0f} µm, y {y * mpp.y:.0f} µm")
        lines.append(f"{width * mpp.x:.4g} x {height * mpp.y:.4g} µm")
    lines.append(f"x {x:.0f}, y {y:.0f} px of level 0")
    for name, value in patch.weights.items():
        style = MAP_STYLES[name]
        lines.append(f"{style.quantity}: {shown_value(value, style.unit)}")
    return "\n".join([*lines, RESEARCH_NOTICE])
