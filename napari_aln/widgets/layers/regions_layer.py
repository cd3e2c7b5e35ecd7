"""The tumour ROI on the slide: a Shapes layer as the view of the regions, which live in level-0 pixels.

napari's shapes have one ring each and single precision. So a hole is a shape of its own that says so, and
regions are read back only after the user changed a shape: what was imported stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely
from napari.layers import Shapes
from psygnal import Signal
from shapely.geometry import Point, Polygon

from napari_aln.annotations.mend import mended
from napari_aln.records import Region
from napari_aln.widgets.layers.held import HeldLayer
from napari_aln.widgets.layers.lines_layer import LinesLayer, Look
from napari_aln.widgets.layers.placement import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import ViewerModel
    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

NAME = "tumour ROI"
OUTLINE, HOLE = "outline", "hole"
ASIDE_COLOUR = "#909090"  # of regions that are set aside
COLOUR = "#000000"  # stands out on H&E, on glass and on every map; no hue does
EDGE_WIDTH_PX = 2.5  # on the screen, at every zoom
LEAST_CHANGE = 0.05  # of the zoom, before outlines are drawn anew
FINISHED = ("added", "removed", "changed")
VERTEX_MODE, DRAGGING_MODE = "direct", "select"  # in which a drag moves a vertex, or whole shapes
DRAWING_MODES = ("add_polygon", "add_polygon_lasso")
ELLIPSE_SEGMENTS = 32  # a quarter


@dataclass(frozen=True)
class _Ring:
    l0_yx: NDArray[np.float64]
    role: str
    region: int  # which region it belongs to; 0: drawn by the user
    colour: str


class _Shape(NamedTuple):
    area: BaseGeometry | None  # in level-0 pixels (x, y)
    role: str
    region: int


@dataclass
class _Dragged:
    rings: list[_Ring]  # as they were
    place: int  # of the ring
    vertex: int
    l0_yx: NDArray[np.float64]  # of the ring, as it is now

    @property
    def moving(self) -> list[int]:
        """The lines that meet at the vertex."""
        return [self.vertex - 1, self.vertex]


class RegionsLayer(HeldLayer):
    """The regions' view.

    Parameters
    ----------
    viewer
        Where it is shown.
    rank
        Its place among our layers.
    """

    outlining = Signal(object)  # the area of an unfinished shape in level-0 pixels; None: it was given up
    outlined = Signal(object)  # the area of a new shape in level-0 pixels; the shape itself goes
    moving = Signal(tuple)  # the regions while the user drags a vertex or a shape
    drawn = Signal(tuple)  # the regions, after the user changed them

    def __init__(self, viewer: ViewerModel, rank: int) -> None:
        super().__init__(viewer, rank)
        self._regions: tuple[Region, ...] = ()
        self._quiet = False
        self._zoom = 1.0  # screen pixels on a unit of the world, as drawn last
        self._mean_mpp = 1.0
        self._n_shown = 0  # shapes, without one that is being drawn
        self._rings: list[_Ring] = []
        self._in_step = True  # no shape was changed by napari's own tools since the regions were shown
        self._frame = Frame()
        # While a vertex is dragged: napari would triangulate the whole of its shape at every move.
        self._moving, self._resting = (
            LinesLayer(viewer, rank, f"{NAME}, {part}", Look(EDGE_WIDTH_PX)) for part in ("moving", "resting")
        )

    def show(self, regions: Sequence[Region], frame: Frame) -> None:
        """Show regions in place of those before."""
        self._regions, self._frame = tuple(regions), frame
        rings = [ring for number, region in enumerate(regions, 1) for ring in _rings(region, number)]
        layer = self._layer
        mode = str(layer.mode) if layer is not None else ""
        self._quiet = True
        try:
            if layer is not None and mode in DRAWING_MODES:
                layer.mode = "pan_zoom"  # napari lets go of a shape that is half drawn
            self._build(rings, frame)
            if layer is not None and mode in DRAWING_MODES:
                layer.mode = mode
        finally:
            self._quiet = False
        self._rings, self._n_shown, self._in_step = rings, len(rings), True
        self._show_lines(shown=False)
        self._show_points()

    def clear(self) -> None:
        """Take the layers out of the viewer."""
        self._moving.clear()
        self._resting.clear()
        super().clear()

    def close(self) -> None:
        """Take the layers out and stop listening."""
        self._moving.close()
        self._resting.close()
        super().close()

    def use(self, mode: str, frame: Frame) -> None:
        """Give the user one of napari's tools for shapes, such as ``add_polygon_lasso`` or ``direct``."""
        if self._layer is None:
            self.show((), frame)
        self._viewer.layers.selection.active = self._layer
        if self._layer is not None:
            self._layer.mode = mode
            self._show_points()
            if mode == VERTEX_MODE and self._rings:  # before the mouse waits for it
                for lines in (self._moving, self._resting):
                    lines.show(_lines_l0_xy(self._rings[0].l0_yx), self._frame)

    def rest(self) -> None:
        """Take the tool out of the user's hand."""
        if self._layer is not None:
            self._layer.selected_data = set()  # or Delete would remove what no tool shows as chosen
            self._layer.mode = "pan_zoom"

    @property
    def is_drawing(self) -> bool:
        """Whether a shape is half drawn."""
        return self._layer is not None and self._layer.nshapes > self._n_shown

    def set_zoom(self, zoom: float) -> None:
        """Keep outlines as wide on the screen as they are; `zoom` is screen pixels on a unit of the world."""
        if abs(zoom / self._zoom - 1) < LEAST_CHANGE:
            return
        self._zoom = zoom
        if self._layer is not None:
            self._layer.edge_width = self._edge_width
            with self._layer.block_update_properties():  # the default alone, not a selected shape's
                self._layer.current_edge_width = self._edge_width

    @property
    def _edge_width(self) -> float:
        """In level-0 pixels."""
        return EDGE_WIDTH_PX / (self._zoom * self._mean_mpp)

    def _build(self, rings: list[_Ring], frame: Frame) -> None:
        import pandas as pd  # not needed before the first region: the window opens sooner

        self._mean_mpp = frame.mpp.mean if frame.mpp else 1.0
        features = pd.DataFrame(
            # with their types: of an empty column pandas would make one of numbers
            {
                "role": pd.Series([r.role for r in rings], dtype=object),
                "region": pd.Series([r.region for r in rings], dtype=int),
            }
        )
        colours = [ring.colour for ring in rings] or COLOUR
        if self._layer is not None:  # the layer stays: taking it out and in again costs half a second
            self._layer.data = [(ring.l0_yx, "polygon") for ring in rings]
            self._layer.features = features
            self._layer.edge_color = colours
            self._layer.face_color = "transparent"
            self._layer.edge_width = self._edge_width
            return
        layer = Shapes(
            [ring.l0_yx for ring in rings] or None,
            ndim=2,
            shape_type="polygon",
            name=NAME,
            features=features,
            feature_defaults={"role": OUTLINE, "region": 0},
            edge_color=colours,
            edge_width=self._edge_width,
            face_color="transparent",
            opacity=1.0,
            **frame.of_l0_yx(),
        )
        layer.current_edge_width = self._edge_width
        layer.current_edge_color = COLOUR
        layer.current_face_color = "transparent"
        layer.events.data.connect(self._on_data)
        layer.events.mode.connect(self._on_mode)
        self._follow(layer)
        active = self._viewer.layers.selection.active
        self._put(layer)
        self._viewer.layers.selection.active = active

    def _on_data(self, event: Any) -> None:  # noqa: ANN401 - napari's untyped event
        action = str(getattr(event, "action", "changed"))
        if self._quiet or action not in FINISHED or self._layer is None:
            return
        if self._vanished():
            self.outlining.emit(None)
            return
        before, self._n_shown = self._n_shown, self._layer.nshapes
        if action == "added":
            # Several at once where they were pasted.
            fresh = zip(self._layer.data[before:], self._layer.shape_type[before:], strict=True)
            areas = [area for area in (_area(l0_yx, kind) for l0_yx, kind in fresh) if area is not None]
            if areas:
                self.outlined.emit(areas[0] if len(areas) == 1 else shapely.union_all(areas))
                return
        self._regions, self._in_step = self._read(), False
        self.drawn.emit(self._regions)

    def _show_points(self) -> None:
        """Let all points be seen and dragged at once: napari has those of selected shapes alone."""
        if self._layer is not None and str(self._layer.mode) == VERTEX_MODE:
            self._layer.selected_data = set(range(self._layer.nshapes))

    def _follow(self, layer: Shapes) -> None:
        """Listen to the mouse after the tool in hand: shapes are read as it leaves them."""
        for callbacks, ours in (
            (layer.mouse_drag_callbacks, self._follow_drag),
            (layer.mouse_move_callbacks, self._follow_move),
        ):
            if ours in callbacks:
                callbacks.remove(ours)
            callbacks.append(ours)
        if self._drag_vertex in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(self._drag_vertex)
        if str(layer.mode) == VERTEX_MODE:
            layer.mouse_drag_callbacks[:] = [self._drag_vertex]  # and not napari's

    def _on_mode(self, event: Any) -> None:  # noqa: ANN401 - napari's untyped event
        self._follow(event.source)

    def _drag_vertex(self, layer: Shapes, event: Any) -> Iterator[None]:  # noqa: ANN401 - napari's event
        if not self._in_step:
            self.show(self._regions, self._frame)
        place, vertex = layer.get_value(event.position, world=True) or (None, None)
        dragged = None
        yield
        while event.type == "mouse_move":
            if place is not None and vertex is not None:
                if layer not in self._viewer.layers or (dragged and dragged.rings is not self._rings):
                    return  # removed, or undone, with the button still down
                dragged = dragged or self._lift(layer, place, vertex)
                dragged.l0_yx[vertex] = layer.world_to_data(event.position)
                self._moving.show(_lines_l0_xy(dragged.l0_yx)[dragged.moving], self._frame)
                self.moving.emit(self._with(dragged))
            yield
        if dragged is not None:
            self.show(self._with(dragged), self._frame)
            self.drawn.emit(self._regions)
        elif place is not None and vertex is None:
            layer.selected_data = {place}
        else:
            self._show_points()

    def _lift(self, layer: Shapes, place: int, vertex: int) -> _Dragged:
        """Draw a ring with lines, and no longer as a shape."""
        colours = layer.edge_color
        colours[place, -1] = 0.0
        layer.edge_color = colours
        layer.selected_data = set()
        dragged = _Dragged(self._rings, place, vertex, self._rings[place].l0_yx.copy())
        for lines in (self._moving, self._resting):
            lines.set_zoom(self._zoom)
        self._resting.show(np.delete(_lines_l0_xy(dragged.l0_yx), dragged.moving, axis=0), self._frame)
        self._show_lines(shown=True)
        return dragged

    def _show_lines(self, *, shown: bool) -> None:
        for lines in (self._moving, self._resting):
            lines.set_visible(shown)

    def _with(self, dragged: _Dragged) -> tuple[Region, ...]:
        """Return the regions with a ring as it has been dragged."""
        rings = [ring.l0_yx for ring in self._rings]
        rings[dragged.place] = dragged.l0_yx
        shapes = zip(rings, self._rings, strict=True)
        return self._joined([_Shape(_area(yx, "polygon"), was.role, was.region) for yx, was in shapes])

    def _follow_drag(self, layer: Shapes, event: Any) -> Iterator[None]:  # noqa: ANN401 - napari's event
        yield
        while event.type == "mouse_move":
            if str(layer.mode) == DRAGGING_MODE:
                self.moving.emit(self._read())
            else:
                self._follow_move(layer, event)
            yield

    def _follow_move(self, layer: Shapes, _event: Any) -> None:  # noqa: ANN401 - napari's event
        if layer.nshapes > self._n_shown:
            open_outline = str(layer.mode) in DRAWING_MODES  # a path to napari until it is closed
            area = _area(layer.data[-1], "polygon" if open_outline else layer.shape_type[-1])
            if area is not None:
                self.outlining.emit(area)

    def _vanished(self) -> bool:
        """Tell whether a line was too short to be a shape: napari drops it and keeps its row of the table."""
        layer = self._layer
        if layer is None or len(layer.features) <= len(layer.data):
            return False
        layer.features = layer.features.iloc[: len(layer.data)]
        return True

    def _read(self) -> tuple[Region, ...]:
        """Return the regions as the shapes now say."""
        layer = self._layer
        if layer is None:
            return ()
        roles, numbers = layer.features["role"], layer.features["region"]
        shapes = zip(layer.data, layer.shape_type, roles, numbers, strict=True)
        return self._joined([_Shape(_area(yx, kind), role, int(number)) for yx, kind, role, number in shapes])

    def _joined(self, shapes: list[_Shape]) -> tuple[Region, ...]:
        """Return the regions: parts joined, holes cut out of the part they lie in."""
        outlines = [(s.area, s.region) for s in shapes if s.area is not None and s.role != HOLE]
        holes = [(s.area, s.region) for s in shapes if s.area is not None and s.role == HOLE]
        parts: dict[int, list[BaseGeometry]] = {}
        for place, (outline, number) in enumerate(outlines):
            own = [h for h, n in holes if n == number and h.area < outline.area and _lies_in(h, outline)]
            part = shapely.difference(outline, shapely.union_all(own)) if own else outline
            known = 0 < number <= len(self._regions)
            parts.setdefault(number if known else -1 - place, []).append(part)
        return tuple(
            replace(
                self._regions[number - 1], geometry=areas[0] if len(areas) == 1 else shapely.union_all(areas)
            )
            if number > 0
            else Region(areas[0])
            for number, areas in parts.items()
        )

    def _after_removal(self) -> None:
        self._regions = ()
        self.drawn.emit(())


def _rings(region: Region, number: int) -> list[_Ring]:
    rings, colour = [], COLOUR if region.in_use else ASIDE_COLOUR
    for part in shapely.get_parts(region.geometry):
        rings.append(_Ring(_yx(part.exterior), OUTLINE, number, colour))
        rings += [_Ring(_yx(hole), HOLE, number, colour) for hole in part.interiors]
    return rings


def _yx(ring: shapely.LinearRing) -> NDArray[np.float64]:
    closed: NDArray[np.float64] = shapely.get_coordinates(ring)[:-1, ::-1]
    return closed


def _lines_l0_xy(l0_yx: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (m, 2, 2) start and end of a ring's lines; line i starts at vertex i."""
    start = l0_yx[:, ::-1]
    return np.stack([start, np.roll(start, -1, axis=0)], axis=1)


def _lies_in(hole: BaseGeometry, outline: BaseGeometry) -> bool:
    return bool(outline.contains(hole.representative_point()))


def _area(l0_yx: NDArray[np.floating], kind: str) -> BaseGeometry | None:
    """Return a shape as a valid area in level-0 pixels (x, y); None for what has none."""
    xy = np.asarray(l0_yx, float)[:, ::-1]
    if kind == "ellipse":
        return _ellipse(xy)
    if kind not in ("polygon", "rectangle") or len(xy) < 3:
        return None
    area = mended(Polygon(xy))
    return None if area.is_empty else area


def _ellipse(corners_xy: NDArray[np.float64]) -> Polygon:
    """Return the ellipse that napari draws into the parallelogram of four corners."""
    centre = corners_xy.mean(axis=0)
    half_x, half_y = (corners_xy[1] - corners_xy[0]) / 2, (corners_xy[3] - corners_xy[0]) / 2
    circle = shapely.get_coordinates(Point(0, 0).buffer(1.0, quad_segs=ELLIPSE_SEGMENTS))
    return Polygon(centre + circle @ np.stack([half_x, half_y]))
