"""A slide's result as bytes that can be kept beside a session: safetensors, every number as it was.

The header's metadata hold what is no array, as JSON. Nothing is ever unpickled.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save
from shapely.errors import ShapelyError

from napari_aln.errors import StoreError
from napari_aln.geometry import Mpp, plausible_mpp
from napari_aln.records import (
    BagPrediction,
    PatchGrid,
    PatchScores,
    PatchTable,
    Region,
    RunRecord,
    SlideResult,
)
from napari_aln.store.json_document import is_newer, parse_json
from napari_aln.store.result import machine_of
from napari_aln.versions import package_versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_aln.records import SlideInfo

PACKED_VERSION = 1
_KEY = "napari_aln"
_SCORES = tuple(name for name in PatchScores.__dataclass_fields__ if name != "table")
_RUNS = TypeAdapter(list[RunRecord])
_GRIDS = TypeAdapter(dict[str, PatchGrid])
_TEXTS = TypeAdapter(dict[str, str])


class SavedRegion(BaseModel):
    """A region with every coordinate as it was: the geometry as WKB in base64."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wkb: str
    name: str
    classification: str
    color_rgb: tuple[int, int, int] | None
    locked: bool = False
    in_use: bool = True

    @classmethod
    def of(cls, region: Region) -> SavedRegion:
        """Save a region."""
        wkb = base64.b64encode(shapely.to_wkb(region.geometry)).decode()
        return cls(
            wkb=wkb,
            name=region.name,
            classification=region.classification,
            color_rgb=region.color_rgb,
            locked=region.locked,
            in_use=region.in_use,
        )

    def region(self) -> Region:
        """Return the region.

        Raises
        ------
        ValueError
            The geometry is damaged or no area.
        """
        try:
            geometry = shapely.from_wkb(base64.b64decode(self.wkb, validate=True))
        except ShapelyError as error:
            raise ValueError("a region's outline is damaged") from error
        if geometry.geom_type not in ("Polygon", "MultiPolygon") or not np.isfinite(geometry.bounds).all():
            raise ValueError("a region is no area")
        return Region(geometry, self.name, self.classification, self.color_rgb, self.locked, self.in_use)


def pack_result(result: SlideResult) -> bytes:
    """Return a result without its slide's facts, which the slide itself gives when it is opened again."""
    arrays: dict[str, NDArray[Any]] = {}
    for run, scores in result.scores.items():
        table = scores.table
        arrays |= {f"{run}/column": table.column, f"{run}/row": table.row}
        if table.origin_l0 is not None:
            arrays[f"{run}/origin_l0"] = table.origin_l0
        arrays |= {f"{run}/{name}": getattr(scores, name) for name in _SCORES}
    for run, bags in result.bags.items():
        arrays[f"{run}/bags"] = np.concatenate(bags.bags)
        arrays[f"{run}/bag_sizes"] = np.array([len(bag) for bag in bags.bags], np.int64)
        arrays[f"{run}/bag_probabilities"] = bags.probabilities
    about = {
        "version": PACKED_VERSION,
        "quick_hash": result.slide.quick_hash,
        "mpp": result.slide.mpp,
        "mpp_origin": result.slide.mpp_origin,
        "versions": package_versions(),
        "machine": machine_of(result.runs),
        "alias": result.alias,
        "runs": _RUNS.dump_python(list(result.runs), mode="json"),
        "grids": {run: _grid(scores.table.grid) for run, scores in result.scores.items()},
        "partitions": {run: bags.partitions for run, bags in result.bags.items()},
        "regions": [SavedRegion.of(region).model_dump() for region in result.regions],
        "warnings": list(result.warnings),
    }
    contiguous = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    return save(contiguous, metadata={_KEY: json.dumps(about)})


def _grid(grid: PatchGrid) -> dict[str, Any]:
    return {name: getattr(grid, name) for name in PatchGrid.__dataclass_fields__}


@dataclass(frozen=True)
class PackedResult:
    """A packed result as read back, without its slide.

    Attributes
    ----------
    quick_hash, mpp, mpp_origin
        Of the slide it was made on. Empty where an early version did not write them down.
    versions, machine
        What it was made with.
    parts
        The other fields of `SlideResult` by name.
    """

    quick_hash: str
    mpp: Mpp | None
    mpp_origin: str
    versions: dict[str, str]
    machine: dict[str, str]
    parts: dict[str, Any]


def open_packed(content: bytes) -> PackedResult:
    """Return what a packed result holds, whatever slide it belongs to.

    Raises
    ------
    StoreError
        The bytes are damaged, or of a newer version.
    """
    try:
        length = int.from_bytes(content[:8], "little")
        about = parse_json(parse_json(content[8 : 8 + length])["__metadata__"][_KEY])
        if is_newer(about, PACKED_VERSION, "version"):
            raise StoreError(
                "A result kept with the session was written by a newer version.",
                "Update napari-aln to read it.",
            )
        mpp = plausible_mpp(*(about.get("mpp") or (None, None)))
        made = {name: _TEXTS.validate_python(about.get(name, {})) for name in ("versions", "machine")}
        return PackedResult(
            quick_hash=str(about["quick_hash"]),
            mpp=mpp,
            mpp_origin=str(about.get("mpp_origin", "")),
            **made,
            parts=_parts(about, load(content)),
        )
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        SafetensorError,
        ValidationError,
    ) as error:
        raise StoreError(
            "A result kept with the session is damaged.", "Run the model on the slide again."
        ) from error


def unpack_result(content: bytes, slide: SlideInfo) -> SlideResult:
    """Return a packed result, as that of an open slide.

    Raises
    ------
    StoreError
        The bytes are damaged, of a newer version, or another slide's.
    """
    packed = open_packed(content)
    if packed.quick_hash != slide.quick_hash:
        raise StoreError(
            "A result kept with the session belongs to another slide.", "Run the model on this slide."
        )
    return SlideResult(slide=slide, **packed.parts)


def _parts(about: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    scores, bags = {}, {}
    for run, grid in _GRIDS.validate_python(about["grids"]).items():
        places = arrays[f"{run}/column"], arrays[f"{run}/row"]
        table = PatchTable(grid, *places, arrays.get(f"{run}/origin_l0"))
        scores[run] = PatchScores(table, **{name: arrays[f"{run}/{name}"] for name in _SCORES})
    for run, partitions in about["partitions"].items():
        ends = np.cumsum(arrays[f"{run}/bag_sizes"])[:-1]
        members = tuple(np.split(arrays[f"{run}/bags"], ends))
        bags[run] = BagPrediction(members, partitions, arrays[f"{run}/bag_probabilities"])
    return {
        "alias": about["alias"],
        "runs": tuple(_RUNS.validate_python(about["runs"])),
        "scores": scores,
        "bags": bags,
        "regions": tuple(SavedRegion.model_validate(region).region() for region in about["regions"]),
        "warnings": tuple(about["warnings"]),
    }
