import pytest
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_aln.widgets.panels.hint_line import HintLine

THEMES = {"dark": ("#424a54", "#f0f1f2"), "light": ("#c5c3c1", "#1e1e21")}
"""Behind and of a line's text, in napari's themes."""


def luminance(colour: QColor) -> float:
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.getRgbF()[:3]]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def over(colour: QColor, behind: QColor) -> QColor:
    share = colour.alphaF()
    pairs = zip(colour.getRgbF()[:3], behind.getRgbF()[:3], strict=True)
    return QColor.fromRgbF(*(share * c + (1 - share) * b for c, b in pairs))


@pytest.mark.parametrize("first", THEMES)
def test_the_hint_can_be_read_on_each_theme_and_after_a_change(qtbot, first):
    window = QWidget()
    line = HintLine("unknown")
    QVBoxLayout(window).addWidget(line)
    qtbot.addWidget(window)
    window.show()
    for theme in (first, *(other for other in THEMES if other != first), first):
        behind, text = (QColor(name) for name in THEMES[theme])
        window.setStyleSheet(f"QLineEdit {{ background-color: {behind.name()}; color: {text.name()}; }}")
        hint = over(line.palette().color(QPalette.ColorRole.PlaceholderText), behind)
        low, high = sorted((luminance(hint), luminance(behind)))
        assert (high + 0.05) / (low + 0.05) > 4.5, theme
    assert line.placeholderText() == "unknown"
