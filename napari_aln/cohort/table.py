"""The cohort table: patients and slides as CSV, XLSX or Parquet, checked field by field before any work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from napari_aln.cohort.columns import cell_of, is_equivocal, not_recognised, recognise
from napari_aln.cohort.spreadsheet import read_tables
from napari_aln.cohort.wording import counted
from napari_aln.cohort.writing import write_table
from napari_aln.errors import ClinicalError, CohortError
from napari_aln.geometry import MPP_LIMITS_UM
from napari_aln.records import AGE_LIMIT_YEARS, THREE_CLASSES, TUMOR_SIZE_LIMIT_CM, Clinical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_aln.cohort.columns import Column
    from napari_aln.cohort.spreadsheet import Table

Receptor = Literal["+", "-", "unknown"]
Split = Literal["train", "val", "test"]
Label = Literal["N0", "N(+)"]
AlnClass = Literal["N0", "N+(1-2)", "N+(>2)"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

_NUMBERED: dict[str, Label] = {"0": "N0", "1": "N(+)"}
"""Labels as other programs write two classes; `evaluate` takes them so, too."""

_POSITIVE: dict[str, bool | None] = {"+": True, "-": False, "unknown": None}
_RECEPTOR: dict[bool | None, Receptor] = {True: "+", False: "-", None: "unknown"}


class CohortRow(BaseModel):
    """One patient, or one slide of a patient. Empty cells of optional fields are unknown, never a guess.

    Where their own cells are empty, `aln_class` follows from `n_positive_nodes`, and `label` from both. A
    label of three classes, as in the BCNB workbook, fills both.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    patient_id: str = Field(min_length=1)
    case_id: str | None = None  # says nothing of who it is: names results in private mode
    slide: Path | None = None
    roi: Path | None = None
    mpp: float | None = Field(
        default=None, ge=MPP_LIMITS_UM[0], le=MPP_LIMITS_UM[1]
    )  # µm/px; wins over the file's
    site: str | None = None
    age_years: float | None = Field(default=None, gt=0.0, le=AGE_LIMIT_YEARS)
    tumor_size_cm: float | None = Field(default=None, gt=0.0, le=TUMOR_SIZE_LIMIT_CM)
    er: Receptor = "unknown"
    pr: Receptor = "unknown"
    her2: Receptor = "unknown"
    n_positive_nodes: int | None = Field(default=None, ge=0, le=100)
    aln_class: AlnClass | None = Field(default=None, validate_default=True)
    label: Label | None = Field(default=None, validate_default=True)
    split: Split | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _strip(cls, cell: object) -> object:
        return cell.strip() if isinstance(cell, str) else cell

    @model_validator(mode="before")
    @classmethod
    def _three_classes_say_the_class(cls, cells: Any) -> Any:  # noqa: ANN401
        if isinstance(cells, dict) and cells.get("label") in THREE_CLASSES and not cells.get("aln_class"):
            return cells | {"aln_class": cells["label"]}
        return cells

    @field_validator(
        "case_id",
        "slide",
        "roi",
        "mpp",
        "site",
        "age_years",
        "tumor_size_cm",
        "n_positive_nodes",
        "split",
        mode="before",
    )
    @classmethod
    def _empty_is_unknown(cls, cell: object) -> object:
        return None if cell == "" else cell

    @field_validator("aln_class", mode="before")
    @classmethod
    def _class_by_nodes(cls, cell: object, others: ValidationInfo) -> object:
        nodes = others.data.get("n_positive_nodes")
        return cell or (None if nodes is None else class_of(nodes))

    @field_validator("label", mode="before")
    @classmethod
    def _label_by_class(cls, cell: object, others: ValidationInfo) -> object:
        known = cell or others.data.get("aln_class")
        return "N(+)" if known in THREE_CLASSES[1:] else known or None

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


def class_of(n_positive_nodes: int) -> AlnClass:
    """Return the class among three of a number of metastatic lymph nodes."""
    return "N0" if n_positive_nodes == 0 else "N+(1-2)" if n_positive_nodes <= 2 else "N+(>2)"


def receptor_sign(positive: bool | None) -> Receptor:
    """Return how the table writes a receptor: `+`, `-` or `unknown`."""
    return _RECEPTOR[positive]


class Line(NamedTuple):
    """A row and the line of the file it stands in."""

    number: int
    row: CohortRow
    her2_is_equivocal: bool = False  # it gives the score 2+, which counts as unknown


def read_cohort(path: Path, *, several_slides: bool = False) -> list[CohortRow]:
    """Read a cohort table.

    Parameters
    ----------
    path
        CSV (UTF-8), XLSX or Parquet with a header; `patient_id` is the one column that must be there. The
        BCNB workbook's own columns are known, see `columns`. Ids are text: 007 is not 7.
    several_slides
        Whether a patient may stand in several lines that differ in slide, ROI and µm/px alone.

    Returns
    -------
    list of CohortRow
        In the file's order; slide and ROI paths relative to the table become paths that can be opened.

    Raises
    ------
    CohortError
        With the file, the line, the fact and the next step.
    """
    lines, unusable = read_lines(path)
    if unusable:
        told = next(iter(unusable.values()))
        if len(unusable) == 1:
            raise told
        raise CohortError(
            f"{told.fact} Not usable either: {counted(len(unusable) - 1, 'more line')}.",
            f"{told.next_step} `napari-aln cohort check` names them all.",
        ) from told
    seen: dict[str, CohortRow] = {}
    slides = set()
    for row in (line.row for line in lines):
        first = seen.setdefault(row.patient_id, row)
        if first is not row and not several_slides:
            raise CohortError(f"{path} names patient {row.patient_id} twice.", "Keep one line a patient.")
        if differing := differences(first, row):
            raise CohortError(
                f"{path} gives patient {row.patient_id} different values in different lines "
                f"({', '.join(differing)}).",
                "Give all slides of a patient the same clinical values, nodes, label and split.",
            )
        if row.slide is not None and (row.patient_id, row.slide) in slides:
            raise CohortError(
                f"{path} names {row.slide} of {row.patient_id} twice.", "Keep one line a slide."
            )
        slides.add((row.patient_id, row.slide))
    return [line.row for line in lines]


def read_lines(path: Path) -> tuple[list[Line], dict[int, CohortError]]:
    """Read every line that can be used, and say of each other one, by its number, what is wrong.

    Raises
    ------
    CohortError
        The file cannot be read, or is no table of patients, or has none.
    """
    table, columns = _patients_of(path)
    lines: list[Line] = []
    unusable: dict[int, CohortError] = {}
    for number, cells in table.rows:
        try:
            her2 = columns.get("her2")
            doubtful = her2 is not None and is_equivocal(her2, cells[her2.place])
            lines.append(Line(number, _row(path, number, cells, columns), doubtful))
        except CohortError as error:
            unusable[number] = error
    if not table.rows:
        raise CohortError(f"{path} has a header but no patient.", "Add one line a patient.")
    return lines, unusable


def unused_columns(path: Path) -> tuple[str, ...]:
    """Return the named columns of a cohort table that the program does not know and leaves out."""
    table, columns = _patients_of(path)
    return not_recognised(table.columns, columns)


def unused_cells(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the cells of `unused_columns`, one a row of `read_cohort`, in its order."""
    table, columns = _patients_of(path)
    names = not_recognised(table.columns, columns)
    return {
        name: tuple(cells[table.columns.index(name)].strip() for _, cells in table.rows) for name in names
    }


def differences(first: CohortRow, other: CohortRow) -> tuple[str, ...]:
    """Return the fields in which two rows of one patient differ, but must not."""
    of_slide = {"slide", "roi", "mpp"}
    return tuple(
        name
        for name in CohortRow.model_fields
        if name not in of_slide and getattr(first, name) != getattr(other, name)
    )


def _patients_of(path: Path) -> tuple[Table, dict[str, Column]]:
    """Return the one table of a file that names patients, and its columns that are known."""
    tables = read_tables(path)
    named = {sheet: recognise(path, table.columns) for sheet, table in tables.items()}
    found = [sheet for sheet, columns in named.items() if "patient_id" in columns]
    if not found:
        empty = not any(table.columns for table in tables.values())
        raise CohortError(
            f"{path} {'is empty' if empty else 'has no column patient_id in its first line'}.",
            "Give a CSV, XLSX or Parquet table whose first line names columns: "
            f"{', '.join(CohortRow.model_fields)}.",
        )
    if len(found) > 1:
        raise CohortError(
            f"{path} names patients on several sheets: {', '.join(found)}.", "Keep one of them in the file."
        )
    return tables[found[0]], named[found[0]]


def _row(path: Path, line: int, cells: Sequence[str], columns: Mapping[str, Column]) -> CohortRow:
    record = {field: cell_of(column, cells[column.place]) for field, column in columns.items()}
    if record.get("label") in _NUMBERED:
        record["label"] = _NUMBERED[record["label"]]
    try:
        row = CohortRow.model_validate(record)
    except ValidationError as error:
        column = columns[_field_of(error)]
        raise CohortError(
            f"{path}, line {line}, column {column.name}: {_why_unusable(error, cells[column.place])}",
            "Correct that cell, or empty it where the value is not known.",
        ) from error
    _refuse_contradictions(f"{path}, line {line}", row)
    folder = path.parent
    return row.model_copy(
        update={
            "slide": folder / row.slide if row.slide is not None else None,
            "roi": folder / row.roi if row.roi is not None else None,
        }
    )


def clinical_of(words: Mapping[Column, str]) -> Clinical:
    """Return the clinical values that single words give, each read as a table's cell of its column.

    Raises
    ------
    ClinicalError
        A word says no such value; it is named by its column.
    """
    record = {column.field: cell_of(column, word) for column, word in words.items()}
    try:
        return CohortRow.model_validate({"patient_id": "this one"} | record).clinical
    except ValidationError as error:
        (name, word), *_ = ((c.name, word) for c, word in words.items() if c.field == _field_of(error))
        raise ClinicalError(
            f"{name}: {_why_unusable(error, word)}", "Correct it, or leave it out where it is not known."
        ) from error


def _field_of(error: ValidationError) -> str:
    return str(error.errors()[0]["loc"][0])


def _why_unusable(error: ValidationError, cell: str) -> str:
    told = error.errors()[0]["msg"]
    why = "no number" if cell.strip().casefold() == "nan" else told[:1].lower() + told[1:]
    return f"{cell!r} is not usable ({why})."


def _refuse_contradictions(where: str, row: CohortRow) -> None:
    """Refuse a row whose nodes, class of three and label do not say the same."""
    nodes, stated = row.n_positive_nodes, row.aln_class
    by_nodes = None if nodes is None else class_of(nodes)
    if by_nodes and row.is_positive != (nodes != 0):
        fact = f"{nodes} positive nodes contradict the status {row.label}"
    elif by_nodes and stated and stated != by_nodes:
        fact = f"{nodes} positive nodes contradict the status {stated}"
    elif stated and row.is_positive != (stated != "N0"):
        fact = f"the class {stated} contradicts the label {row.label}"
    else:
        return
    raise CohortError(f"{where}: {fact}.", "Correct one of the two cells.")


def placed_beside(rows: Sequence[CohortRow], table: Path) -> list[CohortRow]:
    """Return rows whose slide and ROI are written relative to a table, as far as one drive allows."""
    placed = []
    for row in rows:
        paths = {"slide": row.slide, "roi": row.roi}
        placed.append(
            row.model_copy(update={k: path and relative_to(table, path) for k, path in paths.items()})
        )
    return placed


def relative_to(table: Path, path: Path) -> Path:
    """Return how a table names a path: relative to its own folder, as far as one drive allows."""
    try:
        return Path(os.path.relpath(path.absolute(), table.absolute().parent))
    except ValueError:  # another drive of Windows
        return path.absolute()


def write_cohort(path: Path, rows: Sequence[CohortRow], suffix: str | None = None) -> None:
    """Write a cohort table; paths are written as they stand in the rows, with forward slashes.

    Parameters
    ----------
    path, suffix
        See `write_table`: CSV, XLSX or Parquet.
    rows
        See `placed_beside` where their paths are not relative to the table.
    """
    numbers: dict[str, type] = {
        "mpp": float,
        "age_years": float,
        "tumor_size_cm": float,
        "n_positive_nodes": int,
    }
    columns = {name: numbers.get(name, str) for name in CohortRow.model_fields}
    if all(row.case_id is None for row in rows):
        del columns["case_id"]  # seldom there
    write_table(path, columns, [row.model_dump() for row in rows], suffix)


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
        step = "Add one line whose patient_id, or whose slide's file name, is that name."
        if found:
            step = "Keep one of them."
        elif alike:
            step = f"It has {alike[0]}, but ids are text and leading zeros count: write both alike."
        raise ClinicalError(f"The clinical table has {len(found) or 'no'} rows for {name}.", step)
    return found[0]
