"""What a folder of measured nuclei says of itself: ``nuclei.json``, beside the tables and outlines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_aln.errors import StoreError
from napari_aln.mil.bundle_names import BUNDLE_SUFFIX
from napari_aln.nuclei.table import NUCLEI_PARQUET
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.runtimes.choice import Choice
from napari_aln.store.atomic import atomic_file
from napari_aln.store.json_document import is_newer, parse_json
from napari_aln.store.result import FRAME, NUCLEI_JSON, SlideFacts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA_VERSION = 2  # 2 says what the network ran on
NUCLEI_CSV = "nuclei.csv"
NUCLEI_GEOJSON = "nuclei.geojson"
PATCHES_CSV = "nuclei-patches.csv"
REGIONS_CSV = "nuclei-regions.csv"
FILES = (NUCLEI_PARQUET, NUCLEI_CSV, NUCLEI_GEOJSON, PATCHES_CSV, REGIONS_CSV, NUCLEI_JSON)

_FOUND = ("method", "model_sha256", "settings", "read_mpp", "what", "area_mm2", "tissue_mm2", "counts")
FOUND_BY = (*_FOUND, *Choice._fields, "machine")
"""What a file says of how its nuclei were found."""


def public_settings(settings: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Return settings as they are written: a model's file, whose path may name anybody, by its model's name.

    `method`: how nuclei were found, as in `NucleiDocument`; beside it stands the hash of the model's weights.
    """
    asked = settings.get("method")
    is_file = isinstance(asked, str) and asked.endswith(BUNDLE_SUFFIX)
    return {**settings, "method": method if is_file else asked}


_AGAIN = "Run `napari-aln nuclei measure` again."


class NucleiDocument(BaseModel):
    """The contents of ``nuclei.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    complete: Literal[True] = True
    notice: str = RESEARCH_NOTICE
    created: str
    versions: dict[str, str]
    alias: str
    slide: SlideFacts
    frame: str = FRAME
    method: str
    model_sha256: str  # empty where the method is no learned one
    runtime: str = ""  # of the network; empty where there was none, or in files of version 1
    device: str = ""
    precision: str = ""
    machine: dict[str, str] = {}  # see `machine_facts`
    settings: dict[str, Any]  # see `public_settings`
    read_mpp: tuple[float, float]  # µm/px at which nuclei were found
    what: Literal["tissue", "regions", "patches"]
    outline: dict[str, Any] | None  # GeoJSON geometry, level-0 pixels; None: the tissue wherever it is
    area_mm2: float  # of the tissue, or of regions or patches as drawn
    tissue_mm2: float  # in it
    n_nuclei: int
    density_per_mm2: float | None  # None where there is no area
    counts: dict[str, int]
    seconds: float
    warnings: tuple[str, ...]

    @property
    def found_by(self) -> dict[str, Any]:
        """What made the nuclei, for files that are made of them."""
        found = self.model_dump(mode="json", include={*FOUND_BY, "created", "versions"})
        return found | {"settings": public_settings(self.settings, self.method)}  # of an earlier version, too


def write_statement(document: NucleiDocument, folder: Path) -> None:
    """Write ``nuclei.json``, last of a folder's files: where it is, the others are."""
    text = json.dumps(document.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_file(folder / NUCLEI_JSON) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_statement(folder: Path) -> NucleiDocument:
    """Read ``nuclei.json`` of a folder.

    Raises
    ------
    StoreError
        There is none, it was cut off, or it is of a newer version.
    """
    path = folder / NUCLEI_JSON
    try:
        raw = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder} holds no measured nuclei.", _AGAIN) from error
    if is_newer(raw, SCHEMA_VERSION):
        raise StoreError(f"{path} was written by a newer version.", "Update napari-aln to read it.")
    try:
        return NucleiDocument.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(f"{path} does not fit the schema ({where}: {first['msg']}).", _AGAIN) from error
