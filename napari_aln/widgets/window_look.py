"""How the window around a review looks: which docks are open, whether the view is split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from napari_aln.widgets.panels.compare_panel import ComparePanel
    from napari_aln.widgets.panels.map_panel import MapPanel
    from napari_aln.widgets.panels.section import Section
    from napari_aln.widgets.review import Review
    from napari_aln.widgets.side_docks import SideDocks
    from napari_aln.widgets.split_view import Split

SIDE_DOCKS, SPLIT, MASK, FOLDED = "side_docks", "split", "mask", "folded"


class LookedAt(Protocol):
    """What a look is made of: the review's dock has it."""

    review: Review
    split: Split
    side_docks: SideDocks
    sections: dict[str, Section]
    compare: ComparePanel
    map: MapPanel

    def show_split(self, on: bool) -> None:
        """Split the view, or end that."""


class WindowLook(QObject):
    """Reads it as plain values, and makes a window look so again.

    Parameters
    ----------
    dock
        The review's dock in the window.
    """

    changed = Signal()

    def __init__(self, dock: LookedAt) -> None:
        super().__init__()
        self._dock = dock
        self.last: dict[str, JsonValue] = {}  # as it was when last read: still there when the dock is gone
        dock.side_docks.shown.connect(self._on_changed)
        dock.compare.split_toggled.connect(self._on_changed)
        for section in dock.sections.values():
            section.toggled.connect(self._on_changed)

    def now(self) -> dict[str, JsonValue]:
        """Return how the window looks."""
        dock = self._dock
        self.last = {
            SIDE_DOCKS: [name for name in dock.side_docks.names if dock.side_docks.is_shown(name)],
            SPLIT: dock.split.view is not None,
            MASK: dock.review.scene.mask.layer is not None,
            FOLDED: [title for title, section in dock.sections.items() if not section.is_open()],
        }
        return self.last

    def show(self, look: Mapping[str, JsonValue]) -> None:
        """Make the window look so; what a file does not say, or says wrongly, stays as it is."""
        dock = self._dock
        docks, folded = look.get(SIDE_DOCKS), look.get(FOLDED)
        if isinstance(docks, list):
            for name in dock.side_docks.names:
                dock.side_docks.show(name, name in docks)
        if isinstance(folded, list):
            for title, section in dock.sections.items():
                section.set_open(title not in folded)
        mask = look.get(MASK)
        if isinstance(mask, bool) and mask != dock.map.mask_box.isChecked() and dock.review.state.seen:
            dock.map.mask_box.setChecked(mask)
        if look.get(SPLIT) is True and dock.review.state.pair() is not None:
            dock.show_split(True)

    def _on_changed(self, *_: object) -> None:
        self.changed.emit()
