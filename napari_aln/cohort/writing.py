"""Tables written so that nothing is lost or computed on the way: CSV, XLSX and Parquet.

Ids are text. A spreadsheet program that opens a CSV file shows 007 as 7 and saves it so; a table that is to
be edited there is better written as XLSX, whose cells say that they are text.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_aln.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PARQUET_SUFFIX = ".parquet"
TABLE_SUFFIXES = (".csv", ".xlsx", PARQUET_SUFFIX)

_SIGNS = r"[^\S\t\r\n]*[=+\-@＝＋－＠\t\r]"
_FORMULA = re.compile(rf"(^|[;,\t\r\n])(?={_SIGNS})")
"""What a spreadsheet program may compute, at a cell's start or behind what it may take for a separator."""
_DISARMED = re.compile(rf"(^|[;,\t\r\n])'(?={_SIGNS})")
_LONE_SIGNS = ("+", "-")  # how tables write a receptor; no program computes them


def harmless(cell: Any) -> Any:  # noqa: ANN401
    """Return a cell that no spreadsheet program computes: text like a formula gets an apostrophe in front."""
    if not isinstance(cell, str) or cell in _LONE_SIGNS:
        return cell
    return _FORMULA.sub(r"\1'", cell)


def as_meant(cell: str) -> str:
    """Return what a cell said before `harmless`."""
    return _DISARMED.sub(r"\1", cell)


def table_suffix(path: Path) -> str:
    """Return the suffix that says in which format a table is written.

    Raises
    ------
    UsageError
        It says none of `TABLE_SUFFIXES`.
    """
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise UsageError(
            f"{path.name} names no format a table can be written in.",
            f"Let its name end in {', '.join(TABLE_SUFFIXES)}.",
        )
    return path.suffix.lower()


def write_table(
    path: Path, columns: Mapping[str, type], rows: Sequence[Mapping[str, Any]], suffix: str | None = None
) -> None:
    """Write a table.

    Parameters
    ----------
    path
        The file.
    columns
        Column name -> str, int or float, in the table's order.
    rows
        Cells by column name; None or left out is empty, a path is written with forward slashes.
    suffix
        One of `TABLE_SUFFIXES`, where the file's name does not end in it.

    Raises
    ------
    UsageError
        The name says no format that is known.
    OSError
        The file cannot be written.
    """
    kind = (suffix or table_suffix(path)).lower()
    plain = [{name: _plain(row.get(name)) for name in columns} for row in rows]
    if kind == ".csv":
        _write_csv(path, columns, plain)
    elif kind == ".xlsx":
        _write_workbook(path, columns, plain)
    else:
        _write_parquet(path, columns, plain)


def _plain(cell: Any) -> Any:  # noqa: ANN401
    return cell.as_posix() if isinstance(cell, Path) else cell


def _write_csv(path: Path, columns: Mapping[str, type], rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as stream:  # with the mark spreadsheets ask for
        writer = csv.writer(stream)
        writer.writerow(harmless(name) for name in columns)
        writer.writerows([harmless(row[name]) for name in columns] for row in rows)


def _write_workbook(path: Path, columns: Mapping[str, type], rows: Sequence[Mapping[str, Any]]) -> None:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    for line, cells in enumerate([{name: name for name in columns}, *rows], start=1):
        for place, name in enumerate(columns, start=1):
            if cells[name] is None:
                continue
            cell = sheet.cell(line, place, cells[name])
            if isinstance(cells[name], str):
                cell.data_type, cell.number_format = "s", "@"  # text, also where it looks like a formula
    with path.open("wb") as stream:
        book.save(stream)


def _write_parquet(path: Path, columns: Mapping[str, type], rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    parquet.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)
