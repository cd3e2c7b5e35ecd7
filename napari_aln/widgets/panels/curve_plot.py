"""Curves over the epochs of a training, drawn in the theme's ink: one scale, a few lines, the kept epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_aln.widgets.panels.legend import nice_ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

MARGIN = 6
LINE_WIDTH = 1.8
DOT = 3.0
FEWEST_PX = 120
FAINT = 70  # alpha of the grid
# Told apart by people who see colours differently, and by their dashes; seen on dark and on light ground.
COLOURS = ("#4d8fe0", "#d9822b")
DASHES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine)
LEAST_SPAN = 0.02


class Curve(NamedTuple):
    """One line.

    Attributes
    ----------
    name
        In the legend.
    values
        One an epoch; NaN leaves a gap.
    """

    name: str
    values: tuple[float, ...]


class CurvePlot(QWidget):
    """Lines over epochs 1, 2, …; the values of an epoch stand under the cursor.

    Parameters
    ----------
    name
        Object name.
    title
        What is drawn, with its unit.
    limits
        Of the values where they are fixed, such as 0 to 1; None: as they come.
    """

    def __init__(
        self, name: str, title: str, limits: tuple[float, float] | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._title, self._fixed = title, limits
        self._curves: tuple[Curve, ...] = ()
        self._best: int | None = None
        self.set_curves((), None)

    def set_curves(self, curves: Sequence[Curve], best: int | None) -> None:
        """Show lines of the same number of epochs; `best` is the index of the epoch that is kept so far."""
        self._curves, self._best = tuple(curves), best
        self._ticks = nice_ticks(self._limits())  # loads what must not be loaded while painting
        self.setAccessibleName(self._told())
        self.update()

    @property
    def n_epochs(self) -> int:
        """How many epochs are drawn."""
        return max((len(curve.values) for curve in self._curves), default=0)

    def sizeHint(self) -> QSize:
        """Return room for a small plot."""
        return QSize(300, FEWEST_PX + 30)

    def minimumSizeHint(self) -> QSize:
        """Return what can still be read."""
        return QSize(180, FEWEST_PX)

    def text_at(self, epoch: int) -> str:
        """Return the values of an epoch, counted from 1, in words."""
        parts = [f"Epoch {epoch}" + (", kept" if self._best == epoch - 1 else "")]
        for curve in self._curves:
            value = curve.values[epoch - 1] if epoch <= len(curve.values) else math.nan
            parts.append(f"{curve.name} " + ("not defined" if math.isnan(value) else f"{value:.3f}"))
        return "\n".join(parts)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say the values of the epoch under the cursor."""
        if self.n_epochs:
            room, x = self._room(), event.position().x()
            share = (x - room.left()) / room.width() if room.width() > 0 else 0
            epoch = 1 + round(share * max(self.n_epochs - 1, 1))
            QToolTip.showText(
                event.globalPosition().toPoint(), self.text_at(min(max(epoch, 1), self.n_epochs)), self
            )

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw title, legend, scale, lines and the kept epoch."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint(painter)

    def _paint(self, painter: QPainter) -> None:
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        self._paint_head(painter, ink)
        room, limits = self._room(), self._limits()
        self._paint_scale(painter, ink, room, limits)
        if not self.n_epochs:
            painter.setPen(ink)
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter, "No epoch yet")
        painter.setClipRect(room.adjusted(-DOT, -DOT, DOT, DOT))
        for number, curve in enumerate(self._curves):
            self._paint_curve(painter, number, curve, room, limits)
        painter.setClipping(False)
        self._paint_best(painter, ink, room)

    def _paint_head(self, painter: QPainter, ink: QColor) -> None:
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(ink)
        line = painter.fontMetrics().height()
        painter.drawText(QPointF(MARGIN, line), self._title)
        x = float(self.width() - MARGIN)
        font.setBold(False)
        painter.setFont(font)
        for number, curve in reversed(list(enumerate(self._curves))):
            x -= painter.fontMetrics().horizontalAdvance(curve.name)
            painter.setPen(ink)
            painter.drawText(QPointF(x, line), curve.name)
            painter.setPen(_pen(number))
            painter.drawLine(QPointF(x - 24, line * 0.68), QPointF(x - 5, line * 0.68))
            x -= 36

    def _paint_scale(self, painter: QPainter, ink: QColor, room: QRectF, limits: tuple[float, float]) -> None:
        faint = QColor(ink)
        faint.setAlpha(FAINT)
        metrics = painter.fontMetrics()
        for value, text in self._ticks:
            y = self._y(value, room, limits)
            painter.setPen(faint)
            painter.drawLine(QPointF(room.left(), y), QPointF(room.right(), y))
            painter.setPen(ink)
            box = QRectF(0, y - metrics.height() / 2, room.left() - 5, metrics.height())
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text)
        if not self.n_epochs:
            return
        painter.setPen(ink)
        bottom, height = room.bottom() + 3, metrics.height()
        ends = QRectF(room.left(), bottom, room.width(), height)
        painter.drawText(ends, Qt.AlignmentFlag.AlignLeft, "epoch 1")
        if self.n_epochs > 1:
            painter.drawText(ends, Qt.AlignmentFlag.AlignRight, str(self.n_epochs))

    def _paint_curve(
        self, painter: QPainter, number: int, curve: Curve, room: QRectF, limits: tuple[float, float]
    ) -> None:
        pen = _pen(number)
        stretches: list[list[QPointF]] = [[]]
        for index, value in enumerate(curve.values):
            if math.isnan(value):
                stretches.append([])
            else:
                stretches[-1].append(QPointF(self._x(index, room), self._y(value, room, limits)))
        for points in stretches:
            painter.setPen(pen)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            if len(points) > 1:
                painter.drawPolyline(QPolygonF(points))
            elif points:  # one epoch is no line
                painter.setBrush(pen.color())
                painter.drawEllipse(points[0], DOT, DOT)

    def _paint_best(self, painter: QPainter, ink: QColor, room: QRectF) -> None:
        if self._best is None or not self.n_epochs:
            return
        x = self._x(self._best, room)
        painter.setPen(QPen(ink, 1.0, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(x, room.top()), QPointF(x, room.bottom()))
        text = f"kept: {self._best + 1}"
        width = painter.fontMetrics().horizontalAdvance(text)
        left = x - width / 2
        ends = painter.fontMetrics().horizontalAdvance("epoch 1  ")
        last = painter.fontMetrics().horizontalAdvance(f"  {self.n_epochs}")
        # Between the numbers of the first and the last epoch, where there is room for it.
        left = min(max(left, room.left() + ends), room.right() - last - width)
        if left >= room.left() + ends:
            painter.setPen(ink)
            painter.drawText(QPointF(left, room.bottom() + 3 + painter.fontMetrics().ascent()), text)

    def _room(self) -> QRectF:
        line = self.fontMetrics().height()
        left = MARGIN + self.fontMetrics().horizontalAdvance("0.000") + 5
        top = 1.9 * line
        return QRectF(left, top, self.width() - left - MARGIN - 2, self.height() - top - line - MARGIN)

    def _limits(self) -> tuple[float, float]:
        if self._fixed is not None:
            return self._fixed
        known = [v for curve in self._curves for v in curve.values if math.isfinite(v)]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        spare = max(high - low, LEAST_SPAN) * 0.06
        return low - spare, high + spare

    def _x(self, index: int, room: QRectF) -> float:
        if self.n_epochs < 2:
            return float(room.center().x())
        return float(room.left() + index / (self.n_epochs - 1) * room.width())

    @staticmethod
    def _y(value: float, room: QRectF, limits: tuple[float, float]) -> float:
        low, high = limits
        return float(room.bottom() - (value - low) / (high - low) * room.height())

    def _told(self) -> str:
        if not self.n_epochs:
            return f"{self._title}: no epoch yet"
        return f"{self._title}. " + self.text_at(self.n_epochs).replace("\n", ", ")


def _pen(number: int) -> QPen:
    pen = QPen(QColor(COLOURS[number % len(COLOURS)]), LINE_WIDTH, DASHES[number % len(DASHES)])
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    return pen
