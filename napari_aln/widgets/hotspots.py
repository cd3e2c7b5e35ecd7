"""From one hotspot of the shown map to the next, by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_aln.geometry import Rect
from napari_aln.widgets.shown import ShownMap
from napari_aln.workflows.results.gallery import TOP_N
from napari_aln.workflows.slide.maps import hotspots_of

if TYPE_CHECKING:
    from napari_aln.widgets.scene import Scene

NO_MAP = "No map is shown: run a model first."
NO_VALUES = "The shown map has no patch with a value."


class Hotspots(QObject):
    """The most conspicuous patches of the shown map, one after the other.

    Where one stands among them is told by the framed patch, however it came to be framed.

    Parameters
    ----------
    scene
        Whose map they are of, and whose view moves.
    """

    told = Signal(str)  # where one stands, or why there is none

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene
        self.n = TOP_N

    def step(self, by: int) -> None:
        """Go on by so many, round at the ends; to the first or the last from elsewhere."""
        found = self.found()
        if not found:
            self.told.emit(NO_VALUES if isinstance(self._scene.shown, ShownMap) else NO_MAP)
            return
        at = self._place(found)
        at = (0 if by > 0 else -1) if at is None else at + by
        self._scene.look_at(found[at % len(found)], keep_zoom=True)

    def found(self) -> list[Rect]:
        """Return the hotspots of the shown map in level-0 pixels, the most conspicuous first."""
        shown = self._scene.shown
        if not isinstance(shown, ShownMap):
            return []
        at = hotspots_of(shown.all_values, self.n, signed=shown.style.signed)
        step_l0 = shown.table.grid.step_l0
        return [Rect(float(x), float(y), *step_l0) for x, y in shown.table.l0_xy[at]]

    def text(self) -> str:
        """Return where one stands, or nothing while no hotspot is framed."""
        found = self.found() if self._scene.framed is not None else []
        at = self._place(found)
        return "" if at is None else f"Hotspot {at + 1} of {len(found)}"

    def _place(self, found: list[Rect]) -> int | None:
        framed = self._scene.framed
        return found.index(framed) if framed in found else None
