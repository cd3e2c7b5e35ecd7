"""The tumour ROI: tools to draw and change it, import, clear, and how large it is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_aln.widgets.panels.labels import TextLabel, count
from napari_aln.widgets.panels.offer_bar import OfferBar
from napari_aln.widgets.panels.region_list import RegionList

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.widgets.panels.region_list import RegionRow

NO_ROI = "No tumour ROI yet."
NO_TOOL = "none"
TOOLS = {
    "lasso": ("L&asso", "roi_draw", "Drag around the tumour on the slide."),
    "polygon": ("Pol&ygon", "roi_polygon", "Click corner by corner; double click or Esc ends the shape."),
    "brush": ("Br&ush", "roi_brush", "Paint on the slide; [ and ] change the brush's size."),
    "vertices": ("Points", "roi_vertices", "Drag the points of an outline."),
}
CHANGES = {
    "add": "What is drawn is added",
    "subtract": "What is drawn is taken away",
    "intersect": "Only what is drawn stays",
}


class RoiPanel(QWidget):
    """Asks for tools, changes, import and undo."""

    tool_requested = Signal(str)  # "lasso", "polygon", "brush", "vertices" or "none"
    change_chosen = Signal(str)  # "add", "subtract" or "intersect"
    simplify_requested = Signal()
    undo_requested = Signal()
    redo_requested = Signal()
    import_requested = Signal()
    clear_requested = Signal()
    outlines_toggled = Signal(bool)
    region_toggled = Signal(int, bool)  # place of the region, and whether it is in use now

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        grid = QGridLayout()
        grid.setSpacing(4)
        layout.addLayout(grid)
        self.tools: dict[str, QPushButton] = {}
        for number, (tool, (text, name, help_text)) in enumerate(TOOLS.items()):
            button = _button(text, name)
            button.setCheckable(True)
            letter = QKeySequence.mnemonic(text).toString()
            button.setToolTip(f"{help_text} ({letter})" if letter else help_text)
            button.clicked.connect(partial(self._on_tool, tool))
            grid.addWidget(button, 0, number)
            self.tools[tool] = button
        self.draw_button = self.tools["lasso"]
        self.change_box = QComboBox()
        self.change_box.setObjectName("roi_change")
        self.change_box.setAccessibleName("What a drawn area does")
        for change, text in CHANGES.items():
            self.change_box.addItem(text, change)
        self.change_box.currentIndexChanged.connect(self._on_change)
        grid.addWidget(self.change_box, 1, 0, 1, 3)
        self.import_button = _button("&Import…", "roi_import")
        self.clear_button = _button("Clear", "roi_clear")
        self.undo_button = _button("Undo", "roi_undo")
        self.redo_button = _button("Redo", "roi_redo")
        self.simplify_button = _button("Simplify", "roi_simplify")
        for button, help_text in (
            (self.import_button, "Outlines from a file, in place of these (Alt+I)"),
            (self.clear_button, "Remove all outlines; Undo brings them back"),
            (self.undo_button, "Take the last change back (Ctrl+Z)"),
            (self.redo_button, "Make it again (Ctrl+Shift+Z)"),
            (self.simplify_button, "Drop points that move no outline by more than 4 µm"),
        ):
            button.setToolTip(help_text)
        for column, (button, wanted) in enumerate(
            (
                (self.undo_button, self.undo_requested),
                (self.redo_button, self.redo_requested),
                (self.simplify_button, self.simplify_requested),
                (self.clear_button, self.clear_requested),
            )
        ):
            button.clicked.connect(wanted)
            grid.addWidget(button, 2, column)
        self.import_button.clicked.connect(self.import_requested)
        grid.addWidget(self.import_button, 1, 3)
        self.outlines_box = QCheckBox("Patch outlines")
        self.outlines_box.setObjectName("roi_outlines")
        self.outlines_box.setToolTip("Outline the patches that a run inside the ROI takes")
        self.outlines_box.setChecked(True)
        self.outlines_box.toggled.connect(self.outlines_toggled)
        layout.addWidget(self.outlines_box)
        self.origin = OfferBar("roi_origin")
        layout.addWidget(self.origin)
        self.regions = RegionList()
        self.regions.toggled.connect(self.region_toggled)
        layout.addWidget(self.regions)
        self.summary = TextLabel(NO_ROI)
        self.summary.setObjectName("roi_summary")
        layout.addWidget(self.summary)
        self.hint = TextLabel()
        self.hint.setObjectName("roi_hint")
        layout.addWidget(self.hint)
        self.set_ready(slide_open=False)
        self.set_tools(NO_TOOL, can_undo=False, can_redo=False)
        self.set_regions((), None, None)

    def set_ready(self, *, slide_open: bool) -> None:
        """Say whether there is a slide to draw on."""
        for button in (*self.tools.values(), self.import_button):
            button.setEnabled(slide_open)
        self.change_box.setEnabled(slide_open)

    def offer_origin(self, about: str, other: str) -> None:
        """Offer to read the imported file anew, counting from another origin; no text: nothing to offer."""
        self.origin.hide()
        if about:
            tooltip = "Read the file again, counting from the other corner"
            self.origin.offer(about, ((other, f"Try the other origin ({other})", tooltip),))

    def set_tools(self, tool: str, *, can_undo: bool, can_redo: bool) -> None:
        """Show which tool is in hand, and whether there are steps to take back or again."""
        for name, button in self.tools.items():
            button.setChecked(name == tool)
        self.hint.set_text(TOOLS[tool][2] if tool in TOOLS else "")
        self.undo_button.setEnabled(can_undo)
        self.redo_button.setEnabled(can_redo)

    def set_change(self, change: str) -> None:
        """Show what a drawn area does. Does not emit."""
        with QSignalBlocker(self.change_box):
            self.change_box.setCurrentIndex(self.change_box.findData(change))

    def set_regions(
        self, rows: Sequence[RegionRow], area_mm2: float | None, n_patches: int | None = None
    ) -> None:
        """Say what the ROI consists of.

        Parameters
        ----------
        rows
            All regions, those that are set aside too.
        area_mm2
            Of those in use, together; None where µm/px is missing.
        n_patches
            Inside those in use; None where not known.
        """
        self.regions.set_rows(rows)
        self.clear_button.setEnabled(bool(rows))
        self.simplify_button.setEnabled(bool(rows))
        if not rows:
            self.summary.set_text(NO_ROI)
            return
        n_used, n_regions = sum(row.in_use for row in rows), len(rows)
        if n_used < n_regions:
            facts = [f"{count(n_used)} of {count(n_regions)} regions"]
        else:
            facts = ["1 region" if n_regions == 1 else f"{count(n_regions)} regions"]
        if area_mm2 is not None:
            facts.append(f"{area_mm2:.2f} mm²")
        if n_patches is not None:
            facts.append("1 patch" if n_patches == 1 else f"{count(n_patches)} patches")
        self.summary.set_text(", ".join(facts))

    def _on_tool(self, tool: str) -> None:
        self.tool_requested.emit(tool if self.tools[tool].isChecked() else NO_TOOL)

    def _on_change(self, _index: int) -> None:
        self.change_chosen.emit(self.change_box.currentData())


def _button(text: str, name: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setAccessibleName(f"Tumour ROI: {text.replace('&', '').rstrip('…')}")
    return button
