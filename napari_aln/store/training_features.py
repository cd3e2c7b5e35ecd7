"""The training store: pooled encoder features of each slide, before any head, on disk.

Beside the feature cache and of the same make (part files by key, written whole, a cut-off run goes on), but
never pruned on its own. Training reads single rows through the operating system's page cache, so that its
memory does not grow with the cohort.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open

from napari_aln.errors import StoreError
from napari_aln.store.features import CachedFeatures, FeatureCache, FeatureEntry

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.store.features import FeatureKey

_HEADER_BYTES = 8  # safetensors: length of the JSON header, little endian


class TrainingStore(FeatureCache):
    """Pooled features of slides, below the cache's root in a folder of their own.

    Parameters
    ----------
    root
        As `FeatureCache` takes it.
    """

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self.root = self.root.with_name("training-features")

    def entry(self, key: FeatureKey) -> TrainingEntry:
        """Return the entry of a key: of slide, encoder weights, grid, µm/px, input size and precision."""
        return TrainingEntry(self.root / key.digest)


class TrainingEntry(FeatureEntry):
    """The pooled features of one slide; `h` holds them, `e` nothing."""

    def rows(self, cell: NDArray[np.int64], width: int) -> StoredRows:
        """Return where the features of these patches lie, once `extract` has put them all here.

        Parameters
        ----------
        cell
            (n,) flat grid indices, see `PatchTable.cell`.
        width
            Values a patch.

        Raises
        ------
        StoreError
            They are not all here (the store was changed meanwhile).
        """
        parts = list(self.folder.glob("part-*.safetensors"))
        known = self.load(width)
        if len(parts) != 1 or not np.array_equal(_cells_of(parts[0]), known.cell):
            self._merge(known)
        at, held = known.rows_of(cell)
        parts = list(self.folder.glob("part-*.safetensors"))
        if len(parts) != 1 or not held.all():
            raise StoreError(
                f"The training features in {self.folder} changed while they were read.",
                "Train again; nothing else may clear the store meanwhile.",
            )
        return _rows_of(parts[0], at, width)


@dataclass(frozen=True)
class StoredRows:
    """Rows of a slide's stored features, read only when they are taken.

    Attributes
    ----------
    path
        The part file.
    offset
        Byte at which the features begin.
    shape
        Of all features in the file.
    at
        (n,) rows of it, one for each patch.
    """

    path: Path
    offset: int
    shape: tuple[int, int]
    at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.at)

    def take(self, index: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return float32 (len(index), F): the features of these patches.

        Raises
        ------
        StoreError
            The file is gone or damaged.
        """
        try:
            everything = np.memmap(self.path, np.float32, "r", self.offset, self.shape)
        except (OSError, ValueError) as error:
            raise _unreadable(self.path) from error
        return np.array(everything[self.at[index]])


def _cells_of(path: Path) -> NDArray[np.int64]:
    """Return the cells of a part in the file's own order."""
    try:
        with safe_open(path, "np") as part:
            cell: NDArray[np.int64] = part.get_tensor("cell")
            return cell
    except (OSError, SafetensorError) as error:
        raise _unreadable(path) from error


def _rows_of(path: Path, at: NDArray[np.int64], width: int) -> StoredRows:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_HEADER_BYTES), "little")
            start, end = json.loads(file.read(length))["h"]["data_offsets"]
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path) from error
    return StoredRows(path, _HEADER_BYTES + length + start, ((end - start) // (4 * width), width), at)


def _unreadable(path: Path) -> StoreError:
    return StoreError(
        f"The training features in {path} cannot be read.", "Train again: they are extracted anew."
    )


def stored(entry: TrainingEntry, cell: NDArray[np.int64], features: NDArray[np.float32]) -> StoredRows:
    """Put features that were computed elsewhere into an entry and return them as rows.

    Parameters
    ----------
    entry
        That has none of these patches.
    cell
        (n,) identities of the patches.
    features
        (n, F).

    Raises
    ------
    StoreError
        They cannot be written.
    """
    n, width = features.shape
    known = CachedFeatures(
        cell, np.full(n, np.nan, np.float32), np.ones(n, bool), features, np.zeros(n, np.float32)
    )
    entry.append(known)
    return entry.rows(cell, width)
