"""Labels that wrap anywhere, and frames that catch the eye in any theme."""

from __future__ import annotations

import re

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QWidget

LONGEST_UNBROKEN = 12
UM_PER_MM = 1000
ZERO_WIDTH_SPACE = "\u200b"
NARROW_SPACE = "\u202f"  # does not break
WARNING_COLOUR = "#d08700"  # both stand out on napari's light and dark backgrounds
ERROR_COLOUR = "#d13438"
INFO_COLOUR = "#4563c4"


def breakable(text: str) -> str:
    """Let long words, such as file names, wrap: after separators, or where nothing else helps, anywhere."""

    def broken(match: re.Match[str]) -> str:
        parts = re.split(r"(?<=[-_./\\,;:+])", match[0])
        pieces = [part[i : i + 8] for part in parts for i in range(0, len(part), 8)]
        return ZERO_WIDTH_SPACE.join(pieces)

    return re.sub(rf"\S{{{LONGEST_UNBROKEN + 1},}}", broken, text)


def count(number: int) -> str:
    """Return a number with narrow spaces between thousands."""
    return f"{number:,}".replace(",", NARROW_SPACE)


def length_text(um: float) -> str:
    """Return a length: micrometres below one millimetre, millimetres from there on."""
    if round(um) >= UM_PER_MM:
        return f"{um / UM_PER_MM:.2f} mm"
    return f"{um:.1f} µm" if round(um, 1) < 100 else f"{um:.0f} µm"


def show_if(widget: QWidget, wanted: bool) -> None:
    """Show or hide a part of a panel; without a parent it would open a window, so it waits for one."""
    if wanted and widget.parent() is None:
        widget.setAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide, False)
    else:
        widget.setVisible(wanted)


class TextLabel(QLabel):
    """Plain text that wraps, long words too; never read as rich text, whatever a file name holds."""

    def __init__(self, text: str = "", *, bold: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        if bold:
            self.setStyleSheet("font-weight: bold;")
        self.set_text(text)

    def set_text(self, text: str) -> None:
        """Show a text; none hides the label."""
        if text == getattr(self, "_text", None):
            return  # a label that gets a text lays its panel out anew
        self._text = text
        self.setText(breakable(text))
        self.setAccessibleName(text)
        show_if(self, bool(text))

    def shown_text(self) -> str:
        """Return the text as it was given."""
        return self._text


class StripedFrame(QFrame):
    """A frame with a coloured stripe at its left, for what must not be overlooked."""

    def __init__(self, colour: str = WARNING_COLOUR, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("foreground", "true")  # napari's raised background
        self._stripe = QFrame()
        self._stripe.setFixedWidth(4)
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(0, 0, 4, 0)
        self.row.addWidget(self._stripe)
        self.set_colour(colour)

    def set_colour(self, colour: str) -> None:
        """Recolour the stripe."""
        self._stripe.setStyleSheet(f"background-color: {colour};")


class WarningNote(StripedFrame):
    """One warning, with its stripe."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(WARNING_COLOUR, parent)
        self.label = TextLabel()
        self.row.addWidget(self.label, 1)
        self.set_text(text)

    def set_text(self, text: str) -> None:
        """Show a warning; none hides the note."""
        self.label.set_text(text)
        show_if(self, bool(text))
