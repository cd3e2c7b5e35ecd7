"""Figures of an evaluation, without a window: each function returns a matplotlib figure.

Colours are those of Okabe and Ito, which the colour-blind tell apart; lines also differ in their dashes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_aln.evaluation.curves import GRID
from napari_aln.records import RESEARCH_NOTICE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from napari_aln.evaluation.curves import Calibration, Curve, DecisionCurve
    from napari_aln.evaluation.map_measures import Band

Corner = Literal["upper right", "upper left", "lower left", "lower right"]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
DPI = 200

_SIDE_IN = 6.0
_GREY = "#6b6b75"
_BAND_ALPHA = 0.15
_LONGEST_LABEL = 60


def roc_figure(curves: Mapping[str, Curve], where: str) -> Figure:
    """Draw ROC curves with their bands; the keys are the legend's lines."""
    figure, axes = _square(f"ROC, {where}", "1 − specificity", "Sensitivity")
    axes.plot([0, 1], [0, 1], color=_GREY, lw=1, ls=(0, (2, 2)))
    for place, (label, curve) in enumerate(curves.items()):
        _draw_curve(axes, place, label, curve, step=False)
    return _finished(figure, axes, "lower right", "Bands: pointwise 95 %, bootstrap within classes.")


def pr_figure(curves: Mapping[str, Curve], prevalence: Mapping[str, float], where: str) -> Figure:
    """Draw precision over recall; a dotted line shows the precision of chance."""
    figure, axes = _square(f"Precision and recall, {where}", "Recall (sensitivity)", "Precision (PPV)")
    for share in dict.fromkeys(round(share, 6) for share in prevalence.values()):
        axes.axhline(share, color=_GREY, lw=1, ls=(0, (2, 2)))
    for place, (label, curve) in enumerate(curves.items()):
        _draw_curve(axes, place, label, curve, step=True)
    note = "Bands: pointwise 95 %, bootstrap within classes. Dotted grey: prevalence."
    return _finished(figure, axes, "lower left", note)


def calibration_figure(found: Mapping[str, Calibration], where: str) -> Figure:
    """Draw the observed share of N(+) over the mean score of each bin."""
    figure, axes = _square(f"Calibration, {where}", "Mean score of the bin", "Observed share")
    axes.plot([0, 1], [0, 1], color=_GREY, lw=1, ls=(0, (2, 2)))
    for place, (label, own) in enumerate(found.items()):
        x = [one.mean_score for one in own.bins]
        y = np.array([one.observed for one in own.bins])  # (bins, 3): value, low, high
        axes.errorbar(
            x,
            y[:, 0],
            yerr=[y[:, 0] - y[:, 1], y[:, 2] - y[:, 0]],
            color=COLOURS[place % len(COLOURS)],
            ls=DASHES[place % len(DASHES)],
            marker="osD^vP*"[place % 7],
            ms=5,
            lw=1.6,
            elinewidth=1,
            capsize=2,
            label=_short(label),
        )
    note = "Bars: 95 %, exact binomial. Grey diagonal: perfect calibration."
    return _finished(figure, axes, "upper left", note)


def decision_figure(found: Mapping[str, DecisionCurve], where: str) -> Figure:
    """Draw net benefit over threshold probability, beside acting on all and on nobody."""
    figure, axes = _square(f"Decision curve, {where}", "Threshold probability", "Net benefit per patient")
    first = next(iter(found.values()))
    axes.plot(first.threshold, first.treat_all, color=_GREY, lw=1.2, ls=(0, (2, 2)), label="all positive")
    axes.plot(first.threshold, first.treat_none, color=_GREY, lw=1.2, label="none positive")
    for place, (label, own) in enumerate(found.items()):
        colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
        axes.plot(own.threshold, own.model, color=colour, ls=dash, lw=1.8, label=_short(label))
    top = max(float(own.model.max()) for own in [*found.values()])
    top = max(top, float(first.treat_all.max()), 0.05)
    axes.set_aspect("auto")
    axes.set_ylim(-0.25 * top, 1.1 * top)
    return _finished(
        figure, axes, "upper right", "Net benefit: true positives less false ones x odds of the threshold."
    )


def confusion_figure(matrix: NDArray[np.int64], classes: Sequence[str], title: str, note: str = "") -> Figure:
    """Draw a confusion matrix, a row for each true class; shade: share of the row (Xu et al., Figure 5)."""
    figure, axes = _square(title, "Called", "True")
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    for (row, column), n in np.ndenumerate(matrix):
        colour = "white" if share[row, column] > 0.68 else "black"
        text = f"{n}\n{share[row, column]:.1%}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=13)
    axes.set_xticks(range(len(classes)), classes, fontsize=11)
    axes.set_yticks(range(len(classes)), classes, fontsize=11, rotation=90, va="center")
    axes.set_xlim(-0.5, len(classes) - 0.5)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    return _finished(figure, axes, None, f"Percent of the true class. {note}".strip())


def faithfulness_figure(
    deletion: Mapping[str, Band], insertion: Mapping[str, Band], chance: str, where: str
) -> Figure:
    """Draw deletion beside insertion curves; the keys are the legend's lines, `chance` that of chance."""
    figure = _sheet(2 * _SIDE_IN)
    titles = f"Deletion, {where}", f"Insertion, {where}"
    kinds = "taken away", "put in"
    for place, (found, title, kind) in enumerate(zip((deletion, insertion), titles, kinds, strict=True)):
        axes = figure.add_axes((0.065 + 0.5 * place, 0.16, 0.415, 0.76))
        x, y = f"Share of patches {kind}, most important first", "Probability of the model's side"
        _prepare(axes, title, x, y)
        others = [label for label in found if label != chance]
        for label, (mean, low, high) in found.items():
            nth = others.index(label) if label in others else -1
            colour = COLOURS[nth % len(COLOURS)] if label in others else _GREY
            dash = DASHES[nth % len(DASHES)] if label in others else (0, (2, 2))
            axes.fill_between(GRID, low, high, color=colour, alpha=_BAND_ALPHA, lw=0)
            axes.plot(GRID, mean, color=colour, ls=dash, lw=1.8, label=_short(label))
    note = "The model's side: N0 or N(+), as it is with all patches. Means over patients, bands 95 %."
    return _finished(figure, axes, "lower right", note)


def _square(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = _sheet(_SIDE_IN)
    axes = figure.add_axes((0.13, 0.16, 0.83, 0.76))
    _prepare(axes, title, x, y)
    return figure, axes


def _sheet(width_in: float) -> Figure:
    figure = Figure(figsize=(width_in, _SIDE_IN + 0.4), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _prepare(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(_short(title), fontsize=12, loc="left")
    axes.set_xlabel(x, fontsize=11)
    axes.set_ylabel(y, fontsize=11)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.grid(color="#e3e3e8", lw=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_curve(axes: Axes, place: int, label: str, curve: Curve, *, step: bool) -> None:
    colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
    axes.fill_between(
        GRID, curve.low, curve.high, color=colour, alpha=_BAND_ALPHA, lw=0, step="pre" if step else None
    )
    style = "steps-pre" if step else "default"
    axes.plot(curve.x, curve.y, color=colour, ls=dash, lw=1.8, drawstyle=style, label=_short(label))


def _finished(figure: Figure, axes: Axes, legend_at: Corner | None, note: str) -> Figure:
    """Add legend, note and the notice, none of which may hide a curve's meaning."""
    if legend_at is not None:
        legend = axes.legend(loc=legend_at, fontsize=9, framealpha=0.85, edgecolor="none", handlelength=3)
        legend.set_zorder(5)
    figure.text(0.02, 0.045, note, fontsize=8, color="#44444c")
    figure.text(0.02, 0.015, RESEARCH_NOTICE, fontsize=8, color="#7a5000", weight="bold")
    return figure


def _short(label: str) -> str:
    """Return a label that does not leave the figure, and in which no $ starts a formula."""
    kept = label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"
    return kept.replace("$", r"\$")
