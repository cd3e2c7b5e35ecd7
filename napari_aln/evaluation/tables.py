"""Tables in the papers' layout: as text for people, as plain numbers for programs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_aln.records import RESEARCH_NOTICE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_aln.evaluation.metrics import Estimate

NOT_DEFINED = "–"
TITLES = {
    "acc": "ACC",
    "sens": "SENS",
    "spec": "SPEC",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "kappa": "Kappa",
}
IN_PERCENT = ("acc", "sens", "spec", "ppv", "npv")
"""Printed in percent by Xu et al.; F1 and kappa are printed as they are."""


@dataclass(frozen=True)
class PaperTable:
    """A table.

    Attributes
    ----------
    name
        Stem of its files.
    title
        Its heading.
    columns, rows
        Text as printed.
    notes
        What stands below.
    numbers
        The same rows in full precision, for the record.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    numbers: tuple[Mapping[str, Any], ...] = field(default=())

    def markdown(self) -> str:
        """Return the table in Markdown, with heading, notes and the notice."""
        lines = [f"## {self.title}", "", _line(self.columns), _line(["---"] * len(self.columns))]
        lines += [_line(row) for row in self.rows]
        lines += ["", *(f"- {note}" for note in (*self.notes, RESEARCH_NOTICE)), ""]
        return "\n".join(lines)


def percent(estimate: Estimate) -> str:
    """Return a share as Xu et al. print it: ``80.95 [70.92, 88.70]``."""
    return _bracketed(estimate, 100.0, 2)


def fraction(estimate: Estimate) -> str:
    """Return an AUC as Xu et al. print it: ``0.816 [0.758, 0.865]``."""
    return _bracketed(estimate, 1.0, 3)


def p_text(p: float) -> str:
    """Return p as the papers print it, with four decimals."""
    if math.isnan(p):
        return NOT_DEFINED
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def measure_cells(metrics: Mapping[str, Estimate]) -> list[str]:
    """Return the cells of `TITLES`, in percent where Xu et al. print percent."""
    found = []
    for key in TITLES:
        estimate = metrics.get(key)
        text = NOT_DEFINED if estimate is None else (percent if key in IN_PERCENT else fraction)(estimate)
        found.append(text)
    return found


def measure_titles() -> list[str]:
    """Return the headings of `measure_cells`."""
    return [f"{title} (%)" if key in IN_PERCENT else title for key, title in TITLES.items()]


def plain(estimate: Estimate) -> dict[str, float | None]:
    """Return an estimate for JSON, which knows no NaN."""
    return {name: None if math.isnan(x) else x for name, x in estimate._asdict().items()}


def finite(value: float) -> float | None:
    """Return a number for JSON, which knows no NaN."""
    return value if math.isfinite(value) else None


def _bracketed(estimate: Estimate, scale: float, digits: int) -> str:
    value, low, high = (scale * x for x in estimate)
    if math.isnan(value):
        return NOT_DEFINED
    if math.isnan(low):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]".replace("-", "\N{MINUS SIGN}")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
