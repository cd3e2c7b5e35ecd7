"""Which nuclei are shown: ranges of their measures, chosen one after the other, that hold together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit, QPushButton, QWidget
from superqt import QDoubleRangeSlider

from napari_aln.widgets.panels.combo import named_combo
from napari_aln.widgets.panels.labels import TextLabel
from napari_aln.widgets.panels.wheel import guard_wheel, leave_keys
from napari_aln.workflows.nuclei.view import FEATURE_NAMES, NUCLEUS_STYLES

if TYPE_CHECKING:
    from collections.abc import Mapping

STEPS = 200  # of a slider from end to end
Limits = tuple[float | None, float | None]


class RangeFilter(QWidget):
    """Asks for least and greatest values, measure after measure; an end of the scale is no limit."""

    changed = Signal(dict)  # feature -> (least, greatest), None: no limit; of features that have one

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._extents: dict[str, tuple[float, float]] = {}
        self._ranges: dict[str, Limits] = {}
        tip = "Show only nuclei whose measure lies in a range"
        self.feature_combo = named_combo("nuclei_filter_feature", "Filter nuclei by", tip)
        for name in FEATURE_NAMES:
            self.feature_combo.addItem(NUCLEUS_STYLES[name].quantity.capitalize(), name)
        leave_keys(self.feature_combo)
        self.slider = QDoubleRangeSlider(Qt.Orientation.Horizontal)  # type: ignore[no-untyped-call]
        self.slider.setObjectName("nuclei_filter_range")
        self.slider.setAccessibleName("Range of the measure")
        self.slider.setToolTip("Drag both ends; at an end of the scale there is no limit")
        guard_wheel(self.slider)
        self.least_line, self.greatest_line = _line("least", "At least"), _line("greatest", "At most")
        self.clear_button = QPushButton("Show all")
        self.clear_button.setObjectName("nuclei_filter_clear")
        self.clear_button.setToolTip("Drop all ranges")
        self.active_text = TextLabel()
        self.active_text.setObjectName("nuclei_filter_active")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(1, 1)
        grid.addWidget(QLabel("Only with"), 0, 0)
        grid.addWidget(self.feature_combo, 0, 1)
        grid.addWidget(self.clear_button, 0, 2)
        grid.addWidget(self.least_line, 1, 0)
        grid.addWidget(self.slider, 1, 1)
        grid.addWidget(self.greatest_line, 1, 2)
        grid.addWidget(self.active_text, 2, 0, 1, 3)
        self.feature_combo.currentIndexChanged.connect(self._show_range)
        self.slider.valueChanged.connect(self._on_slider)
        self.least_line.editingFinished.connect(self._on_line)
        self.greatest_line.editingFinished.connect(self._on_line)
        self.clear_button.clicked.connect(self._on_clear)
        self.set_extents({})

    @property
    def feature(self) -> str:
        """The measure whose range is shown."""
        return str(self.feature_combo.currentData())

    def set_extents(self, extents: Mapping[str, tuple[float, float]], *, keep: bool = False) -> None:
        """Offer measures with the values at both ends of their scales. Does not emit.

        `keep`: ranges that are set stay; else there is none.
        """
        self._extents = dict(extents)
        self._ranges = dict(self._ranges) if keep else {}
        self.setEnabled(bool(extents))
        self._show_range()

    def ranges(self) -> dict[str, Limits]:
        """Return the ranges that are set."""
        return dict(self._ranges)

    def _show_range(self, _index: int = 0) -> None:
        low, high = self._extents.get(self.feature, (0.0, 1.0))
        least, greatest = self._ranges.get(self.feature, (None, None))
        with QSignalBlocker(self.slider):
            self.slider.setRange(low, high)
            self.slider.setSingleStep((high - low) / STEPS)
            self.slider.setValue((low if least is None else least, high if greatest is None else greatest))
        for line, limit in ((self.least_line, least), (self.greatest_line, greatest)):
            line.setText(_rounded(limit))
        self.clear_button.setEnabled(bool(self._ranges))
        self.active_text.set_text("; ".join(range_text(name, *r) for name, r in self._ranges.items()))

    def _on_slider(self, values: tuple[float, float]) -> None:
        low, high = self._extents.get(self.feature, (0.0, 1.0))
        near = (high - low) / STEPS / 2
        least = None if values[0] <= low + near else float(values[0])
        self._set(least, None if values[1] >= high - near else float(values[1]))

    def _on_line(self) -> None:
        least, greatest = (_number(line.text()) for line in (self.least_line, self.greatest_line))
        if least is not None and greatest is not None and least > greatest:
            least, greatest = greatest, least
        before = self._ranges.get(self.feature, (None, None))
        if [_rounded(limit) for limit in before] != [_rounded(limit) for limit in (least, greatest)]:
            self._set(least, greatest)
        else:
            self._show_range()  # what was no number

    def _set(self, least: float | None, greatest: float | None) -> None:
        self._ranges.pop(self.feature, None)
        if (least, greatest) != (None, None):
            self._ranges[self.feature] = least, greatest
        self._show_range()
        self.changed.emit(self.ranges())

    def _on_clear(self) -> None:
        self._ranges = {}
        self._show_range()
        self.changed.emit({})


def range_text(name: str, least: float | None, greatest: float | None) -> str:
    """Return a range in words, such as "area 20 to 60 µm²"."""
    style = NUCLEUS_STYLES[name]
    unit = "" if ":" in style.unit else f" {style.unit}"
    if least is None:
        return f"{style.quantity} up to {greatest:.4g}{unit}"
    if greatest is None:
        return f"{style.quantity} from {least:.4g}{unit}"
    return f"{style.quantity} {least:.4g} to {greatest:.4g}{unit}"


def _number(text: str) -> float | None:
    """Return what was typed, with a point or a comma; None where it is no number."""
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _rounded(limit: float | None) -> str:
    return "" if limit is None else f"{limit:.4g}"


def _line(name: str, accessible: str) -> QLineEdit:
    line = QLineEdit()
    line.setObjectName(f"nuclei_filter_{name}")
    line.setAccessibleName(accessible)
    line.setToolTip(f"{accessible} this value; empty: no limit")
    line.setPlaceholderText("any")
    line.setAcceptDrops(False)
    line.setFixedWidth(line.fontMetrics().horizontalAdvance("0000.000") + 12)
    return line
