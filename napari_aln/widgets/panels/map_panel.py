"""Which map lies on the slide, how it looks, and what its colours mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE
from napari_aln.widgets.panels.combo import named_combo
from napari_aln.widgets.panels.labels import TextLabel
from napari_aln.widgets.panels.legend import Legend, Scale
from napari_aln.widgets.panels.wheel import guard_wheel, leave_keys
from napari_aln.workflows.slide.maps import MAP_STYLES, SCALING_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.workflows.slide.maps import Scaling

SCALINGS: tuple[Scaling, ...] = ("unscaled", "rank", "min-max", "fixed")
COLOUR_MAPS = ("viridis", "cividis", "magma", "inferno", "PuOr_r")
"""Readable with every common colour blindness; the last for signed maps."""

CHOICES_ROW = 3  # of the panel; the legend stands above
MASK_HINT = "Paint tissue; 1 erases, 2 paints; [ and ]: size."
NO_MAPS = "Maps appear here after a run."
WITHHELD = "Maps are withheld too, until your call."


class MapPanel(QWidget):
    """Asks for a map, its opacity and colours; shows its legend; the tissue mask stands beside it."""

    map_changed = Signal(str, str)  # run, map
    visible_changed = Signal(bool)
    opacity_changed = Signal(float)  # 0 to 1
    colour_map_changed = Signal(str)
    scaling_changed = Signal(str)  # a key of `SCALINGS`
    threshold_changed = Signal(float)  # share of the colour scale, 0 to 1
    mask_visible_changed = Signal(bool)
    mask_edit_requested = Signal(bool)  # True: start, False: end
    mask_reset_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.empty = TextLabel(NO_MAPS)
        self.empty.setObjectName("map_empty")
        layout.addWidget(self.empty)
        self._map_part = QWidget()
        layout.addWidget(self._map_part)
        self._mask_part = QWidget()
        layout.addWidget(self._mask_part)
        self._build_map_part()
        self._build_mask_part()
        self.set_runs((), ())
        self.set_mask_available(False)

    def _build_map_part(self) -> None:
        grid = QGridLayout(self._map_part)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        grid.setVerticalSpacing(3)
        self.run_combo = _combo("map_run", "Run")
        self.map_combo = _combo("map_name", "Map")
        self.colour_combo = _combo("map_colours", "Colours")
        self.colour_combo.addItems(COLOUR_MAPS)
        self.scaling_combo = _combo("map_scaling", "Scaling")
        _fill(self.scaling_combo, [(key, _capital(SCALING_NAMES[key])) for key in SCALINGS])
        choices = (
            ("Run", self.run_combo),
            ("Map", self.map_combo),
            ("Scaling", self.scaling_combo),
            ("Colours", self.colour_combo),
        )
        for row, (title, combo) in enumerate(choices, start=CHOICES_ROW):
            grid.addWidget(QLabel(title), row, 0)
            grid.addWidget(combo, row, 1)
        self.threshold_slider, self.threshold_text, threshold = self._percent("map_threshold")
        self.threshold_slider.setAccessibleName("Show patches from this share of the colour scale on")
        self.threshold_slider.setToolTip("Hide patches below this share of the colour scale")
        grid.addWidget(QLabel("From"), CHOICES_ROW + 4, 0)
        grid.addLayout(threshold, CHOICES_ROW + 4, 1)
        self.visible_box = QCheckBox("Show")
        self.visible_box.setObjectName("map_visible")
        self.visible_box.setAccessibleName("Show the map on the slide")
        self.visible_box.setToolTip("Show the map on the slide (Shift+H)")
        self.visible_box.setChecked(True)
        self.opacity_slider, self.opacity_text, opacity = self._percent("map_opacity")
        self.opacity_slider.setAccessibleName("Opacity in per cent")
        self.opacity_slider.setToolTip("How much the map covers the slide (, and .)")
        grid.addWidget(self.visible_box, CHOICES_ROW + 5, 0)
        grid.addLayout(opacity, CHOICES_ROW + 5, 1)
        self.quantity = TextLabel(bold=True)
        self.quantity.setObjectName("map_quantity")
        self.legend = Legend()
        self.model = TextLabel()
        self.model.setObjectName("map_model")
        self.model.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.cursor_text = QLabel()
        self.cursor_text.setObjectName("map_cursor_value")
        self.notice = TextLabel()
        self.notice.setObjectName("map_notice")
        under = QHBoxLayout()
        under.addWidget(self.cursor_text)
        under.addWidget(self.model, 1)
        grid.addWidget(self.quantity, 0, 0, 1, 2)
        grid.addWidget(self.legend, 1, 0, 1, 2)
        grid.addLayout(under, 2, 0, 1, 2)
        grid.addWidget(self.notice, CHOICES_ROW + 6, 0, 1, 2)
        self.run_combo.currentIndexChanged.connect(self._on_map)
        self.map_combo.currentIndexChanged.connect(self._on_map)
        self.colour_combo.currentTextChanged.connect(self.colour_map_changed)
        self.visible_box.toggled.connect(self.visible_changed)
        self.opacity_slider.valueChanged.connect(self._on_opacity)
        self.scaling_combo.currentIndexChanged.connect(self._on_scaling)
        self.threshold_slider.valueChanged.connect(self._on_threshold)
        self.set_cursor_value(None)
        self.set_opacity(0.5)
        self.set_threshold(0.0)

    def _percent(self, name: str) -> tuple[QSlider, QLabel, QHBoxLayout]:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setObjectName(name)
        slider.setRange(0, 100)
        slider.setPageStep(10)
        guard_wheel(slider)
        text = QLabel()
        text.setMinimumWidth(self.fontMetrics().horizontalAdvance("100 %") + 8)
        row = QHBoxLayout()
        row.addWidget(slider, 1)
        row.addWidget(text)
        return slider, text, row

    def _build_mask_part(self) -> None:
        column = QVBoxLayout(self._mask_part)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        row = QHBoxLayout()
        column.addLayout(row)
        self.mask_hint = TextLabel()
        self.mask_hint.setObjectName("mask_hint")
        column.addWidget(self.mask_hint)
        self.mask_box = QCheckBox("Tissue &mask")
        self.mask_box.setObjectName("mask_visible")
        self.mask_edit_button = QPushButton("Edit")
        self.mask_edit_button.setCheckable(True)
        self.mask_edit_button.setObjectName("mask_edit")
        self.mask_edit_button.setAccessibleName("Edit the tissue mask")
        self.mask_edit_button.setToolTip("Paint tissue in, or erase it")
        self.mask_reset_button = QPushButton("Find again")
        self.mask_reset_button.setObjectName("mask_reset")
        self.mask_reset_button.setAccessibleName("Find the tissue again, without the edits")
        self.mask_reset_button.setToolTip("Drop the edits and find the tissue again")
        row.addWidget(self.mask_box, 1)
        row.addWidget(self.mask_edit_button)
        row.addWidget(self.mask_reset_button)
        self.mask_box.toggled.connect(self.mask_visible_changed)
        self.mask_edit_button.toggled.connect(self._show_mask_hint)
        self.mask_edit_button.toggled.connect(self.mask_edit_requested)
        self.mask_reset_button.clicked.connect(self.mask_reset_requested)

    def set_runs(
        self, runs: Sequence[tuple[str, str]], maps: Sequence[str], *, withheld: bool = False
    ) -> None:
        """Offer runs as (key, shown label) and maps by their keys in `maps.MAP_STYLES`.

        The current choice is kept where it still exists; `withheld`: maps are there, and kept back. Does not
        emit `map_changed`.
        """
        run, name = self.run_combo.currentData(), self.map_combo.currentData()
        _fill(self.run_combo, runs)
        _fill(self.map_combo, [(key, _quantity(key)) for key in maps])
        self.set_current(run, name)
        self._map_part.setVisible(bool(runs))
        self.empty.set_text("" if runs else WITHHELD if withheld else NO_MAPS)

    def set_current(self, run: str | None, name: str | None) -> None:
        """Choose a run and a map where they are offered. Does not emit `map_changed`."""
        for combo, key in ((self.run_combo, run), (self.map_combo, name)):
            index = combo.findData(key)
            if index >= 0:
                with QSignalBlocker(combo):
                    combo.setCurrentIndex(index)
        self._show_notice()

    def current(self) -> tuple[str, str] | None:
        """Return the chosen run and map, or None where there is none."""
        run, name = self.run_combo.currentData(), self.map_combo.currentData()
        return None if run is None or name is None else (run, name)

    def set_legend(
        self,
        quantity: str,
        unit: str,
        limits: tuple[float, float],
        colour_map: str,
        model: str,
        extend: str = "neither",
        how: str = "",
    ) -> None:
        """Say what the colours mean.

        `extend`: on which sides values lie beyond the scale; `how`: scaling and threshold in words.
        """
        self.quantity.set_text(f"{quantity} ({unit})" + (f", {how}" if how else ""))
        self.model.set_text(model)
        self.legend.set_scale(Scale(limits, colour_map, extend))
        with QSignalBlocker(self.colour_combo):
            if self.colour_combo.findText(colour_map) < 0:
                self.colour_combo.addItem(colour_map)
            self.colour_combo.setCurrentText(colour_map)

    def set_nothing(self, reason: str) -> None:
        """Say why the map that was asked for cannot be shown."""
        self.quantity.set_text(reason)
        self.model.set_text("")
        self.legend.set_scale(None)

    def set_scaling(self, scaling: Scaling) -> None:
        """Show how values become colours. Does not emit."""
        with QSignalBlocker(self.scaling_combo):
            self.scaling_combo.setCurrentIndex(self.scaling_combo.findData(scaling))

    def set_fixed_offered(self, why_not: str) -> None:
        """Offer one scale for all slides of the work list, or say why not."""
        model, index = self.scaling_combo.model(), self.scaling_combo.findData("fixed")
        item = model.item(index) if isinstance(model, QStandardItemModel) else None
        if item is not None:
            text = _capital(SCALING_NAMES["fixed"]) + (f": {why_not}" if why_not else "")
            item.setText(text)
            item.setToolTip(text)
            item.setEnabled(not why_not)

    def set_threshold(self, threshold: float) -> None:
        """Show from which share of the colour scale on patches are shown. Does not emit."""
        with QSignalBlocker(self.threshold_slider):
            self.threshold_slider.setValue(round(threshold * 100))
        self._show_threshold()

    def set_cursor_value(self, value: float | None) -> None:
        """Show the value under the cursor; None: no patch is there."""
        self.legend.set_value(value)
        shown = "no patch" if value is None else f"{value:.3g}".replace("-", "−")
        self.cursor_text.setText(f"At the cursor: {shown}")

    def set_visible(self, visible: bool) -> None:
        """Show whether the map is visible. Does not emit."""
        with QSignalBlocker(self.visible_box):
            self.visible_box.setChecked(visible)

    def set_opacity(self, opacity: float) -> None:
        """Show the opacity, 0 to 1. Does not emit."""
        with QSignalBlocker(self.opacity_slider):
            self.opacity_slider.setValue(round(opacity * 100))
        self._show_opacity()

    def set_mask_available(self, available: bool) -> None:
        """Say whether there is a tissue mask to show and edit."""
        self._mask_part.setVisible(available)

    def set_mask_visible(self, visible: bool) -> None:
        """Show whether the mask is visible. Does not emit."""
        with QSignalBlocker(self.mask_box):
            self.mask_box.setChecked(visible)

    def set_mask_editing(self, editing: bool) -> None:
        """Show whether the mask is being edited. Does not emit."""
        with QSignalBlocker(self.mask_edit_button):
            self.mask_edit_button.setChecked(editing)
        self._show_mask_hint()

    def _on_map(self, _index: int) -> None:
        self._show_notice()
        current = self.current()
        if current is not None:
            self.map_changed.emit(*current)

    def _on_opacity(self, _value: int) -> None:
        self._show_opacity()
        self.opacity_changed.emit(self.opacity_slider.value() / 100)

    def _on_scaling(self, _index: int) -> None:
        self.scaling_changed.emit(self.scaling_combo.currentData())

    def _on_threshold(self, _value: int) -> None:
        self._show_threshold()
        self.threshold_changed.emit(self.threshold_slider.value() / 100)

    def _show_threshold(self) -> None:
        value = self.threshold_slider.value()
        self.threshold_text.setText(f"{value} %" if value else "all")

    def _show_opacity(self) -> None:
        self.opacity_text.setText(f"{self.opacity_slider.value()} %")

    def _show_mask_hint(self) -> None:
        self.mask_hint.set_text(MASK_HINT if self.mask_edit_button.isChecked() else "")

    def _show_notice(self) -> None:
        name = self.map_combo.currentData() or ""
        is_attention = name.startswith("attention")
        self.notice.set_text(f"{ATTENTION_NOTICE} {RESEARCH_NOTICE}" if is_attention else RESEARCH_NOTICE)


def _quantity(name: str) -> str:
    return _capital(MAP_STYLES[name].quantity)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _fill(combo: QComboBox, items: Sequence[tuple[str, str]]) -> None:
    with QSignalBlocker(combo):
        combo.clear()
        for key, text in items:
            combo.addItem(text, key)
            combo.setItemData(combo.count() - 1, text, Qt.ItemDataRole.ToolTipRole)


def _combo(name: str, accessible: str) -> QComboBox:
    combo = named_combo(name, accessible, least_letters=12)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    leave_keys(combo)
    return combo
