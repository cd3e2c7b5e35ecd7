"""Combo boxes of panels, which may get narrower than their entries."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox

from napari_aln.widgets.panels.wheel import guard_wheel


def named_combo(name: str, accessible: str, tip: str = "", *, least_letters: int = 8) -> QComboBox:
    """Return an empty box with its names, as wide as so many letters at least."""
    combo = QComboBox()
    combo.setObjectName(name)
    combo.setAccessibleName(accessible)
    combo.setToolTip(tip)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(least_letters)
    guard_wheel(combo)
    return combo
