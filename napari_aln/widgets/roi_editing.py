"""Editing the tumour ROI: tools, what a drawn area does, undo. Regions are the truth, layers their view."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, Signal

from napari_aln.annotations import edit
from napari_aln.widgets.history import History
from napari_aln.widgets.layers.brush_layer import BrushLayer
from napari_aln.widgets.roi_patches import PatchOutlines, RoiPatches
from napari_aln.widgets.scene import PATCHES_RANK, REGIONS_RANK

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from shapely.geometry.base import BaseGeometry

    from napari_aln.records import PatchTable, Region
    from napari_aln.slides import Slide
    from napari_aln.widgets.scene import Scene
    from napari_aln.widgets.state import ReviewState

POLYGON, LASSO, BRUSH, VERTICES, NO_TOOL = "polygon", "lasso", "brush", "vertices", "none"
MODES = {POLYGON: "add_polygon", LASSO: "add_polygon_lasso", VERTICES: "direct"}
CHANGES = {"add": edit.added, "subtract": edit.subtracted, "intersect": edit.intersected}
BRUSH_RANK = REGIONS_RANK + 1
SIMPLIFY_UM = 4.0


class RoiEditing(QObject):
    """The tools of the ROI.

    Parameters
    ----------
    viewer
        Where they are used.
    scene
        Shows the regions.
    state
        Holds them.
    """

    changed = Signal()  # tool, or what can be undone
    previewed = Signal(object)  # the regions as they would be if what is being drawn ended here
    _outlined = Signal(object)

    def __init__(self, viewer: ViewerModel, scene: Scene, state: ReviewState) -> None:
        super().__init__()
        self._viewer, self._scene, self._state = viewer, scene, state
        self._history: History[tuple[Region, ...]] = History(())
        self._brush = BrushLayer(viewer, BRUSH_RANK)
        self._patches = RoiPatches(state)
        self._so_far: tuple[Region, ...] | None = None  # while something is being drawn
        self._slide: Slide | None = None  # whose regions these are
        self.outlines = PatchOutlines(viewer, PATCHES_RANK)
        self.tool = NO_TOOL
        self.change = "add"
        # Later: napari is still finishing the shape, and the layer is made anew.
        self._outlined.connect(self._on_outlined, Qt.ConnectionType.QueuedConnection)
        scene.regions.outlined.connect(self._later)
        scene.regions.moving.connect(state.set_regions)
        scene.regions.drawn.connect(self._on_drawn)
        scene.regions.outlining.connect(self._on_outlining)
        scene.regions.removed.connect(self._on_layer_removed)
        self._brush.stroked.connect(self._later)
        self._brush.stroking.connect(self._on_outlining)
        self._brush.undo_wanted.connect(self.undo)
        self._brush.redo_wanted.connect(self.redo)
        self._brush.removed.connect(self._on_layer_removed)
        state.slide_changed.connect(self._on_slide)
        scene.view_changed.connect(self._on_view)
        scene.slide_leaving.connect(self._on_slide_leaving)

    @property
    def so_far(self) -> tuple[Region, ...]:
        """The regions as they would be if what is being drawn ended here."""
        return self._state.regions if self._so_far is None else self._so_far

    @property
    def can_undo(self) -> bool:
        """Whether a step can be taken back."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether a step can be taken again."""
        return self._history.can_redo

    def take(self, tool: str) -> None:
        """Take a tool in hand, or put it away."""
        slide = self._state.slide
        if slide is None:
            return
        self.tool = tool
        if tool != BRUSH:
            self._brush.clear()
        if tool == BRUSH:
            self._brush.take(slide.info.size_px, self._scene.frame)
        elif tool == NO_TOOL:
            self._scene.regions.rest()
        else:
            self._scene.regions.use(MODES[tool], self._scene.frame)
        self.changed.emit()

    def set_change(self, change: str) -> None:
        """Choose what a drawn area does: ``add``, ``subtract`` or ``intersect``."""
        self.change = change
        self.changed.emit()

    def simplify(self) -> None:
        """Drop vertices that move no outline by more than a few µm."""
        slide = self._state.slide
        if slide is not None:
            mpp = slide.info.mpp.mean if slide.info.mpp else 1.0
            self._set(edit.simplified(self._state.regions, SIMPLIFY_UM / mpp))

    def set_in_use(self, place: int, in_use: bool) -> None:
        """Set a region aside, or take it in again; it stays where it is."""
        regions = list(self._state.regions)
        if place < len(regions) and regions[place].in_use != in_use:
            regions[place] = replace(regions[place], in_use=in_use)
            self._set(tuple(regions))

    def remove(self, place: int) -> None:
        """Take a region off the slide; can be undone."""
        regions = self._state.regions
        if place < len(regions):
            self._set(regions[:place] + regions[place + 1 :])

    def set_regions(self, regions: tuple[Region, ...]) -> None:
        """Replace all regions, as an import does; can be undone."""
        self._set(regions)

    def start_from(self, regions: tuple[Region, ...]) -> None:
        """Show regions that a review goes on from: there is nothing to take back."""
        self._history.reset(regions)
        self._show(regions)

    def undo(self) -> None:
        """Take the last change back; a shape that is half drawn is all that goes."""
        if self._scene.regions.is_drawing:
            self._drop_half_drawn()
        else:
            self._show(self._history.undo())

    def redo(self) -> None:
        """Make a change again that was taken back; a shape that is half drawn stays."""
        if not self._scene.regions.is_drawing:
            self._show(self._history.redo())

    def show_patches(self, regions: tuple[Region, ...]) -> PatchTable | None:
        """Outline the patches that a run inside these regions takes, and return them; see `RoiPatches`."""
        table = self._patches.of(regions)
        self.outlines.show(table, self._scene.frame)
        return table

    def close(self) -> None:
        """Put the tools away and stop listening."""
        self._state.slide_changed.disconnect(self._on_slide)
        self._scene.view_changed.disconnect(self._on_view)
        self._brush.close()
        self.outlines.layer.close()

    def _set(self, regions: tuple[Region, ...]) -> None:
        self._history.add(regions)
        self._show(regions)

    def _show(self, regions: tuple[Region, ...]) -> None:
        self._so_far = None
        self._state.set_regions(regions)
        self._scene.show_regions()
        self.changed.emit()

    def _drop_half_drawn(self) -> None:
        self._scene.show_regions()
        if self.tool in MODES:
            self._scene.regions.use(MODES[self.tool], self._scene.frame)
        self._preview(None)

    def _on_view(self) -> None:
        self.outlines.set_zoom(self._viewer.scene.camera.zoom)

    def _later(self, area: BaseGeometry) -> None:
        self._outlined.emit(area)

    def _on_outlined(self, area: BaseGeometry) -> None:
        self._set(CHANGES[self.change](self._state.regions, area))
        if self.tool in MODES:
            self._scene.regions.use(MODES[self.tool], self._scene.frame)

    def _on_drawn(self, regions: tuple[Region, ...]) -> None:
        self._so_far = None
        self._history.add(regions)
        self._state.set_regions(regions)
        self.changed.emit()

    def _on_outlining(self, area: BaseGeometry | None) -> None:
        self._preview(None if area is None else CHANGES[self.change](self._state.regions, area))

    def _preview(self, regions: tuple[Region, ...] | None) -> None:
        self._so_far = regions
        self.previewed.emit(self.so_far)

    def _on_layer_removed(self) -> None:
        self.tool = NO_TOOL
        self._so_far = None
        self.changed.emit()

    def _on_slide_leaving(self) -> None:
        self._brush.clear()
        self.outlines.layer.clear()

    def _on_slide(self) -> None:
        if self._state.slide is self._slide:  # names were hidden or shown alone
            return
        self._slide = self._state.slide
        self.tool = NO_TOOL
        self._so_far = None
        self._history.reset(self._state.regions)
        if self._state.regions:  # the same slide was opened again
            self._scene.show_regions()
        self.changed.emit()
