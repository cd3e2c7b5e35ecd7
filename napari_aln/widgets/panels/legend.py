"""The numeric legend of a map, with the value under the cursor."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPaintEvent, QPalette, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

BAR_HEIGHT = 16
MARKER_HEIGHT = 8
TICK_LENGTH = 4
END_WIDTH = 10  # of the triangle that stands for values beyond the scale
SIDE_MARGIN = 14
MOST_TICKS = 5
N_COLOURS = 256


class Scale(NamedTuple):
    """What the bar shows."""

    limits: tuple[float, float]
    colour_map: str
    extend: str  # "neither", "min", "max" or "both": on which sides values lie beyond the scale


class Legend(QWidget):
    """A horizontal colour bar with ticks and a marker; colours by name from matplotlib."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("map_legend")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._scale: Scale | None = None
        self._colours: QImage | None = None
        self._value: float | None = None

    def set_scale(self, scale: Scale | None) -> None:
        """Show a scale; None: no map."""
        if scale == self._scale:
            return
        self._scale = scale
        self._colours = None if scale is None else colour_strip(scale.colour_map)
        self._describe()

    def set_value(self, value: float | None) -> None:
        """Mark the value under the cursor; None or not finite: there is none."""
        self._value = value if value is not None and math.isfinite(value) else None
        self._describe()

    def marker_x(self) -> float | None:
        """Return where the marker stands, in pixels of this widget; None where there is none."""
        if self._scale is None or self._value is None:
            return None
        return self._x(self._value, self._scale)

    def sizeHint(self) -> QSize:
        """Return room for marker, bar and numbers."""
        text = self.fontMetrics().height()
        return QSize(280, MARKER_HEIGHT + BAR_HEIGHT + TICK_LENGTH + text + 4)

    def minimumSizeHint(self) -> QSize:
        """Return the same height, narrower."""
        return QSize(160, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw bar, ends, ticks and marker in the theme's ink."""
        if self._scale is None or self._colours is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        bar = self._bar()
        painter.drawImage(bar, self._colours)
        self._paint_ends(painter, bar, self._colours, self._scale.extend)
        painter.setPen(ink)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(bar)
        self._paint_ticks(painter, bar, self._scale)
        x = self.marker_x()
        if x is not None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ink)
            painter.drawPolygon(_triangle(x, bar.top(), 5, -MARKER_HEIGHT))
        painter.end()

    def _paint_ends(self, painter: QPainter, bar: QRectF, colours: QImage, extend: str) -> None:
        ends = (("min", bar.left(), -END_WIDTH, 0), ("max", bar.right(), END_WIDTH, N_COLOURS - 1))
        painter.setPen(Qt.PenStyle.NoPen)
        for side, x, width, index in ends:
            if extend in (side, "both"):
                tip = QPointF(x + width, bar.center().y())
                painter.setBrush(colours.pixelColor(index, 0))
                painter.drawPolygon(QPolygonF([QPointF(x, bar.top()), tip, QPointF(x, bar.bottom())]))

    def _paint_ticks(self, painter: QPainter, bar: QRectF, scale: Scale) -> None:
        metrics = painter.fontMetrics()
        free_from = -math.inf
        for value, text in nice_ticks(scale.limits):
            x = self._x(value, scale)
            painter.drawLine(QPointF(x, bar.bottom()), QPointF(x, bar.bottom() + TICK_LENGTH))
            width = metrics.horizontalAdvance(text)
            left = min(max(x - width / 2, 0.0), self.width() - width)
            if left < free_from:
                continue  # a narrow dock: the tick stays, its number would overlap
            top = bar.bottom() + TICK_LENGTH + 1
            box = QRectF(left, top, width + 1, metrics.height())
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
            free_from = left + width + metrics.averageCharWidth()

    def _bar(self) -> QRectF:
        return QRectF(SIDE_MARGIN, MARKER_HEIGHT, self.width() - 2 * SIDE_MARGIN, BAR_HEIGHT)

    def _x(self, value: float, scale: Scale) -> float:
        """Return where a value stands; beyond the scale, at its end."""
        low, high = scale.limits
        share = (value - low) / (high - low)
        bar = self._bar()
        return float(bar.left() + min(max(share, 0.0), 1.0) * bar.width())

    def _describe(self) -> None:
        if self._scale is None:
            text = "No map"
        else:
            low, high = self._scale.limits
            under = "" if self._value is None else f", {self._value:.4g} under the cursor"
            text = f"Legend from {low:.4g} to {high:.4g}{under}"
        self.setAccessibleName(text)
        self.update()


def colour_strip(name: str) -> QImage:
    """Return a colour map as a strip of `N_COLOURS` x 1 pixels."""
    import matplotlib  # heavy, and not needed before the first map

    rgba = matplotlib.colormaps[name](np.linspace(0, 1, N_COLOURS), bytes=True)[np.newaxis]  # (1, n, 4) uint8
    rgba = np.ascontiguousarray(rgba)
    picture = QImage(rgba.data, N_COLOURS, 1, 4 * N_COLOURS, QImage.Format.Format_RGBA8888)
    return picture.copy()  # owns its pixels


def nice_ticks(limits: tuple[float, float]) -> list[tuple[float, str]]:
    """Return round values inside the limits, with their texts at one number of decimals."""
    from matplotlib.ticker import MaxNLocator

    low, high = limits
    values = MaxNLocator(nbins=MOST_TICKS, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    inside = [float(value) for value in values if low - slack <= value <= high + slack]
    step = values[1] - values[0]
    decimals = next((n for n in range(8) if abs(round(step, n) - step) < 1e-6 * step), 8)
    return [(value, f"{value + 0.0:.{decimals}f}".replace("-", "−")) for value in inside]


def _triangle(x: float, tip_y: float, half_width: float, height: float) -> QPolygonF:
    base = tip_y + height
    return QPolygonF([QPointF(x, tip_y), QPointF(x - half_width, base), QPointF(x + half_width, base)])
