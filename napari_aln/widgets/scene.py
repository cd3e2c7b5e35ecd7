"""What lies on the canvas: our layers, kept in step with the review's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_aln.widgets.layers.guard import UnitsGuard
from napari_aln.widgets.layers.map_layer import MapLayer
from napari_aln.widgets.layers.mask_layer import MaskLayer
from napari_aln.widgets.layers.patch_frame import PatchFrame
from napari_aln.widgets.layers.placement import Frame
from napari_aln.widgets.layers.regions_layer import RegionsLayer
from napari_aln.widgets.layers.slide_layer import SlideLayer
from napari_aln.widgets.shown import ShownMap, shown_map

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_aln.errors import AlnError
    from napari_aln.geometry import Rect
    from napari_aln.slides import Slide
    from napari_aln.widgets.state import ReviewState

SLIDE_RANK, MASK_RANK, MAP_RANK, RASTER_RANK, NUCLEI_RANK, PATCHES_RANK, REGIONS_RANK = range(7)
PATCH_RANK = REGIONS_RANK + 2  # above the ROI's brush
SURROUND = "#dcdcdc"  # light as glass is, neutral, and told apart from it: the eye need not adapt
PATCH_SHARE = 0.5  # of the view's shorter side that a patch takes when it is flown to
AREA_SHARE = 0.9  # of the view that an area takes when all of it is shown
PATCH_SHARES = 0.06, 0.9  # between these a patch can be made out, and the magnification may stay
UM_PER_PX_AT_1X = 10.0  # of the eye's picture: 10x shows 1 µm on a pixel, 40x 0.25 µm


class Scene:
    """Slide, tissue mask, map and ROI in a viewer.

    Parameters
    ----------
    viewer
        Where they are shown.
    state
        What they show.
    """

    slide_leaving = Signal()  # what others have laid on it is to go first
    slide_removed = Signal()
    trouble = Signal(object)  # a slide that can no longer be read
    noted = Signal(object, str)  # a layer of others, and a line on it for the log
    view_changed = Signal()  # another part of the slide, or another magnification
    framed_changed = Signal()  # another patch is framed, or none
    cursor_value = Signal(object)  # the map's value under the cursor, None where no patch lies

    def __init__(self, viewer: ViewerModel, state: ReviewState) -> None:
        self._viewer = viewer
        self._state = state
        self.frame = Frame()
        self.shown: ShownMap | str | None = None  # the map on the slide, or why there is none
        self.guard = UnitsGuard(viewer)
        self.slide = SlideLayer(viewer, SLIDE_RANK)
        self.mask = MaskLayer(viewer, MASK_RANK)
        self.map = MapLayer(viewer, MAP_RANK)
        self.regions = RegionsLayer(viewer, REGIONS_RANK)
        self.patch = PatchFrame(viewer, PATCH_RANK)
        self.framed: Rect | None = None  # the current patch, in level-0 pixels
        self._framed_map: object = None  # in which it was chosen
        self.guard.mended.connect(self._on_mended)
        self.slide.removed.connect(self._on_slide_removed)
        self.slide.failed.connect(self._on_failed)
        self.mask.painted.connect(self._on_painted)
        viewer.cursor.events.position.connect(self._on_cursor)
        viewer.scene.camera.events.zoom.connect(self._on_zoom)
        viewer.scene.camera.events.center.connect(self._on_view)
        viewer.canvas.events.size.connect(self._on_view)
        state.shown_changed.connect(self.show_map)
        state.overview_changed.connect(self._on_overview)

    def show_slide(self, slide: Slide) -> None:
        """Show a slide alone; what lay on the one before goes with it."""
        self.slide_leaving.emit()
        self.unframe()
        for layer in (self.map, self.mask, self.regions, self.patch):
            layer.clear()
        self.frame = Frame(slide.info.mpp)
        self.slide.clear()
        self.guard.set_unit(self.frame.units[0])  # first: with two units in the world napari complains
        self.slide.show(slide, self.frame)
        overlays = self._viewer.canvas.overlays
        overlays.scale_bar.visible = True
        brush = getattr(overlays, "_brush_circle", None)
        if brush is not None:
            brush.box = False  # else a light square stays on the tissue where a brush was last
        self._viewer.canvas.background_color_override = SURROUND

    def show_regions(self) -> None:
        """Show the state's regions."""
        self.regions.show(self._state.regions, self.frame)

    def show_map(self) -> None:
        """Show the map that the state names, or none."""
        self.shown = shown = shown_map(self._state)
        self._check_frame()
        if not isinstance(shown, ShownMap):
            self.map.clear()
            return
        self.map.show(shown.table, shown.values, shown.limits, shown.colour_map, self.frame)
        self._on_cursor()  # it may still lie over a patch, which now has another value

    def show_mask(self, visible: bool) -> None:
        """Show or hide the tissue mask."""
        seen = self._state.seen
        if visible and seen is not None:
            self.mask.show(seen.mask, seen.downsample, self.frame)
        else:
            self.mask.clear()

    def magnify(self, power: float) -> None:
        """Show the slide as an objective of this power would; needs µm/px."""
        if self.frame.mpp is not None:
            self._viewer.scene.camera.zoom = power / UM_PER_PX_AT_1X

    def magnify_at(self, l0_xy: tuple[float, float], power: float) -> None:
        """Show a place as an objective of this power would; needs µm/px."""
        self._viewer.scene.camera.center = tuple(self.frame.world_yx(l0_xy))
        self.magnify(power)

    def show_area(self, l0_bounds: tuple[float, float, float, float]) -> None:
        """Show all of an area, given as its lowest x and y and its highest, in level-0 pixels."""
        low_yx, high_yx = self.frame.world_yx(np.reshape(l0_bounds, (2, 2)))
        camera = self._viewer.scene.camera
        span_yx = np.maximum(high_yx - low_yx, np.finfo(float).tiny)
        camera.zoom = float((np.array(self._viewer.canvas.size) / span_yx).min()) * AREA_SHARE
        camera.center = tuple((low_yx + high_yx) / 2)

    def power(self) -> float | None:
        """Return the objective's power that the view corresponds to, or None without a slide or µm/px."""
        if self.slide.layer is None or self.frame.mpp is None:
            return None
        return float(self._viewer.scene.camera.zoom) * UM_PER_PX_AT_1X

    def view(self) -> tuple[float, float, float, float] | None:
        """Return what is in view as x, y, width and height, each a share of the slide's; None without one."""
        size_l0 = self._size_l0()
        if size_l0 is None:
            return None
        camera, (height_px, width_px) = self._viewer.scene.camera, self._viewer.canvas.size
        span_l0 = self.frame.l0_xy((height_px / camera.zoom, width_px / camera.zoom))
        corner = (self.frame.l0_xy(camera.center[-2:]) - span_l0 / 2) / size_l0
        span = span_l0 / size_l0
        return float(corner[0]), float(corner[1]), float(span[0]), float(span[1])

    def centre_on(self, x: float, y: float) -> None:
        """Move the view's middle to a place, given as shares of the slide's width and height."""
        size_l0 = self._size_l0()
        if size_l0 is not None:
            self._viewer.scene.camera.center = tuple(self.frame.world_yx(np.array([x, y]) * size_l0))

    def look_at(self, l0_rect: Rect, *, keep_zoom: bool = False) -> None:
        """Move to a patch and frame it; `keep_zoom`: as long as the patch can be made out."""
        if self.slide.layer is None:
            return
        camera = self._viewer.scene.camera
        corner_yx, size_yx = self.frame.world_yx(np.reshape(l0_rect, (2, 2)))
        share = float(size_yx.max()) * camera.zoom / float(min(self._viewer.canvas.size))
        if not (keep_zoom and PATCH_SHARES[0] <= share <= PATCH_SHARES[1]):
            camera.zoom = camera.zoom * PATCH_SHARE / share
        camera.center = tuple(corner_yx + size_yx / 2)
        self.framed = l0_rect
        self._framed_map = self._state.shown, self._state.difference
        self.patch.surround(l0_rect, self.frame, camera.zoom)
        self.framed_changed.emit()

    def unframe(self) -> None:
        """Frame no patch any longer."""
        if self.framed is not None:
            self.framed = None
            self.patch.hide()
            self.framed_changed.emit()

    def _check_frame(self) -> None:
        """Let go of a patch that is none of the shown map's, or was chosen in another map."""
        if self.framed is None:
            return
        same = self._framed_map == (self._state.shown, self._state.difference)
        l0_xy = self.shown.table.l0_xy if isinstance(self.shown, ShownMap) else np.empty((0, 2))
        if not (same and (l0_xy == self.framed[:2]).all(axis=1).any()):
            self.unframe()

    def camera(self) -> tuple[tuple[float, float], float]:
        """Return the view's middle in level-0 pixels, and the camera's zoom."""
        camera = self._viewer.scene.camera
        x, y = self.frame.l0_xy(camera.center[-2:])
        return (float(x), float(y)), float(camera.zoom)

    def set_camera(self, centre_l0_xy: tuple[float, float], zoom: float) -> None:
        """Show what a camera showed; see `camera`."""
        camera = self._viewer.scene.camera
        camera.center = tuple(self.frame.world_yx(centre_l0_xy))
        camera.zoom = zoom

    def _size_l0(self) -> NDArray[np.float64] | None:
        slide = self._state.slide
        return None if slide is None or self.slide.layer is None else np.array(slide.info.size_px, float)

    def fit(self) -> None:
        """Show the whole slide."""
        if self.slide.layer is not None:
            self._viewer.fit_to_view(layers=[self.slide.layer])

    def close(self) -> None:
        """Take all layers out and stop listening."""
        self._state.shown_changed.disconnect(self.show_map)
        self._state.overview_changed.disconnect(self._on_overview)
        self._viewer.cursor.events.position.disconnect(self._on_cursor)
        self._viewer.scene.camera.events.zoom.disconnect(self._on_zoom)
        self._viewer.scene.camera.events.center.disconnect(self._on_view)
        self._viewer.canvas.events.size.disconnect(self._on_view)
        self.guard.close()
        for layer in (self.map, self.mask, self.regions, self.patch, self.slide):
            layer.close()

    def leave(self) -> None:
        """Give a viewer that goes on without us its background back."""
        self._viewer.canvas.background_color_override = None

    def take_out(self, layer: Layer) -> None:
        """Remove a layer that napari made of a slide: the slide takes its place."""
        if layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _on_mended(self, layer: Layer, line: str) -> None:
        self.noted.emit(layer, line)

    def _on_failed(self, error: AlnError) -> None:
        self.trouble.emit(error)

    def _on_slide_removed(self) -> None:
        self._viewer.canvas.background_color_override = None
        self.slide_leaving.emit()
        self.unframe()
        for layer in (self.map, self.mask, self.regions, self.patch):
            layer.clear()
        self.slide_removed.emit()

    def _on_cursor(self, _event: Any = None) -> None:  # noqa: ANN401 - napari's untyped event
        if self.map.layer is not None:
            self.cursor_value.emit(self.map.value_at(tuple(self._viewer.cursor.position[-2:])))

    def _on_zoom(self, _event: Any) -> None:  # noqa: ANN401 - napari's untyped event
        self.regions.set_zoom(self._viewer.scene.camera.zoom)
        self.patch.set_zoom(self._viewer.scene.camera.zoom)
        self.view_changed.emit()

    def _on_view(self, _event: Any) -> None:  # noqa: ANN401 - napari's untyped event
        self.view_changed.emit()

    def _on_overview(self) -> None:
        seen = self._state.seen
        if self.mask.layer is not None and not (seen and seen.edited):
            self.show_mask(seen is not None)

    def _on_painted(self, tissue: NDArray[np.bool_], pen: NDArray[np.bool_]) -> None:
        if self._state.seen is not None:
            self._state.set_seen(self._state.seen.with_mask(tissue, pen))
