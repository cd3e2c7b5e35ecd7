"""Which column of a table means what, and how its cells are written in our own.

Known are our own names (`CohortRow`), the BCNB workbook's, and plain variations of both. A number whose unit
the header does not state is refused: nothing is guessed from the size of the values.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from napari_aln.errors import CohortError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MM_PER_CM = 10.0

_FIELD_OF = {
    "patientid": "patient_id",
    "caseid": "case_id",
    "slide": "slide",
    "roi": "roi",
    "mpp": "mpp",
    "site": "site",
    "ageyears": "age_years",
    "tumorsizecm": "tumor_size_cm",
    "tumoursizecm": "tumor_size_cm",
    "tumorsizemm": "tumor_size_mm",
    "tumoursizemm": "tumor_size_mm",
    "er": "er",
    "erstatus": "er",
    "pr": "pr",
    "prstatus": "pr",
    "her2": "her2",
    "her2status": "her2",
    "her2expression": "her2",
    "npositivenodes": "n_positive_nodes",
    "numberoflymphnodemetastases": "n_positive_nodes",
    "alnclass": "aln_class",
    "label": "label",
    "alnstatus": "label",
    "split": "split",
}
_UNIT_OF = {"age": "years", "tumor size": "cm or mm", "tumour size": "cm or mm"}
_BRACKETED = re.compile(r"(.*?)\s*[(\[]\s*(.*?)\s*[)\]]")

_RECEPTOR = {
    "positive": "+",
    "pos": "+",
    "negative": "-",
    "neg": "-",
    "−": "-",
    "n/a": "unknown",
    "na": "unknown",
    "unknown": "unknown",  # in capitals, too
}
_HER2_SCORE = {"0": "-", "1+": "-", "2+": "unknown", "3+": "+"}
"""Immunohistochemical score -> status (ASCO/CAP 2018): 2+ is equivocal until in situ hybridisation."""


def is_equivocal(column: Column, text: str) -> bool:
    """Whether a cell holds a score that leaves open what it says, so that it is read as unknown."""
    return column.field == "her2" and _HER2_SCORE.get(text.strip()) == "unknown"


_LABEL = {"N+": "N(+)", "N+(1~2)": "N+(1-2)", "N+(＞2)": "N+(>2)"}
"""Other spellings of the classes, the data set's own among them."""

SPLITS = {
    "train": "train",
    "training": "train",
    "t": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "v": "val",
    "test": "test",
    "testing": "test",
    "i-t": "test",
    "independent test": "test",
}
"""Spellings of the splits, the papers' own among them, in small letters."""

_NOT_KNOWN = ("unknown", "na", "n/a")
"""What is written for a number that nobody knows. NaN is not among it: a computation may have failed."""

_DECIMAL_COMMA = re.compile(r"\d{1,3},\d{1,2}")


class Column(NamedTuple):
    """A column that is used: its place, its name in the file and the field it fills."""

    place: int
    name: str
    field: str


def recognise(path: Path, columns: Sequence[str]) -> dict[str, Column]:
    """Return the columns that are known, by the field of `CohortRow` they fill.

    Raises
    ------
    CohortError
        Two columns mean the same, or one gives age or tumour size without a unit that is known.
    """
    found: dict[str, Column] = {}
    unknown = []
    for index, name in enumerate(columns):
        field = _FIELD_OF.get(re.sub(r"[^a-z0-9]", "", name.casefold()))
        if field is None:
            unknown.append(name)
            continue
        target = "tumor_size_cm" if field == "tumor_size_mm" else field
        column = Column(index, name, field)
        earlier = found.get(target)
        if earlier and target == "her2" and {_is_score(earlier), _is_score(column)} == {True, False}:
            found[target] = earlier if _is_score(column) else column  # BCNB: the score, then the status
        elif earlier:
            raise CohortError(
                f"{path} has two columns for {target}: {earlier.name} and {name}.", "Keep one of them."
            )
        else:
            found[target] = column
    if "case_id" in found:  # as other programs call the patient
        found.setdefault("patient_id", found["case_id"])
    if "patient_id" in found:  # a sheet of something else may name its columns as it likes
        for name in unknown:
            _refuse_without_unit(path, name)
    return found


def not_recognised(columns: Sequence[str], known: Mapping[str, Column]) -> tuple[str, ...]:
    """Return the named columns that no field takes its values from."""
    places = {column.place for column in known.values()}
    return tuple(name for place, name in enumerate(columns) if name.strip() and place not in places)


def _is_score(column: Column) -> bool:
    return column.name.strip().casefold() == "her2"


def _refuse_without_unit(path: Path, name: str) -> None:
    plain = re.sub(r"[_\s]+", " ", name.strip().casefold())
    bracketed = _BRACKETED.fullmatch(plain)
    quantity, unit = bracketed.groups() if bracketed else (plain, "")
    if quantity not in _UNIT_OF:
        return
    known = _UNIT_OF[quantity]
    fact = f"gives the unit {unit}, not {known}" if unit else "states no unit"
    raise CohortError(
        f"{path}: the column {name} {fact}.",
        f"Name it {quantity} ({known.split()[0]}) if its values are in {known.split()[0]}.",
    )


def cell_of(column: Column, text: str) -> str:
    """Return a cell as our own tables write it; what is not known passes unchanged, to be refused by name."""
    text = text.strip()
    if column.field in ("er", "pr", "her2"):
        if column.field == "her2" and text in _HER2_SCORE:
            return _HER2_SCORE[text]
        return _RECEPTOR.get(text.casefold(), text)
    if column.field in ("label", "aln_class"):
        return _LABEL.get(text.replace(" ", ""), text)
    if column.field in ("age_years", "tumor_size_cm", "tumor_size_mm", "mpp"):
        if text.casefold() in _NOT_KNOWN:
            return ""
        return _number(column, text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)
    if column.field == "split":
        return SPLITS.get(text.casefold(), text)
    return text


def _number(column: Column, text: str) -> str:
    if column.field != "tumor_size_mm":
        return text
    try:
        return repr(float(text) / MM_PER_CM)
    except ValueError:
        return text
