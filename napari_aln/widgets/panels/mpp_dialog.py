"""Asks for the µm/px of a slide whose file does not state it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QWidget

from napari_aln.geometry import MPP_LIMITS_UM
from napari_aln.widgets.panels.labels import TextLabel
from napari_aln.widgets.panels.question import Question

if TYPE_CHECKING:
    from collections.abc import Sequence

EXPLANATION = (
    "The program needs the size of a pixel in micrometres (µm/px) and never guesses it."
    " Without it the slide can be viewed, but nothing is predicted or measured."
)
WHERE_TO_FIND = (
    "You find it in the scanner's protocol or in the description of the data set."
    " It is remembered for this slide."
)


class MppDialog(Question):
    """Show it with ``open()``. Emits `mpp_given` when a possible value was confirmed.

    Parameters
    ----------
    name
        The slide's shown name or alias.
    facts
        What is known of the slide, one line each: its size, the objective power its file states.
    """

    mpp_given = Signal(float)

    def __init__(self, name: str, facts: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__("mpp_dialog", "µm/px of this slide", "&Use this value", parent)
        layout = self.content
        layout.addWidget(TextLabel(f"{name} does not state its µm/px.", bold=True))
        layout.addWidget(TextLabel("\n".join(facts)))
        layout.addWidget(TextLabel(EXPLANATION))
        layout.addWidget(TextLabel(WHERE_TO_FIND))
        self.line = QLineEdit()
        self.line.setObjectName("mpp_value")
        self.line.setAccessibleName("µm/px")
        self.line.setMaximumWidth(120)
        label = QLabel("Size of a &pixel")
        label.setBuddy(self.line)
        row = QHBoxLayout()
        for part in (label, self.line, QLabel("µm/px")):
            row.addWidget(part)
        row.addStretch()
        layout.addLayout(row)
        self.problem = TextLabel()
        self.problem.setObjectName("mpp_problem")
        layout.addWidget(self.problem)
        layout.addStretch(1)
        self.line.textChanged.connect(self._on_text)
        self._on_text("")
        self.line.setFocus()

    def accept(self) -> None:
        """Hand the value up and close; without a possible value, stay open."""
        mpp = possible_mpp(self.line.text())
        if mpp is None:
            return
        super().accept()
        self.mpp_given.emit(mpp)

    def _on_text(self, text: str) -> None:
        possible = possible_mpp(text) is not None
        self.ok_button.setEnabled(possible)
        low, high = MPP_LIMITS_UM
        wrong = bool(text.strip()) and not possible
        self.problem.set_text(f"Give one number from {low:g} to {high:g} µm/px." if wrong else "")


def possible_mpp(text: str) -> float | None:
    """Read a µm/px as it was typed, with point or comma; None where it is no number or impossible."""
    try:
        mpp = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    low, high = MPP_LIMITS_UM
    return mpp if math.isfinite(mpp) and low <= mpp <= high else None
