"""One layer without micrometres and napari drops the unit of all: mend such layers, and say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from psygnal import Signal

from napari_aln.widgets.layers.held import RANK
from napari_aln.widgets.layers.placement import MICROMETRE, PIXEL

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

PIXELS = ("pixel", "pixels", "px")


class UnitsGuard:
    """Watches layers that others add while the world is in micrometres.

    Parameters
    ----------
    viewer
        Whose layers are watched.
    """

    mended = Signal(object, str)  # a layer, and what was done to it, for the log

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.unit = PIXEL
        viewer.layers.events.inserted.connect(self._on_inserted)

    def set_unit(self, unit: str) -> None:
        """Note the world's unit, and mend what is there."""
        self.unit = unit
        for layer in self._viewer.layers:
            self._mend(layer)

    def close(self) -> None:
        """Stop watching."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)

    def _on_inserted(self, event: Any) -> None:  # noqa: ANN401 - napari's untyped event
        self._mend(event.value)

    def _mend(self, layer: Layer) -> None:
        if self.unit != MICROMETRE or RANK in layer.metadata:
            return
        units = [str(unit) for unit in layer.units]
        if all(unit == "micrometer" for unit in units):
            return
        if any(unit in PIXELS for unit in units):
            layer.units = (MICROMETRE,) * layer.ndim
            if isinstance(layer, Image):
                told = f"The layer '{layer.name}' states no µm/px: it lies at 1 µm per pixel."
                self.mended.emit(layer, told)
            return
        factors = [(1 * unit).to(MICROMETRE).magnitude for unit in layer.units]
        layer.scale = [s * f for s, f in zip(layer.scale, factors, strict=True)]
        layer.translate = [t * f for t, f in zip(layer.translate, factors, strict=True)]
        layer.units = (MICROMETRE,) * layer.ndim
        self.mended.emit(layer, f"The layer '{layer.name}' was given in {units[-1]}: it now counts in µm.")
