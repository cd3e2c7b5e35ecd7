"""What all our layers share: each has its place in the stack and may be removed by the user at any time."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from psygnal import Signal

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

RANK = "napari_aln_rank"


class HeldLayer:
    """One layer of ours, there or not.

    Parameters
    ----------
    viewer
        Where it is shown.
    rank
        Layers of ours with a lower rank lie below.
    """

    removed = Signal()  # by the user

    def __init__(self, viewer: ViewerModel, rank: int) -> None:
        self._viewer = viewer
        self._rank = rank
        self._layer: Layer | None = None
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def layer(self) -> Layer | None:
        """The layer, while it is in the viewer."""
        return self._layer

    def clear(self) -> None:
        """Take the layer out of the viewer."""
        self._take_out()

    def _take_out(self) -> None:
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def close(self) -> None:
        """Take the layer out and stop listening; the canvas may be gone."""
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        with ExitStack() as unlit:  # else napari draws the highlights of all layers anew
            for layer in self._viewer.layers:
                if "highlight" in layer.events.emitters:
                    unlit.enter_context(layer.events.highlight.blocker())
            self.clear()

    def _put(self, layer: Layer) -> None:
        """Show a new layer at its place among ours, without taking the selection from the user's."""
        self._take_out()
        layer.metadata[RANK] = self._rank
        ranks = [other.metadata.get(RANK) for other in self._viewer.layers]
        below = [i for i, rank in enumerate(ranks) if rank is not None and rank < self._rank]
        above = [i for i, rank in enumerate(ranks) if rank is not None and rank > self._rank]
        index = below[-1] + 1 if below else above[0] if above else len(ranks)
        self._layer = layer
        self._viewer.layers.insert(index, layer)

    def _on_removed(self, event: Any) -> None:  # noqa: ANN401 - napari's untyped event
        if self._layer is not None and event.value is self._layer:
            self._layer = None
            self._after_removal()
            self.removed.emit()

    def _after_removal(self) -> None:
        """Let go of what the layer showed."""
