"""The patches of a result folder as they were written: their places, and what a run said of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from napari_aln.errors import StoreError, UsageError
from napari_aln.geometry import plausible_mpp
from napari_aln.records import PatchGrid, PatchTable
from napari_aln.store.json_document import parse_json

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from napari_aln.geometry import Mpp

PATCHES_PARQUET = "patches.parquet"
_NEEDED = ("run", "x", "y", "width", "height", "attention_slide", "attention_bag")
_FEW_ROWS = 100_000
_ON_GRID = 1e-6  # cells; written as floats of whole cells


@dataclass(frozen=True)
class ScoredPatches:
    """One run's patches."""

    run: str
    patches: PatchTable
    values: pd.DataFrame  # in_roi, entropy, attention_slide, …: a column for each of `PatchScores`
    mpp: Mpp  # µm/px of level 0
    slide_hash: str
    made_by: dict[str, Any]  # see `result.made_by`; empty in files of early versions

    @property
    def attention_name(self) -> str:
        """The attention the run has: with statistics of the bag there is none of the slide."""
        whole = np.isfinite(self.values["attention_slide"].to_numpy()).any()
        return "attention_slide" if whole else "attention_bag"


def runs_of(folder: Path) -> list[str]:
    """Return the runs of a result folder in their order; see `scored_patches` for what it raises."""
    table = _read(folder)
    return list(dict.fromkeys(table["run"].to_pylist()))


def scored_patches(folder: Path, run: str | None = None) -> ScoredPatches:
    """Read a run's patches.

    Parameters
    ----------
    folder
        A result folder.
    run
        None: the only run, or that of the whole slide where there are several.

    Raises
    ------
    StoreError
        There are none, or they are damaged.
    UsageError
        There is no such run.
    """
    table = _read(folder)
    runs = list(dict.fromkeys(table["run"].to_pylist()))
    if run is None and runs:
        run = "dlcnbc-ws" if "dlcnbc-ws" in runs else runs[0]
    if run is None or run not in runs:
        raise UsageError(f"{folder} holds no run {run!r}.", f"Choose from: {', '.join(runs) or 'none'}.")
    values = table.to_pandas()
    values = values[values["run"] == run].reset_index(drop=True)
    stated = table.schema.metadata or {}
    try:
        mpp = plausible_mpp(*(parse_json(stated.get(b"mpp", b"null")) or (None, None)))
        slide_hash = stated.get(b"slide_quick_hash", b"").decode()
        made_by = _made_by(parse_json(stated.get(b"made_by", b"{}")), run)
        places = None if mpp is None else _places(values, mpp)
    except (ValueError, TypeError, OverflowError) as error:
        raise StoreError(
            f"{folder / PATCHES_PARQUET} is damaged ({error}).", "Run predict again for this slide."
        ) from error
    if mpp is None or places is None:
        raise StoreError(f"{folder / PATCHES_PARQUET} does not state its µm/px.", "Run predict again.")
    return ScoredPatches(run, places, values, mpp, slide_hash, made_by)


def _made_by(stated: object, run: str) -> dict[str, Any]:
    """Return what made one run of those in a file."""
    if not isinstance(stated, dict) or not isinstance(stated.get("runs"), dict):
        return {}
    return stated | {"runs": {run: stated["runs"].get(run)}}


def read_rows(path: Path) -> pa.Table:
    """Read a table of a result; `pa.ArrowInvalid` where it claims more rows than it has bytes."""
    # A few bytes may stand for any number of equal rows; ours have many values that differ.
    if pq.read_metadata(path).num_rows > max(_FEW_ROWS, path.stat().st_size):
        raise pa.ArrowInvalid("it claims more rows than it has bytes")
    return pq.read_table(path)


def _read(folder: Path) -> pa.Table:
    path = folder / PATCHES_PARQUET
    try:
        table = read_rows(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(
            f"{folder} holds no patches of a result.", "Give a folder that predict wrote."
        ) from error
    lacking = set(_NEEDED) - set(table.column_names)
    if lacking:
        raise StoreError(f"{path} lacks {', '.join(sorted(lacking))}.", "Run predict again for this slide.")
    if not pa.types.is_string(table.schema.field("run").type):
        raise StoreError(f"{path} is damaged: it does not name its runs.", "Run predict again.")
    return table


def _places(values: pd.DataFrame, mpp: Mpp) -> PatchTable:
    """Return the patches on the slide's grid, or each by its own corner where they do not lie on it."""
    l0_xy, size = values[["x", "y"]].to_numpy(float), values[["width", "height"]].to_numpy(float)[0]
    cell = l0_xy / size
    whole = np.rint(cell)
    on_grid = bool(np.abs(cell - whole).max() < _ON_GRID)
    column, row = whole.T.astype(np.int32) if on_grid else np.zeros((2, len(l0_xy)), np.int32)
    patch_px = max(1, round(float(size[0])))
    grid = PatchGrid(
        patch_px,
        float(size[0]) * mpp.x / patch_px,
        (float(size[0]), float(size[1])),
        int(column.max()) + 1,
        int(row.max()) + 1,
    )
    return PatchTable(grid, column, row, None if on_grid else l0_xy)
