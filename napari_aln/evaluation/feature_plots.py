"""Figures of an interpretation by nucleus features, without a window (Xu et al. 2021, Figure 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_aln.evaluation.plots import COLOURS, DPI
from napari_aln.records import RESEARCH_NOTICE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_WEIGHT_NOTE = "Weight: attention over the features of a slide, adding up to 1."
_BOX_COLUMNS = 4
_MOST_POINTS = 400


class Box(NamedTuple):
    """One feature of all patients."""

    title: str  # with its unit
    value: NDArray[np.float64]  # (n,); NaN: not known
    note: str  # such as its p


def weight_bars(
    weights: NDArray[np.float64],
    positive: NDArray[np.bool_],
    features: Sequence[str],
    labels: Sequence[str],
    where: str,
) -> Figure:
    """Draw the mean weight of each feature in both groups, the heaviest at the top.

    Parameters
    ----------
    weights
        (n, features).
    positive
        (n,) whether each belongs to the second group.
    features, labels
        Names.
    where
        In the title.
    """
    figure = _sheet(7.5, 0.5 * len(features) + 1.9)
    axes = _axes(figure, (0.3, 0.25, 0.67, 0.67), f"Attention weights of nucleus features ({where})")
    order = np.argsort(weights.mean(axis=0))
    at = np.arange(len(order))
    for group, (label, members) in enumerate(zip(labels, (~positive, positive), strict=True)):
        own = weights[members][:, order]
        spread = own.std(axis=0, ddof=1) if len(own) > 1 else np.zeros(len(order))
        axes.barh(
            at + (0.19 if group == 0 else -0.19),
            own.mean(axis=0),
            0.36,
            xerr=[np.minimum(spread, own.mean(axis=0)), spread],
            color=COLOURS[group],
            hatch=("", "///")[group],
            edgecolor="white",
            error_kw={"lw": 1, "capsize": 2, "ecolor": "#44444c"},
            label=f"{label} (n = {members.sum()})",
        )
    axes.axvline(1 / len(order), color="#6b6b75", lw=1, ls=(0, (2, 2)), label="uniform")
    axes.set_yticks(at, [features[i] for i in order], fontsize=10)
    axes.set_xlabel("Weight, mean and standard deviation", fontsize=10)
    axes.set_xlim(0, None)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, fontsize=9, frameon=False)
    return _noted(figure, _WEIGHT_NOTE)


def weight_heatmap(
    weights: NDArray[np.float64],
    positive: NDArray[np.bool_],
    features: Sequence[str],
    labels: Sequence[str],
    where: str,
) -> Figure:
    """Draw the weights of each patient as a row; those of the first group come first.

    Parameters
    ----------
    weights, positive, features, labels, where
        As in `weight_bars`, in the order of the rows.
    """
    figure = _sheet(7.0, 8.0)
    axes = _axes(figure, (0.12, 0.21, 0.72, 0.74), f"Weights, a row a patient ({where})", grid=False)
    top = max(float(np.quantile(weights, 0.99)), 1 / len(features))
    shown = axes.imshow(weights, cmap="viridis", vmin=0.0, vmax=top, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(features)), features, rotation=35, ha="right", fontsize=10)
    border = int((~positive).sum())
    axes.axhline(border - 0.5, color="white", lw=2.5)
    middles = [(border - 1) / 2, (border + len(positive) - 1) / 2]
    counts = [border, len(positive) - border]
    known = [k for k in range(2) if counts[k]]
    axes.set_yticks(
        [middles[k] for k in known],
        [f"{labels[k]} (n = {counts[k]})" for k in known],
        rotation=90,
        va="center",
        fontsize=11,
    )
    axes.tick_params(length=0)
    bar = figure.colorbar(shown, cax=figure.add_axes((0.87, 0.21, 0.03, 0.74)), extend="max")
    bar.set_label("Weight", fontsize=10)
    note = f"{_WEIGHT_NOTE} Within a group: rising probability of {labels[1]} downwards."
    return _noted(figure, note)


def box_plots(boxes: Sequence[Box], positive: NDArray[np.bool_], labels: Sequence[str], where: str) -> Figure:
    """Draw each feature in both groups: quartiles, whiskers and every patient.

    Parameters
    ----------
    boxes
        Features.
    positive
        (n,) whether each patient belongs to the second group.
    labels
        Names of the groups.
    where
        In the title.
    """
    rows = -(-len(boxes) // _BOX_COLUMNS)
    height = 2.55 * rows + 1.0
    figure = _sheet(11.0, height)
    figure.text(
        0.02, 1 - 0.3 / height, f"Nucleus features of {labels[0]} and {labels[1]} ({where})", fontsize=12
    )
    for place, box in enumerate(boxes):
        row, column = divmod(place, _BOX_COLUMNS)
        left, low = 0.06 + column * 0.24, (0.65 + (rows - 1 - row) * 2.55) / height
        axes = _axes(figure, (left, low, 0.175, 1.75 / height), box.title, size=10)
        _draw_box(axes, box, positive)
        axes.set_xticks([0, 1], labels, fontsize=9)
        axes.set_xlim(-0.6, 1.6)
        axes.text(0.5, 0.98, box.note, transform=axes.transAxes, ha="center", va="top", fontsize=9)
        low_y, high_y = axes.get_ylim()
        axes.set_ylim(low_y, high_y + 0.14 * (high_y - low_y))
    return _noted(
        figure, "Boxes: quartiles and median; whiskers: 1.5 interquartile ranges. p: Mann-Whitney U."
    )


def _draw_box(axes: Axes, box: Box, positive: NDArray[np.bool_]) -> None:
    rng = np.random.default_rng(0)
    for group, members in enumerate((~positive, positive)):
        own = box.value[members & np.isfinite(box.value)]
        if not len(own):
            continue
        shown = own if len(own) <= _MOST_POINTS else rng.choice(own, _MOST_POINTS, replace=False)
        x = group + rng.uniform(-0.16, 0.16, len(shown))
        axes.scatter(x, shown, s=7, color=COLOURS[group], alpha=0.45, lw=0, zorder=2)
        axes.boxplot(
            own,
            positions=[group],
            widths=0.55,
            showfliers=False,
            manage_ticks=False,
            medianprops={"color": "black", "lw": 1.8},
            zorder=3,
        )
    axes.tick_params(labelsize=8)


def _sheet(width_in: float, height_in: float) -> Figure:
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _axes(
    figure: Figure, place: tuple[float, float, float, float], title: str, *, size: int = 12, grid: bool = True
) -> Axes:
    axes = figure.add_axes(place)
    axes.set_title(title, fontsize=size, loc="left")
    if grid:
        axes.grid(color="#e3e3e8", lw=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(not grid)
    return axes


def _noted(figure: Figure, note: str) -> Figure:
    height = figure.get_figheight()
    figure.text(0.02, 0.25 / height, note, fontsize=8, color="#44444c")
    figure.text(0.02, 0.08 / height, RESEARCH_NOTICE, fontsize=8, color="#7a5000", weight="bold")
    return figure
