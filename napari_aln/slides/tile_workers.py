"""Tiles made by background threads and kept in a cache of limited bytes.

The newest picture comes first: tiles that only a former one wanted are given up, also half-way. No tile is
made twice at the same time, and none again while it is cached.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

Key = tuple[int, int, int]
"""A tile: level, row, column."""

PROGRESS_S = 0.15
"""A picture that takes longer than this to fill is announced in parts."""


class GivenUpError(Exception):
    """Nobody wants the tile any more; never leaves this package's threads."""


class TileWorkers:
    """Threads that make the tiles of the newest picture, and the cache these go to.

    Parameters
    ----------
    make
        Makes one tile, from any thread. It gets the tile's key and a function to get further tiles it is made
        of, which raises `GivenUpError`.
    arrived
        Called from a thread, see `want`.
    cache_bytes
        Limit of the tiles kept. Only the newest picture may exceed it, and the tiles kept for good.
    threads
        How many.
    """

    def __init__(
        self,
        make: Callable[[Key, Callable[[Key], NDArray[np.uint8]]], NDArray[np.uint8]],
        arrived: Callable[[], None],
        *,
        cache_bytes: int,
        threads: int,
    ) -> None:
        self._make, self._arrived = make, arrived
        self._limit, self._threads = cache_bytes, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="napari-aln-tiles")
        lock = threading.RLock()
        self._lock = lock
        self._tile_came = threading.Condition(lock)
        self._picture_whole = threading.Condition(lock)
        self._cache: OrderedDict[Key, NDArray[np.uint8]] = OrderedDict()
        self._kept: dict[Key, NDArray[np.uint8]] = {}
        self._bytes = 0
        self._in_flight: set[Key] = set()
        self._needed: set[Key] = set()  # all tiles of the newest picture
        self._missing: dict[Key, None] = {}  # those that have not come, in the order to make them
        self._to_keep: dict[Key, None] = {}
        self._ahead: dict[Key, None] = {}  # what the next picture will need
        self._picture = 0
        self._read_at = 0.0
        self._told = False
        self._era = 0
        self._at_work = 0
        self._closed = False
        self.returned_short = False  # the newest picture was returned before all of its tiles were there

    @property
    def pending(self) -> int:
        """Tiles of the newest picture that have not come yet."""
        return len(self._missing)

    @property
    def bytes_used(self) -> int:
        """Bytes of all tiles kept."""
        with self._lock:
            return self._bytes + sum(tile.nbytes for tile in self._kept.values())

    def keep(self, keys: Iterable[Key]) -> None:
        """Make tiles when there is nothing else to do, and never drop them."""
        with self._lock:
            self._to_keep.update((key, None) for key in keys if key not in self._kept)
            self._wake()

    def want(
        self, keys: list[Key], patience_s: float, ahead: Iterable[Key] = ()
    ) -> dict[Key, NDArray[np.uint8]]:
        """Ask for a picture; return those of its tiles that come within `patience_s`.

        When some did not, `arrived` is called once they all came, or with the first that comes after
        `PROGRESS_S`; then not again until the next picture is asked for. Tiles `ahead` are made when there is
        nothing else to do; nobody waits for them, and nothing is told.
        """
        with self._lock:
            if self._closed:
                return {}
            self._needed = set(keys)
            self._missing = {key: None for key in keys if self._cached(key) is None}
            self._ahead = {key: None for key in ahead if self._cached(key) is None}
            self._picture += 1
            this = self._picture
            self._told = self.returned_short = False
            self._picture_whole.notify_all()  # who waits for a former picture need not any longer
            self._wake()
            self._picture_whole.wait_for(
                lambda: not self._missing or self._picture != this or self._closed, patience_s
            )
            if self._picture == this:
                self._read_at = time.monotonic()
                self.returned_short = bool(self._missing)
            return {key: tile for key in keys if (tile := self._cached(key)) is not None}

    def look(self, key: Key) -> NDArray[np.uint8] | None:
        """Return a tile if it is here; nothing is asked for, and it does not count as used."""
        with self._lock:
            tile = self._kept.get(key)
            return self._cache.get(key) if tile is None else tile

    def tile(self, key: Key, wanted: Callable[[], bool] = lambda: True) -> NDArray[np.uint8]:
        """Return a tile, made in this thread where no other is at it.

        Raises
        ------
        GivenUpError
            The threads were stopped, or `wanted` (called often, must be quick) said no.
        """
        with self._lock:
            while True:
                if self._closed or not wanted():
                    raise GivenUpError
                tile = self._cached(key)
                if tile is not None:
                    return tile
                if key not in self._in_flight:
                    break
                self._tile_came.wait()
            self._in_flight.add(key)
            era = self._era
        made = None
        tell = False
        try:
            made = self._make(key, lambda further: self.tile(further, wanted))
        finally:
            with self._lock:
                self._in_flight.discard(key)
                if made is not None and era == self._era and not self._closed:
                    tell = self._store(key, made)
                self._tile_came.notify_all()
        if tell:
            self._arrived()
        return made

    def put(self, key: Key, tile: NDArray[np.uint8]) -> None:
        """Take a tile that was made in another way."""
        with self._lock:
            tell = not self._closed and self._store(key, tile)
        if tell:
            self._arrived()

    def drop_all(self) -> None:
        """Forget every tile, those being made too; the ones to keep are made anew."""
        with self._lock:
            self._era += 1
            self._to_keep.update(dict.fromkeys(self._kept))
            self._missing = dict.fromkeys(self._needed)
            self._ahead = {}
            self._cache.clear()
            self._kept.clear()
            self._bytes = 0
            self._wake()

    def close(self) -> None:
        """Stop and join the threads, drop the tiles. A tile half-way through a read is waited for."""
        with self._lock:
            self._closed = True
            self._missing, self._needed, self._to_keep, self._ahead = {}, set(), {}, {}
            self._tile_came.notify_all()
            self._picture_whole.notify_all()
        self._pool.shutdown()
        with self._lock:
            self._cache.clear()
            self._kept.clear()
            self._bytes = 0

    def _cached(self, key: Key) -> NDArray[np.uint8] | None:
        tile = self._kept.get(key)
        if tile is None:
            tile = self._cache.get(key)
            if tile is not None:
                self._cache.move_to_end(key)
        return tile

    def _store(self, key: Key, tile: NDArray[np.uint8]) -> bool:
        """Keep a tile that came; return whether the reader must be told."""
        self._ahead.pop(key, None)
        if self._cached(key) is not None:
            return False
        if key in self._to_keep:
            del self._to_keep[key]
            self._kept[key] = tile
            last_to_keep = not self._to_keep
        else:
            self._cache[key] = tile
            self._bytes += tile.nbytes
            last_to_keep = False
            self._shrink()
        awaited = key in self._missing
        if awaited:
            del self._missing[key]
            if not self._missing:
                self._picture_whole.notify_all()
        late = time.monotonic() - self._read_at > PROGRESS_S
        due = awaited and self.returned_short and not self._told and (late or not self._missing)
        self._told = self._told or due
        return due or last_to_keep

    def _shrink(self) -> None:
        while self._bytes > self._limit:
            oldest = next((key for key in self._cache if key not in self._needed), None)
            if oldest is None:
                return
            self._bytes -= self._cache.pop(oldest).nbytes

    def _wake(self) -> None:
        """Start threads for what there is to make; they end when nothing is left."""
        to_do = len(self._missing) + len(self._to_keep) + len(self._ahead)
        while not self._closed and self._at_work < min(self._threads, to_do):
            self._at_work += 1
            # `result` raises in the callback what the thread raised: it gets into the log
            self._pool.submit(self._work).add_done_callback(Future.result)

    def _work(self) -> None:
        key = self._next()
        while key is not None:
            try:
                self.tile(key, partial(self._still_wanted, key))
            except GivenUpError:
                pass  # what is wanted instead comes next
            except BaseException:
                with self._lock:
                    self._at_work -= 1
                raise
            key = self._next()

    def _next(self) -> Key | None:
        """Return what to make next; with None the thread counts as ended, at one with finding nothing."""
        with self._lock:
            for keys in (self._missing, self._to_keep, self._ahead):
                for key in keys:
                    if key not in self._in_flight:
                        return key
            self._at_work -= 1
            return None

    def _still_wanted(self, key: Key) -> bool:
        if key in self._missing:
            return True
        later = key in self._to_keep or key in self._ahead
        return later and all(other in self._in_flight for other in self._missing)
