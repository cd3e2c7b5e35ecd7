"""The engine: one pass over the pixels, any number of models.

The command line, the window and the tests all extract features here. What the cache holds is not read again;
what is read is stored every few seconds, so that a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_aln.allowance import processors
from napari_aln.errors import StoreError
from napari_aln.records import Features, PatchTable, Progress
from napari_aln.store.features import CachedFeatures
from napari_aln.workflows.slide.decode import Chunk, decoded, join_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_aln.runtimes.base import CompiledNetwork
    from napari_aln.settings.engine import EngineSettings
    from napari_aln.slides import Slide
    from napari_aln.store.features import FeatureEntry
    from napari_aln.workflows.slide.decode import Pixels
    from napari_aln.workflows.slide.device_patches import DevicePatches

SECONDS_BETWEEN_PARTS = 5.0
ROWS_MOVED_AT_ONCE = 1024


@dataclass(frozen=True)
class Extraction:
    """What each model wanted, and what went wrong without stopping the work."""

    features: list[Features]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Want:
    """What one model wants of a slide.

    Parameters
    ----------
    network
        Compiles the model's patch network; called only when there are patches to score.
    table
        The patches, on the slide's grid.
    width
        Size of an embedding `h`.
    min_entropy_bits
        Patches below are read but neither scored nor returned. None: all are scored.
    entry
        Where features are kept between runs, if anywhere.
    """

    network: Callable[[], CompiledNetwork]
    table: PatchTable
    width: int
    min_entropy_bits: float | None = None
    entry: FeatureEntry | None = None


def extract(
    slide: Slide,
    wants: Sequence[Want],
    input_px: int | None,
    settings: EngineSettings,
    on_device: DevicePatches | None = None,
) -> Generator[Progress, None, Extraction]:
    """Yield progress after each chunk, return the features each model wanted; closing cancels.

    A cache that cannot be written costs the next run time, not this one: that is a warning.

    Parameters
    ----------
    slide
        Where to read.
    wants
        One for each model. All share one grid and one `input_px`, so that each patch is read once.
    input_px
        Side of the networks' input in pixels. None: the networks take patches as read, resize them on their
        device and return the entropy beside `h` and `e`.
    settings
        Batch size and decoding threads.
    on_device
        Makes patches on the networks' device; only where `input_px` is None.

    Raises
    ------
    SlideError
        A patch could not be read.
    DeviceError
        The network could not be run.
    """
    harvests = [_Harvest(want, settings.batch) for want in wants]
    try:
        yield from _read_and_score(slide, harvests, input_px, settings, on_device)
    finally:
        for harvest in harvests:
            harvest.store()
    troubles = dict.fromkeys(harvest.trouble for harvest in harvests if harvest.trouble)
    return Extraction([harvest.features() for harvest in harvests], tuple(troubles))


def _read_and_score(
    slide: Slide,
    harvests: list[_Harvest],
    input_px: int | None,
    settings: EngineSettings,
    on_device: DevicePatches | None,
) -> Generator[Progress, None, None]:
    table = _union([harvest.missing() for harvest in harvests])
    total, done, started = len(table), 0, time.perf_counter()
    if not total:
        return
    yield Progress("extract", 0, total)
    cell = table.cell
    threads = threads_for(settings, input_px)
    for chunk in decoded(slide, table, input_px, threads=threads, chunk=settings.batch, on_device=on_device):
        for harvest in harvests:
            harvest.take(cell[chunk.rows], chunk)
            for _ in harvest.score(only_full_batches=True):
                yield Progress("extract", done, total, done / (time.perf_counter() - started))
        done += len(chunk.rows)
        yield Progress("extract", done, total, done / (time.perf_counter() - started))
    for harvest in harvests:
        for _ in harvest.score():
            yield Progress("extract", done, total, done / (time.perf_counter() - started))


def threads_for(settings: EngineSettings, input_px: int | None) -> int:
    """Return how many threads read: as set, else one beside a busy processor, and many before a GPU."""
    if settings.decode_threads is not None:
        return settings.decode_threads
    return 1 if input_px is not None else min(8, processors().threads)


def _union(tables: list[PatchTable]) -> PatchTable:
    """Return the patches of all tables once, in row-major order."""
    grid = tables[0].grid
    cell = np.unique(np.concatenate([table.cell for table in tables]))
    return PatchTable(grid, (cell % grid.columns).astype(np.int32), (cell // grid.columns).astype(np.int32))


class _Harvest:
    """One model's features while they come in: a row for each patch of its table, known, waiting or scored.

    The rows are laid out once, and what was asked for is cut out of them in place: in all one `h` a patch.
    """

    def __init__(self, want: Want, batch: int) -> None:
        n = len(want.table)
        self._want = want
        self._batch = batch
        self._cell = want.table.cell
        in_order = (np.diff(self._cell) > 0).all()  # as on every grid
        self._order = None if in_order else np.argsort(self._cell)
        self._read = np.zeros(n, bool)
        self._scored = np.zeros(n, bool)
        self._entropy = np.full(n, np.nan, np.float32)
        self._h = np.zeros((n, want.width), np.float32)  # takes memory only where a row is filled
        self._e = np.zeros(n, np.float32)
        self._network: CompiledNetwork | None = None
        self._waiting: list[tuple[NDArray[np.int64], NDArray[np.float32], Pixels]] = []
        self._fresh: list[NDArray[np.int64]] = []  # rows that came in since the last time they were kept
        self._stored_at = time.monotonic()
        self._entry = want.entry
        self.trouble: str | None = None  # why features are no longer kept
        if want.entry:
            self._fill(want.entry.load(want.width))

    def missing(self) -> PatchTable:
        """Return the wanted patches that must still be read."""
        plain = self._read & self._too_plain(self._entropy)
        return self._want.table.take(~(self._scored | plain))

    def take(self, cell: NDArray[np.int64], chunk: Chunk) -> None:
        """Note the entropy of patches that were read; those that are rich enough wait to be scored."""
        if not len(self._cell):
            return
        row, keep = self._rows_of(cell)
        keep &= ~self._scored[row]
        if chunk.entropy is not None:
            plain = keep & self._too_plain(chunk.entropy)
            self._note(row[plain], chunk.entropy[plain])
            keep &= ~plain
        entropy = np.full(len(cell), np.nan, np.float32) if chunk.entropy is None else chunk.entropy
        if keep.any():
            self._waiting.append((row[keep], entropy[keep], chunk.pixels[keep]))

    def score(self, *, only_full_batches: bool = False) -> Iterator[None]:
        """Send the patches that wait through the network; yield in between, where the work can be ended."""
        n_waiting = sum(len(rows) for rows, _, _ in self._waiting)
        if n_waiting < (self._batch if only_full_batches else 1):
            return
        rows, entropies, parts = zip(*self._waiting, strict=True)
        row, entropy, pixels = np.concatenate(rows), np.concatenate(entropies), join_pixels(list(parts))
        if self._network is None:
            self._network = self._want.network()
        on_cpu = self._network.device == "cpu"  # a cancelled run ends soon, between two calls
        step = self._network.patches_at_once if on_cpu else n_waiting
        n_now = n_waiting - n_waiting % step if only_full_batches else n_waiting
        self._waiting = [(row[n_now:], entropy[n_now:], pixels[n_now:])] if n_now < n_waiting else []
        for start in range(0, n_now, step):
            if start:
                yield
            now = slice(start, start + step)
            h, e, *from_device = self._network(pixels[now])
            self._h[row[now]], self._e[row[now]], self._scored[row[now]] = h, e, True
            self._note(row[now], from_device[0] if from_device else entropy[now])
        if time.monotonic() - self._stored_at > SECONDS_BETWEEN_PARTS:
            self.store()

    def store(self) -> None:
        """Keep what came in since the last time."""
        fresh, self._fresh = self._fresh, []
        self._stored_at = time.monotonic()
        if not (fresh and self._entry):
            return
        row = np.concatenate(fresh)
        part = CachedFeatures(
            self._cell[row], self._entropy[row], self._scored[row], self._h[row], self._e[row]
        )
        try:
            self._entry.append(part)
        except StoreError as error:
            self._entry = None
            self.trouble = f"Features are not kept for the next run. {error}"

    def features(self) -> Features:
        """Return the wanted patches that are rich enough, in the table's order; the last thing to ask."""
        rich = ~self._too_plain(self._entropy)
        row = np.flatnonzero(rich)
        if len(row) < len(rich):
            _move(self._h, row, self._h, np.arange(len(row)))  # forward: what is overwritten has moved on
            self._h.resize((len(row), self._want.width), refcheck=False)
        return Features(self._want.table.take(rich), self._entropy[row], self._h, self._e[row])

    def _fill(self, known: CachedFeatures) -> None:
        """Take in what was kept of the wanted patches."""
        at, held = known.rows_of(self._cell)
        at = at[held]
        self._read[held], self._scored[held], self._entropy[held] = True, known.scored[at], known.entropy[at]
        scored = np.flatnonzero(self._scored)
        at = at[known.scored[at]]
        self._e[scored] = known.e[at]
        _move(known.h, at, self._h, scored)

    def _rows_of(self, cell: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the row of each of these cells, and whether it is wanted at all."""
        at = np.searchsorted(self._cell, cell, sorter=self._order).clip(max=len(self._cell) - 1)
        row = at if self._order is None else self._order[at]
        return row, self._cell[row] == cell

    def _note(self, row: NDArray[np.int64], entropy: NDArray[np.float32]) -> None:
        if len(row):
            self._entropy[row], self._read[row] = entropy, True
            self._fresh.append(row)

    def _too_plain(self, entropy: NDArray[np.float32]) -> NDArray[np.bool_]:
        limit = self._want.min_entropy_bits
        return np.zeros(len(entropy), bool) if limit is None else entropy < limit


def _move(
    source: NDArray[np.float32], row: NDArray[np.int64], to: NDArray[np.float32], at: NDArray[Any]
) -> None:
    """Copy some rows of an array to places in another, in blocks, so that no third array of h is made."""
    for start in range(0, len(row), ROWS_MOVED_AT_ONCE):
        now = slice(start, start + ROWS_MOVED_AT_ONCE)
        to[at[now]] = source[row[now]]
