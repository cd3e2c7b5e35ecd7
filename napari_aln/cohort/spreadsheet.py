"""Tables as text: CSV, XLSX and Parquet, every cell as the file shows it, so that an id 007 stays 007."""

from __future__ import annotations

import csv
import lzma
import re
import zipfile
import zlib
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from napari_aln.cohort.writing import PARQUET_SUFFIX, as_meant
from napari_aln.errors import CohortError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

XLSX_SUFFIXES = (".xlsx", ".xlsm")
READABLE_SUFFIXES = (".csv", PARQUET_SUFFIX, *XLSX_SUFFIXES)
"""Of the files that `read_tables` reads."""
MAX_XLSX_BYTES = 200_000_000
"""Of all parts of a workbook once unpacked; a table of 100 000 patients has a tenth of it."""
MAX_ROWS = 1_000_000
"""Of a Parquet table, whose few bytes may stand for any number of equal rows."""

_DAMAGED_WORKBOOK = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,  # encrypted, a compression that is not known, nested too deep
    ParseError,
    LookupError,
    AttributeError,
    ArithmeticError,
    TypeError,
    ValueError,
)
"""What openpyxl was seen to raise, or may, on damaged files: it checks little itself."""

_DELIMITERS = (",", ";", "\t")
_ZEROS = re.compile(r"0+")  # a number format that pads with zeros, as for ids


@dataclass(frozen=True)
class Table:
    """A header and rows of text, with the line each row stands in."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def read_tables(path: Path) -> dict[str, Table]:
    """Read a CSV or Parquet file, or every sheet of a workbook.

    Parameters
    ----------
    path
        CSV in UTF-8, separated by comma, semicolon or tab (what its first line uses most), XLSX, or
        Parquet. Formulas count with the value that was saved with them.

    Returns
    -------
    dict
        Sheet name (empty where there are none) -> table; empty sheets are left out. The first line
        that is not empty is the header; lines without any text are passed over.

    Raises
    ------
    CohortError
        The file cannot be read, is a folder or not what its name says, or a row has another number of cells.
    """
    try:
        if path.is_dir():
            raise CohortError(f"{path} is a folder, no table.", "Name the CSV, XLSX or Parquet file itself.")
        if path.suffix.lower() in XLSX_SUFFIXES:
            return _read_workbook(path)
        if path.suffix.lower() == PARQUET_SUFFIX:
            return {"": _read_parquet(path)}
        return {"": _read_csv(path)}
    except OSError as error:
        raise CohortError(
            f"{path} cannot be read ({error.strerror or error}).", "Check the name and its permissions."
        ) from error


def _read_csv(path: Path) -> Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            header = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, delimiter=max(_DELIMITERS, key=header.count))
            rows = [
                (reader.line_num, tuple(map(as_meant, cells)))
                for cells in reader
                if any(map(str.strip, cells))
            ]
        if any("\0" in cell for _, cells in rows for cell in cells):
            raise csv.Error("a NUL, as in UTF-16")
    except (UnicodeDecodeError, csv.Error) as error:
        raise CohortError(
            f"{path} is no CSV table in UTF-8.",
            "Open it in a spreadsheet program and save it as XLSX or CSV UTF-8.",
        ) from error
    if not rows:
        return Table((), ())
    columns = rows[0][1]
    for line, cells in rows[1:]:
        if len(cells) != len(columns):
            raise CohortError(
                f"{path}, line {line}, has more or fewer cells than the header.",
                "Give every column one cell.",
            )
    return Table(tuple(map(str.strip, columns)), tuple(rows[1:]))


def _read_parquet(path: Path) -> Table:
    """Read a Parquet file; its first row counts as line 2, as it would behind a header."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        n_rows = parquet.read_metadata(path).num_rows
        if n_rows > MAX_ROWS:
            raise CohortError(
                f"{path} has {n_rows} rows: too many for a table of patients.",
                "Save the patients alone, or give a CSV table.",
            )
        found = parquet.read_table(path)
        rows = list(zip(*(map(_shown, column.to_pylist()) for column in found.columns), strict=True))
    except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
        if isinstance(error, CohortError):
            raise
        raise CohortError(
            f"{path} is no usable Parquet table ({type(error).__name__}).",
            "Write it again, or give a CSV table.",
        ) from error
    return Table(
        tuple(found.column_names), tuple((line, row) for line, row in enumerate(rows, start=2) if any(row))
    )


def _shown(value: Any) -> str:  # noqa: ANN401
    """Return a typed value as a person would write it: 7 for 7.0, nothing for none."""
    if value is None or value != value:  # NaN is how pandas writes none
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _read_workbook(path: Path) -> dict[str, Table]:
    """Read a workbook with openpyxl, whose XML goes through defusedxml."""
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with zipfile.ZipFile(path) as parts:
            unpacked = sum(part.file_size for part in parts.infolist())
        if unpacked > MAX_XLSX_BYTES:
            raise CohortError(
                f"{path} holds {unpacked / 1e6:.0f} MB once unpacked: too much for a table of patients.",
                "Save the table alone, without pictures and other sheets.",
            )
        book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
        try:
            found = {sheet.title: _table(path, sheet) for sheet in book.worksheets}
        finally:
            book.close()
    except (*_DAMAGED_WORKBOOK, InvalidFileException) as error:
        if isinstance(error, CohortError):
            raise
        raise CohortError(
            f"{path} is no usable XLSX workbook ({type(error).__name__}).",
            "Open it in a spreadsheet program and save it again as XLSX or CSV UTF-8.",
        ) from error
    return {name: table for name, table in found.items() if table.columns}


def _table(path: Path, sheet: Any) -> Table:  # noqa: ANN401 - openpyxl has no types
    sheet.reset_dimensions()  # some programs write wrong ones
    rows = []
    for line, cells in enumerate(sheet.iter_rows(), start=1):
        texts = tuple(_text(path, cell) for cell in cells)
        if any(texts):
            rows.append((line, texts))
    if not rows:
        return Table((), ())
    columns = _without_empty_end(rows[0][1])
    return Table(columns, tuple((line, _padded(path, line, cells, columns)) for line, cells in rows[1:]))


def _text(path: Path, cell: Any) -> str:  # noqa: ANN401 - openpyxl has no types
    """Return a cell as the spreadsheet program shows it, as far as an id or a plain number goes."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, date | time | timedelta):
        raise CohortError(
            f"{path}, sheet {cell.parent.title}, cell {cell.coordinate}, holds the date {value}.",
            "If it should be a number or an id, format the cell as text and type it again.",
        )
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and _ZEROS.fullmatch(cell.number_format):
        return f"{value:0{len(cell.number_format)}d}"
    return _shown(value)


def _without_empty_end(cells: Sequence[str]) -> tuple[str, ...]:
    used = max(i for i, cell in enumerate(cells, start=1) if cell)
    return tuple(cells[:used])


def _padded(path: Path, line: int, cells: tuple[str, ...], columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return a row as long as the header: a workbook leaves empty cells at the end out."""
    if any(cells[len(columns) :]):
        raise CohortError(
            f"{path}, line {line}, has more or fewer cells than the header.", "Give every column one cell."
        )
    return cells[: len(columns)] + ("",) * (len(columns) - len(cells))
