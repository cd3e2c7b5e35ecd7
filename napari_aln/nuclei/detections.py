"""Nuclei as QuPath's detections: GeoJSON of outlines with their measurements."""

from __future__ import annotations

import json
import math
import re
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from napari_aln.errors import UsageError
from napari_aln.nuclei.morphometry import FEATURES
from napari_aln.nuclei.outlines import Outlines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from napari_aln.nuclei.outlines import OutlineSource

CHUNK = 10_000
"""Nuclei that are made into text together: the file is never held as a whole."""

_LINE = re.compile(
    r'\{"type": "Feature", "id": "[^"]*", "geometry": (?P<geometry>\{.*?\}), '
    r'"properties": \{"objectType": "detection", "name": "(?P<label>\d+)".*'
)
"""A nucleus as it is written here."""

DIGITS_PX = 2  # a hundredth of a level-0 pixel
_DIGITS = 7


def write_detections(
    table: pd.DataFrame,
    outlines: OutlineSource,
    path: Path,
    *,
    members: Mapping[str, Any] | None = None,
    origin_l0_xy: tuple[float, float] = (0.0, 0.0),
    classification: str = "",
) -> None:
    """Write nuclei as a FeatureCollection that QuPath opens as detections with measurements.

    Parameters
    ----------
    table
        From `measure`; `FEATURES` become measurements under their own names, those not known are left out.
    outlines
        Of the same nuclei, in level-0 pixels (`Outlines.placed`).
    path
        File to write.
    members
        Further members of the document: what the file states of its origin, µm/px and slide, as regions'
        files do (`annotations.statement`).
    origin_l0_xy
        Level-0 pixel that is the file's (0, 0), as `members` state it.
    classification
        QuPath's class of all of them; empty: none.

    Raises
    ------
    UsageError
        Table and outlines are not of the same nuclei.
    """
    if not np.array_equal(table["label"].to_numpy(), outlines.label):
        raise UsageError(
            f"{len(table)} measured nuclei and {len(outlines.label)} outlines are not the same nuclei.",
            "Measure and outline the same label image.",
        )
    opening = json.dumps({"type": "FeatureCollection", **(members or {})}, allow_nan=False)
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(f'{opening[:-1]}, "features": [')
        between = "\n"
        for begin in range(0, len(table), CHUNK):
            at = np.arange(begin, min(begin + CHUNK, len(table)))
            features = _features(table.iloc[at], outlines.of(at), origin_l0_xy, classification)
            stream.write(between + ",\n".join(features))
            between = ",\n"
        stream.write("\n]}\n")


def read_outlines(path: Path) -> tuple[Outlines, dict[str, Any]] | None:
    """Return the outlines that `write_detections` wrote, as the file counts, and its other members.

    Returns
    -------
    tuple or None
        None: there is no such file, another program wrote it, or it was changed.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            opening, *lines = (line.rstrip(",\n") for line in stream)
        members = json.loads(opening.removesuffix(', "features": [') + "}")
        parts = [_LINE.fullmatch(line) for line in lines[:-1]]
        found = [part for part in parts if part is not None]
        geometry = shapely.from_geojson([part["geometry"] for part in found])
    except (OSError, ValueError, shapely.errors.GEOSException):
        return None
    if len(found) != len(parts) or not isinstance(members, dict):
        return None
    label = np.array([int(part["label"]) for part in found], np.int64)
    return Outlines(label, geometry), members


def _features(
    table: pd.DataFrame,
    geometry: NDArray[np.object_],
    origin_l0_xy: tuple[float, float],
    classification: str,
) -> Iterator[str]:
    """Yield each nucleus as the text of a feature."""
    placed = shapely.transform(geometry, lambda xy: np.round(xy - origin_l0_xy, DIGITS_PX))
    broken = ~shapely.is_valid(placed)
    placed[broken] = shapely.make_valid(placed[broken], method="structure", keep_collapsed=False)
    known = [name for name in FEATURES if name in table.columns]
    values = table[known].to_numpy(np.float64)
    common = {"classification": {"name": classification}} if classification else {}
    for label, drawn, row in zip(table["label"], shapely.to_geojson(placed), values, strict=True):
        measured = {
            name: float(f"{value:.{_DIGITS}g}")
            for name, value in zip(known, row.tolist(), strict=True)
            if math.isfinite(value)
        }
        properties = {"objectType": "detection", "name": f"{label}", **common, "measurements": measured}
        identity = uuid.uuid5(
            uuid.NAMESPACE_OID, f"nucleus {label} {drawn}"
        )  # the same nuclei, the same file
        yield (
            f'{{"type": "Feature", "id": "{identity}", "geometry": {drawn}, '
            f'"properties": {json.dumps(properties, ensure_ascii=False)}}}'
        )
