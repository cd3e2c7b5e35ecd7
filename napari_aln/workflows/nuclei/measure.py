"""The nuclei of a slide, of regions or of patches: found and measured tile by tile.

The command line, the window and the tests all measure here. A tile's nuclei are given out as soon as they are
known, so that a window can show them while the rest is still to come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_aln.errors import UsageError
from napari_aln.nuclei.runs import checked_labels
from napari_aln.nuclei.segmentation import DEFAULT_METHOD, segmenter, stated
from napari_aln.nuclei.tiling import Box, NucleiTile, segment_tiles
from napari_aln.records import Progress
from napari_aln.workflows.nuclei.scope import Scope
from napari_aln.workflows.nuclei.work import STEP, MeasuredNuclei, NucleiFound, NucleiWork
from napari_aln.workflows.slide.prepare import require_mpp, survey

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.records import PatchTable, Region
    from napari_aln.settings.nuclei import NucleiSettings
    from napari_aln.slides import Slide
    from napari_aln.workflows.slide.prepare import Overview

__all__ = ["MeasuredNuclei", "NucleiFound", "measure_labels", "measure_nuclei"]

TILE_UM = 512.0
"""A tile takes about a second, after which the work can be ended."""

FINEST_UM = 0.2  # per pixel; what is finer is read at this
MOST_ANISOTROPIC = 1.05  # µm/px along one axis over the other; beyond, pixels are made square


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
    UsageError, BundleError
        No such method, or its model cannot be used.
    SlideError
        The slide cannot be read.
    """
    mpp = require_mpp(slide.info)
    method = settings.method or DEFAULT_METHOD
    name, model_sha256 = stated(method)
    chosen = segmenter(method)  # refused before anything is read
    yield Progress(STEP, 0, 1)
    work = NucleiWork(
        slide, settings, Scope(seen or survey(slide), mpp, regions, patches), _read_downsample(mpp)
    )
    width, height = (int(size / by) for size, by in zip(slide.info.size_px, work.downsample, strict=True))
    tiles = segment_tiles(
        work.read,
        Box(0, 0, width, height),
        work.read_mpp.mean,
        chosen,
        samples=work.samples,
        tile_px=round(TILE_UM / work.read_mpp.mean),
        part_of=lambda tile: work.scope.part_of(tile, work.downsample),
    )
    for tile in tiles:
        yield work.take(tile)
    return work.finish(name, model_sha256, chosen.runs_on)


def measure_labels(
    slide: Slide,
    labels: NDArray[Any],
    settings: NucleiSettings,
    regions: Sequence[Region] | None = None,
    *,
    seen: Overview | None = None,
) -> Generator[Progress, None, MeasuredNuclei]:
    """Measure nuclei that another program labelled on the whole of a slide's level 0; held in memory.

    Parameters
    ----------
    labels
        (H, W) of integers, 0 = background, of the slide's level-0 size.
    slide, settings, regions, seen
        As of `measure_nuclei`.

    Raises
    ------
    MppError, SlideError
        As `measure_nuclei`.
    UsageError
        They are no labels, or not of this slide's size.
    """
    mpp, size_px = require_mpp(slide.info), slide.info.size_px
    labels = _numbered(labels)
    if labels.shape[::-1] != size_px:
        wide, high = labels.shape[::-1]
        raise UsageError(
            f"The label image has {wide} x {high} px, the slide's level 0 {size_px[0]} x {size_px[1]} px.",
            "Give the labels of this slide at its full resolution.",
        )
    yield Progress(STEP, 0, 1)
    work = NucleiWork(slide, settings, Scope(seen or survey(slide), mpp, regions))
    yield work.take(NucleiTile(0, 0, labels, slide.read_level(0, (0, 0), size_px), 0, 1, 1))
    return work.finish("labels")


def _read_downsample(mpp: Mpp) -> tuple[float, float]:
    """Return the level-0 pixels that one pixel read spans: 1 unless too fine, or far from square."""
    wanted = max(mpp.mean, FINEST_UM)
    if wanted == mpp.mean and max(mpp) <= MOST_ANISOTROPIC * min(mpp):
        return 1.0, 1.0
    return wanted / mpp.x, wanted / mpp.y


def _numbered(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Return labels as 1..n, whatever numbers they had."""
    labels = checked_labels(labels)
    if labels.min(initial=0) < 0:
        raise UsageError(
            f"The label image holds the negative number {labels.min()}.", "Number nuclei 1, 2, …."
        )
    values, numbered = np.unique(labels, return_inverse=True)
    first = 0 if len(values) and values[0] == 0 else 1
    return (numbered.reshape(labels.shape) + first).astype(np.int32)
