"""How each map is shown: name, unit, colours, scale. The same in the window, the report and the pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_aln.records import PatchScores

    Values = NDArray[np.floating]

SATURATED_SHARE = 0.01  # the top share of patches that may lie beyond the colour scale, as the legend says


@dataclass(frozen=True)
class MapStyle:
    """How one map is shown."""

    quantity: str
    unit: str
    colour_map: str  # readable with every common colour blindness
    signed: bool = False
    limits: tuple[float, float] | None = None


MAP_STYLES = {
    "attention_slide": MapStyle("attention over the slide", "x uniform", "viridis"),
    "attention_bag": MapStyle("attention within bags", "x uniform", "viridis"),
    "attention_logit": MapStyle("attention logit", "before softmax", "viridis"),
    "contribution": MapStyle("contribution to N(+)", "log-odds", "PuOr_r", signed=True),
    "probability": MapStyle("N(+) probability, patch alone", "0 to 1", "viridis", limits=(0.0, 1.0)),
    "entropy": MapStyle("entropy", "bits", "viridis"),
}


def colour_limits(style: MapStyle, values: Sequence[NDArray[np.floating]]) -> tuple[float, float]:
    """Return one colour scale for all runs that are shown together; signed maps are centred on zero."""
    if style.limits:
        return style.limits
    finite = [v[np.isfinite(v)] for v in values]
    joined = finite[0] if len(finite) == 1 else np.concatenate(finite)  # in either case a copy
    if not len(joined):
        return 0.0, 1.0
    if style.signed:
        np.abs(joined, out=joined)
    high = float(np.quantile(joined, 1 - SATURATED_SHARE, overwrite_input=True))
    if style.signed:
        reach = high or 1.0
        return -reach, reach
    low = 0.0 if style.unit == "x uniform" else float(joined.min())
    return low, high if high > low else low + 1.0


def limits_of_maps(scores: PatchScores) -> dict[str, tuple[float, float]]:
    """Return the colour scale of each map of a run by itself; maps without any value are left out."""
    maps = {name: getattr(scores, name) for name in MAP_STYLES}
    return {
        name: colour_limits(MAP_STYLES[name], [values])
        for name, values in maps.items()
        if np.isfinite(values).any()
    }


@dataclass(frozen=True)
class ListScale:
    """A colour scale that the slides of a work list share.

    Attributes
    ----------
    limits
        Values at both ends of the colours.
    n_slides
        How many slides it spans.
    """

    limits: tuple[float, float]
    n_slides: int


def widest(limits: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the colour scale that holds those of all slides: nowhere is more saturated than on its own."""
    return min(low for low, _ in limits), max(high for _, high in limits)


def scale_extent(style: MapStyle) -> str:
    """Return on which sides of the colour scale values may lie beyond it: neither, max or both."""
    return "neither" if style.limits else "both" if style.signed else "max"


Scaling = Literal["unscaled", "rank", "min-max", "fixed"]
"""How values become colours. All but rank and min-max show the map's own unit: unscaled spreads the colours
over the slide that is shown, fixed over one range for all slides."""

SCALING_NAMES: dict[Scaling, str] = {
    "unscaled": "as they are",
    "rank": "rank among the patches shown",
    "min-max": "min-max of the patches shown",
    "fixed": "one scale for all slides",
}


def scaled(values: Values, scaling: Scaling, *, signed: bool = False) -> NDArray[np.float64]:
    """Return what a scaling makes of a map's values.

    Parameters
    ----------
    values
        (n,) of the patches that are shown; what is not finite stays NaN and counts for nothing.
    scaling
        "rank": ``(r - 1) / (n - 1)`` with r the rank, ties sharing their mean rank. "min-max":
        ``(v - min) / (max - min)``. Both lie in 0..1, and are 0.5 where no value differs from another.
        "unscaled", "fixed": the values themselves.
    signed
        Whether zero parts two meanings. Then rank is ``sign(v) r / n`` with r the rank of the magnitude;
        min-max is ``v / max |v|``; both lie in -1..1, and neither moves the zero.
    """
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    result = np.where(finite, values, np.nan)
    shown = values[finite]
    if scaling in ("unscaled", "fixed") or not len(shown):
        return result
    if signed:
        size = np.abs(shown)
        if scaling == "rank":
            size = mean_ranks(size)
        largest = float(len(shown)) if scaling == "rank" else float(size.max())
        result[finite] = np.sign(shown) * size / (largest or 1.0)
        return result
    by = mean_ranks(shown) if scaling == "rank" else shown
    low, high = (1.0, float(len(by))) if scaling == "rank" else (float(by.min()), float(by.max()))
    result[finite] = 0.5 if by.min() == by.max() else (by - low) / (high - low)
    return result


def mean_ranks(values: Values) -> NDArray[np.float64]:
    """Return the ranks 1..n of finite values; equal ones share their mean rank.

    As ``scipy.stats.rankdata``, whose package takes a second to load while the window waits.
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks


def scaled_style(style: MapStyle, scaling: Scaling, fixed: tuple[float, float] | None = None) -> MapStyle:
    """Return how a map is shown once it is scaled: its unit and the limits of its colours.

    Parameters
    ----------
    style
        Of the map as it is.
    scaling
        As given to `scaled`.
    fixed
        Limits that all slides share, for "fixed": `colour_limits` of all their values.

    Raises
    ------
    ValueError
        "fixed" without limits.
    """
    if scaling == "unscaled":
        return style
    if scaling == "fixed":
        if fixed is None:
            raise ValueError("a fixed scale needs its limits")
        return replace(style, limits=fixed)
    limits, unit = ((-1.0, 1.0), "-1 to 1") if style.signed else ((0.0, 1.0), "0 to 1")
    return replace(style, unit=unit, limits=limits)


def at_least(values: Values, threshold: float, *, signed: bool = False) -> NDArray[np.bool_]:
    """Return which patches a threshold leaves on show.

    Parameters
    ----------
    values
        (n,) as the legend shows them, scaled where the map is; NaN stays out.
    threshold
        In the same unit; of a signed map the smallest magnitude, so that both directions stay.
    """
    with np.errstate(invalid="ignore"):
        kept: NDArray[np.bool_] = (np.abs(values) if signed else np.asarray(values)) >= threshold
    return kept


def from_the_top(values: Values, n: int | None = None) -> NDArray[np.int64]:
    """Return patch indices by falling value; equal ones in the table's order, those not finite left out.

    Of the first n alone they are found without sorting the rest; None: of all.
    """
    values = np.asarray(values)
    among = np.flatnonzero(np.isfinite(values))
    if n is not None and 0 < n < len(among):
        among = among[values[among] >= np.partition(values[among], -n)[-n]]
    order: NDArray[np.int64] = among[np.argsort(-values[among], kind="stable")]
    return order[:n]


def from_the_bottom(values: Values, n: int | None = None) -> NDArray[np.int64]:
    """Return patch indices by rising value; see `from_the_top`."""
    return from_the_top(-np.asarray(values), n)


def hotspots(scores: PatchScores, map_name: str, n: int) -> NDArray[np.int64]:
    """Return up to n patches to look at one after the other, the most conspicuous first.

    Parameters
    ----------
    scores
        Of the run whose map is shown.
    map_name
        A key of `MAP_STYLES`. A signed map's hotspots are those of largest magnitude, in either direction.
    n
        How many are wanted.

    Returns
    -------
    int64 (at most n,)
        Indices into the run's patches; see `from_the_top` for their order.
    """
    return hotspots_of(getattr(scores, map_name), n, signed=MAP_STYLES[map_name].signed)


def hotspots_of(values: Values, n: int, *, signed: bool = False) -> NDArray[np.int64]:
    """Return the hotspots among (n_patches,) values, such as those of a difference; see `hotspots`."""
    return from_the_top(np.abs(values) if signed else values, max(n, 0))
