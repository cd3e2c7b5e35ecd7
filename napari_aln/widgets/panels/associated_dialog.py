"""Label and macro images, in a window of their own after an explicit click; never a layer, never exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_aln.widgets.panels.labels import TextLabel

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

SIDE_PX = 260


class AssociatedDialog(QDialog):
    """Shows associated images beside each other.

    Parameters
    ----------
    images
        Name to (H, W, 3) uint8.
    """

    def __init__(self, images: Mapping[str, NDArray[np.uint8]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("associated_dialog")
        self.setWindowTitle("Label and macro")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 12, 16, 16)
        layout.addWidget(
            TextLabel("These images may show patient data. They appear in no export.", bold=True)
        )
        row = QHBoxLayout()
        row.setSpacing(16)
        for name, rgb in images.items():
            column = QVBoxLayout()
            picture = QLabel()
            picture.setAccessibleName(name)
            picture.setPixmap(_pixmap(rgb))
            column.addWidget(QLabel(name[:1].upper() + name[1:]))
            column.addWidget(picture)
            column.addStretch(1)
            row.addLayout(column)
        layout.addLayout(row)


def _pixmap(rgb: NDArray[np.uint8]) -> QPixmap:
    height, width = rgb.shape[:2]
    image = QImage(rgb.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    keep = Qt.AspectRatioMode.KeepAspectRatio
    return QPixmap.fromImage(image).scaled(SIDE_PX, SIDE_PX, keep, Qt.TransformationMode.SmoothTransformation)
