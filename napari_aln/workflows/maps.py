"""How each map is shown: name, unit, colours, scale. The same in the window, the report and the pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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
    joined = np.concatenate([v[np.isfinite(v)] for v in values])
    if not len(joined):
        return 0.0, 1.0
    if style.signed:
        reach = float(np.quantile(np.abs(joined), 1 - SATURATED_SHARE)) or 1.0
        return -reach, reach
    high = float(np.quantile(joined, 1 - SATURATED_SHARE))
    low = 0.0 if style.unit == "x uniform" else float(joined.min())
    return low, high if high > low else low + 1.0


def scale_extent(style: MapStyle) -> str:
    """Return on which sides of the colour scale values may lie beyond it: neither, max or both."""
    return "neither" if style.limits else "both" if style.signed else "max"
