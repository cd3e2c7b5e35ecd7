"""The result folder: one per slide, whole or marked incomplete.

Written here: ``result.json`` (`ResultDocument`), ``patches.parquet`` and ``bags.parquet``. The workflow adds
``regions.geojson`` through `annotations`; `heatmap` writes ``heatmap-<run>.tif``. Nothing here names the
slide's file in private mode.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003  (pydantic reads it)
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from napari_aln.errors import StoreError
from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE, RunRecord, SlideInfo, SlideResult
from napari_aln.store.atomic import atomic_file
from napari_aln.store.json_document import is_newer, parse_json
from napari_aln.store.machine import machine_facts
from napari_aln.versions import package_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

SCHEMA_VERSION = 1
RESULT_JSON = "result.json"
NUCLEI_JSON = "nuclei.json"  # in a result folder whose nuclei were measured
HIDDEN = "(hidden)"  # stands where a name would, in private mode
FRAME = "level-0 pixels, x right, y down, origin at the slide's level-0 corner"

_MADE_BY = (
    "mode",
    "model_name",
    "model_sha256",
    "card_sha256",
    "seed",
    "settings",
    "n_patches",
    "n_bags",
    "n_partitions",
    "runtime",
    "device",
    "precision",
    "jpeg_decoder",
    "norm_statistics",
)
"""What a file says of each run in it. Not the clinical values: a picture that is passed on shows none."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SlideFacts(_Frozen):
    """What a result says of its slide."""

    quick_hash: str
    file: str | None  # None in private mode
    vendor: str
    reader: str
    size_px: tuple[int, int]
    downsamples: tuple[tuple[float, float], ...]
    mpp: tuple[float, float] | None
    mpp_origin: Literal["file", "user", "missing"]
    bounds_l0: tuple[float, float, float, float]
    objective_power: float | None
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, info: SlideInfo, *, private: bool) -> SlideFacts:
        """Take the facts from an open slide."""
        return cls(
            quick_hash=info.quick_hash,
            file=None if private else shown_name(info.path),
            vendor=info.vendor,
            reader=info.reader,
            size_px=info.size_px,
            downsamples=tuple(level.downsample for level in info.levels),
            mpp=info.mpp,
            mpp_origin=info.mpp_origin,
            bounds_l0=info.bounds,
            objective_power=info.objective_power,
            warnings=info.warnings,
        )


class ResultDocument(_Frozen):
    """The contents of ``result.json``."""

    schema_version: int = SCHEMA_VERSION
    complete: Literal[True] = True
    notice: str = RESEARCH_NOTICE
    attention_notice: str = ATTENTION_NOTICE
    created: str
    versions: dict[str, str]
    machine: dict[str, str] = {}  # see `machine_facts`
    alias: str
    slide: SlideFacts
    request_sha256: str | None = None  # of all that was asked: a run that goes on knows its results by it
    frame: str = FRAME
    runs: tuple[RunRecord, ...]
    warnings: tuple[str, ...]


def alias_of(info: SlideInfo, case_id: str | None = None) -> str:
    """Return the name of a slide that shows nothing of its file: the case id, else a short hash."""
    return folder_safe(case_id) if case_id else alias_of_hash(info.quick_hash)


def alias_of_hash(quick_hash: str) -> str:
    """Return the alias of a slide of which only the content hash is at hand."""
    return f"slide-{quick_hash[:10]}"


def patient_alias(quick_hashes: Iterable[str]) -> str:
    """Return the name of a patient that shows nothing of who it is: by the content of the slides.

    It is the same in all that is made of these slides, so that files of one patient still find each other.
    """
    joined = "|".join(sorted(quick_hashes))
    return f"patient-{hashlib.sha256(joined.encode()).hexdigest()[:10]}"


def without_patient(text: str, patient_id: str, stand_in: str = HIDDEN) -> str:
    """Return a message in which a patient's id stands nowhere; one that is a number, not as a patient's."""
    # 7 may stand for anything but behind that word.
    before = r"(?<=[Pp]atient )" if patient_id.isdecimal() else r"(?<!\w)"
    return re.sub(rf"{before}{re.escape(patient_id)}(?!\w)", stand_in, text) if patient_id else text


def shown_name(path: Path) -> str:
    """Return a file's name as text that can be printed and stored, whatever bytes it is made of."""
    return path.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def public_name(path: Path) -> str:
    """Return the result folder's name outside private mode: the file's stem, or a DICOM folder's name."""
    is_folder = os.path.isdir(path)  # noqa: PTH112 - no error where it may not even be looked at
    return folder_safe(shown_name(path) if is_folder else shown_name(path.with_suffix("")))


def folder_safe(name: str) -> str:
    """Keep letters, digits and ``._-``: the rest is not safe in a folder name on every system."""
    return re.sub(r"[^\w.-]+", "_", name).strip(". ") or "slide"


def document_of(result: SlideResult, *, private: bool, request_sha256: str | None = None) -> ResultDocument:
    """Describe a result, without its per-patch values."""
    return ResultDocument(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=package_versions(),
        machine=machine_of(result.runs),
        alias=result.alias,
        slide=SlideFacts.of(result.slide, private=private),
        request_sha256=request_sha256,
        runs=result.runs,
        warnings=result.warnings,
    )


def machine_of(runs: Sequence[RunRecord]) -> dict[str, str]:
    """Return what runs were made on; see `machine_facts`."""
    return machine_facts(with_accelerator=any(run.device != "cpu" for run in runs))


def made_by(info: SlideInfo, runs: Sequence[RunRecord]) -> dict[str, Any]:
    """Return what a file of a result says of itself, wherever it may be carried: all that made it.

    Parameters
    ----------
    info
        The slide; its file is not named.
    runs
        Those whose values the file holds.

    Returns
    -------
    dict
        Plain values for JSON: slide hash, µm/px and its origin, models, settings, seeds, bags, versions.
    """
    return slide_made_by(info) | {
        "frame": FRAME,
        "runs": runs_made_by(runs),
        "versions": package_versions(),
        "machine": machine_of(runs),
        "notice": RESEARCH_NOTICE,
    }


def slide_made_by(info: SlideInfo | SlideFacts) -> dict[str, Any]:
    """Return which slide something was made of, without its name: hash, µm/px and its origin."""
    return {"slide_quick_hash": info.quick_hash, "mpp": info.mpp, "mpp_origin": info.mpp_origin}


def runs_made_by(runs: Iterable[RunRecord]) -> dict[str, dict[str, Any]]:
    """Return what made each run, by its name: model, settings, seed, bags, device, precision."""
    return {run.run: {name: getattr(run, name) for name in _MADE_BY} for run in runs}


def made_of_table(table: Path, settings: Mapping[str, Any], *, private: bool = False) -> dict[str, Any]:
    """Return what a table made of another one says of itself: that one's content, settings, versions."""
    name = None if private else shown_name(table)
    return {
        "input": {"name": name, "sha256": hashlib.sha256(table.read_bytes()).hexdigest()},
        "settings": dict(settings),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": package_versions(),
    }


def write_made_by(path: Path, facts: Mapping[str, Any]) -> None:
    """Write what made a file beside it, as ``<its name>.json``: for files that cannot say so themselves.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    with atomic_file(path.with_name(f"{path.name}.json")) as temporary:
        text = json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text, encoding="utf-8")


def write_document(document: ResultDocument, folder: Path) -> None:
    """Write ``result.json`` into a folder that is being filled."""
    text = json.dumps(document.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / RESULT_JSON).write_text(text, encoding="utf-8")


def read_document(folder: Path) -> ResultDocument:
    """Read ``result.json`` of a finished result.

    Raises
    ------
    StoreError
        No result there, one that was cut off, or one of a newer program.
    """
    path = folder / RESULT_JSON
    if not folder.is_dir():
        raise StoreError(
            f"There is no folder {folder}.", "Give the folder that `napari-aln predict` wrote for a slide."
        )
    try:
        raw = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is no finished result.", "Run predict again for this slide.") from error
    if is_newer(raw, SCHEMA_VERSION):
        raise StoreError(f"{path} was written by a newer version.", "Update napari-aln to read it.")
    try:
        return ResultDocument.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(
            f"{path} does not fit the schema ({where}: {first['msg']}).", "Run predict again for this slide."
        ) from error


def answers(folder: Path, request_sha256: str) -> ResultDocument | None:
    """Return the finished result in a folder where it is the answer to just this request, or None."""
    try:
        document = read_document(folder)
    except StoreError:
        return None
    return document if document.request_sha256 == request_sha256 else None


def patches_table(result: SlideResult) -> pa.Table:
    """Return one row a patch and run: place in level-0 pixels, membership, entropy and every map's value."""
    parts = []
    for run, scores in result.scores.items():
        table = scores.table
        n = len(table)
        width, height = table.grid.step_l0
        l0_xy = table.l0_xy
        columns = {
            "run": _repeated(run, n),
            "x": l0_xy[:, 0],
            "y": l0_xy[:, 1],
            "width": np.full(n, width),
            "height": np.full(n, height),
        }
        columns |= {name: values for name, values in vars(scores).items() if name != "table"}
        parts.append(pa.table({name: _arrow(values) for name, values in columns.items()}))
    return pa.concat_tables(parts)


def _arrow(values: NDArray[Any] | pa.Array) -> pa.Array:
    """Wrap a column. ``pa.array`` would import pandas to look for its types: a fifth of a cached run."""
    if isinstance(values, pa.Array):
        return values
    dtype = pa.from_numpy_dtype(values.dtype)
    bits = np.packbits(values, bitorder="little") if values.dtype == bool else np.ascontiguousarray(values)
    return pa.Array.from_buffers(dtype, len(values), [None, pa.py_buffer(bits)])


def _repeated(text: str, n: int) -> pa.Array:
    """Return a column of one text; ``pa.repeat`` would import pandas too."""
    content = text.encode()
    ends = np.arange(n + 1, dtype=np.int32) * len(content)
    return pa.StringArray.from_buffers(n, pa.py_buffer(ends), pa.py_buffer(content * n))


def bags_table(result: SlideResult) -> pa.Table:
    """Return one row a patch in a bag: run, bag and the patch's place among the run's patches."""
    parts = []
    for run, prediction in result.bags.items():
        patch = np.concatenate(prediction.bags)
        sizes = [len(bag) for bag in prediction.bags]
        bag = np.repeat(np.arange(len(sizes)), sizes)
        parts.append(
            pa.table({"run": _repeated(run, len(patch)), "bag": _arrow(bag), "patch": _arrow(patch)})
        )
    return pa.concat_tables(parts)


def write_tables(result: SlideResult, folder: Path) -> None:
    """Write ``patches.parquet`` and ``bags.parquet``; both name slide, models, frame and µm/px."""
    origin = {
        "slide_quick_hash": result.slide.quick_hash,
        "mpp": json.dumps(result.slide.mpp),
        "frame": FRAME,
        "models": json.dumps({run.run: run.model_sha256 for run in result.runs}),
        "made_by": json.dumps(made_by(result.slide, result.runs), ensure_ascii=False),
    }
    for name, table in (("patches", patches_table(result)), ("bags", bags_table(result))):
        pq.write_table(table.replace_schema_metadata(origin), folder / f"{name}.parquet")
