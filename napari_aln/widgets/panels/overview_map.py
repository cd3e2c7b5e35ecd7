"""The whole slide as a small picture, with the part in view; a click or a drag moves there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEIGHT, MOST_WIDTH = 90, 120
SHARPNESS = 2  # the picture is kept twice as fine as it is drawn, for dense screens
LEAST_FRAME = 5.0  # px: a smaller view is framed by so much, or it could not be seen
INSIDE, OUTSIDE = QColor("#000000"), QColor("#ffffff")  # one of both stands out on whatever is there


class OverviewMap(QWidget):
    """Shows where the view is; asks to be moved. All places are shares of the slide, from its top left."""

    moved = Signal(float, float)  # x and y of the middle of the view, 0 to 1

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("overview_map")
        self.setAccessibleName("Overview of the slide")
        self.setToolTip("Click or drag to move there")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self._picture: QPixmap | None = None
        self._view: QRectF | None = None

    def set_picture(self, rgb: NDArray[np.uint8] | None) -> None:
        """Show a picture (H, W, 3) of the whole slide; None: there is none, and no room is taken."""
        self._picture = None if rgb is None else _pixmap(rgb)
        self.setFixedSize(self.sizeHint())
        self.setVisible(rgb is not None)
        self.update()

    def set_view(self, view: tuple[float, float, float, float] | None) -> None:
        """Frame what is in view: x, y, width and height as shares of the slide; may reach beyond it."""
        self._view = None if view is None else QRectF(*view)
        self.update()

    def sizeHint(self) -> QSize:
        """Return the size of the picture as it is drawn."""
        if self._picture is None:
            return QSize(0, 0)
        kept = Qt.AspectRatioMode.KeepAspectRatio
        return self._picture.size().scaled(MOST_WIDTH, HEIGHT, kept).expandedTo(QSize(8, 8))

    def frame(self) -> QRectF | None:
        """Return the frame in this widget's pixels, cut to what the widget shows."""
        if self._view is None or self._picture is None:
            return None
        shares = self._view
        width, height = self.width(), self.height()
        frame = QRectF(
            shares.x() * width, shares.y() * height, shares.width() * width, shares.height() * height
        )
        short = QPointF(max(0.0, LEAST_FRAME - frame.width()), max(0.0, LEAST_FRAME - frame.height())) / 2
        frame.adjust(-short.x(), -short.y(), short.x(), short.y())
        return frame.intersected(QRectF(0.5, 0.5, width - 1, height - 1))

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the picture and, over it, the frame: a dark line inside a light one."""
        if self._picture is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawPixmap(self.rect(), self._picture)
        frame = self.frame()
        if frame is not None and not frame.isEmpty():
            for colour, width in ((OUTSIDE, 4.0), (INSIDE, 2.0)):
                painter.setPen(QPen(colour, width))
                painter.drawRect(frame)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Move there."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._move_to(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on moving while the button is held."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._move_to(event.position())

    def _move_to(self, place: QPointF) -> None:
        if self._picture is not None:
            x, y = place.x() / self.width(), place.y() / self.height()
            self.moved.emit(min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0))


def _pixmap(rgb: NDArray[np.uint8]) -> QPixmap:
    height, width = rgb.shape[:2]
    image = QImage(np.ascontiguousarray(rgb).data, width, height, 3 * width, QImage.Format.Format_RGB888)
    kept = Qt.AspectRatioMode.KeepAspectRatio
    smooth = Qt.TransformationMode.SmoothTransformation
    return QPixmap.fromImage(image.scaled(SHARPNESS * MOST_WIDTH, SHARPNESS * HEIGHT, kept, smooth))
