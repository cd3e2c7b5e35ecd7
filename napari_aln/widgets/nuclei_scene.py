"""Nuclei on the canvas: a raster from afar, outlines of those in view from near, and those that are chosen.

Only what is in view is drawn, a little after the camera has moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_aln.geometry import Rect
from napari_aln.nuclei.rasters import cell_um
from napari_aln.widgets.layers.map_layer import MapLayer
from napari_aln.widgets.layers.rings_layer import Band, RingsLayer
from napari_aln.widgets.scene import NUCLEI_RANK, RASTER_RANK, REGIONS_RANK
from napari_aln.workflows.nuclei.view import DENSITY, density_limits, feature_limits, nuclei_raster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_aln.nuclei.located import LocatedNuclei
    from napari_aln.nuclei.measured_area import MeasuredArea
    from napari_aln.widgets.nuclei_outlines import OutlineReading
    from napari_aln.widgets.scene import Scene

RASTER, OUTLINES, CHOSEN = "nuclei raster", "nuclei", "chosen nuclei"
CHOSEN_RANK = REGIONS_RANK + 3  # under the measured line
RASTER_OPACITY = 0.6
THIN = (Band(-0.8, 0.8),)
CASED = (Band(-1.5, 0.5), Band(0.5, 1.5, float("nan")))  # a light line around parts it from a dark nucleus
MARKED = (Band(0.0, 2.5, 0.0), Band(2.5, 5.0, 1.0))  # light, and dark around it
LEAST_CASED_PX = 14.0  # of a nucleus on the screen
LEAST_NUCLEUS_PX = 5.0  # on the screen; smaller outlines run into each other
MOST_OUTLINES = 6000  # drawn at once, those around the view included
AROUND = 0.15  # of the view that is drawn on each side of it, so that small moves need nothing new
AHEAD = 0.5  # of the view on each side of it, for which outlines are read before it comes there
LEAST_ZOOMING = 1.2  # outlines keep their mesh within this factor of the zoom
TOLERANCE_PX = 0.4  # on the screen, of outlines with fewer points
MOST_CHOSEN = 500  # that are marked on the slide
SETTLE_MS = 40  # after the camera's last move
LATEST_MS = 160  # of moves that do not end
STILL_PX = 3  # a press and release nearer than this is a click
FREE_MODES = ("pan_zoom", "transform")
"""Of the active layer: others have the mouse for themselves."""


class NucleiScene(QObject):
    """Shows nuclei on a slide, and tells which of them the mouse is over.

    Parameters
    ----------
    viewer
        Where they are shown.
    scene
        Where the slide lies.
    reading
        Reads outlines that lie in a file.
    """

    hovered = Signal(object)  # row of the table under the mouse, None: none
    clicked = Signal(object)  # the same
    drawn = Signal()  # another raster, other limits, or other outlines

    def __init__(self, viewer: ViewerModel, scene: Scene, reading: OutlineReading) -> None:
        super().__init__()
        self._viewer, self._scene, self._reading = viewer, scene, reading
        reading.read.connect(self.draw)
        self.raster = MapLayer(viewer, RASTER_RANK, RASTER, RASTER_OPACITY)
        self.outlines = RingsLayer(viewer, NUCLEI_RANK, OUTLINES)
        self._mark = RingsLayer(viewer, CHOSEN_RANK, CHOSEN)
        self._mark.colour(np.array([[1, 1, 1, 1], [0, 0, 0, 1]]), "light and dark")
        self.nuclei: LocatedNuclei | None = None
        self._size_l0 = 1, 1  # of the slide
        self._measured: MeasuredArea | None = None
        self._limits_of: dict[str, tuple[float, float]] = {}  # feature -> as they were worked out
        self.kept: NDArray[np.bool_] | None = None  # None: all
        self.near = False  # outlines are shown, not the raster
        self.limits = (0.0, 1.0)  # values at both ends of the colours
        self.cell_um = 0.0
        self._feature, self._colour_map = DENSITY, "viridis"
        self._chosen = np.zeros(0, np.intp)
        self._drawn: tuple[Rect, float] | None = None  # what outlines cover, and at which zoom
        self._visible = True
        self.under_mouse: int | None = None  # row of the table
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(self.draw)
        self._latest = QTimer(self)
        self._latest.setSingleShot(True)
        self._latest.timeout.connect(self.draw)
        scene.view_changed.connect(self._on_view)
        viewer.cursor.events.position.connect(self._on_cursor)
        viewer.mouse_drag_callbacks.append(self._on_mouse)

    def show(
        self,
        nuclei: LocatedNuclei | None,
        size_l0: tuple[int, int],
        measured: MeasuredArea | None = None,
    ) -> None:
        """Show nuclei of a slide of this size in place of those before; None: show none.

        `measured`: to which densities refer; None: whole squares.
        """
        self.nuclei, self.kept, self._size_l0, self._measured = nuclei, None, size_l0, measured
        self._limits_of = {}
        self._reading.follow(nuclei)
        self._chosen = np.zeros(0, np.intp)
        self._hover(None)
        if nuclei is None:
            for layer in (self.raster, self.outlines, self._mark):
                layer.clear()
            self._drawn = None
            self.near = False
            self.drawn.emit()
            return
        self._mark.hide()
        self._anew()
        self._show_layers()

    def colour_by(self, feature: str, colour_map: str) -> None:
        """Colour by `DENSITY` or a feature; see `NUCLEUS_STYLES`."""
        self._feature, self._colour_map = feature, colour_map
        self.outlines.colour(_colours(colour_map, plain=feature == DENSITY), colour_map)
        self._anew()

    def keep(self, kept: NDArray[np.bool_] | None) -> None:
        """Show only some nuclei; None: all."""
        self.kept = kept
        self._hover(None)
        self._anew()

    def choose(self, rows: NDArray[np.intp]) -> None:
        """Mark nuclei on the slide, `MOST_CHOSEN` of them at most."""
        self._chosen = rows[:MOST_CHOSEN]
        self._draw_chosen()

    def fly_to(self, row: int) -> None:
        """Move the view to a nucleus, and near enough to see it."""
        assert self.nuclei is not None
        _, zoom = self._scene.camera()
        if self.nuclei.typical_um * self._um_zoom() < 2 * LEAST_NUCLEUS_PX:
            zoom *= 4 * LEAST_NUCLEUS_PX / max(self.nuclei.typical_um * self._um_zoom(), 1e-6)
        x, y = self.nuclei.l0_xy[row]
        self._scene.set_camera((float(x), float(y)), zoom)

    def set_visible(self, visible: bool) -> None:
        """Show or hide nuclei."""
        self._visible = visible
        self._hover(None)
        self._show_layers()
        if visible:
            self._anew()

    def set_opacity(self, opacity: float) -> None:
        """Let the slide through, 0..1."""
        self.raster.set_opacity(opacity)
        self.outlines.set_opacity(opacity)

    def close(self) -> None:
        """Take the layers out and stop listening."""
        self._settle.stop()
        self._latest.stop()
        self._scene.view_changed.disconnect(self._on_view)
        self._viewer.cursor.events.position.disconnect(self._on_cursor)
        self._viewer.mouse_drag_callbacks.remove(self._on_mouse)
        for layer in (self.raster, self.outlines, self._mark):
            layer.close()
        self._reading.follow(None)
        self.nuclei = None

    # Drawing

    def draw(self) -> None:
        """Draw what the view needs and does not have yet."""
        self._settle.stop()
        self._latest.stop()
        nuclei, view = self.nuclei, self._view_l0()
        if nuclei is None or view is None or not len(nuclei) or not self._visible:
            return
        zoom = self._um_zoom()
        around = _grown(view, AROUND)
        near = (
            nuclei.typical_um * zoom >= LEAST_NUCLEUS_PX
            and nuclei.count_near(around) <= 4 * MOST_OUTLINES
            and len(rows := self._rows_in(around)) <= MOST_OUTLINES
        )
        if near and not self._reading.has(rows, _grown(view, AHEAD)):
            if self._drawn or self.cell_um:
                return  # what is shown stays until they are there
            near = False
        was, self.near = self.near, near
        if near:
            if not was or not self._covers(view, zoom):
                self._draw_outlines(rows, around, zoom)
        else:
            self._draw_raster(zoom)
        if was != near:
            self._show_layers()
        if len(self._chosen):
            self._draw_chosen()

    def _anew(self) -> None:
        self._drawn, self.cell_um = None, 0.0
        self.draw()

    def _rows_in(self, l0_rect: Rect) -> NDArray[np.intp]:
        assert self.nuclei is not None
        rows = self.nuclei.rows_in(l0_rect)
        return rows if self.kept is None else rows[self.kept[rows]]

    def _covers(self, view: Rect, zoom: float) -> bool:
        if self._drawn is None:
            return False
        (x, y, width, height), drawn_zoom = self._drawn
        inside = x <= view.x and y <= view.y
        inside &= view.x + view.width <= x + width and view.y + view.height <= y + height
        return inside and 1 / LEAST_ZOOMING <= zoom / drawn_zoom <= LEAST_ZOOMING

    def _draw_outlines(self, rows: NDArray[np.intp], around: Rect, zoom: float) -> None:
        assert self.nuclei is not None
        nuclei, feature = self.nuclei, self._feature
        rings = nuclei.rings(rows, TOLERANCE_PX / zoom / nuclei.mpp.mean)
        if feature == DENSITY:  # of one nucleus there is none
            places = np.ones(len(rings.row))
        else:
            low, high = self.limits = self._feature_limits(feature)
            places = (nuclei.table[feature].to_numpy()[rings.row] - low) / (high - low)
        bands = CASED if nuclei.typical_um * zoom >= LEAST_CASED_PX else THIN
        self.outlines.show(rings, places, bands, self._scene.frame, zoom)
        self._drawn, self.cell_um = (around, zoom), 0.0
        self.drawn.emit()

    def _draw_raster(self, zoom: float) -> None:
        assert self.nuclei is not None
        side_um = cell_um(zoom, self._size_l0, self.nuclei.mpp)
        if side_um == self.cell_um:
            return
        self.cell_um, self._drawn = side_um, None
        feature = self._feature
        raster = nuclei_raster(self.nuclei, self.kept, feature, self._size_l0, side_um, self._measured)
        self.limits = density_limits(raster) if feature == DENSITY else self._feature_limits(feature)
        shown = raster.picture, raster.pixel_l0, self.limits, self._colour_map, self._scene.frame
        self.raster.show_picture(*shown)
        self.drawn.emit()

    def _feature_limits(self, feature: str) -> tuple[float, float]:
        assert self.nuclei is not None
        if feature not in self._limits_of:
            self._limits_of[feature] = feature_limits(self.nuclei.table, feature)
        return self._limits_of[feature]

    def _draw_chosen(self) -> None:
        if self.nuclei is None or not len(self._chosen):
            self._mark.hide()
            return
        rings = self.nuclei.rings(self._chosen)
        self._mark.show(rings, np.zeros(len(rings.row)), MARKED, self._scene.frame, self._um_zoom())

    def _show_layers(self) -> None:
        self.raster.set_visible(self._visible and not self.near)
        self.outlines.set_visible(self._visible and self.near)
        self._mark.set_visible(self._visible)

    def _um_zoom(self) -> float:
        """Screen pixels on a micrometre."""
        return float(self._viewer.scene.camera.zoom)

    def _view_l0(self) -> Rect | None:
        """Return what is in view, in level-0 pixels."""
        view = self._scene.view()
        if view is None:
            return None
        across, down = self._size_l0
        return Rect(view[0] * across, view[1] * down, view[2] * across, view[3] * down)

    def _on_view(self) -> None:
        if self.nuclei is None or not self._visible:
            return
        self._settle.start(SETTLE_MS)
        if not self._latest.isActive():
            self._latest.start(LATEST_MS)

    # The mouse

    @property
    def _listens(self) -> bool:
        active = self._viewer.layers.selection.active
        return (
            self.nuclei is not None
            and self._visible
            and self.near
            and (active is None or str(active.mode) in FREE_MODES)
        )

    def _row_at(self, world_yx: tuple[float, ...]) -> int | None:
        assert self.nuclei is not None
        return self.nuclei.row_at(self._scene.frame.l0_xy(world_yx[-2:]), self.kept)

    def value_at_cursor(self) -> float | None:
        """Return what the colours say under the mouse: a nucleus's value, or a square's."""
        if self.nuclei is None or not self._visible:
            return None
        if not self.near:
            return self.raster.value_at(tuple(self._viewer.cursor.position[-2:]))
        if self.under_mouse is None or self._feature == DENSITY:
            return None
        return float(self.nuclei.table[self._feature].to_numpy()[self.under_mouse])

    def _on_cursor(self, _event: Any = None) -> None:  # noqa: ANN401 - napari's untyped event
        if self.nuclei is None:
            return
        self._hover(self._row_at(self._viewer.cursor.position) if self._listens else None)

    def _hover(self, row: int | None) -> None:
        if row is not None or self.under_mouse is not None or not self.near:
            self.under_mouse = row
            self.hovered.emit(row)

    def _on_mouse(self, _viewer: ViewerModel, event: Any) -> Iterator[None]:  # noqa: ANN401 - napari's event
        pressed_at = np.array(event.pos)
        if event.button != 1 or not self._listens:
            return
        yield
        while event.type == "mouse_move":
            yield
        if np.hypot(*(np.array(event.pos) - pressed_at)) <= STILL_PX and self._listens:
            self.clicked.emit(self._row_at(event.position))


def _grown(rect: Rect, share: float) -> Rect:
    x, y, width, height = rect
    return Rect(x - share * width, y - share * height, width * (1 + 2 * share), height * (1 + 2 * share))


def _colours(name: str, *, plain: bool) -> NDArray[np.float32]:
    import matplotlib as mpl  # not needed before the first nucleus

    colours = mpl.colormaps[name](np.linspace(0, 1, 256)).astype(np.float32)
    return colours[[200, 200]] if plain else colours
