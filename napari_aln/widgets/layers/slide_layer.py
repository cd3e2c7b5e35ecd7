"""The slide on the canvas: a multiscale picture whose tiles are decoded beside the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import psygnal
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_aln.slides.pyramid import Pyramid
from napari_aln.widgets.first_picture import ready_units
from napari_aln.widgets.layers.held import HeldLayer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

    from napari_aln.errors import AlnError
    from napari_aln.slides import Slide
    from napari_aln.widgets.layers.placement import Frame

NAME = "slide"  # not the file's name: it may hold a patient's, and napari shows it everywhere


class _Bell(QObject):
    """Carries what the decoding threads say to the window's thread: Qt queues calls of QObjects' methods."""

    arrived = Signal()
    failed = Signal(object)  # AlnError

    def __init__(self, on_arrived: Callable[[], None], on_failed: Callable[[AlnError], None]) -> None:
        super().__init__()
        self._do_arrived, self._do_failed = on_arrived, on_failed
        self.arrived.connect(self._on_arrived)
        self.failed.connect(self._on_failed)

    def _on_arrived(self) -> None:
        self._do_arrived()

    def _on_failed(self, error: AlnError) -> None:
        self._do_failed(error)


class _Picture(Image):  # type: ignore[misc]  # napari tells no types
    """napari's picture, with a thumbnail that needs no scipy.ndimage, a third of a first picture to load."""

    _type_string = "image"  # napari takes it from the name of the class

    def _update_thumbnail(self) -> None:
        if self._slice.empty:
            return
        picture = PIL.Image.fromarray(self._slice.thumbnail.raw)
        picture.thumbnail(self._thumbnail_shape[:2])
        picture.putalpha(round(255 * self.opacity))
        self.thumbnail = np.asarray(picture)


class SlideLayer(HeldLayer):
    """The slide's picture. Owns the pyramid, not the slide.

    Parameters
    ----------
    viewer
        Where it is shown.
    rank
        Its place among our layers.
    """

    failed = psygnal.Signal(object)  # AlnError: the slide can no longer be read

    def __init__(self, viewer: ViewerModel, rank: int) -> None:
        super().__init__(viewer, rank)
        self.pyramid: Pyramid | None = None
        self._bell = _Bell(self._redraw, self.failed.emit)

    def show(self, slide: Slide, frame: Frame) -> None:
        """Show a slide in place of the one before, the whole of it in view."""
        self.clear()
        self.pyramid = Pyramid(slide)
        self.pyramid.on_arrival = self._bell.arrived.emit
        self.pyramid.on_error = self._bell.failed.emit
        ready_units()
        layer = _Picture(
            list(self.pyramid.levels),
            rgb=True,
            multiscale=True,
            name=NAME,
            **frame.of_picture((1.0, 1.0)),
        )
        layer.editable = False
        self._put(layer)
        self._viewer.layers.selection.active = layer
        self._viewer.reset_view()

    def place(self, frame: Frame) -> None:
        """Lay the picture anew, after µm/px has become known."""
        if self._layer is not None:
            for name, value in frame.of_picture((1.0, 1.0)).items():
                setattr(self._layer, name, value)

    @property
    def has_icc(self) -> bool:
        """Whether the slide brings a colour profile."""
        return self.pyramid is not None and self.pyramid.has_icc

    @property
    def icc(self) -> bool:
        """Whether colours are shown through the profile."""
        return self.pyramid is not None and self.pyramid.icc

    def set_icc(self, on: bool) -> None:
        """Show colours through the slide's own profile, or as stored. For the eye only."""
        if self.pyramid is not None:
            self.pyramid.icc = on

    def clear(self) -> None:
        """Take the picture out of the viewer and stop decoding."""
        super().clear()
        self._after_removal()

    def _after_removal(self) -> None:
        if self.pyramid is not None:
            self.pyramid.close()
            self.pyramid = None

    def _redraw(self) -> None:
        if self._layer is not None:
            self._layer.refresh(thumbnail=False, highlight=False, extent=False)
