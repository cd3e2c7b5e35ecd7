"""Magnification at a click, and the way back to the whole slide."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QToolButton, QWidget

POWERS = (5, 10, 20, 40)


class Navigation(QWidget):
    """Asks for a magnification, the whole slide, or help."""

    magnify_requested = Signal(float)
    fit_requested = Signal()
    help_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        self.power_buttons: list[QPushButton] = []
        for number, power in enumerate(POWERS, 1):
            button = QPushButton(f"{power}x")
            button.setObjectName(f"magnify_{power}")
            button.setToolTip(f"As through a {power}x objective: {10 / power:g} µm on a pixel (Alt+{number})")
            button.clicked.connect(partial(self.magnify_requested.emit, float(power)))
            row.addWidget(button, 1)
            self.power_buttons.append(button)
        self.fit_button = QPushButton("Whole slide")
        self.fit_button.setObjectName("magnify_fit")
        self.fit_button.setToolTip("Show the whole slide (Alt+0)")
        self.fit_button.clicked.connect(self.fit_requested)
        row.addWidget(self.fit_button, 2)
        self.help_button = QToolButton()
        self.help_button.setText("?")
        self.help_button.setObjectName("show_help")
        self.help_button.setAccessibleName("All keys")
        self.help_button.setToolTip("All keys (Alt+H)")
        self.help_button.clicked.connect(self.help_requested)
        row.addWidget(self.help_button)
        self.set_ready(slide_open=False, scaled=False)

    def set_ready(self, *, slide_open: bool, scaled: bool) -> None:
        """Say whether there is a slide, and whether its µm/px is known."""
        self.fit_button.setEnabled(slide_open)
        for button in self.power_buttons:
            button.setEnabled(slide_open and scaled)
