"""Closed lines around many small things, to be looked at only: one mesh, one colour a line, any number.

A Shapes layer keeps an object for each of its shapes and takes seconds for some thousands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Surface
from napari.utils import Colormap
from numpy.typing import NDArray

from napari_aln.widgets.layers.held import HeldLayer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel

    from napari_aln.nuclei.located import Rings
    from napari_aln.widgets.layers.placement import Frame

    Colour = tuple[float, float, float, float]

LONGEST_MITRE = 2.0  # how far a corner may stick out, in widths of the line
UNKNOWN: Colour = (0.9, 0.9, 0.9, 1.0)
"""Light: beside any colour it parts a line from dark tissue, too."""

COLOURS_FROM = 0.1
"""Where the scale's colours begin on the layer's own scale; below lies the colour of what is not known."""


Mesh = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""Vertices (n, 2) as (y, x), faces (m, 3), values (n,)."""

NOTHING: Mesh = (np.zeros((3, 2)), np.array([[0, 1, 2]]), np.zeros(3))  # napari has no empty meshes


class Band(NamedTuple):
    """A strip along a line, in pixels of the screen from it, outwards positive."""

    inner_px: float
    outer_px: float
    place: float | None = None  # on the colour scale, NaN: of what is not known; None: that of its line


class RingsLayer(HeldLayer):
    """Closed lines on the slide.

    Parameters
    ----------
    viewer
        Where they are shown.
    rank
        Their place among our layers.
    name
        In napari's layer list.
    """

    def __init__(self, viewer: ViewerModel, rank: int, name: str) -> None:
        super().__init__(viewer, rank)
        self._name = name
        self._colours = Colormap([UNKNOWN, UNKNOWN], name="unknown")
        self._visible, self._opacity = True, 1.0

    def show(
        self,
        rings: Rings,
        places: NDArray[np.floating],
        bands: Sequence[Band],
        frame: Frame,
        zoom: float,
    ) -> None:
        """Show lines in place of those before.

        Parameters
        ----------
        rings
            r closed lines in level-0 pixels.
        places
            (r,) where each lies on the colour scale, 0 to 1; NaN: it has no value.
        bands
            What each line is drawn as.
        frame
            The slide's.
        zoom
            Screen pixels on a unit of the world, for which lines are as wide as they are to be.
        """
        mesh = ring_mesh(rings, frame.world_yx(rings.l0_xy), places, bands, zoom)
        if self._layer is not None:
            self._draw(self._layer, mesh)
            return
        if not len(rings.row):
            return
        layer = Surface(
            _with_room(mesh),
            name=self._name,
            colormap=self._colours,
            contrast_limits=(0.0, 1.0),
            shading="none",
            blending="translucent",
            opacity=self._opacity,
            visible=self._visible,
            units=frame.units,
        )
        layer.editable = False
        active = self._viewer.layers.selection.active
        self._put(layer)
        self._viewer.layers.selection.active = active

    def hide(self) -> None:
        """Show no lines. The layer stays: the next ones are there sooner."""
        if self._layer is not None:
            self._draw(self._layer, NOTHING)

    def _draw(self, layer: Surface, mesh: Mesh) -> None:
        """Put another mesh in the place of the one before, where there is room for it.

        Other arrays would make napari work out the extent of all layers, which takes as long as all else.
        """
        n_vertices, n_faces = len(mesh[0]), len(mesh[1])
        if n_vertices > len(layer.vertices) or n_faces > len(layer.faces):
            layer.data = _with_room(mesh)
            return
        for place, part in zip(layer.data, mesh, strict=True):
            place[: len(part)] = part
        layer.faces[n_faces:] = 0  # of no area: not drawn
        layer.refresh(thumbnail=False, highlight=False, extent=False)

    def colour(self, colours: NDArray[np.floating], name: str) -> None:
        """Colour lines by an (n, 4) scale from 0 to 1."""
        controls = np.concatenate([[0.0], np.linspace(COLOURS_FROM, 1.0, len(colours))])
        self._colours = Colormap(np.vstack([UNKNOWN, colours]), controls=controls, name=name)
        if self._layer is not None:
            self._layer.colormap = self._colours

    def set_visible(self, visible: bool) -> None:
        """Show or hide the lines."""
        self._visible = visible
        if self._layer is not None:
            self._layer.visible = visible

    def set_opacity(self, opacity: float) -> None:
        """Let the slide through, 0..1."""
        self._opacity = opacity
        if self._layer is not None:
            self._layer.opacity = opacity


def ring_mesh(
    rings: Rings,
    world_yx: NDArray[np.float64],
    places: NDArray[np.floating],
    bands: Sequence[Band],
    zoom: float,
) -> Mesh:
    """Return vertices, faces, and each vertex's place on the layer's scale: two vertices a point and band."""
    if not len(rings.row):
        return NOTHING
    at = np.arange(len(world_yx))
    after = at + 1
    after[rings.first[1:] - 1] = rings.first[:-1]
    before = np.empty_like(at)
    before[after] = at
    along = world_yx[after] - world_yx
    length = np.hypot(*along.T)[:, None]
    along = np.divide(along, length, out=np.zeros_like(along), where=length > 0)
    normal = along[:, ::-1] * (1, -1)
    # Twice the signed area of each ring says which side is out.
    y, x = world_yx.T
    area = np.add.reduceat(x * y[after] - x[after] * y, rings.first[:-1])
    of_ring = np.repeat(np.arange(len(rings.row)), np.diff(rings.first))
    normal *= np.where(area < 0, 1.0, -1.0)[of_ring, None]
    corner = normal + normal[before]
    mitre = corner / np.maximum((corner**2).sum(axis=1) / 2, 1 / LONGEST_MITRE)[:, None]
    own = _on_scale(places)[of_ring]
    vertices, faces, values = [], [], []
    for number, band in enumerate(bands):
        sides = [world_yx + mitre * (px / zoom) for px in (band.inner_px, band.outer_px)]
        vertices += sides
        a, b, c, d = at, after, at + len(at), after + len(at)
        faces.append(2 * number * len(at) + np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]))
        value = own if band.place is None else _on_scale(np.full(len(at), band.place))
        values += [value, value]
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(values)


def _with_room(mesh: Mesh) -> Mesh:
    """Return a mesh in arrays half as large again; what is added is not drawn."""
    vertices, faces, values = mesh
    more = len(vertices) // 2
    return (
        np.concatenate([vertices, np.repeat(vertices[:1], more, axis=0)]),
        np.concatenate([faces, np.zeros((len(faces) // 2, 3), faces.dtype)]),
        np.concatenate([values, np.zeros(more)]),
    )


def _on_scale(places: NDArray[np.floating]) -> NDArray[np.floating]:
    own = COLOURS_FROM + (1 - COLOURS_FROM) * np.clip(places, 0.0, 1.0)
    return np.where(np.isfinite(places), own, 0.0)
