"""The cohort table: one row a patient, as CSV or XLSX, checked field by field before anything is computed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from napari_aln.cohort.columns import cell_of, recognise
from napari_aln.cohort.spreadsheet import read_tables
from napari_aln.errors import ClinicalError, CohortError
from napari_aln.records import AGE_LIMIT_YEARS, TUMOR_SIZE_LIMIT_CM, Clinical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_aln.cohort.columns import Column
    from napari_aln.cohort.spreadsheet import Table

Receptor = Literal["+", "-", "unknown"]
Split = Literal["train", "val", "test"]

_POSITIVE: dict[str, bool | None] = {"+": True, "-": False, "unknown": None}
_RECEPTOR: dict[bool | None, Receptor] = {True: "+", False: "-", None: "unknown"}


class CohortRow(BaseModel):
    """One patient. Empty cells of optional fields are unknown, never a guess."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    patient_id: str = Field(min_length=1)
    slide: Path | None = None
    roi: Path | None = None
    age_years: float | None = Field(None, gt=0.0, le=AGE_LIMIT_YEARS)
    tumor_size_cm: float | None = Field(None, gt=0.0, le=TUMOR_SIZE_LIMIT_CM)
    er: Receptor = "unknown"
    pr: Receptor = "unknown"
    her2: Receptor = "unknown"
    n_positive_nodes: int | None = Field(None, ge=0, le=100)
    label: Literal["N0", "N(+)"] | None = None
    split: Split | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _strip(cls, cell: object) -> object:
        return cell.strip() if isinstance(cell, str) else cell

    @field_validator(
        "slide", "roi", "age_years", "tumor_size_cm", "n_positive_nodes", "label", "split", mode="before"
    )
    @classmethod
    def _empty_is_unknown(cls, cell: object) -> object:
        return None if cell == "" else cell

    @field_validator("er", "pr", "her2", mode="before")
    @classmethod
    def _empty_receptor_is_unknown(cls, cell: object) -> object:
        return "unknown" if cell == "" else cell

    @property
    def clinical(self) -> Clinical:
        """The five clinical values as the model takes them."""
        return Clinical(
            self.age_years,
            self.tumor_size_cm,
            _POSITIVE[self.er],
            _POSITIVE[self.pr],
            _POSITIVE[self.her2],
        )

    @property
    def is_positive(self) -> bool:
        """Whether the label is N(+). Raises `CohortError` where the label is unknown."""
        if self.label is None:
            raise CohortError(f"Patient {self.patient_id} has no label.", "Fill its cell with N0 or N(+).")
        return self.label == "N(+)"

    @property
    def aln_class(self) -> str | None:
        """The class among N0, N+(1-2) and N+(>2), or None where the number of nodes is not known."""
        if self.n_positive_nodes is None:
            return None
        return "N0" if self.n_positive_nodes == 0 else "N+(1-2)" if self.n_positive_nodes <= 2 else "N+(>2)"


def receptor_sign(positive: bool | None) -> Receptor:
    """Return how the table writes a receptor: `+`, `-` or `unknown`."""
    return _RECEPTOR[positive]


def read_cohort(path: Path, *, several_slides: bool = False) -> list[CohortRow]:
    """Read a cohort table.

    Parameters
    ----------
    path
        CSV (UTF-8) or XLSX with a header; `patient_id` is the one column that must be there. The BCNB
        workbook's own columns are known, see `columns`. Ids are text: 007 is not 7.
    several_slides
        Whether a patient may stand in several lines that differ in slide and ROI alone.

    Returns
    -------
    list of CohortRow
        In the file's order; slide and ROI paths relative to the table become paths that can be opened.

    Raises
    ------
    CohortError
        With the file, the line, the fact and the next step.
    """
    table, columns = _patients_of(path)
    rows = [_row(path, line, cells, columns) for line, cells in table.rows]
    if not rows:
        raise CohortError(f"{path} has a header but no patient.", "Add one line a patient.")
    seen: dict[str, CohortRow] = {}
    for row in rows:
        first = seen.setdefault(row.patient_id, row)
        if first is not row and not several_slides:
            raise CohortError(f"{path} names patient {row.patient_id} twice.", "Keep one line a patient.")
        if row != first.model_copy(update={"slide": row.slide, "roi": row.roi}):
            raise CohortError(
                f"{path} gives patient {row.patient_id} different values in different lines.",
                "Give all slides of a patient the same clinical values, nodes, label and split.",
            )
    return rows


def _patients_of(path: Path) -> tuple[Table, dict[str, Column]]:
    """Return the one table of a file that names patients, and its columns that are known."""
    tables = read_tables(path)
    named = {sheet: recognise(path, table.columns) for sheet, table in tables.items()}
    found = [sheet for sheet, columns in named.items() if "patient_id" in columns]
    if not found:
        raise CohortError(
            f"{path} has no column patient_id in its first line.",
            f"Give a CSV or XLSX table whose first line names columns: {', '.join(CohortRow.model_fields)}.",
        )
    if len(found) > 1:
        raise CohortError(
            f"{path} names patients on several sheets: {', '.join(found)}.", "Keep one of them in the file."
        )
    return tables[found[0]], named[found[0]]


def _row(path: Path, line: int, cells: Sequence[str], columns: Mapping[str, Column]) -> CohortRow:
    record = {field: cell_of(column, cells[column.place]) for field, column in columns.items()}
    try:
        row = CohortRow.model_validate(record)
    except ValidationError as error:
        column = columns[str(error.errors()[0]["loc"][0])]
        raise CohortError(
            f"{path}, line {line}, column {column.name}: {cells[column.place]!r} is not usable "
            f"({error.errors()[0]['msg'].lower()}).",
            "Correct that cell.",
        ) from error
    if row.label and row.n_positive_nodes is not None and row.is_positive != (row.n_positive_nodes > 0):
        raise CohortError(
            f"{path}, line {line}: {row.n_positive_nodes} positive nodes contradict the status {row.label}.",
            "Correct one of the two cells.",
        )
    folder = path.parent
    return row.model_copy(
        update={
            "slide": folder / row.slide if row.slide is not None else None,
            "roi": folder / row.roi if row.roi is not None else None,
        }
    )


def write_cohort(path: Path, rows: Sequence[CohortRow]) -> None:
    """Write a cohort table; paths are written as they stand in the rows, with forward slashes."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(CohortRow.model_fields))
        writer.writeheader()
        for row in rows:
            cells = row.model_dump()
            writer.writerow({name: c.as_posix() if isinstance(c, Path) else c for name, c in cells.items()})


def find_patient(rows: Sequence[CohortRow], name: str) -> CohortRow:
    """Return the row of the patient whose id, or whose slide's stem, is `name`.

    Raises
    ------
    ClinicalError
        When no row, or more than one, goes by that name.
    """
    found = [row for row in rows if row.patient_id == name] or [
        row for row in rows if row.slide is not None and row.slide.stem == name
    ]
    if len(found) != 1:
        alike = [row.patient_id for row in rows if row.patient_id.lstrip("0") == name.lstrip("0")]
        raise ClinicalError(
            f"The clinical table has {len(found) or 'no'} rows for {name}.",
            f"It has {alike[0]}, but ids are text and leading zeros count: write both alike."
            if alike and not found
            else "Add one line whose patient_id, or whose slide's file name, is that name.",
        )
    return found[0]
