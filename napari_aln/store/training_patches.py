"""The patch store: the resized patches of each slide on disk, for encoders that learn.

A slide is decoded once, whatever is trained on it later and however often. The store lies beside that of
features and, like it, is never pruned on its own. An entry is one folder: `pixels.u8`, the patches one after
another, and `patches.json`; written whole or not at all. Training reads single patches through the operating
system's page cache, so that its memory does not grow with the cohort.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_aln.errors import StoreError
from napari_aln.store.atomic import atomic_folder
from napari_aln.store.features import FeatureCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = 1
_FACTS, _PIXELS = "patches.json", "pixels.u8"


@dataclass(frozen=True)
class StoredPatches:
    """The patches of one slide, read only when they are taken.

    Attributes
    ----------
    path
        The file of pixels.
    cell
        (n,) identities of the patches, see `PatchTable.cell`.
    side_px
        Of a stored patch.
    facts
        What else was kept of the slide.
    """

    path: Path
    cell: NDArray[np.int64]
    side_px: int
    facts: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.cell)

    def take(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return uint8 (len(index), S, S, 3).

        Raises
        ------
        StoreError
            The file is gone or damaged.
        """
        shape = (len(self), self.side_px, self.side_px, 3)
        try:
            return np.array(np.memmap(self.path, np.uint8, "r", 0, shape)[index])
        except (OSError, ValueError) as error:
            raise StoreError(
                f"The training patches in {self.path} cannot be read.",
                "Run the same command again: they are read from the slide anew, and training goes on.",
            ) from error


class PatchStore(FeatureCache):
    """Patches of slides, below the cache's root in a folder of their own.

    Parameters
    ----------
    root
        As `FeatureCache` takes it.
    """

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self.root = self.root.with_name("training-patches")

    def folder(self, key: Mapping[str, Any]) -> Path:
        """Return where the patches lie that depend on these facts, and on no other."""
        text = json.dumps({**key, "format": FORMAT}, sort_keys=True)
        return self.root / hashlib.sha256(text.encode()).hexdigest()[:32]


def stored_patches(folder: Path, side_px: int) -> StoredPatches | None:
    """Return what an entry holds, or None where it is not there or not whole."""
    try:
        facts = json.loads((folder / _FACTS).read_text("utf-8"))
        cell = np.array(facts.pop("cell"), np.int64)
        size = (folder / _PIXELS).stat().st_size
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if size != len(cell) * side_px * side_px * 3:
        return None
    return StoredPatches(folder / _PIXELS, cell, side_px, facts)


@contextmanager
def new_patches(
    folder: Path, side_px: int, facts: Mapping[str, Any]
) -> Iterator[Callable[[NDArray[np.int64], NDArray[np.uint8]], None]]:
    """Yield what adds patches, (n,) cells and uint8 (n, S, S, 3), to an entry that is there at the end.

    Parameters
    ----------
    folder
        See `PatchStore.folder`. A whole entry that another process wrote meanwhile stays: it is the same, and
        may be read already.
    side_px
        S.
    facts
        Plain values to keep along.

    Raises
    ------
    StoreError
        The disk is full or may not be written to.
    """
    cells: list[int] = []
    with suppress(_AlreadyThereError), atomic_folder(folder, known_by=_FACTS) as unfinished:
        with (unfinished / _PIXELS).open("wb") as file:

            def add(cell: NDArray[np.int64], pixels: NDArray[np.uint8]) -> None:
                if pixels.shape != (len(cell), side_px, side_px, 3):
                    raise ValueError(f"{len(cell)} patches of {side_px} px have not {pixels.shape}")
                cells.extend(cell.tolist())
                file.write(np.ascontiguousarray(pixels).data)

            yield add
        (unfinished / _FACTS).write_text(json.dumps({**facts, "cell": cells}), "utf-8")
        if stored_patches(folder, side_px) is not None:
            raise _AlreadyThereError


class _AlreadyThereError(Exception):
    """Another process was quicker."""
