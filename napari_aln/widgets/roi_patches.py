"""Which patches a run inside the ROI takes, or took: counted in the panel, outlined on the slide."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.errors import RegionError
from napari_aln.patches.outlines import outlines
from napari_aln.records import PatchGrid, PatchTable
from napari_aln.widgets.changes import changes
from napari_aln.widgets.layers.lines_layer import LinesLayer, Look

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_aln.records import Region
    from napari_aln.widgets.layers.placement import Frame
    from napari_aln.widgets.state import ReviewState

NAME = "patch outlines"
LOOK = Look(width_px=1.0, opacity=0.4)  # light: it is the tissue that counts
LEAST_PATCH_PX = 4.0  # on the screen: of smaller ones there would be a grey veil

NO_PATCHES = PatchTable(PatchGrid(1, 1.0, (1.0, 1.0), 0, 0), np.empty(0, np.int32), np.empty(0, np.int32))


class RoiPatches:
    """The patches inside regions, worked out once for each question.

    Parameters
    ----------
    state
        What is under review.
    """

    def __init__(self, state: ReviewState) -> None:
        self._state = state
        self._known: tuple[tuple[object, ...], PatchTable | None] | None = None

    def of(self, regions: tuple[Region, ...]) -> PatchTable | None:
        """Return the patches that a run inside these regions takes; None where that cannot be said.

        As long as no run has read them, patches that are too plain are among them.
        """
        state, bundles = self._state, self._state.bundles_for("roi")
        if not regions or not bundles or state.slide is None or state.seen is None:
            return None
        run = bundles[0].card.mode
        answer, live = state.answers.get(run), state.live.get(run)
        case = state.slide, state.seen, state.clinical, state.settings
        question = (regions, state.roi, bundles[0], *case, answer, live)
        if self._known is None or any(a is not b for a, b in zip(self._known[0], question, strict=True)):
            self._known = question, self._found(regions, run)
        return self._known[1]

    def _found(self, regions: tuple[Region, ...], run: str) -> PatchTable | None:
        from napari_aln.workflows.slide.prepare import patches_for

        state = self._state
        if regions is state.roi and run in state.answers:
            live = state.live.get(run)
            if live is not None:
                return _joined(live.run.scores.table, live.pending) if live.run else live.pending
            if not changes(state, run):
                return state.answers[run].scores.table
        patches, card = state.settings.patches, state.bundles_for("roi")[0].card
        if patches.roi_patching != "grid" or state.slide is None or state.seen is None:
            return None
        try:
            return patches_for(card, state.slide, state.seen, regions, patches)
        except RegionError:  # too small to hold one
            return NO_PATCHES


def _joined(read: PatchTable, pending: PatchTable) -> PatchTable:
    if not len(pending):
        return read
    column, row = np.append(read.column, pending.column), np.append(read.row, pending.row)
    return replace(read, column=column, row=row)


class PatchOutlines:
    """Patches as a light grid on the slide, as long as they are large enough on the screen.

    Parameters
    ----------
    viewer
        Where they are shown.
    rank
        Their place among our layers.
    """

    def __init__(self, viewer: ViewerModel, rank: int) -> None:
        self.layer = LinesLayer(viewer, rank, NAME, LOOK)
        self._shown: PatchTable | None = None
        self._zoom = float(viewer.scene.camera.zoom)
        self._wanted = True

    @property
    def wanted(self) -> bool:
        """Whether they are to be seen, if they are large enough."""
        return self._wanted

    def show(self, table: PatchTable | None, frame: Frame) -> None:
        """Outline patches in place of those before; None: none."""
        if table is self._shown and (table is None or self.layer.layer is not None):
            return
        self._shown = table
        self._set_visible()  # first: what is hidden need not be drawn
        self.layer.show(outlines(NO_PATCHES if table is None else table), frame)

    def set_wanted(self, wanted: bool) -> None:
        """Show or hide them."""
        self._wanted = wanted
        self._set_visible()

    def set_zoom(self, zoom: float) -> None:
        """Note the screen pixels on a unit of the world, which is a micrometre where there are patches."""
        self._zoom = zoom
        self._set_visible()
        self.layer.set_zoom(zoom)

    def _set_visible(self) -> None:
        grid = (self._shown or NO_PATCHES).grid
        self.layer.set_visible(self._wanted and grid.patch_px * grid.mpp * self._zoom >= LEAST_PATCH_PX)
