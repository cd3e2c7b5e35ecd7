"""Nucleus features of a slide beside a cohort's: weight as a bar, groups as boxes, the slide's own value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_aln.widgets.panels.curve_plot import COLOURS, FAINT

if TYPE_CHECKING:
    from collections.abc import Sequence

MARGIN = 6
BAR_SHARE = 0.36  # of the width that is left to the weights
LINES = 2.9  # of text, that a feature takes
GAP = 14


class Group(NamedTuple):
    """One group of patients: smallest and largest value, quartiles."""

    least: float
    low: float
    median: float
    high: float
    most: float


class FeatureRow(NamedTuple):
    """One feature.

    Attributes
    ----------
    title, unit
        Unit empty: none.
    weight, mean_weight
        Of the slide (None: no slide is shown), and of the cohort.
    value
        Of the slide; NaN or None: not known.
    groups
        N0 and N(+).
    note
        At the right, such as its p.
    """

    title: str
    unit: str
    weight: float | None
    mean_weight: float
    value: float | None
    groups: tuple[Group, Group]
    note: str


class FeaturePlot(QWidget):
    """Draws features one below the other; the numbers of one stand under the cursor.

    Parameters
    ----------
    name
        Object name.
    labels
        Names of both groups.
    """

    def __init__(self, name: str, labels: tuple[str, str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._labels = labels
        self._rows: tuple[FeatureRow, ...] = ()
        self.set_rows(())

    def set_rows(self, rows: Sequence[FeatureRow]) -> None:
        """Show features."""
        self._rows = tuple(rows)
        self.setAccessibleName(
            "\n".join(self.text_of(row) for row in self._rows) or "No features to be shown yet"
        )
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Return room for all features."""
        return QSize(320, self.minimumSizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """Return what can still be read."""
        return QSize(240, math.ceil(self._head() + len(self._rows) * self._row_height() + MARGIN))

    def text_of(self, row: FeatureRow) -> str:
        """Return the numbers of a feature in words."""
        unit = f" {row.unit}" if row.unit else ""
        parts = [row.title]
        if row.value is not None:
            value = "not known" if math.isnan(row.value) else f"{shown(row.value)}{unit}"
            parts.append(f"This slide: {value}, weight {row.weight:.3f}")
        for label, group in zip(self._labels, row.groups, strict=True):
            parts.append(
                f"{label}: median {shown(group.median)}{unit}, quartiles {shown(group.low)} to "
                f"{shown(group.high)}"
            )
        parts.append(f"Mean weight in the cohort {row.mean_weight:.3f}")
        return "\n".join([*parts, row.note] if row.note else parts)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say the numbers of the feature under the cursor."""
        index = int((event.position().y() - self._head()) // self._row_height())
        if 0 <= index < len(self._rows):
            QToolTip.showText(event.globalPosition().toPoint(), self.text_of(self._rows[index]), self)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self.updateGeometry()
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw head and features."""
        if not self._rows:
            return
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            ink = self.palette().color(QPalette.ColorRole.WindowText)
            self._paint_head(painter, ink)
            heaviest = max(max(row.mean_weight, row.weight or 0.0) for row in self._rows)
            for index, row in enumerate(self._rows):
                top = self._head() + index * self._row_height()
                self._paint_row(painter, ink, row, top, heaviest)

    def _head(self) -> float:
        return 2.7 * self.fontMetrics().height()

    def _row_height(self) -> float:
        return LINES * self.fontMetrics().height() + GAP / 2

    def _bars(self) -> tuple[float, float]:
        """Return left and right of the weights' bars."""
        return MARGIN, MARGIN + BAR_SHARE * (self.width() - 2 * MARGIN)

    def _boxes(self) -> tuple[float, float]:
        """Return left and right of the groups' boxes."""
        left = self._bars()[1] + GAP + self.fontMetrics().horizontalAdvance(self._labels[1]) + 4
        return left, self.width() - MARGIN - 4

    def _paint_head(self, painter: QPainter, ink: QColor) -> None:
        line = painter.fontMetrics().height()
        painter.setPen(ink)
        painter.drawText(QPointF(self._bars()[0], line), "Weight")
        painter.drawText(QPointF(self._bars()[1] + GAP, line), "Values of the cohort")
        # The legend of the marks, on the line below.
        x, y = self._bars()[0], 1.9 * line
        painter.setPen(QPen(ink, 1.4, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(x + 3, y - 5), QPointF(x + 3, y + 6))
        faint = QColor(ink)
        faint.setAlpha(190)
        painter.setPen(faint)
        painter.drawText(QPointF(x + 10, y + line * 0.3), "cohort's mean")
        if self._rows[0].value is not None:
            x = self._bars()[1] + GAP
            _marker(painter, ink, x + 4, y, 5.0)
            painter.setPen(faint)
            painter.drawText(QPointF(x + 14, y + line * 0.3), "this slide")

    def _paint_row(
        self, painter: QPainter, ink: QColor, row: FeatureRow, top: float, heaviest: float
    ) -> None:
        metrics = painter.fontMetrics()
        line = metrics.height()
        faint = QColor(ink)
        faint.setAlpha(FAINT)
        painter.setPen(faint)
        painter.drawLine(QPointF(MARGIN, top), QPointF(self.width() - MARGIN, top))
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(ink)
        title = row.title + (f" ({row.unit})" if row.unit else "")
        note = metrics.horizontalAdvance(row.note) + 8
        room = self.width() - 2 * MARGIN - note
        text = painter.fontMetrics().elidedText(title, Qt.TextElideMode.ElideRight, int(room))
        painter.drawText(QPointF(MARGIN, top + line), text)
        font.setBold(False)
        painter.setFont(font)
        box = QRectF(self.width() - MARGIN - note, top, note, line * 1.3)
        painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, row.note)
        self._paint_weight(painter, ink, row, top + 1.3 * line, heaviest)
        self._paint_groups(painter, ink, row, top + 1.3 * line)

    def _paint_weight(
        self, painter: QPainter, ink: QColor, row: FeatureRow, top: float, heaviest: float
    ) -> None:
        line = painter.fontMetrics().height()
        left, right = self._bars()
        room = right - left - painter.fontMetrics().horizontalAdvance("0.000") - MARGIN
        height = 0.55 * line
        shown_weight = row.mean_weight if row.weight is None else row.weight
        bar = QColor(ink)
        bar.setAlpha(FAINT if row.weight is None else 150)
        painter.fillRect(QRectF(left, top + 0.37 * line, room * shown_weight / heaviest, height), bar)
        painter.setPen(ink)
        box = QRectF(left, top + 0.15 * line, right - left, line)
        align = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(box, align, f"{shown_weight:.3f}")
        x = left + room * row.mean_weight / heaviest
        painter.setPen(QPen(ink, 1.4, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(x, top + 0.15 * line), QPointF(x, top + 1.15 * line))

    def _paint_groups(self, painter: QPainter, ink: QColor, row: FeatureRow, top: float) -> None:
        known = [v for group in row.groups for v in (group.least, group.most) if math.isfinite(v)]
        slide = row.value if row.value is not None and math.isfinite(row.value) else None
        if slide is not None:
            known.append(slide)
        if not known:
            return
        line = painter.fontMetrics().height()
        left, right = self._boxes()
        low, high = min(known), max(known)
        spare = 0.03 * (high - low) or 1.0
        low, high = low - spare, high + spare

        def x_of(value: float) -> float:
            return left + (value - low) / (high - low) * (right - left)

        half = 0.76 * line
        for number, (label, group) in enumerate(zip(self._labels, row.groups, strict=True)):
            y = top + (number + 0.5) * half
            colour = QColor(COLOURS[number])
            painter.setPen(ink)
            small = painter.font()
            painter.save()
            small.setPointSizeF(small.pointSizeF() * 0.82 if small.pointSizeF() > 0 else 8)
            painter.setFont(small)
            box = QRectF(self._bars()[1], y - half, left - self._bars()[1] - 5, 2 * half)
            align = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(box, align, label)
            painter.restore()
            if math.isnan(group.median):
                continue
            painter.setPen(QPen(colour, 1.2))
            painter.drawLine(QPointF(x_of(group.least), y), QPointF(x_of(group.most), y))
            painter.fillRect(
                QRectF(x_of(group.low), y - 0.32 * half, x_of(group.high) - x_of(group.low), 0.64 * half),
                colour,
            )
            painter.setPen(QPen(self.palette().color(QPalette.ColorRole.Window), 2.0))
            middle = x_of(group.median)
            painter.drawLine(QPointF(middle, y - 0.32 * half), QPointF(middle, y + 0.32 * half))
        if slide is not None:
            _marker(painter, ink, x_of(slide), top + half, 0.95 * half)


def _marker(painter: QPainter, ink: QColor, x: float, y: float, reach: float) -> None:
    """Draw the slide's value: a line across both groups with a wedge at its top."""
    painter.setPen(QPen(ink, 1.6))
    painter.drawLine(QPointF(x, y - reach), QPointF(x, y + reach))
    painter.setBrush(ink)
    top = y - reach
    painter.drawPolygon(QPolygonF([QPointF(x - 4, top - 3), QPointF(x + 4, top - 3), QPointF(x, top + 3)]))
    painter.setBrush(Qt.BrushStyle.NoBrush)


def shown(value: float) -> str:
    """Return a value with as many decimals as its size asks for."""
    if math.isnan(value):
        return "–"
    size = abs(value)
    return f"{value:.{3 if size < 10 else 1 if size < 1000 else 0}f}"
