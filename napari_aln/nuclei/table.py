"""The table of a slide's nuclei: placed on the slide, written and read back.

Files are written where they are asked for; whoever fills a result folder makes them appear whole.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from napari_aln.errors import StoreError
from napari_aln.geometry import Mpp, level_to_l0, plausible_mpp
from napari_aln.nuclei.morphometry import COLUMNS, FEATURES, PLACE
from napari_aln.nuclei.outline_column import BBOX, GEOMETRY, StoredOutlines, write_outlined

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from napari_aln.nuclei.outlines import OutlineSource

NUCLEI_PARQUET = "nuclei.parquet"
SCHEMA_VERSION = 1
L0_XY = ("x", "y")
"""Columns of the centroid in level-0 pixels, as in every table of a slide."""

_FRAME = "x, y and outlines: level-0 pixels, x right, y down, origin at the slide's level-0 corner"
_FEW_ROWS = 100_000
_AGAIN = "Measure the slide's nuclei again."


@dataclass(frozen=True)
class NucleusTable:
    """A slide's nuclei as read back."""

    table: pd.DataFrame  # columns of `measure`, and `x`, `y`
    mpp: Mpp  # µm/px of level 0
    slide_hash: str  # quick hash of the slide
    outlines: StoredOutlines | None = None  # where the file holds any; read when they are asked for


def placed(
    table: pd.DataFrame,
    corner_l0_xy: tuple[float, float] = (0.0, 0.0),
    downsample: tuple[float, float] = (1.0, 1.0),
) -> pd.DataFrame:
    """Add where on the slide the nuclei of a picture lie.

    Parameters
    ----------
    table
        From `measure`.
    corner_l0_xy
        Where the picture's corner lies, in level-0 pixels.
    downsample
        Level-0 pixels that one of its pixels spans along x and y.

    Returns
    -------
    DataFrame
        With the centroids as `x` and `y`, level-0 pixels.
    """
    l0_xy = level_to_l0(table[list(PLACE)].to_numpy(), downsample) + np.asarray(corner_l0_xy, float)
    return table.assign(**dict(zip(L0_XY, l0_xy.T, strict=True)))


def write_nuclei(
    table: pd.DataFrame, path: Path, *, mpp: Mpp, slide_hash: str, outlines: OutlineSource | None = None
) -> None:
    """Write a slide's nuclei, with what is needed to place them again.

    Parameters
    ----------
    table
        From `placed`. Measures are written with seven digits (float32), places with all.
    path
        File to write.
    mpp
        µm/px of level 0.
    slide_hash
        Quick hash of the slide.
    outlines
        Of the same nuclei, in level-0 pixels: a GeoParquet column of the file. Nuclei that come in no order
        of place are then written square by square. None: none are written.

    Raises
    ------
    UsageError
        Table and outlines are not of the same nuclei.
    """
    narrow = table.astype(dict.fromkeys(FEATURES, np.float32))
    content = pa.Table.from_pandas(narrow, preserve_index=False)
    stated = {
        "schema_version": str(SCHEMA_VERSION),
        "slide_quick_hash": slide_hash,
        "mpp": json.dumps(list(mpp)),
        "frame": _FRAME,
    }
    content = content.replace_schema_metadata(stated)
    if outlines is None:
        pq.write_table(content, path, compression="zstd")
    else:
        write_outlined(content, outlines, path, mpp)


def read_nuclei(path: Path) -> NucleusTable:
    """Read what `write_nuclei` wrote; outlines stay in the file until they are asked for.

    Raises
    ------
    StoreError
        The file is missing, damaged, no table of nuclei, or of a newer version.
    """
    try:
        with pq.ParquetFile(path) as file:
            # A few bytes may stand for any number of equal rows; no two nuclei are alike.
            if file.metadata.num_rows > max(_FEW_ROWS, path.stat().st_size):
                raise pa.ArrowInvalid("it claims more rows than it has bytes")
            content = file.read([name for name in file.schema_arrow.names if name not in (GEOMETRY, BBOX)])
            table, mpp, slide_hash = _table_of(content, path)
            outlines = StoredOutlines.of_file(file, path, content)
    except StoreError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read as a table of nuclei: {error}.", _AGAIN) from error
    return NucleusTable(table, mpp, slide_hash, outlines)


def _table_of(content: pa.Table, path: Path) -> tuple[pd.DataFrame, Mpp, str]:
    """Return a file's nuclei, µm/px and slide hash once they are known to be such."""
    try:
        stated = {key.decode(): value.decode() for key, value in (content.schema.metadata or {}).items()}
        version = int(stated.get("schema_version", "0"))
        mpp = plausible_mpp(*json.loads(stated.get("mpp", "[null, null]")))
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(
            f"{path} is no table of nuclei: what it says of itself is damaged.", _AGAIN
        ) from error
    if version > SCHEMA_VERSION:
        raise StoreError(f"{path} was written by a newer version.", "Update napari-aln to read it.")
    missing = [name for name in ("on_border", *COLUMNS, *L0_XY) if name not in content.column_names]
    if mpp is None or missing:
        lacks = f"the columns {', '.join(missing)}" if missing else "its µm/px"
        raise StoreError(f"{path} is no table of nuclei: it lacks {lacks}.", _AGAIN)
    try:
        table = content.to_pandas().astype(dict.fromkeys(FEATURES, np.float64))
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        raise StoreError(f"{path} holds measures that are no numbers ({error}).", _AGAIN) from error
    return table, mpp, stated.get("slide_quick_hash", "")


def holds_nuclei(path: Path) -> bool:
    """Whether a file is one of `write_nuclei`; no more than its head is read."""
    try:
        stated = pq.read_schema(path).metadata or {}
    except (OSError, ValueError, pa.ArrowException):
        return False
    return b"slide_quick_hash" in stated and b"frame" in stated


def write_nuclei_csv(table: pd.DataFrame, path: Path) -> None:
    """Write nuclei as CSV for spreadsheets; what is not known is an empty cell."""
    table.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")  # with the mark they ask for
