"""What the colours of nuclei show: measure, colour map, opacity and legend."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_aln.widgets.panels.combo import named_combo
from napari_aln.widgets.panels.labels import TextLabel
from napari_aln.widgets.panels.legend import Legend, Scale
from napari_aln.widgets.panels.map_panel import COLOUR_MAPS
from napari_aln.widgets.panels.wheel import guard_wheel, leave_keys
from napari_aln.workflows.nuclei.view import NUCLEUS_STYLES

COLOUR_CHOICES = COLOUR_MAPS[:-1]  # the last is for signed maps


class NucleusColours(QWidget):
    """Asks for what nuclei are coloured by, and how; shows the legend."""

    feature_changed = Signal(str)  # a key of `NUCLEUS_STYLES`
    colour_map_changed = Signal(str)
    visible_changed = Signal(bool)
    opacity_changed = Signal(float)  # 0 to 1

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.quantity = TextLabel(bold=True)
        self.quantity.setObjectName("nuclei_quantity")
        self.legend = Legend()
        self.legend.setObjectName("nuclei_legend")
        self.cursor_text = QLabel()
        self.cursor_text.setTextFormat(Qt.TextFormat.PlainText)
        self.cursor_text.setObjectName("nuclei_cursor_value")
        for part in (self.quantity, self.legend, self.cursor_text):
            column.addWidget(part)
        grid = QGridLayout()
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(1, 1)
        column.addLayout(grid)
        self.feature_combo = named_combo("nuclei_feature", "Colour nuclei by", "What colours show")
        leave_keys(self.feature_combo)
        for name, style in NUCLEUS_STYLES.items():
            self.feature_combo.addItem(style.quantity.capitalize(), name)
            tip = f"{style.quantity} ({style.unit})"
            self.feature_combo.setItemData(self.feature_combo.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.colour_combo = named_combo("nuclei_colours", "Colours of nuclei", "Colour map")
        leave_keys(self.colour_combo)
        self.colour_combo.addItems(COLOUR_CHOICES)
        self.visible_box = QCheckBox("Show")
        self.visible_box.setObjectName("nuclei_visible")
        self.visible_box.setAccessibleName("Show nuclei on the slide")
        self.visible_box.setToolTip("Show nuclei on the slide (Shift+O)")
        self.visible_box.setChecked(True)
        self.opacity_slider = QSlider(Qt.Orientation.Horizontal)
        self.opacity_slider.setObjectName("nuclei_opacity")
        self.opacity_slider.setAccessibleName("Opacity of nuclei in per cent")
        self.opacity_slider.setToolTip("How much nuclei cover the slide")
        self.opacity_slider.setRange(0, 100)
        self.opacity_slider.setPageStep(10)
        self.opacity_slider.setValue(100)
        guard_wheel(self.opacity_slider)
        for number, (left, right) in enumerate(
            (
                (QLabel("Colour by"), self.feature_combo),
                (QLabel("Colours"), self.colour_combo),
                (self.visible_box, self.opacity_slider),
            )
        ):
            grid.addWidget(left, number, 0)
            grid.addWidget(right, number, 1)
        self.feature_combo.currentIndexChanged.connect(self._on_feature)
        self.colour_combo.currentTextChanged.connect(self.colour_map_changed)
        self.visible_box.toggled.connect(self.visible_changed)
        self.opacity_slider.valueChanged.connect(self._on_opacity)

    @property
    def feature(self) -> str:
        """What nuclei are coloured by."""
        return str(self.feature_combo.currentData())

    @property
    def colour_map(self) -> str:
        """The colours to use: those chosen, but for features that have colours of their own."""
        style = NUCLEUS_STYLES[self.feature]
        return style.colour_map if style.limits else self.colour_combo.currentText()

    def set_legend(self, limits: tuple[float, float] | None, how: str) -> None:
        """Say what the colours mean; None: outlines have one colour. `how`: what one colour is of."""
        style = NUCLEUS_STYLES[self.feature]
        self.quantity.set_text(f"{style.quantity.capitalize()} ({style.unit}){how}")
        extend = "neither" if style.limits else "max" if limits and limits[0] == 0 else "both"
        self.legend.set_scale(None if limits is None else Scale(limits, self.colour_map, extend))
        self.legend.setVisible(limits is not None)
        self.colour_combo.setEnabled(style.limits is None)

    def set_cursor(self, value: float | None, text: str) -> None:
        """Mark the value under the cursor in the legend, and say it in words."""
        self.legend.set_value(value)
        self.cursor_text.setText(text)

    def _on_feature(self, _index: int) -> None:
        self.feature_changed.emit(self.feature)

    def _on_opacity(self, value: int) -> None:
        self.opacity_changed.emit(value / 100)
