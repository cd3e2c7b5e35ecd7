"""The map on the slide: one value a patch, a small float picture that is recoloured in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils import Colormap
from psygnal import Signal

from napari_aln.patches.raster import pixel_l0, raster
from napari_aln.widgets.layers.held import HeldLayer
from napari_aln.widgets.layers.placement import Frame

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_aln.records import PatchTable

NAME = "map"
OPACITY = 0.4  # tissue stays readable underneath


class MapLayer(HeldLayer):
    """The picture of one map of one run.

    Parameters
    ----------
    viewer
        Where it is shown.
    rank
        Its place among our layers.
    name
        In napari's layer list.
    opacity
        How much it covers what lies below at first, 0..1.
    """

    look_changed = Signal(bool, float)  # visible and opacity, as napari's own controls set them too

    def __init__(self, viewer: ViewerModel, rank: int, name: str = NAME, opacity: float = OPACITY) -> None:
        super().__init__(viewer, rank)
        self._name = name
        self._picture: NDArray[np.float32] | None = None
        self._pixel_l0 = (1.0, 1.0)
        self._frame = Frame()
        self._place: dict[str, Any] = {}  # of the layer, as it was last laid
        self._visible = True
        self._opacity = opacity

    def show(
        self,
        table: PatchTable,
        values: NDArray[np.floating],
        limits: tuple[float, float],
        colour_map: str,
        frame: Frame,
    ) -> None:
        """Lay values, one a patch, on the slide.

        Parameters
        ----------
        table
            The patches.
        values
            (n,) values.
        limits
            Values at both ends of the colour map.
        colour_map
            One of matplotlib's.
        frame
            The slide's.
        """
        self.show_picture(raster(table, values), pixel_l0(table), limits, colour_map, frame)

    def show_picture(
        self,
        picture: NDArray[np.float32],
        pixel_l0: tuple[float, float],
        limits: tuple[float, float],
        colour_map: str,
        frame: Frame,
    ) -> None:
        """Lay a picture of values on the slide, from its level-0 corner on.

        Parameters
        ----------
        picture
            (rows, columns) values; NaN is clear.
        pixel_l0
            Level-0 pixels that one of its pixels spans along x and y.
        limits, colour_map, frame
            As of `show`.
        """
        self._picture = picture
        self._pixel_l0, self._frame = pixel_l0, frame
        place = frame.of_picture(self._pixel_l0)
        if self._layer is None:
            layer = Image(
                self._picture.copy(),
                name=self._name,
                colormap=_colormap(colour_map),
                contrast_limits=limits,
                interpolation2d="nearest",
                blending="translucent",
                opacity=self._opacity,
                visible=self._visible,
                **place,
            )
            layer.events.visible.connect(self._on_look)
            layer.events.opacity.connect(self._on_look)
            active = self._viewer.layers.selection.active
            self._put(layer)
            self._viewer.layers.selection.active = active
        else:
            # Each of these draws anew, so only what changed is set.
            layer = self._layer
            if not np.array_equal(layer.data, self._picture, equal_nan=True):
                self._redraw(layer, self._picture)
            if place != self._place:
                for name, value in place.items():
                    setattr(layer, name, value)
            if layer.colormap.name != colour_map:
                layer.colormap = _colormap(colour_map)
            if tuple(layer.contrast_limits) != limits:
                layer.contrast_limits_range = limits
                layer.contrast_limits = limits
        self._place = place

    def set_visible(self, visible: bool) -> None:
        """Show or hide the map."""
        self._visible = visible
        if self._layer is not None:
            self._layer.visible = visible

    def set_opacity(self, opacity: float) -> None:
        """Let the slide through, 0..1."""
        self._opacity = opacity
        if self._layer is not None:
            self._layer.opacity = opacity

    @property
    def opacity(self) -> float:
        """How much of the slide is covered, 0..1."""
        return self._opacity

    @property
    def visible(self) -> bool:
        """Whether the map is shown."""
        return self._visible

    def value_at(self, world_yx: tuple[float, float]) -> float | None:
        """Return the value under a place in the world, or None where no patch lies."""
        if self._picture is None or self._layer is None:
            return None
        column, row = np.floor(self._frame.l0_xy(world_yx) / self._pixel_l0).astype(int)
        rows, columns = self._picture.shape
        if not (0 <= row < rows and 0 <= column < columns):
            return None
        value = float(self._picture[row, column])
        return value if np.isfinite(value) else None

    def _redraw(self, layer: Image, picture: NDArray[np.float32]) -> None:
        """Put other values in the layer's picture; of the same size they take its place without more ado."""
        if layer.data.shape == picture.shape:
            layer.data[...] = picture
            layer.refresh(thumbnail=False, highlight=False, extent=False)
        else:
            layer.data = picture.copy()  # it is written into

    def _on_look(self) -> None:
        if self._layer is not None:
            self._visible, self._opacity = self._layer.visible, self._layer.opacity
            self.look_changed.emit(self._visible, self._opacity)

    def _after_removal(self) -> None:
        self._picture = None


def _colormap(name: str) -> Colormap:
    import matplotlib as mpl  # not needed before the first map

    colours = mpl.colormaps[name](np.linspace(0, 1, 256)).astype(np.float32)
    return Colormap(colours, name=name, nan_color=(0, 0, 0, 0))
