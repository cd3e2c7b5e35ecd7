"""Pictures of maps on tissue, each with a legend that names the quantity, its scaling and the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from napari_aln.patches.raster import raster
from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE
from napari_aln.workflows.maps import MAP_STYLES, scale_extent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.records import PatchScores, Region, RunRecord

SLIDE_WIDTH_IN, SLIDE_HEIGHT_IN = 6.8, 6.0  # the slide fits into this
NOTICE_WIDTH_IN, BAR_HEIGHT_IN = 8.4, 2.6  # however narrow or flat the slide: the words are not cut


@dataclass(frozen=True)
class Background:
    """The slide that maps are drawn on."""

    rgb: NDArray[np.uint8]  # (H, W, 3), the whole slide
    size_mm: tuple[float, float]  # width and height
    mpp: Mpp  # µm/px of level 0


def map_figure(
    background: Background,
    run: RunRecord,
    scores: PatchScores,
    map_name: str,
    limits: tuple[float, float],
    regions: Sequence[Region] = (),
) -> Figure:
    """Draw one map of one run on the overview; axes in millimetres, outlines where regions were given."""
    style = MAP_STYLES[map_name]
    mpp = background.mpp
    width_mm, height_mm = background.size_mm
    # Places are fixed in inches: quicker than matplotlib's layout engines, and alike for every run.
    slide_in = min(SLIDE_WIDTH_IN, SLIDE_HEIGHT_IN * width_mm / height_mm)
    height_in = slide_in * height_mm / width_mm
    bar_in = max(height_in, BAR_HEIGHT_IN)
    total_in = (max(slide_in + 2.2, NOTICE_WIDTH_IN), bar_in + 1.4)
    figure = Figure(figsize=total_in)
    axes = figure.add_axes(_share(0.7, 0.9 + bar_in - height_in, slide_in, height_in, total_in))
    bar_axes = figure.add_axes(_share(slide_in + 1.1, 0.9, 0.18, bar_in, total_in))
    axes.imshow(background.rgb, extent=(0, width_mm, height_mm, 0), interpolation="antialiased")
    picture = raster(scores.table, getattr(scores, map_name))
    grid = scores.table.grid
    right_mm = grid.columns * grid.step_l0[0] * mpp.x / 1000
    bottom_mm = grid.rows * grid.step_l0[1] * mpp.y / 1000
    shown = axes.imshow(
        picture,
        extent=(0, right_mm, bottom_mm, 0),
        cmap=style.colour_map,
        vmin=limits[0],
        vmax=limits[1],
        alpha=0.5,
        interpolation="nearest",
    )
    for region in regions:
        _outline(axes, region, mpp)
    axes.set_xlim(0, width_mm)
    axes.set_ylim(height_mm, 0)
    axes.set_xlabel("mm")
    axes.set_ylabel("mm")
    axes.set_title(f"{run.mode.upper()}: {style.quantity}", fontsize=11, loc="left")
    bar = figure.colorbar(shown, cax=bar_axes, extend=scale_extent(style))
    bar.set_label(f"{style.quantity} ({style.unit})\n{run.model_name}", fontsize=8)
    figure.text(0.7 / total_in[0], 0.12 / total_in[1], f"{ATTENTION_NOTICE} {RESEARCH_NOTICE}", fontsize=8)
    return figure


def _share(
    left_in: float, bottom_in: float, width_in: float, height_in: float, total_in: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Turn a rectangle in inches into the shares of the figure that matplotlib takes."""
    return left_in / total_in[0], bottom_in / total_in[1], width_in / total_in[0], height_in / total_in[1]


def _outline(axes: Axes, region: Region, mpp: Mpp) -> None:
    for part in getattr(region.geometry, "geoms", [region.geometry]):
        for ring in (part.exterior, *part.interiors):
            xy_mm = np.asarray(ring.coords)[:, :2] * np.asarray(mpp) / 1000
            axes.plot(xy_mm[:, 0], xy_mm[:, 1], color="#0050d0", linewidth=1.2)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, dpi=110, format="png", metadata={"Software": None})
