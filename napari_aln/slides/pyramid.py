"""The lazy pyramid the viewer draws: array-likes over an open slide, their tiles made by background threads.

Placing the levels: a level's row ``r`` is the mean of level-0 rows ``r * d`` to ``(r + 1) * d``, ``d`` being
the ratio of both heights; columns alike. napari 0.9 draws 2-D multiscale layers in just this way: it shifts
every level by half a *level-0* pixel, not half of its own. So no level needs an offset. Pixel centres count
in napari: for a world whose zero is the slide's corner, give the layer a ``translate`` of half its ``scale``.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_aln.errors import AlnError
from napari_aln.slides.array_keys import ascending, full_key
from napari_aln.slides.color import to_srgb
from napari_aln.slides.panning import Panning
from napari_aln.slides.pyramid_plan import PlannedLevel, area_mean, plan_levels, source_box
from napari_aln.slides.sampling import Reduces
from napari_aln.slides.tile_workers import GivenUpError, TileWorkers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import DTypeLike, NDArray

    from napari_aln.slides.protocol import Slide
    from napari_aln.slides.tile_workers import Key

CACHE_BYTES = 128 * 2**20
"""Tiles kept: several times what most screens show."""

_LARGEST_PICTURE = 2  # caches: 5120 x 2880 px of a screen, two pixels of the slide along each, take 170 MiB

PATIENCE_S = 0.05
"""Waiting this long spares most pictures a second drawing, which costs the window as much."""

_REDUCED_PX = 2048  # a level up to this side is taken whole from a slide that can reduce itself


class Pyramid:
    """Multiscale array-likes over an open slide.

    Reading a level asks the threads for its tiles, newest picture first, waits a little and returns what is
    there; what is missing is filled from the nearest coarser tiles. `on_arrival` says when to read again.
    While the picture moves, the tiles it moves towards are made before they are seen.
    Serves one viewer: with two of them, each picture would drop the requests of the other.

    Parameters
    ----------
    slide
        An open slide. It stays the caller's: close it after the pyramid.
    cache_bytes
        Limit of the tiles kept; the picture now shown may exceed it. A read that needs more than twice that
        is no picture for a screen: it is made tile by tile in the calling thread, and complete.
    threads
        How many make tiles.
    patience_s
        How long a read waits for missing tiles; may be set later too.

    Attributes
    ----------
    levels
        Finest first; the coarsest is at most `COARSEST_PX` a side and always in memory.
    on_arrival
        Called from a thread when tiles have come that a picture was missing: once until the next read, and
        once when the coarsest level is whole. Set it before the first read: no call is repeated. It must
        neither read nor close the pyramid: post a signal.
    on_error
        Called from a thread with the first of each kind of trouble; tiles that cannot be read show
        background.
    """

    def __init__(
        self,
        slide: Slide,
        *,
        cache_bytes: int = CACHE_BYTES,
        threads: int = 2,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._slide = slide
        self._plan = plan_levels(slide)
        self._cache_bytes, self.patience_s = cache_bytes, patience_s
        self._background = np.asarray(slide.info.background_rgb, np.uint8)
        self._convert = to_srgb(slide.color_profile())
        self._icc = False
        self._lock = threading.Lock()
        self._troubles: set[tuple[type, str]] = set()
        self._asked_reduced = False
        self._reduced: tuple[int, NDArray[np.uint8]] | None = None
        self.on_arrival: Callable[[], None] | None = None
        self.on_error: Callable[[AlnError], None] | None = None
        last = self._plan[-1]
        self._coarsest = np.empty((last.height_px, last.width_px, 3), np.uint8)
        self._coarsest[:] = self._background
        self._panning = Panning()
        self._workers = TileWorkers(self._make, self._arrived, cache_bytes=cache_bytes, threads=threads)
        self.levels = tuple(PyramidLevel(self, number, level) for number, level in enumerate(self._plan))
        self._workers.keep(self._keys_of_coarsest())

    @property
    def pending(self) -> int:
        """Tiles wanted by the newest picture that have not come yet; 0: read again, and it is whole."""
        return self._workers.pending

    @property
    def returned_whole(self) -> bool:
        """Tell whether the newest picture had all its tiles already when it was returned."""
        return not self._workers.returned_short

    @property
    def cache_bytes_used(self) -> int:
        """Bytes of the tiles kept, those of the coarsest level included."""
        return self._workers.bytes_used

    @property
    def has_icc(self) -> bool:
        """Tell whether the slide has a colour profile that can be used."""
        return self._convert is not None

    @property
    def icc(self) -> bool:
        """Show colours converted from the slide's profile to sRGB. Nothing but the display sees them."""
        return self._icc

    @icc.setter
    def icc(self, on: bool) -> None:
        if on == self._icc:
            return
        self._icc = on
        if self.has_icc:
            self._workers.drop_all()
            self._arrived()

    def close(self) -> None:
        """Stop and join the threads, drop the tiles. Later reads give background; the slide stays open."""
        self._workers.close()

    def read(self, number: int, rows: range, columns: range) -> NDArray[np.uint8]:
        """Return (rows, columns, 3) pixels of a level; missing tiles are filled from coarser ones.

        Both ranges lie inside the level and ascend.
        """
        out = np.empty((len(rows), len(columns), 3), np.uint8)
        if out.size == 0:
            return out
        level = self._plan[number]
        parts = list(_parts(level, rows, columns))
        keys = [(number, row, column) for row, column, *_ in parts]
        needs_bytes = len(keys) * level.tile_width_px * level.tile_height_px * 3
        patient = needs_bytes <= _LARGEST_PICTURE * self._cache_bytes
        ahead = self._panning.ahead(number, level, rows, columns)
        tiles = self._workers.want(keys, self.patience_s, ahead) if patient else {}
        for key, (row, column, to, of) in zip(keys, parts, strict=True):
            tile = tiles.get(key) if patient else self._tile_now(key)
            if tile is None:
                out[to] = self._from_coarser(number, level.tile_box(row, column))[of]
            else:
                out[to] = tile[of]
        return out

    def whole(self, number: int) -> NDArray[np.uint8]:
        """Return a whole level.

        The coarsest comes at once, and is the array that the threads fill: viewers keep it. Any other is made
        in the calling thread and complete.
        """
        level = self._plan[number]
        if number == len(self._plan) - 1:
            self._workers.want(list(self._keys_of_coarsest()), self.patience_s)
            return self._coarsest
        out = np.empty((level.height_px, level.width_px, 3), np.uint8)
        for row, column, to, of in _parts(level, range(level.height_px), range(level.width_px)):
            out[to] = self._tile_now((number, row, column))[of]
        return out

    def _keys_of_coarsest(self) -> Iterator[Key]:
        last = self._plan[-1]
        for row in range(last.rows):
            for column in range(last.columns):
                yield len(self._plan) - 1, row, column

    def _tile_now(self, key: Key) -> NDArray[np.uint8]:
        try:
            return self._workers.tile(key)
        except GivenUpError:  # closed
            return self._glass(self._plan[key[0]].tile_box(*key[1:]))

    def _make(self, key: Key, further: Callable[[Key], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        number, row, column = key
        level = self._plan[number]
        box = level.tile_box(row, column)
        if level.file_level is not None:
            tile = self._from_file(level.file_level, box)
        else:
            reduced = self._cut_from_reduced(number, box)
            tile = self._averaged(number, box, further) if reduced is None else reduced
        if number < len(self._plan) - 1:
            return tile
        x0, y0, x1, y1 = box
        place = self._coarsest[y0:y1, x0:x1]
        place[:] = tile
        return place

    def _cut_from_reduced(self, number: int, box: tuple[int, int, int, int]) -> NDArray[np.uint8] | None:
        """Return a box of the level that the slide makes of itself at once, without a full decode."""
        with self._lock:
            if not self._asked_reduced:
                self._asked_reduced = True
                self._reduced = _reduced_level(self._slide, self._plan)
        if self._reduced is None or self._reduced[0] != number:
            return None
        x0, y0, x1, y1 = box
        return self._in_colors(self._reduced[1][y0:y1, x0:x1])

    def _averaged(
        self, number: int, box: tuple[int, int, int, int], further: Callable[[Key], NDArray[np.uint8]]
    ) -> NDArray[np.uint8]:
        level, finer = self._plan[number], self._plan[number - 1]
        x0, y0, x1, y1 = source = source_box(finer, level, box)
        here = self._if_here(number - 1, range(y0, y1), range(x0, x1))
        if here is not None:
            pixels = here
        elif finer.file_level is not None:  # past the cache: nobody wants to see these tiles now
            pixels = self._from_file(finer.file_level, source)
        else:
            pixels = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
            for row, column, to, of in _parts(finer, range(y0, y1), range(x0, x1)):
                pixels[to] = further((number - 1, row, column))[of]
        return area_mean(pixels, finer, level, box)

    def _from_file(self, file_level: int, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        x0, y0, x1, y1 = box
        try:
            pixels = self._slide.read_level(file_level, (x0, y0), (x1 - x0, y1 - y0))
        except AlnError as error:
            self._report(error)
            return self._glass(box)
        return self._in_colors(pixels)

    def _in_colors(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._convert(rgb) if self._icc and self._convert else rgb

    def _from_coarser(self, number: int, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        """Return a box enlarged from the finest coarser level whose tiles are all here."""
        x0, y0, x1, y1 = box
        level = self._plan[number]
        for coarser_number in range(number + 1, len(self._plan)):
            coarser = self._plan[coarser_number]
            rows = (2 * np.arange(y0, y1) + 1) * coarser.height_px // (2 * level.height_px)
            columns = (2 * np.arange(x0, x1) + 1) * coarser.width_px // (2 * level.width_px)
            pixels = self._if_here(
                coarser_number, range(rows[0], rows[-1] + 1), range(columns[0], columns[-1] + 1)
            )
            if pixels is not None:
                # columns first: few rows are gathered pixel by pixel, then whole rows are copied
                wide = pixels.take(columns - columns[0], axis=1)
                enlarged: NDArray[np.uint8] = wide.take(rows - rows[0], axis=0)
                return enlarged
        return self._glass(box)

    def _if_here(self, number: int, rows: range, columns: range) -> NDArray[np.uint8] | None:
        pixels = np.empty((len(rows), len(columns), 3), np.uint8)
        for row, column, to, of in _parts(self._plan[number], rows, columns):
            tile = self._workers.look((number, row, column))
            if tile is None:
                return None
            pixels[to] = tile[of]
        return pixels

    def _glass(self, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        x0, y0, x1, y1 = box
        return np.broadcast_to(self._background, (y1 - y0, x1 - x0, 3))

    def _arrived(self) -> None:
        if self.on_arrival is not None:
            self.on_arrival()

    def _report(self, error: AlnError) -> None:
        """Say the first of each kind of trouble: a vanished drive fails at every tile, always elsewhere."""
        kind = (type(error), error.next_step)
        with self._lock:
            known = kind in self._troubles
            self._troubles.add(kind)
        if not known and self.on_error is not None:
            self.on_error(error)


class PyramidLevel:
    """One level as an array-like of (height, width, 3) uint8; see `Pyramid`."""

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, pyramid: Pyramid, number: int, level: PlannedLevel) -> None:
        self._pyramid, self._number = pyramid, number
        self.shape = (level.height_px, level.width_px, 3)
        self.chunks = (level.tile_height_px, level.tile_width_px, 3)  # napari widens its reads to these
        self.size = math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:  # noqa: ANN401 - as numpy takes it
        """Return pixels as numpy would: whole numbers, slices and an ellipsis.

        Raises
        ------
        IndexError
            A number out of range, too many of them, or another kind of index.
        """
        rows_key, columns_key, channels_key = full_key(key)
        rows, flip_rows = ascending(rows_key, self.shape[0])
        columns, flip_columns = ascending(columns_key, self.shape[1])
        picture = self._pyramid.read(self._number, rows, columns)
        picture = picture[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
        return picture[
            slice(None) if isinstance(rows_key, slice) else 0,
            slice(None) if isinstance(columns_key, slice) else 0,
            channels_key,
        ]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the whole level: see `Pyramid.whole`. The coarsest is shared unless a copy is asked for.

        Raises
        ------
        ValueError
            No copy is wanted, and there is nothing to share.
        """
        wanted = self.dtype if dtype is None else np.dtype(dtype)
        shared = self._number == len(self._pyramid.levels) - 1 and wanted == self.dtype
        if copy is False and not shared:
            raise ValueError("Only the coarsest level can be had without a copy, and only as uint8.")
        whole: NDArray[Any] = self._pyramid.whole(self._number)
        return whole.astype(wanted, copy=bool(copy))

    def __repr__(self) -> str:
        return f"<PyramidLevel {self._number} {self.shape}>"


def _reduced_level(slide: Slide, plan: tuple[PlannedLevel, ...]) -> tuple[int, NDArray[np.uint8]] | None:
    """Return the finest small level that the file lacks and the slide can make of itself, and its number."""
    if not isinstance(slide, Reduces):
        return None
    for number, level in enumerate(plan):
        if level.file_level is None and max(level.width_px, level.height_px) <= _REDUCED_PX:
            try:
                rgb = slide.reduced((level.width_px, level.height_px))
            except AlnError:  # reading the tiles will say what is wrong
                return None
            if rgb is not None:
                return number, rgb
    return None


def _parts(
    level: PlannedLevel, rows: range, columns: range
) -> Iterator[tuple[int, int, tuple[slice, slice], tuple[slice, slice]]]:
    """Yield each tile with wanted pixels: row, column, where they go in the picture, where they are in it."""
    across = list(_cuts(columns, level.tile_width_px))
    for row, to_rows, of_rows in _cuts(rows, level.tile_height_px):
        for column, to_columns, of_columns in across:
            yield row, column, (to_rows, to_columns), (of_rows, of_columns)


def _cuts(wanted: range, tile_px: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield for each tile along an axis: its number, the part of `wanted` in it, that part's own pixels."""
    at = 0
    while at < len(wanted):
        tile = wanted[at] // tile_px
        end = at + -(-((tile + 1) * tile_px - wanted[at]) // wanted.step)
        end = min(end, len(wanted))
        first = wanted[at] - tile * tile_px
        last = wanted[end - 1] - tile * tile_px
        yield tile, slice(at, end), slice(first, last + 1, wanted.step)
        at = end
