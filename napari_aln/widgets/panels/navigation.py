"""Where the view is and how it is magnified: an overview, buttons, and the way back to the whole slide."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_aln.widgets.panels.labels import TextLabel, show_if
from napari_aln.widgets.panels.overview_map import OverviewMap

POWERS = (5, 10, 20, 40)
SIDE_DOCKS = {
    "gallery": ("Gallery", "Patches of highest and lowest value, at full resolution (Shift+G)"),
    "nuclei": ("Nuclei", "Find nuclei, colour and measure them (Shift+K)"),
    "work_list": ("Work list", "Slides to be read, one after another (Shift+W)"),
}
"""Docks that open beside the slide: name -> button and tooltip."""


class Navigation(QWidget):
    """Asks for a place, a magnification, the whole slide, napari's layers, the measure tool, or help."""

    magnify_requested = Signal(float)
    fit_requested = Signal()
    layers_toggled = Signal(bool)
    side_dock_toggled = Signal(str, bool)  # a key of `SIDE_DOCKS`
    measure_toggled = Signal(bool)
    measure_cleared = Signal()
    help_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.overview = OverviewMap()
        powers, tools, docks = rows = [QHBoxLayout() for _ in range(3)]
        self.power_buttons: list[QPushButton] = []
        for number, power in enumerate(POWERS, 1):
            button = QPushButton(f"{power}x")
            button.setObjectName(f"magnify_{power}")
            button.setMinimumWidth(20)
            button.setToolTip(f"As through a {power}x objective: {10 / power:g} µm on a pixel (Alt+{number})")
            button.clicked.connect(partial(self.magnify_requested.emit, float(power)))
            powers.addWidget(button, 1)
            self.power_buttons.append(button)
        self.fit_button = QPushButton("Whole slide")
        self.fit_button.setObjectName("magnify_fit")
        self.fit_button.setToolTip("Show the whole slide (Alt+0)")
        self.fit_button.clicked.connect(self.fit_requested)
        self.layers_button = QPushButton("Layers")
        self.layers_button.setObjectName("show_layers")
        self.layers_button.setCheckable(True)
        self.layers_button.setToolTip("Show or hide napari's layer list and tools (F2)")
        self.layers_button.toggled.connect(self.layers_toggled)
        self.help_button = QPushButton("? Keys")
        self.help_button.setObjectName("show_help")
        self.help_button.setAccessibleName("All keys")
        self.help_button.setToolTip("All keys (F1)")
        self.help_button.clicked.connect(self.help_requested)
        self.measure_button = QPushButton("Measure")
        self.measure_button.setObjectName("measure")
        self.measure_button.setCheckable(True)
        self.measure_button.setToolTip("Drag a line on the slide to see its length; Esc ends it (Shift+M)")
        self.measure_button.toggled.connect(self.measure_toggled)
        for button in (self.fit_button, self.layers_button, self.measure_button):
            tools.addWidget(button, len(button.text()))  # the longer text gets the wider button
        self.side_buttons: dict[str, QPushButton] = {}
        for name, (title, tip) in SIDE_DOCKS.items():
            side_button = QPushButton(title)
            side_button.setObjectName(f"show_{name}")
            side_button.setCheckable(True)
            side_button.setToolTip(tip)
            side_button.toggled.connect(partial(self.side_dock_toggled.emit, name))
            docks.addWidget(side_button, len(title))
            self.side_buttons[name] = side_button
        docks.addWidget(self.help_button, len(self.help_button.text()))
        self.zoom_text = QLabel()
        self.zoom_text.setObjectName("magnification")
        self.measured_text = TextLabel(bold=True)
        self.measured_text.setObjectName("measured")
        self.measure_clear = QPushButton("Clear")
        self.measure_clear.setObjectName("measure_clear")
        self.measure_clear.setAccessibleName("Clear the measured line")
        self.measure_clear.setMinimumWidth(20)
        self.measure_clear.clicked.connect(self.measure_cleared)
        measured = QHBoxLayout()
        measured.addWidget(self.measured_text, 1)
        measured.addWidget(self.measure_clear)
        buttons = QVBoxLayout()
        buttons.setSpacing(4)
        for line in rows:
            line.setSpacing(4)
            buttons.addLayout(line)
        buttons.addWidget(self.zoom_text)
        buttons.addLayout(measured)
        buttons.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 4, 4, 0)
        row.setSpacing(8)
        row.addWidget(self.overview, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(buttons, 1)
        self.overview.set_picture(None)
        self.set_power(None)
        self.set_measured(on=False, text="")
        self.set_ready(slide_open=False, scaled=False)

    def set_ready(self, *, slide_open: bool, scaled: bool) -> None:
        """Say whether there is a slide, and whether its µm/px is known."""
        for part in (self.fit_button, self.measure_button):
            part.setEnabled(slide_open)
        for button in self.power_buttons:
            button.setEnabled(slide_open and scaled)

    def set_power(self, power: float | None, hotspot: str = "") -> None:
        """Say what objective the view looks through; None: that is not known. And at which hotspot."""
        now = "" if power is None else f"Now {power:.2g}x"
        self.zoom_text.setText(f"{now} · {hotspot}" if hotspot else now)
        show_if(self.zoom_text, bool(self.zoom_text.text()))
        self.zoom_text.setToolTip("" if power is None else f"{10 / power:.2g} µm on a pixel of the screen")

    def set_measured(self, *, on: bool, text: str) -> None:
        """Show whether the measure tool is in hand, and what was measured. Does not emit."""
        with QSignalBlocker(self.measure_button):
            self.measure_button.setChecked(on)
        self.measured_text.set_text(text)
        show_if(self.measure_clear, bool(text))

    def set_layers_shown(self, shown: bool) -> None:
        """Show whether napari's layer list is open. Does not emit."""
        with QSignalBlocker(self.layers_button):
            self.layers_button.setChecked(shown)

    def set_side_dock_shown(self, name: str, shown: bool) -> None:
        """Show whether a side dock is in view. Does not emit."""
        button = self.side_buttons.get(name)  # not all have one here
        if button is not None:
            with QSignalBlocker(button):
                button.setChecked(shown)
