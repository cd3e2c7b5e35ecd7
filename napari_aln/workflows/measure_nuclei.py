"""The nuclei of a slide, of regions or of patches: found and measured tile by tile.

The command line, the window and the tests all measure here. A tile's nuclei are given out as soon as they are
known, so that a window can show them while the rest is still to come.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.geometry import Mpp, Rect
from napari_aln.nuclei.morphometry import NEIGHBOUR_FEATURES, PLACE, measure, neighbour_distances_um
from napari_aln.nuclei.outlines import Outlines, outlines_of
from napari_aln.nuclei.segmentation import DEFAULT_METHOD, segmenter
from napari_aln.nuclei.stain import MIN_CONTRAST, fit_stain
from napari_aln.nuclei.table import L0_XY, placed
from napari_aln.nuclei.tile_checks import OPAQUE_SHARE, is_blank, is_blurred, opaque_shares
from napari_aln.nuclei.tiling import SAMPLE_PX, SAMPLES_A_SIDE, Box, segment_tiles
from napari_aln.patches.grid import patch_grid, tissue_share
from napari_aln.patches.quality import MIN_HE_SHARE, he_share
from napari_aln.records import Progress
from napari_aln.slides.sampling import read_resampled
from napari_aln.workflows.nuclei_scope import Scope
from napari_aln.workflows.prepare import require_mpp, survey

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from napari_aln.nuclei.stain import Stain
    from napari_aln.nuclei.tiling import NucleiTile
    from napari_aln.records import PatchTable, Region
    from napari_aln.settings import NucleiSettings
    from napari_aln.slides import Slide
    from napari_aln.workflows.prepare import Overview

STEP = "measure nuclei"
TILE_PX = 1536
"""A tile takes about a second, after which the work can be ended."""

FINEST_UM = 0.2  # per pixel; what is finer is read at this
MOST_ANISOTROPIC = 1.05  # µm/px along one axis over the other; beyond, pixels are made square
COARSEST_UM = 0.6
"""Per pixel; above it a nucleus has some hundred pixels and its shape is hardly known."""

SIMPLIFY_PX = 0.75  # of the pixels that are read
_GLASS_SAMPLES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NucleiFound(Progress):
    """One tile more was measured; `done`, `total` and `per_second` count tiles.

    Attributes
    ----------
    nuclei
        How many there are so far.
    l0_rect
        The tile with its overlap, in level-0 pixels.
    table
        Its own nuclei, as in `MeasuredNuclei`, but for the distances to neighbours: these are of the tile.
    outlines
        Theirs, in level-0 pixels.
    """

    nuclei: int
    l0_rect: Rect
    table: pd.DataFrame
    outlines: Outlines


@dataclass(frozen=True)
class MeasuredNuclei:
    """The nuclei of what was measured of a slide.

    Attributes
    ----------
    table
        Columns of `nuclei.measure` and ``x``, ``y``, the centroid in level-0 pixels; `label` counts from 1.
        `centroid_x_px`, `centroid_y_px` are pixels of the resolution that was read, from the slide's corner.
        Distances to neighbours are between all these nuclei: of few patches, mostly those of the same patch.
    outlines
        Of the same nuclei, in level-0 pixels.
    mpp
        µm/px of level 0.
    slide_hash
        Quick hash of the slide.
    method
        How they were found.
    read_mpp
        µm/px at which they were.
    area_mm2, tissue_mm2
        Area of what was measured (of the tissue, or of regions or patches as drawn), and of the tissue in it.
    counts
        Of ``tiles``, ``blurred_tiles``, ``blank_tiles``, and of what is no nucleus: ``specks``, ``debris``.
    warnings
        What makes the measures doubtful: name, colon, sentence.
    """

    table: pd.DataFrame
    outlines: Outlines
    mpp: Mpp
    slide_hash: str
    method: str
    read_mpp: Mpp
    area_mm2: float
    tissue_mm2: float
    counts: dict[str, int]
    seconds: float
    warnings: tuple[str, ...]

    @property
    def density_per_mm2(self) -> float:
        """Nuclei per mm² of what was measured; NaN of nothing."""
        return len(self.table) / self.area_mm2 if self.area_mm2 > 0 else float("nan")


@dataclass
class _Tally:
    """The nuclei of the tiles so far, and what was left out."""

    tables: list[pd.DataFrame] = field(default_factory=list)
    outlines: list[Outlines] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    nuclei: int = 0


def measure_nuclei(
    slide: Slide,
    settings: NucleiSettings,
    regions: Sequence[Region] | None = None,
    patches: PatchTable | None = None,
    *,
    seen: Overview | None = None,
) -> Generator[Progress, None, MeasuredNuclei]:
    """Yield the nuclei of each tile as `NucleiFound`, return those of all; closing the generator cancels.

    Tiles without tissue, or outside regions and patches, are not read. The method adapts itself to tissue
    from all over the slide, so that a region gives the nuclei that the whole slide would give there.

    Parameters
    ----------
    slide
        An open slide with known µm/px.
    settings
        Method, and what is too small or too large.
    regions
        Valid regions in level-0 pixels (`prepare.usable_roi`): only nuclei whose centroid lies inside count.
        None: those of all tissue.
    patches
        Only nuclei whose centroid lies in one of these patches count; regions then say no more.
    seen
        The slide's overview where it is at hand, with the tissue as a person corrected it; None: from
        `prepare.survey`.

    Raises
    ------
    MppError
        The slide's µm/px is not known: nothing is measured.
    UsageError
        No such method.
    SlideError
        The slide cannot be read.
    """
    mpp, info = require_mpp(slide.info), slide.info
    method = settings.method or DEFAULT_METHOD
    segmenter(method)  # refused before anything is read
    started = time.perf_counter()
    yield Progress(STEP, 0, 1)
    seen = seen or survey(slide)
    scope = Scope(seen, mpp, info.size_px, regions, patches)
    downsample = _read_downsample(mpp)
    read_mpp = Mpp(mpp.x * downsample[0], mpp.y * downsample[1])
    width, height = (int(size / by) for size, by in zip(info.size_px, downsample, strict=True))
    whole = Box(0, 0, width, height)

    def read(x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        by_x, by_y = downsample
        return read_resampled(slide, Rect(x * by_x, y * by_y, width * by_x, height * by_y), (width, height))

    samples = _samples(slide, seen, read_mpp)
    stain = fit_stain(samples)
    tally = _Tally()
    tiles = segment_tiles(
        read,
        whole,
        read_mpp.mean,
        method,
        samples=samples,
        tile_px=TILE_PX,
        part_of=lambda tile: scope.part_of(tile, downsample),
    )
    for tile in tiles:
        table, outlines = _of_tile(tile, scope, settings, stain, downsample, read_mpp, tally)
        tally.tables.append(table)
        tally.outlines.append(outlines)
        tally.nuclei += len(table)
        tall, wide = tile.labels.shape
        yield NucleiFound(
            STEP,
            tile.done,
            tile.total,
            tile.done / (time.perf_counter() - started),
            nuclei=tally.nuclei,
            l0_rect=Rect(
                tile.x * downsample[0], tile.y * downsample[1], wide * downsample[0], tall * downsample[1]
            ),
            table=table,
            outlines=outlines,
        )
    table, outlines = _joined(tally, mpp)
    warnings = (*info.warnings, *_warnings(seen, scope, read_mpp, stain, tally))
    return MeasuredNuclei(
        table,
        outlines,
        mpp,
        info.quick_hash,
        method,
        read_mpp,
        scope.area_mm2,
        scope.tissue_mm2,
        {name: tally.counts[name] for name in ("tiles", "blurred_tiles", "blank_tiles", "specks", "debris")},
        round(time.perf_counter() - started, 3),
        warnings,
    )


def _read_downsample(mpp: Mpp) -> tuple[float, float]:
    """Return the level-0 pixels that one pixel read spans: 1 unless too fine, or far from square."""
    wanted = max(mpp.mean, FINEST_UM)
    if wanted == mpp.mean and max(mpp) <= MOST_ANISOTROPIC * min(mpp):
        return 1.0, 1.0
    return wanted / mpp.x, wanted / mpp.y


def _samples(slide: Slide, seen: Overview, read_mpp: Mpp) -> list[NDArray[np.uint8]]:
    """Return squares of tissue from all over the slide, and a few of glass, which tells its colour."""
    grid = patch_grid(slide.info.size_px, require_mpp(slide.info), SAMPLE_PX, read_mpp.mean)
    if not grid.columns * grid.rows:
        return [slide.read_level(0, (0, 0), slide.info.size_px)]
    share = tissue_share(grid, seen.mask.tissue, seen.downsample)
    share[seen.penned(grid)] = np.nan
    step_x, step_y = grid.step_l0
    found = []
    for cells, count in (
        (np.argwhere(share > min(0.5, 0.9 * np.nanmax(share, initial=0))), SAMPLES_A_SIDE**2),
        (np.argwhere(share == 0), _GLASS_SAMPLES),
    ):
        chosen = np.unique(np.linspace(0, len(cells) - 1, count).astype(int)) if len(cells) else []
        found += [
            read_resampled(slide, Rect(column * step_x, row * step_y, step_x, step_y), (SAMPLE_PX, SAMPLE_PX))
            for row, column in cells[chosen]
        ]
    return found


def _of_tile(
    tile: NucleiTile,
    scope: Scope,
    settings: NucleiSettings,
    stain: Stain,
    downsample: tuple[float, float],
    read_mpp: Mpp,
    tally: _Tally,
) -> tuple[pd.DataFrame, Outlines]:
    """Measure a tile's nuclei and return those that count; what does not is counted in `tally`."""
    glass = scope.seen.mask.glass_rgb
    blank = is_blank(tile.rgb, glass)
    tally.counts["tiles"] += 1
    tally.counts["blank_tiles"] += blank
    tally.counts["blurred_tiles"] += not blank and is_blurred(tile.rgb, read_mpp.mean, glass)
    table = measure(tile.labels, read_mpp, tile.rgb, stain=stain)
    table[list(PLACE)] += (tile.x, tile.y)  # from the slide's corner
    table = placed(table, downsample=downsample)
    inside = scope.holds(table[list(L0_XY)].to_numpy())
    area = table["area_um2"].to_numpy()
    speck = area < settings.min_area_um2
    opaque = opaque_shares(tile.labels, tile.rgb, glass)[table["label"].to_numpy() - 1] > OPAQUE_SHARE
    debris = ~speck & ((area > settings.max_area_um2) | opaque)
    tally.counts["specks"] += int((inside & speck).sum())
    tally.counts["debris"] += int((inside & debris).sum())
    kept = inside & ~speck & ~debris
    outlines = outlines_of(tile.labels, simplify_px=SIMPLIFY_PX).placed(
        (tile.x * downsample[0], tile.y * downsample[1]), downsample
    )
    label = np.arange(tally.nuclei + 1, tally.nuclei + int(kept.sum()) + 1)
    return table[kept].assign(label=label).reset_index(drop=True), Outlines(label, outlines.geometry[kept])


def _joined(tally: _Tally, mpp: Mpp) -> tuple[pd.DataFrame, Outlines]:
    """Return the nuclei of all tiles, with distances to neighbours across tiles."""
    import pandas as pd

    filled = [table for table in tally.tables if len(table)]
    if not filled:
        empty = placed(measure(np.zeros((1, 1), np.int32), mpp))
        return empty, Outlines(np.zeros(0, np.int64), np.empty(0, object))
    table = pd.concat(filled, ignore_index=True)
    table[list(NEIGHBOUR_FEATURES)] = neighbour_distances_um(table[list(L0_XY)].to_numpy(), mpp)
    geometry = np.concatenate([outlines.geometry for outlines in tally.outlines])
    return table, Outlines(table["label"].to_numpy(), geometry)


def _warnings(seen: Overview, scope: Scope, read_mpp: Mpp, stain: Stain, tally: _Tally) -> list[str]:
    counts, found = tally.counts, []
    share = he_share(seen.rgb, seen.mask)
    if share is not None and share < MIN_HE_SHARE:
        found.append(
            f"not_he: Not H&E as far as colour tells: {share:.0%} of the tissue is purple, pink or red. "
            "Nuclei are looked for by their haematoxylin; other stains are taken for it."
        )
    if read_mpp.mean > COARSEST_UM:
        found.append(
            f"coarse: At {read_mpp.mean:.3g} µm/px small nuclei are missed and shapes are hardly known."
        )
    if not scope.tissue_mm2:
        found.append("no_tissue: No tissue was found in what was to be measured.")
    elif not tally.nuclei:
        reason = " Hardly anything is stained like nuclei." if stain.contrast < MIN_CONTRAST else ""
        found.append(f"no_nuclei: No nucleus was found.{reason}")
    if counts["blurred_tiles"]:
        found.append(
            f"blurred: {counts['blurred_tiles']} of {counts['tiles']} tiles are out of focus: nuclei are "
            "missed there, and those found are drawn too large."
        )
    if counts["blank_tiles"]:
        found.append(f"blank: {counts['blank_tiles']} of {counts['tiles']} tiles show hardly any tissue.")
    if counts["debris"]:
        found.append(f"debris: {counts['debris']} dark or very large things were not counted as nuclei.")
    if seen.edited:
        found.append("tissue: The tissue mask was edited by hand; the slide alone does not repeat this.")
    return found
