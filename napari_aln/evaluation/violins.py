"""Two groups' values of several quantities as violins, side by side."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_aln.evaluation.plots import COLOURS, DPI
from napari_aln.records import RESEARCH_NOTICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Pair = tuple[NDArray[np.float64], NDArray[np.float64]]

COLUMNS = 5
MOST_DRAWN = 5000
"""Values a violin is drawn of, evenly chosen from the sorted ones; medians and quartiles are of all."""
FEWEST_DRAWN = 5
"""Fewer values have no shape and are drawn as they are."""

_WIDTH_IN, _ROW_IN, _MARGIN_IN = 12.0, 2.5, 1.3
_TAIL = 0.5  # percent of the values at each end that are not drawn: one of ten thousand sets no scale


def violin_figure(
    values: Mapping[str, Pair],
    names: tuple[str, str],
    notes: Mapping[str, str],
    title: str,
    remark: str,
) -> Figure:
    """Draw a panel for each quantity.

    Parameters
    ----------
    values
        Quantity, with its unit -> the values of both groups; NaN are left out.
    names
        Of the groups.
    notes
        Quantity -> a short line below its name.
    title, remark
        Above and below all panels.
    """
    rows = -(-len(values) // COLUMNS)
    height = rows * _ROW_IN + _MARGIN_IN
    figure = Figure(figsize=(_WIDTH_IN, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    below, above = 0.72 / height, 1 - 0.58 / height
    for place, (name, groups) in enumerate(values.items()):
        row, column = divmod(place, COLUMNS)
        tall = (above - below) / rows
        axes = figure.add_axes(
            (
                0.055 + column * 0.945 / COLUMNS,
                above - (row + 1) * tall + 0.3 * tall * 0.45,
                0.74 * 0.945 / COLUMNS,
                0.6 * tall,
            )
        )
        _panel(axes, groups, names)
        axes.set_title(name, fontsize=10, loc="left", pad=17)
        axes.text(0, 1.03, notes.get(name, ""), transform=axes.transAxes, fontsize=7.5, color="#44444c")
    figure.text(0.02, 1 - 0.28 / height, title, fontsize=12)
    lines = textwrap.wrap(remark, 200)
    figure.text(0.02, 0.24 / height, "\n".join(lines), fontsize=8, color="#44444c", va="bottom")
    figure.text(0.02, 0.08 / height, RESEARCH_NOTICE, fontsize=8, color="#7a5000", weight="bold")
    return figure


def _panel(axes: Axes, groups: Pair, names: tuple[str, str]) -> None:
    known = [values[np.isfinite(values)] for values in groups]
    for place, own in enumerate(known):
        if not len(own):
            continue
        drawn = _drawn(own)
        if len(own) < FEWEST_DRAWN:
            axes.plot(np.full(len(own), place), own, "o", color=COLOURS[(1, 0)[place]], ms=5)
            continue
        if np.ptp(drawn) > 0:
            parts = axes.violinplot([drawn], positions=[place], widths=0.85, showextrema=False)
            bodies: Any = parts["bodies"]  # matplotlib states less than it returns
            for body in bodies:
                body.set(facecolor=COLOURS[(1, 0)[place]], alpha=0.45, edgecolor="none")
        low, middle, high = np.percentile(own, [25, 50, 75])
        axes.plot([place, place], [low, high], color="#1c1c22", lw=3.5, solid_capstyle="butt")
        axes.plot([place - 0.16, place + 0.16], [middle, middle], color="#1c1c22", lw=1.6)
    axes.set_xticks(
        [0, 1], [f"{name}\nn = {len(own)}" for name, own in zip(names, known, strict=True)], fontsize=8
    )
    axes.set_xlim(-0.6, 1.6)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", color="#e3e3e8", lw=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _drawn(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered: NDArray[np.float64] = np.sort(values)
    cut = int(len(ordered) * _TAIL / 100)
    ordered = ordered[cut : len(ordered) - cut]
    if len(ordered) <= MOST_DRAWN:
        return ordered
    return ordered[np.linspace(0, len(ordered) - 1, MOST_DRAWN).astype(np.intp)]
