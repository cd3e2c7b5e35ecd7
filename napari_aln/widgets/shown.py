"""What of a run, or of two, is laid on the slide: values and colours as the legend says them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.workflows.slide.compare import COMPARED_MAPS, difference_style
from napari_aln.workflows.slide.maps import (
    MAP_STYLES,
    SCALING_NAMES,
    ListScale,
    at_least,
    colour_limits,
    scaled,
    scaled_style,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.records import PatchTable
    from napari_aln.widgets.state import ReviewState
    from napari_aln.workflows.slide.maps import MapStyle

MINUS = "\N{MINUS SIGN}"
NO_FIXED_DIFFERENCE = "not fixed: a work list keeps no scale of differences"
NO_PAIR = "A difference needs a run inside the ROI and one of the whole slide."


@dataclass(frozen=True)
class ShownMap:
    """A map as it is laid on the slide.

    Attributes
    ----------
    table
        The n patches.
    values
        (n,) in the legend's unit; NaN where nothing is shown.
    style
        Of the map once it is scaled.
    limits
        Values at both ends of the colours.
    colour_map
        One of matplotlib's.
    how
        Scaling and threshold in words, or nothing.
    source
        Whose map it is.
    all_values
        (n,) as `values`, with those too that lie below the threshold.
    """

    table: PatchTable
    values: NDArray[np.float64]
    style: MapStyle
    limits: tuple[float, float]
    colour_map: str
    how: str
    source: str
    all_values: NDArray[np.float64]


def shown_map(state: ReviewState) -> ShownMap | str | None:
    """Return the map that the state names; None where it names none, a sentence where it cannot be shown."""
    if state.shown is None:
        return None
    run, name = state.shown
    return difference_of(state, name) if state.difference else map_of(state, run, name)


def map_of(state: ReviewState, run: str, name: str) -> ShownMap:
    """Return a run's map, on one colour scale for all runs unless it is scaled by rank or min-max."""
    scores = state.scores_of(run)
    record = state.answers[run].record
    values, style = getattr(scores, name), MAP_STYLES[name]
    limits, fixed = state.colour_limits(name), state.list_scale(name) if state.scaling == "fixed" else ""
    if isinstance(fixed, ListScale):
        limits, fixed = fixed.limits, f"fixed across {fixed.n_slides} slide{'s' * (fixed.n_slides != 1)}"
    elif fixed:
        fixed = f"not fixed: {fixed}"
    colours, source = state.colour_map_of(name), record.model_name
    return _dressed(state, scores.table, values, style, limits, colours, source, fixed)


def difference_of(state: ReviewState, name: str) -> ShownMap | str:
    """Return the difference of a map, ROI minus whole slide, on the shared patches; or why there is none."""
    if name not in COMPARED_MAPS:
        quantity = MAP_STYLES[name].quantity
        return f"No difference: {quantity} is of the pixels, not of a model."
    compared = state.comparison(name)
    if compared is None:
        return NO_PAIR
    if compared.shared is None:
        return f"No difference map. {compared.reasons['shared']}"
    style, values = difference_style(name), compared.shared.difference
    limits = colour_limits(style, [values])
    source = f" {MINUS} ".join(run.upper() for run in compared.runs)
    table, colours = compared.shared.table, style.colour_map
    return _dressed(state, table, values, style, limits, colours, source, NO_FIXED_DIFFERENCE)


def _dressed(  # noqa: PLR0913
    state: ReviewState,
    table: PatchTable,
    values: NDArray[np.floating],
    style: MapStyle,
    limits: tuple[float, float],
    colour_map: str,
    source: str,
    fixed: str,
) -> ShownMap:
    how = []
    shown = all_values = scaled(values, state.scaling, signed=style.signed)
    if state.scaling == "fixed":
        how.append(fixed)
    elif state.scaling != "unscaled":
        style = scaled_style(style, state.scaling)
        how.append(SCALING_NAMES[state.scaling])
        limits = style.limits or limits
    if state.threshold:
        low, high = (0.0, limits[1]) if style.signed else limits
        least = low + state.threshold * (high - low)
        shown = np.where(at_least(shown, least, signed=style.signed), shown, np.nan)
        how.append(f"from {'±' if style.signed else ''}{least:.3g}".replace("-", MINUS))
    return ShownMap(table, shown, style, limits, colour_map, ", ".join(how), source, all_values)
