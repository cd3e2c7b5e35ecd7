"""The feature cache: per patch `h`, `e` and entropy, so that a new ROI or clinical value touches no pixels.

One folder an entry, named by the hash of everything the numbers depend on (`FeatureKey`). It holds part
files (safetensors), each written whole; a run that is cut off leaves the parts it had finished, and the next
run goes on from there. Entries hold no file names and no patient data.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from napari_aln.store.atomic import INCOMPLETE_SUFFIX, SECONDS_UNTIL_FORSAKEN, atomic_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FORMAT = 1
PARTS_BEFORE_MERGE = 8
_SHARE_LEFT = 0.9  # of the limit, once something had to go: else every next entry would be looked at, too
_SHARE_BEFORE_LOOKING = 0.01  # of the limit: so much may each process add before it looks at all again


@dataclass(frozen=True)
class FeatureKey:
    """Everything the features of a patch depend on besides its place on the grid."""

    slide_hash: str
    weights_sha256: str
    mpp_used: tuple[float, float]
    patch_px: int
    patch_mpp: float
    input_px: int
    resize: str
    reader: str
    runtime: str
    precision: str
    network: str  # what else of the card shapes the numbers: encoder, normalisation, widths
    grid_origin: tuple[float, float] = (0.0, 0.0)
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """Return the entry's folder name."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class CachedFeatures:
    """What an entry holds, sorted by cell.

    `cell` (m,) and `entropy` (m,) name every patch that was read; `scored` (m,) says which of them went
    through the network, and `h` (m, K) and `e` (m,) are meaningful only there.
    """

    cell: NDArray[np.int64]
    entropy: NDArray[np.float32]
    scored: NDArray[np.bool_]
    h: NDArray[np.float32]
    e: NDArray[np.float32]

    @classmethod
    def empty(cls, width: int) -> CachedFeatures:
        """Return an entry without patches, for embeddings of this width."""
        return cls(
            np.empty(0, np.int64),
            np.empty(0, np.float32),
            np.empty(0, bool),
            np.empty((0, width), np.float32),
            np.empty(0, np.float32),
        )

    def __len__(self) -> int:
        return len(self.cell)

    @classmethod
    def join(cls, parts: list[CachedFeatures]) -> CachedFeatures:
        """Merge parts; of a cell that occurs twice, a scored occurrence wins."""
        cell = np.concatenate([p.cell for p in parts])
        scored = np.concatenate([p.scored for p in parts])
        order = np.lexsort((~scored, cell))
        first = order[np.unique(cell[order], return_index=True)[1]]
        h = np.empty((len(first), parts[0].h.shape[1]), np.float32)  # filled by parts: one copy, not two
        start = 0
        for p in parts:
            here = (first >= start) & (first < start + len(p))
            h[here] = p.h[first[here] - start]
            start += len(p)
        entropy = np.concatenate([p.entropy for p in parts])[first]
        return cls(cell[first], entropy, scored[first], h, np.concatenate([p.e for p in parts])[first])

    def rows_of(self, cell: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return where each of these cells stands, and whether it is here at all."""
        if not len(self):
            return np.zeros(len(cell), np.int64), np.zeros(len(cell), bool)
        at = np.searchsorted(self.cell, cell).clip(max=len(self) - 1)
        return at, self.cell[at] == cell


class FeatureCache:
    """All entries below one folder.

    Parameters
    ----------
    root
        The cache folder; left out: ``NAPARI_ALN_CACHE``, else the user's cache folder.
    """

    def __init__(self, root: Path | None = None) -> None:
        chosen = root or os.environ.get("NAPARI_ALN_CACHE") or user_cache_path("napari-aln", appauthor=False)
        self.root = Path(chosen) / "features"
        self._limit_bytes: float | None = None  # when all entries were looked at last
        self._added_bytes = 0  # since then

    def entry(self, key: FeatureKey) -> FeatureEntry:
        """Return the entry of a key; nothing is read or written yet."""
        return FeatureEntry(self.root / key.digest, self._added)

    def _added(self, n_bytes: int) -> None:
        self._added_bytes += n_bytes

    def entries(self) -> list[tuple[Path, int, float]]:
        """Return folder, bytes and time of last use of every entry, least recently used first."""
        found = []
        for path in self.root.glob("*"):
            with contextlib.suppress(OSError):  # another process may be clearing it
                if path.is_dir():
                    found.append((path, _bytes_below(path), path.stat().st_mtime))
        return sorted(found, key=lambda entry: entry[2])

    def prune(self, limit_bytes: float) -> None:
        """Drop the least recently used entries where all are more than the limit; the newest always stays.

        Asked after every slide: all entries, of thousands of slides maybe, are looked at again only once this
        process has added a hundredth of the limit.
        """
        if limit_bytes == self._limit_bytes and self._added_bytes < _SHARE_BEFORE_LOOKING * limit_bytes:
            return
        entries = self.entries()
        total = sum(size for _, size, _ in entries)
        most = _SHARE_LEFT * limit_bytes if total > limit_bytes else limit_bytes
        for folder, size, _ in entries[:-1]:
            if total <= most:
                break
            shutil.rmtree(folder, ignore_errors=True)
            total -= size
        self._limit_bytes, self._added_bytes = limit_bytes, 0

    def clear(self) -> int:
        """Drop every entry and return how many bytes that freed."""
        freed = sum(size for _, size, _ in self.entries())
        shutil.rmtree(self.root, ignore_errors=True)
        return freed


class FeatureEntry:
    """The part files of one key.

    Parameters
    ----------
    folder
        Where they lie.
    added
        Is told how many bytes each part took.
    """

    def __init__(self, folder: Path, added: Callable[[int], None] | None = None) -> None:
        self.folder = folder
        self._added = added

    def load(self, width: int) -> CachedFeatures:
        """Return all whole parts; a damaged one is dropped, its patches are extracted again.

        Parameters
        ----------
        width
            Size K of an embedding.
        """
        parts = [CachedFeatures.empty(width)]
        for path in sorted(self.folder.glob("part-*.safetensors")):
            part = _read_part(path, width)
            if part is None:
                with contextlib.suppress(OSError):
                    path.unlink()
            else:
                parts.append(part)
        if self.folder.is_dir():
            with contextlib.suppress(OSError):  # a cache on a read-only disk is still good to read
                os.utime(self.folder)
        joined = CachedFeatures.join(parts)
        if len(parts) > PARTS_BEFORE_MERGE:
            with contextlib.suppress(OSError):  # merging saves time later, no more, and others merge too
                self._merge(joined)
        return joined

    def append(self, part: CachedFeatures) -> None:
        """Write one part.

        Raises
        ------
        StoreError
            The disk is full or may not be written to.
        """
        if len(part):
            tensors = {k: np.ascontiguousarray(v) for k, v in vars(part).items()}
            content = save(tensors | {"scored": part.scored.astype(np.uint8)})
            place = self.folder / f"part-{uuid.uuid4().hex}.safetensors"
            with atomic_file(place, durable=False) as temporary:  # `load` drops a damaged one
                temporary.write_bytes(content)
            if self._added is not None:
                self._added(len(content))

    def _merge(self, joined: CachedFeatures) -> None:
        old = list(self.folder.glob("part-*.safetensors"))
        self.append(joined)
        for path in [*old, *_forsaken(self.folder)]:
            path.unlink(missing_ok=True)


def _read_part(path: Path, width: int) -> CachedFeatures | None:
    try:
        t = load_file(path)
        part = CachedFeatures(t["cell"], t["entropy"], t["scored"].astype(bool), t["h"], t["e"])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
    n = len(part)
    shapes = {"cell": (n,), "entropy": (n,), "scored": (n,), "h": (n, width), "e": (n,)}
    return part if all(getattr(part, k).shape == s for k, s in shapes.items()) else None


def _forsaken(folder: Path) -> list[Path]:
    """Return files that a killed process left half written, a day ago or more."""
    found = folder.glob(f"*{INCOMPLETE_SUFFIX}")
    return [path for path in found if time.time() - path.stat().st_mtime > SECONDS_UNTIL_FORSAKEN]


def _bytes_below(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
