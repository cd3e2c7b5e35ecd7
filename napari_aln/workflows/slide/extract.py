"""The engine: one pass over the pixels, any number of models.

The command line, the window and the tests all extract features here. What the cache holds is not read again;
what is read is stored every few seconds, so that a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
PATCHES_BETWEEN_YIELDS = 4
"""On a processor; the slowest encoder does five in a second, and a cancelled run must end within one."""


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
    """One model's features while they come in: what the cache held, what was scored since, what waits."""

    def __init__(self, want: Want, batch: int) -> None:
        self._want = want
        self._batch = batch
        self._known = want.entry.load(want.width) if want.entry else CachedFeatures.empty(want.width)
        self._wanted = np.sort(want.table.cell)
        self._network: CompiledNetwork | None = None
        self._waiting: list[tuple[NDArray[np.int64], NDArray[np.float32], Pixels]] = []
        self._fresh: list[CachedFeatures] = []
        self._stored_at = time.monotonic()
        self._entry = want.entry
        self.trouble: str | None = None  # why features are no longer kept

    def missing(self) -> PatchTable:
        """Return the wanted patches that must still be read."""
        table = self._want.table
        at, held = self._known.rows_of(table.cell)
        if len(self._known):
            held &= self._known.scored[at] | self._too_plain(self._known.entropy[at])
        return table.take(~held)

    def take(self, cell: NDArray[np.int64], chunk: Chunk) -> None:
        """Note the entropy of patches that were read; those that are rich enough wait to be scored."""
        keep = self._is_wanted(cell) & ~self._is_scored(cell)
        if chunk.entropy is not None:
            plain = keep & self._too_plain(chunk.entropy)
            self._note_plain(cell[plain], chunk.entropy[plain])
            keep &= ~plain
        entropy = np.full(len(cell), np.nan, np.float32) if chunk.entropy is None else chunk.entropy
        if keep.any():
            self._waiting.append((cell[keep], entropy[keep], chunk.pixels[keep]))

    def score(self, *, only_full_batches: bool = False) -> Iterator[None]:
        """Send the patches that wait through the network; yield in between, where the work can be ended."""
        n_waiting = sum(len(cells) for cells, _, _ in self._waiting)
        if n_waiting < (self._batch if only_full_batches else 1):
            return
        cells, entropies, parts = zip(*self._waiting, strict=True)
        self._waiting = []
        cell, entropy, pixels = np.concatenate(cells), np.concatenate(entropies), join_pixels(list(parts))
        if self._network is None:
            self._network = self._want.network()
        step = PATCHES_BETWEEN_YIELDS if self._network.device == "cpu" else n_waiting
        for start in range(0, n_waiting, step):
            if start:
                yield
            now = slice(start, start + step)
            h, e, *from_device = self._network(pixels[now])
            rich = from_device[0] if from_device else entropy[now]
            self._fresh.append(CachedFeatures(cell[now], rich, np.ones(len(h), bool), h, e))
        if time.monotonic() - self._stored_at > SECONDS_BETWEEN_PARTS:
            self.store()

    def store(self) -> None:
        """Keep what came in since the last time."""
        if not self._fresh:
            return
        fresh = CachedFeatures.join(self._fresh)
        self._fresh = []
        self._known = CachedFeatures.join([self._known, fresh])
        self._stored_at = time.monotonic()
        if self._entry:
            try:
                self._entry.append(fresh)
            except StoreError as error:
                self._entry = None
                self.trouble = f"Features are not kept for the next run. {error}"

    def features(self) -> Features:
        """Return the wanted patches that are rich enough, in the table's order."""
        table = self._want.table
        at, _ = self._known.rows_of(table.cell)
        rich = ~self._too_plain(self._known.entropy[at]) if len(table) else np.zeros(0, bool)
        at = at[rich]
        return Features(table.take(rich), self._known.entropy[at], self._known.h[at], self._known.e[at])

    def _too_plain(self, entropy: NDArray[np.float32]) -> NDArray[np.bool_]:
        limit = self._want.min_entropy_bits
        return np.zeros(len(entropy), bool) if limit is None else entropy < limit

    def _is_wanted(self, cell: NDArray[np.int64]) -> NDArray[np.bool_]:
        # Not np.isin: it would sort all wanted cells anew for each chunk.
        at = np.searchsorted(self._wanted, cell).clip(max=len(self._wanted) - 1)
        wanted: NDArray[np.bool_] = self._wanted[at] == cell
        return wanted

    def _is_scored(self, cell: NDArray[np.int64]) -> NDArray[np.bool_]:
        at, held = self._known.rows_of(cell)
        return held & self._known.scored[at] if len(self._known) else held

    def _note_plain(self, cell: NDArray[np.int64], entropy: NDArray[np.float32]) -> None:
        if len(cell):
            n, width = len(cell), self._want.width
            h, e = np.zeros((n, width), np.float32), np.zeros(n, np.float32)
            self._fresh.append(CachedFeatures(cell, entropy, np.zeros(n, bool), h, e))
