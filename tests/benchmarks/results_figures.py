"""The figures of the results page, as SVG for light and for dark pages."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes


class Look(NamedTuple):
    """Colours of a page. Those of the data are Okabe and Ito's, which the colour-blind tell apart."""

    paper: str
    ink: str
    faint: str
    ours: str
    others: str
    third: str


LOOKS = {
    "light": Look("#ffffff", "#1f2328", "#d0d7de", "#0072b2", "#8c959f", "#d55e00"),
    "dark": Look("#0d1117", "#e6edf3", "#30363d", "#56b4e9", "#7d8590", "#e69f00"),
}
_WIDTH_IN = 8.0


def svg(draw: Callable[[Figure, Look], None], look: Look, height_in: float) -> str:
    """Return a figure as SVG, the same for the same data.

    Parameters
    ----------
    draw
        Draws on the figure.
    look, height_in
        Colours, and the figure's height in inches.
    """
    style = {
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "results",
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": look.ink,
        "axes.labelcolor": look.ink,
        "axes.edgecolor": look.faint,
        "axes.facecolor": look.paper,
        "xtick.color": look.ink,
        "ytick.color": look.ink,
        "legend.frameon": False,
    }
    with mpl.rc_context(style):
        figure = Figure((_WIDTH_IN, height_in), facecolor=look.paper, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure, look)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def encoder_bars(rows: list[dict[str, Any]]) -> Callable[[Figure, Look], None]:
    """Draw patches/s of each contender as a bar with its range."""

    def draw(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        names = [row["contender"] for row in rows]
        rates = [row["patches_per_s"] for row in rows]
        colours = [look.ours if name.startswith("napari-aln") else look.others for name in names]
        reach = [
            [row["patches_per_s"] - row["lowest"] for row in rows],
            [row["highest"] - row["patches_per_s"] for row in rows],
        ]
        axes.barh(names, rates, xerr=reach, color=colours, ecolor=look.ink, capsize=2)
        for place, row in enumerate(rows):
            axes.text(row["highest"] + max(rates) * 0.015, place, f"{row['patches_per_s']:.1f}", va="center")
        axes.invert_yaxis()
        axes.set_xlim(0, max(row["highest"] for row in rows) * 1.12)
        axes.set_xlabel("patches per second, slide to features (higher is better)")
        axes.tick_params(length=0)

    return draw


def viewer_bars(by_side: dict[int, dict[str, dict[str, float]]]) -> Callable[[Figure, Look], None]:
    """Draw what a user waits for in each viewer, a panel for each size of slide."""
    figures = ("first p50 ms", "jump p50 ms", "jump p95 ms", "pan p95 ms")

    def draw(figure: Figure, look: Look) -> None:
        panels = figure.subplots(1, len(by_side), squeeze=False)[0]
        for axes, (side, found) in zip(panels, by_side.items(), strict=True):
            shown = [name for name in ("ours", "ours, idle", "napari-wsi") if name in found]
            colours = {"ours": look.ours, "ours, idle": look.third, "napari-wsi": look.others}
            labels = {"ours": "napari-aln", "ours, idle": "napari-aln, window open before"}
            height = 0.8 / len(shown)
            for number, name in enumerate(shown):
                places = [line + (number - (len(shown) - 1) / 2) * height for line in range(len(figures))]
                values = [found[name][quantity] for quantity in figures]
                label = labels.get(name, name)
                axes.barh(places, values, height * 0.92, color=colours[name], label=label)
                for place, value in zip(places, values, strict=True):
                    gap = 0.015 * max(found[each][q] for each in shown for q in figures)
                    axes.text(value + gap, place, f"{value:.0f}", va="center", fontsize=8)
            axes.set_yticks(range(len(figures)), [name.removesuffix(" ms") for name in figures])
            axes.invert_yaxis()
            axes.margins(x=0.15)
            axes.set_title(f"{side:,} px slide".replace(",", " "), fontsize=10)
            axes.set_xlabel("ms (lower is better)")
            axes.tick_params(length=0)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

    return draw


def cost_curves(figures: dict[str, list[dict[str, float]]]) -> Callable[[Figure, Look], None]:
    """Draw seconds and memory over the number of patches."""
    parts = (("score", "features to heatmap", "o"), ("read", "file to features, network left out", "s"))

    def draw(figure: Figure, look: Look) -> None:
        seconds, memory = figure.subplots(1, 2)
        for (part, label, marker), colour in zip(parts, (look.ours, look.third), strict=True):
            rows = figures.get(part, [])
            patches = [row["patches"] for row in rows]
            for axes, quantity in ((seconds, "seconds"), (memory, "beyond_mb")):
                values = [row[quantity] for row in rows]
                axes.loglog(patches, values, marker=marker, color=colour, label=label)
        _log_axes(seconds, "seconds")
        _log_axes(memory, "MB beyond the features")
        memory.set_ylim(bottom=1)
        figure.legend(*seconds.get_legend_handles_labels(), loc="outside lower center", ncols=2)

    return draw


def _log_axes(axes: Axes, label: str) -> None:
    axes.set_xlabel("patches")
    axes.set_ylabel(label)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.25)
