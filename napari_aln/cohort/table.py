"""The cohort table: one row a patient, as CSV, checked field by field before anything is computed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from napari_aln.errors import ClinicalError, CohortError
from napari_aln.records import AGE_LIMIT_YEARS, TUMOR_SIZE_LIMIT_CM, Clinical

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def receptor_sign(positive: bool | None) -> Receptor:
    """Return how the table writes a receptor: `+`, `-` or `unknown`."""
    return _RECEPTOR[positive]


def read_cohort(path: Path) -> list[CohortRow]:
    """Read a cohort table.

    Parameters
    ----------
    path
        CSV (UTF-8, comma) with a header; `patient_id` is the one column that must be there.

    Returns
    -------
    list of CohortRow
        In the file's order; slide and ROI paths relative to the table become paths that can be opened.

    Raises
    ------
    CohortError
        With the file, the line, the fact and the next step.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if "patient_id" not in (reader.fieldnames or ()):
                raise CohortError(
                    f"{path} has no column patient_id in its first line.",
                    f"Give a CSV table whose first line names columns: {', '.join(CohortRow.model_fields)}.",
                )
            rows = [_row(path, reader.line_num, record) for record in reader]
    except OSError as error:
        raise CohortError(
            f"{path} cannot be read ({error.strerror}).", "Check the name and its permissions."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CohortError(
            f"{path} is no CSV table in UTF-8.", "Open it in a spreadsheet program and save it as CSV UTF-8."
        ) from error
    if not rows:
        raise CohortError(f"{path} has a header but no patient.", "Add one line a patient.")
    seen: set[str] = set()
    for row in rows:
        if row.patient_id in seen:
            raise CohortError(f"{path} names patient {row.patient_id} twice.", "Keep one line a patient.")
        seen.add(row.patient_id)
    return rows


def _row(path: Path, line: int, record: dict[str | None, str | None]) -> CohortRow:
    if None in record or None in record.values():
        raise CohortError(
            f"{path}, line {line}, has more or fewer cells than the header.", "Give every column one cell."
        )
    try:
        row = CohortRow.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        column = first["loc"][0]
        raise CohortError(
            f"{path}, line {line}, column {column}: {first['input']!r} is not usable "
            f"({first['msg'].lower()}).",
            "Correct that cell.",
        ) from error
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
        raise ClinicalError(
            f"The clinical table has {len(found) or 'no'} rows for {name}.",
            "Add one line whose patient_id, or whose slide's file name, is that name.",
        )
    return found[0]
