"""Groups of patients by age, stage, receptors and any named column, and how the groups differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import chi2_contingency, mannwhitneyu

from napari_aln.errors import CohortError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

AGE_CUT_YEARS = 50.0
T1_LIMIT_CM, T2_LIMIT_CM = 2.0, 5.0
"""A tumour up to 2 cm is T1, up to 5 cm T2 (AJCC)."""
MOST_GROUPS = 10

_RECEPTORS = {"er": "ER", "pr": "PR", "her2": "HER2"}
_SIGNS = {"+": "Positive", "-": "Negative"}
_MEASURED = {"age_years": "Age, years", "tumor_size_cm": "Tumor size, cm"}


class Grouping(NamedTuple):
    """One way to divide patients: each group's name and its (n,) members. Unknown values are in none."""

    title: str
    groups: dict[str, NDArray[np.bool_]]


class Characteristic(NamedTuple):
    """One line block of a table of patient characteristics (Xu et al., Table 1)."""

    title: str
    values: dict[str, tuple[str, ...]]  # value or "mean ± SD" -> text for all patients and each cohort
    p: float
    test: str


def groupings(columns: Mapping[str, Sequence[str]], named: Sequence[str] = ()) -> list[Grouping]:
    """Divide patients as Xu et al., supplementary Table 5, do, and by columns the user names.

    Parameters
    ----------
    columns
        Column -> (n,) cells, see `Scored`.
    named
        Columns with few different values, one group a value.

    Raises
    ------
    CohortError
        A named column is not there, or has more than 10 different values.
    """
    found = []
    if "age_years" in columns:
        age = numbers(columns["age_years"])
        found.append(Grouping("Age ≤ 50", {"Yes": age <= AGE_CUT_YEARS, "No": age > AGE_CUT_YEARS}))
    if "t_stage" in columns and "t_stage" not in named:
        found.append(Grouping("T stage", _by_value(columns["t_stage"])))
    elif "tumor_size_cm" in columns:
        size = numbers(columns["tumor_size_cm"])
        stages = {
            "T1": size <= T1_LIMIT_CM,
            "T2": (size > T1_LIMIT_CM) & (size <= T2_LIMIT_CM),
            "T3": size > T2_LIMIT_CM,
        }
        found.append(Grouping("T stage (by size)", {k: v for k, v in stages.items() if v.any() or k != "T3"}))
    for field, title in _RECEPTORS.items():
        if field in columns:
            cells = np.asarray(columns[field])
            found.append(Grouping(title, {name: cells == sign for sign, name in _SIGNS.items()}))
    for name in named:
        if name not in columns:
            raise CohortError(
                f"The scores have no column {name} to group by.",
                f"There are: {', '.join(columns) or 'none'}.",
            )
        groups = _by_value(columns[name])
        if len(groups) > MOST_GROUPS:
            raise CohortError(
                f"The column {name} has {len(groups)} different values.",
                f"Group by a column of at most {MOST_GROUPS}.",
            )
        found.append(Grouping(name, groups))
    return [g for g in found if any(members.any() for members in g.groups.values())]


def numbers(cells: Sequence[str]) -> NDArray[np.float64]:
    """Return cells as numbers, NaN where they are empty."""
    return np.array([float(cell) if cell else math.nan for cell in cells])


def characteristics(
    columns: Mapping[str, Sequence[str]], labels: Grouping, cohorts: Mapping[str, NDArray[np.bool_]]
) -> list[Characteristic]:
    """Describe cohorts and test that they are alike (Xu et al., Table 1).

    Parameters
    ----------
    columns
        Column -> (n,) cells.
    labels
        The classes as groups.
    cohorts
        Two cohorts, by name: their (n,) members.

    Returns
    -------
    list of Characteristic
        Quantities with the Mann-Whitney U test; groups with the chi-square test without continuity
        correction, as the paper's p follow from its counts.
    """
    everybody = np.any(list(cohorts.values()), axis=0)
    parts = [everybody, *cohorts.values()]
    found = []
    for field, title in _MEASURED.items():
        if field in columns:
            values = numbers(columns[field])
            known = [values[part & ~np.isnan(values)] for part in parts]
            if all(len(own) > 1 for own in known):
                text = tuple(f"{own.mean():.2f} ± {own.std(ddof=1):.2f}" for own in known)
                p = float(mannwhitneyu(known[1], known[2]).pvalue)
                found.append(Characteristic(title, {"mean ± SD": text}, p, "Mann-Whitney U"))
    grouped = [g for g in groupings(columns) if not g.title.startswith("Age")]
    for grouping in [*grouped, labels]:
        counts = np.array([[(own & part).sum() for part in parts] for own in grouping.groups.values()])
        shares = {
            name: tuple(
                f"{n} ({share:.1%})"
                for n, share in zip(row, row / np.maximum(counts.sum(axis=0), 1), strict=True)
            )
            for name, row in zip(grouping.groups, counts, strict=True)
        }
        found.append(Characteristic(grouping.title, shares, chi_square_p(counts[:, 1:]), "chi-square"))
    return found


def chi_square_p(counts: NDArray[np.int64]) -> float:
    """Return p of Pearson's chi-square test of a table, NaN where a row or column is empty throughout."""
    filled = counts[counts.sum(axis=1) > 0]
    if len(filled) < 2 or (filled.sum(axis=0) == 0).any():
        return math.nan
    return float(chi2_contingency(filled, correction=False).pvalue)


def _by_value(cells: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    values = np.asarray(cells)
    return {str(value): values == value for value in np.unique(values) if value}
