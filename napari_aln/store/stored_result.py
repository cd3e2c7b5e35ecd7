"""A result as it was written, in either form: a result folder, or the packed result beside a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from napari_aln.annotations import read_regions
from napari_aln.errors import AnnotationError, StoreError
from napari_aln.geometry import plausible_mpp
from napari_aln.records import PatchScores
from napari_aln.store.json_document import parse_json
from napari_aln.store.packed_result import open_packed
from napari_aln.store.result import RESULT_JSON, read_document
from napari_aln.store.scored_patches import PATCHES_PARQUET, read_rows

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.records import BagPrediction, Region, RunRecord

BAGS_PARQUET = "bags.parquet"
REGIONS_GEOJSON = "regions.geojson"
VALUES = tuple(name for name in PatchScores.__dataclass_fields__ if name != "table")
"""What is kept of every patch of a run, besides its place."""

_HEAD_BYTES = 9  # of a packed result: the length of its description, and the bracket that opens this
_AGAIN = "Run predict again for this slide."


@dataclass(frozen=True)
class StoredRun:
    """One run: its record, and what was said of each patch and bag.

    Attributes
    ----------
    l0_xy
        (n, 2) upper-left corners in level-0 pixels.
    values
        `VALUES`, each (n,).
    bags
        Indices into the run's patches; None where they were not kept.
    """

    record: RunRecord
    l0_xy: NDArray[np.float64]
    values: dict[str, NDArray[Any]]
    bags: tuple[NDArray[np.int64], ...] | None = None

    @classmethod
    def of(cls, record: RunRecord, scores: PatchScores, bags: BagPrediction) -> StoredRun:
        """Take a run from memory."""
        values = {name: getattr(scores, name) for name in VALUES}
        return cls(record, scores.table.l0_xy, values, bags.bags)


@dataclass(frozen=True)
class StoredResult:
    """What a result says of its slide, and its runs."""

    quick_hash: str
    alias: str
    mpp: Mpp | None
    mpp_origin: str  # "file", "user", or empty where it was not written down
    versions: dict[str, str]
    machine: dict[str, str]
    runs: tuple[StoredRun, ...]
    regions: tuple[Region, ...] = ()
    warnings: tuple[str, ...] = ()
    slide_file: str | None = None  # None in private mode


def read_stored(path: Path) -> StoredResult:
    """Read a result folder, or a packed result.

    Raises
    ------
    StoreError
        It is no result, not whole, damaged, or of a newer version.
    """
    if path.is_dir() or path.name == RESULT_JSON:
        return _of_folder(path if path.is_dir() else path.parent)
    try:
        with path.open("rb") as stream:
            content = stream.read(_HEAD_BYTES)
            if content[-1:] == b"{":  # else it is no safetensors file, and may be a slide of gigabytes
                content += stream.read()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreError(f"{path} cannot be read ({reason}).", "Give a result folder.") from error
    if len(content) <= _HEAD_BYTES:
        beside = path.with_name(f"{path.name}.json")
        told = f" What made this file stands in {beside.name} beside it." if beside.is_file() else ""
        raise StoreError(
            f"{path} is no result of a slide.", f"Give a result folder, or a packed result.{told}"
        )
    packed = open_packed(content)
    parts = packed.parts
    runs = (StoredRun.of(r, parts["scores"][r.run], parts["bags"][r.run]) for r in parts["runs"])
    return StoredResult(
        quick_hash=packed.quick_hash,
        alias=parts["alias"],
        mpp=packed.mpp,
        mpp_origin=packed.mpp_origin,
        versions=packed.versions,
        machine=packed.machine,
        runs=tuple(runs),
        regions=parts["regions"],
        warnings=parts["warnings"],
    )


def _of_folder(folder: Path) -> StoredResult:
    document = read_document(folder)
    patches, bags = _table(folder / PATCHES_PARQUET), _table(folder / BAGS_PARQUET)
    return StoredResult(
        quick_hash=document.slide.quick_hash,
        alias=document.alias,
        mpp=plausible_mpp(*(document.slide.mpp or (None, None))),
        mpp_origin=document.slide.mpp_origin,
        versions=document.versions,
        machine=document.machine,
        runs=tuple(_run(record, patches, bags, folder) for record in document.runs),
        regions=_regions(folder / REGIONS_GEOJSON),
        warnings=document.warnings,
        slide_file=document.slide.file,
    )


def _table(path: Path) -> dict[str, NDArray[Any]]:
    try:
        table = read_rows(path)
        return {name: table[name].to_numpy() for name in table.column_names}
    except (OSError, pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise StoreError(f"{path} is missing or damaged.", _AGAIN) from error


def _run(
    record: RunRecord, patches: dict[str, NDArray[Any]], bags: dict[str, NDArray[Any]], folder: Path
) -> StoredRun:
    try:
        own, in_bag = patches["run"] == record.run, bags["run"] == record.run
        l0_xy = np.column_stack([patches["x"][own], patches["y"][own]]).astype(np.float64)
        values = {name: patches[name][own] for name in VALUES}
        members, bag = (bags[name][in_bag].astype(np.int64) for name in ("patch", "bag"))
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise StoreError(f"The tables of {folder} lack {error}.", _AGAIN) from error
    return StoredRun(record, l0_xy, values, tuple(np.split(members, np.flatnonzero(np.diff(bag)) + 1)))


def _regions(path: Path) -> tuple[Region, ...]:
    try:
        if not parse_json(path.read_bytes()).get("features"):
            return ()
        return read_regions(path)
    except (OSError, ValueError, AttributeError, AnnotationError) as error:
        raise StoreError(f"{path} is missing or damaged.", _AGAIN) from error
