"""How a quantity differs between two groups of patients or patches: Mann-Whitney U, its size, corrected p."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import false_discovery_control, mannwhitneyu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


class Spread(NamedTuple):
    """One group's values: NaN where there are too few."""

    n: int
    mean: float
    sd: float  # with n - 1
    median: float
    low: float  # lower quartile
    high: float  # upper quartile


class Difference(NamedTuple):
    """Two groups compared."""

    first: Spread
    second: Spread
    u: float  # pairs in which the value of the second group is larger, equal ones half
    superiority: float  # u over the number of pairs: 0.5 where the groups are alike; also their AUC
    p: float  # two-sided


def group_difference(first: ArrayLike, second: ArrayLike) -> Difference:
    """Compare two groups; values that are not known are left out.

    Parameters
    ----------
    first, second
        (n,) and (m,).

    Returns
    -------
    Difference
        p of the Mann-Whitney U test, two-sided: exact for up to 8 values without ties in a group, else by the
        normal approximation with correction for ties and continuity, as SciPy gives it. NaN where a group is
        empty; 1 where all values are equal.
    """
    a, b = (_known(values) for values in (first, second))
    if not len(a) or not len(b):
        return Difference(spread(a), spread(b), math.nan, math.nan, math.nan)
    if np.ptp(np.concatenate([a, b])) == 0:
        u, p = len(a) * len(b) / 2, 1.0
    else:
        tested = mannwhitneyu(b, a)
        u, p = float(tested.statistic), float(tested.pvalue)
    return Difference(spread(a), spread(b), u, u / (len(a) * len(b)), p)


def spread(values: ArrayLike) -> Spread:
    """Describe one group; values that are not known are left out."""
    known = _known(values)
    if not len(known):
        return Spread(0, *(math.nan,) * 5)
    low, median, high = np.percentile(known, [25, 50, 75]).tolist()
    sd = float(known.std(ddof=1)) if len(known) > 1 else math.nan
    return Spread(len(known), float(known.mean()), sd, median, low, high)


def adjusted_p(p: Sequence[float]) -> list[float]:
    """Return p corrected for the number of tests by Benjamini and Hochberg (1995); NaN stays NaN."""
    values = np.asarray(p, np.float64)
    known = np.isfinite(values)
    if known.any():
        values = values.copy()
        values[known] = false_discovery_control(values[known])
    return [float(value) for value in values]


def _known(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64).ravel()
    return array[np.isfinite(array)]
