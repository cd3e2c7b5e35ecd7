"""What an empty window says: where slides are dropped, and two ways to begin."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_aln.records import RESEARCH_NOTICE
from napari_aln.widgets.panels.labels import TextLabel

TITLE = "Drop a slide here"
MORE = "Model bundles and annotation files may be dropped too, all at once."
TITLE_STYLE = "font-size: 22px; font-weight: bold;"


class Welcome(QWidget):
    """Lies over the canvas while there is nothing to see; drops go through to what lies under it.

    Parameters
    ----------
    canvas
        What it covers.
    """

    open_requested = Signal()
    demo_requested = Signal()

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setObjectName("welcome")
        self.setAutoFillBackground(True)
        self.title = TextLabel(TITLE)
        self.title.setObjectName("welcome_title")
        self.title.setStyleSheet(TITLE_STYLE)
        self.open_button = QPushButton("Open slide…")
        self.open_button.setObjectName("welcome_open")
        self.open_button.clicked.connect(self.open_requested)
        self.demo_button = QPushButton("Show the demonstration")
        self.demo_button.setObjectName("welcome_demo")
        self.demo_button.setToolTip("A synthetic slide with its tumour ROI, clinical values and two models")
        self.demo_button.clicked.connect(self.demo_requested)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.open_button)
        buttons.addWidget(self.demo_button)
        buttons.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(32, 32, 32, 32)
        layout.setSpacing(14)
        layout.addStretch(1)
        for text in (self.title, TextLabel(MORE)):
            text.setAlignment(Qt.AlignmentFlag.AlignCenter)
            layout.addWidget(text)
        layout.addLayout(buttons)
        layout.addStretch(1)
        notice = TextLabel(RESEARCH_NOTICE)
        notice.setAlignment(Qt.AlignmentFlag.AlignCenter)
        layout.addWidget(notice)
        canvas.installEventFilter(self)
        self.setGeometry(canvas.rect())
        self.show()

    def set_opening(self, what: str) -> None:
        """Say that something is being opened; no text: nothing is."""
        self.title.set_text(what or TITLE)
        for button in (self.open_button, self.demo_button):
            button.setEnabled(not what)

    def eventFilter(self, canvas: QObject, event: QEvent) -> bool:
        """Keep to the canvas' size."""
        if event.type() == QEvent.Type.Resize and isinstance(canvas, QWidget):
            self.setGeometry(canvas.rect())
        return False
