"""What is known of the open slide, and what can be asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_aln.widgets.panels.labels import TextLabel, WarningNote, count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_aln.records import SlideInfo

EMPTY = "Drop a slide here, or open one."
MPP_ORIGINS = {"file": "from the file", "user": "given by you"}
MPP_MISSING = "µm/px is missing. The slide can be viewed; to predict or measure, set it."


class SlideCard(QWidget):
    """Name, size, µm/px and its origin, and warnings; a label or macro image only on an explicit click."""

    open_requested = Signal()
    mpp_requested = Signal()
    associated_requested = Signal()
    session_open_requested = Signal()
    session_save_requested = Signal()
    recent_requested = Signal(object)  # pathlib.Path
    icc_toggled = Signal(bool)
    hide_names_toggled = Signal(bool)
    forget_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.title = TextLabel(EMPTY, bold=True)
        self.title.setObjectName("slide_name")
        self.facts = TextLabel()
        self.facts.setObjectName("slide_facts")
        self.mpp_note = WarningNote()
        self.mpp_note.setObjectName("slide_mpp_missing")
        self.mpp_button = _button("Set µm/p&x…", "slide_set_mpp", "Set the µm/px of this slide")
        self.mpp_button.clicked.connect(self.mpp_requested)
        self.icc_box = QCheckBox("Colour profile of the scanner (display only)")
        self.icc_box.setObjectName("slide_icc")
        self.icc_box.toggled.connect(self.icc_toggled)
        self.open_session_button = _button("Open session…", "session_open", "Open a saved session")
        self.open_session_button.setToolTip("Go on with a saved review: slide, ROI, results and view")
        self.open_session_button.clicked.connect(self.session_open_requested)
        self.save_session_button = _button("Sav&e session…", "session_save", "Save the review as a session")
        self.save_session_button.setToolTip(
            "Keep slide, ROI, results and view, to go on later (Alt+E). The file names the slide and holds"
            " the clinical values: it is yours, not for others."
        )
        self.save_session_button.clicked.connect(self.session_save_requested)
        self.hide_names_box = QCheckBox("Hide &names")
        self.hide_names_box.setObjectName("slide_hide_names")
        self.hide_names_box.setAccessibleName("Hide file names")
        self.hide_names_box.setToolTip("Show an alias instead: a file's name may tell who the patient is")
        self.hide_names_box.toggled.connect(self.hide_names_toggled)
        self.associated_button = _button("Show la&bel and macro…", "slide_associated", "Show label and macro")
        self.associated_button.clicked.connect(self.associated_requested)
        self.associated_note = TextLabel("They may show patient data, and open only on this click.")
        self.warnings = QVBoxLayout()
        self._warning_notes: list[WarningNote] = []
        self.open_button = _button("&Open slide…", "slide_open", "Open a slide")
        self.open_button.clicked.connect(self.open_requested)
        self.recent_button = _button("Recent", "slide_recent", "Recent slides")
        self.recent_button.setMinimumWidth(84)  # the arrow too
        self.recent_button.setMenu(QMenu(self.recent_button))
        opening = QHBoxLayout()
        opening.addWidget(self.open_button, 1)
        opening.addWidget(self.recent_button)
        opening.addWidget(self.hide_names_box)
        layout.addWidget(self.title)
        layout.addWidget(self.facts)
        layout.addWidget(self.mpp_note)
        layout.addWidget(self.mpp_button)
        layout.addLayout(self.warnings)
        layout.addLayout(opening)
        sessions = QHBoxLayout()
        sessions.addWidget(self.open_session_button, 1)
        sessions.addWidget(self.save_session_button, 1)
        layout.addLayout(sessions)
        layout.addWidget(self.icc_box)
        layout.addWidget(self.associated_button)
        layout.addWidget(self.associated_note)
        self._opening = self._saving = False
        self._info: SlideInfo | None = None
        self.set_recent(())
        self.set_icc_available(False)
        self.set_slide(None, "")

    def set_slide(self, info: SlideInfo | None, name: str) -> None:
        """Show a slide under its name or alias, never its path; None: no slide is open."""
        self._name = name
        self._info = info
        self.title.set_text(EMPTY if info is None else name)
        self.facts.set_text("" if info is None else "\n".join(slide_facts(info)))
        missing = info is not None and info.mpp is None
        self.mpp_note.set_text(MPP_MISSING if missing else "")
        # What the file states is not asked for; what the user gave can be corrected.
        self.mpp_button.setVisible(info is not None and info.mpp_origin != "file")
        self.mpp_button.setText("Set µm/p&x…" if missing else "Correct µm/p&x…")
        has_associated = info is not None and bool(info.associated)
        self.associated_button.setVisible(has_associated)
        self.associated_note.setVisible(has_associated)
        for note in self._warning_notes:
            note.hide()
            note.deleteLater()
        self._warning_notes = [WarningNote(text) for text in (info.warnings if info else ())]
        for note in self._warning_notes:
            self.warnings.addWidget(note)
        self._enable()

    def set_opening(self, name: str | None) -> None:
        """Say that a slide is being opened; None: no longer."""
        self._opening = name is not None
        if name is not None:
            self.title.set_text(f"Opening {name} …")
        else:
            self.title.set_text(EMPTY if self._info is None else self._name)
        self._enable()

    def set_saving_session(self, saving: bool) -> None:
        """Say that a session is being saved."""
        self._saving = saving
        self._enable()

    def set_recent(self, slides: Sequence[tuple[str, Path]]) -> None:
        """Offer recent slides as (shown name, path); only the name is shown."""
        menu = self.recent_button.menu()
        menu.clear()
        for name, path in slides:
            menu.addAction(name.replace("&", "&&"), partial(self.recent_requested.emit, path))
        menu.addSeparator()
        menu.addAction("Forget recent slides", self.forget_requested.emit)
        self._has_recent = bool(slides)
        self._enable()

    def set_hide_names(self, hide: bool) -> None:
        """Show whether file names are hidden. Does not emit."""
        with QSignalBlocker(self.hide_names_box):
            self.hide_names_box.setChecked(hide)

    def set_icc_available(self, available: bool) -> None:
        """Say whether the slide has a colour profile."""
        self.icc_box.setVisible(available)

    def set_icc(self, on: bool) -> None:
        """Show whether the colour profile is applied. Does not emit."""
        with QSignalBlocker(self.icc_box):
            self.icc_box.setChecked(on)

    def _enable(self) -> None:
        for control in (self.open_button, self.mpp_button, self.associated_button, self.icc_box):
            control.setEnabled(not self._opening)
        self.recent_button.setEnabled(not self._opening and self._has_recent)
        self.open_session_button.setEnabled(not self._opening)
        self.save_session_button.setEnabled(not self._opening and not self._saving and self._info is not None)


def slide_facts(info: SlideInfo) -> list[str]:
    """Return what is known of a slide as short lines, units beside the numbers."""
    width_px, height_px = info.size_px
    lines = [f"{count(width_px)} × {count(height_px)} px"]
    if info.mpp is not None:
        lines[0] += f" · {width_px * info.mpp.x / 1000:.1f} × {height_px * info.mpp.y / 1000:.1f} mm"
        x, y = (f"{value:.4g}" for value in info.mpp)
        shown = x if x == y else f"{x} × {y}"
        lines.append(f"{shown} µm/px, {MPP_ORIGINS.get(info.mpp_origin, info.mpp_origin)}")
    if info.objective_power is not None:
        lines.append(f"Objective {info.objective_power:g}x, as the file states it")
    n_levels = len(info.levels)
    lines.append(f"{n_levels} level{'' if n_levels == 1 else 's'} · {info.vendor} · read by {info.reader}")
    return lines


def _button(text: str, name: str, accessible: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setAccessibleName(accessible)
    return button
