"""Patches made on the device: a slide's JPEG tiles go up as they lie in the file and are decoded there."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_aln.errors import DeviceError, SlideError
from napari_aln.patches.device import cut_torch, resample_torch, send
from napari_aln.runtimes.jpeg_decoder import NvImageCodec, installed
from napari_aln.runtimes.torch_runtime import torch_errors
from napari_aln.slides.encoded import KeepsJpeg
from napari_aln.slides.sampling import level_for, window_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_aln.geometry import Rect
    from napari_aln.runtimes.jpeg_decoder import JpegDecoder
    from napari_aln.slides import Slide
    from napari_aln.slides.encoded import EncodedLevel
    from napari_aln.slides.sampling import Window

LARGEST_MEAN_DIFFERENCE = 1.0
"""Grey values by which two right decoders may differ on a tile, on average: each rounds in its own way, and
chroma may be upsampled in another. Colours taken for others differ by tens."""


class DevicePatches:
    """Reads patches of one level of a slide by decoding its tiles on a device.

    Parameters
    ----------
    slide
        Where tiles come from that the decoder cannot take.
    level
        The level that patches are made of.
    encoded
        That level's tiles.
    decoder
        Decodes them.
    """

    def __init__(self, slide: Slide, level: int, encoded: EncodedLevel, decoder: JpegDecoder) -> None:
        self._slide = slide
        self._level = level
        self._encoded = encoded
        self._decoder = decoder
        self._glass = torch.tensor(slide.info.background_rgb, dtype=torch.uint8, device=decoder.device)

    @property
    def decoder_name(self) -> str:
        """What decodes."""
        return self._decoder.name

    def read(self, places: Sequence[Rect], size_px: int) -> torch.Tensor | None:
        """Read patches as `slides.read_patch`, on the device.

        Parameters
        ----------
        places
            Level-0 rectangles of one size.
        size_px
            Side of the patches in pixels.

        Returns
        -------
        uint8 (n, size_px, size_px, 3), RGB, on the device; None where its memory does not suffice, or where
        patches of this size are made of another level.

        Raises
        ------
        SlideError
            A tile is damaged: neither the decoder nor the slide's own reader can read it.
        DeviceError
            The decoder or torch gave up.
        """
        levels = self._slide.info.levels
        windows = [window_of(levels, place, (size_px, size_px)) for place in places]
        if any(window.level != self._level for window in windows):
            return None
        with torch_errors("making patches"):
            try:
                return self._made(windows, size_px)
            except torch.OutOfMemoryError:
                return None

    def agrees(self) -> bool:
        """Whether the fullest tile decodes to what the slide's own reader makes of it."""
        column, row = self._encoded.fullest
        try:
            (ours,) = self._decoder([self._encoded.read(column, row)], stores_rgb=self._encoded.stores_rgb)
            theirs = self._through_slide(column, row)
        except (SlideError, DeviceError, torch.OutOfMemoryError):
            return False
        if ours is None or ours.shape != theirs.shape:
            return False
        there = self._encoded
        width = min(there.tile_width_px, there.width_px - column * there.tile_width_px)
        height = min(there.tile_height_px, there.height_px - row * there.tile_height_px)
        change = np.abs(ours.cpu().numpy().astype(np.int16) - theirs)[:height, :width]
        return bool(change.mean() <= LARGEST_MEAN_DIFFERENCE)

    def _made(self, windows: list[Window], size_px: int) -> torch.Tensor:
        """Decode the tiles that the windows touch, cut the windows out and resample them where needed."""
        there, device = self._encoded, self._decoder.device
        tile_px = np.array([there.tile_width_px, there.tile_height_px])
        level_px = np.array([there.width_px, there.height_px])
        corners = np.array([(w.left, w.top) for w in windows], np.int64)  # (n, 2) level pixels
        extents = np.array([(w.width, w.height) for w in windows], np.int64)  # (n, 2)
        first = corners.clip(0, level_px - 1) // tile_px  # (n, 2) tiles
        last = (corners + extents - 1).clip(0, level_px - 1) // tile_px
        origin = first.min(axis=0)  # the mosaic begins at this tile
        columns, rows = last.max(axis=0) - origin + 1
        touched = np.zeros((rows, columns), bool)
        for (left, top), (right, bottom) in zip(first - origin, last - origin, strict=True):
            touched[top : bottom + 1, left : right + 1] = True
        tiles = self._tiles(np.argwhere(touched)[:, ::-1] + origin)
        slots = np.cumsum(touched).reshape(touched.shape) - 1
        width, height = extents.max(axis=0).tolist()
        begin, mosaic_px = origin * tile_px, np.array([columns, rows]) * tile_px
        right, bottom = np.minimum(level_px - begin, mosaic_px).tolist()
        cut = cut_torch(
            tiles,
            send(torch.from_numpy(slots), device),
            send(torch.from_numpy(corners - begin), device),
            (width, height),
            (-int(begin[0]), -int(begin[1]), right, bottom),
            self._glass,
        )
        if all(window.box is None for window in windows):
            return cut
        boxes = [w.box or (0.0, 0.0, w.width, w.height) for w in windows]
        boxes_px = torch.tensor(boxes, dtype=torch.float64)
        return resample_torch(cut, boxes_px, torch.from_numpy(extents), (size_px, size_px))

    def _tiles(self, places: NDArray[np.int64]) -> torch.Tensor:
        """Return (m, tile height, tile width, 3) tiles at (m, 2) columns and rows."""
        streams = [self._stream(column, row) for column, row in places.tolist()]
        decoded = iter(
            self._decoder([s for s in streams if s is not None], stores_rgb=self._encoded.stores_rgb)
        )
        shape = (self._encoded.tile_height_px, self._encoded.tile_width_px, 3)
        tiles = []
        for (column, row), stream in zip(places.tolist(), streams, strict=True):
            tile = None if stream is None else next(decoded)
            if tile is None or tile.shape != shape:
                tile = send(torch.from_numpy(self._through_slide(column, row)), self._decoder.device)
            tiles.append(tile)
        return torch.stack(tiles)

    def _stream(self, column: int, row: int) -> bytes | None:
        try:
            return self._encoded.read(column, row)
        except SlideError:  # the slide's own reader gets round the damage, or says what it is
            return None

    def _through_slide(self, column: int, row: int) -> NDArray[np.uint8]:
        size = (self._encoded.tile_width_px, self._encoded.tile_height_px)
        return self._slide.read_level(self._level, (column * size[0], row * size[1]), size)


def device_patches(
    slide: Slide, downsample: tuple[float, float], decoder: JpegDecoder | None = None
) -> DevicePatches | None:
    """Return what makes a slide's patches on the device, or None where they are made on the processor.

    Parameters
    ----------
    slide
        The slide.
    downsample
        Level-0 pixels that a patch's pixel spans along x and y.
    decoder
        Decodes; left out: nvImageCodec on CUDA, where it is installed and finds a device.
    """
    level = level_for(slide.info.levels, downsample)
    encoded = slide.encoded_level(level) if isinstance(slide, KeepsJpeg) else None
    if encoded is None:
        return None
    decoder = decoder or _shared_decoder()
    if decoder is None:
        return None
    patches = DevicePatches(slide, level, encoded, decoder)
    return patches if patches.agrees() else None


@cache
def _shared_decoder() -> NvImageCodec | None:
    """Return the one decoder of this process: the slides of a cohort need not each start their own."""
    try:
        return NvImageCodec() if installed() else None
    except DeviceError:  # `doctor` says why
        return None
