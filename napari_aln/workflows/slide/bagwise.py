"""Parity with the reference: regions cut out on white, and BatchNorm that sees one bag at a time.

Neither can be cached: what the network says of a patch depends on more than the patch. So there is no
what-if here, and with statistics of the bag no map beyond attention within bags.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely

from napari_aln.errors import RegionError
from napari_aln.geometry import Rect, px_at
from napari_aln.mil.attribution import attention_slide
from napari_aln.mil.scoring import PatchScorer
from napari_aln.patches.entropy import entropy_bits
from napari_aln.patches.grid import patch_grid
from napari_aln.patches.membership import belongs
from napari_aln.patches.reference import MAX_WHITE_SHARE, reference_patches
from napari_aln.records import BagPrediction, Features, PatchScores, PatchTable, Progress
from napari_aln.runtimes.choice import choose
from napari_aln.slides import read_patch
from napari_aln.slides.sampling import read_resampled
from napari_aln.workflows.slide.decode import decoded, resized
from napari_aln.workflows.slide.extract import threads_for
from napari_aln.workflows.slide.networks import engine_for, settings_for_card
from napari_aln.workflows.slide.prepare import patches_for, require_mpp, require_patches
from napari_aln.workflows.slide.score import Case, Execution, Run, clinical_vector, draw, record, score

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from napari_aln.mil.bundle import Bundle
    from napari_aln.mil.card import ModelCard
    from napari_aln.records import Region
    from napari_aln.settings.prediction import PredictSettings
    from napari_aln.slides import Slide
    from napari_aln.workflows.slide.prepare import Overview


@dataclass(frozen=True)
class _Patches:
    """Patches whose pixels can be had by index, ready for the network."""

    table: PatchTable
    entropy: NDArray[np.float32]  # (n,) bits
    pixels_of: Callable[[NDArray[np.int64]], NDArray[np.uint8]]  # (k,) -> (k, input_px, input_px, 3)


def score_bagwise(
    slide: Slide, bundle: Bundle, seen: Overview, case: Case, settings: PredictSettings
) -> Generator[Progress, None, Run]:
    """Yield progress, return the run of a model whose patches cannot be scored one by one from a cache.

    Raises
    ------
    RegionError, TissueError
        There is no patch to score.
    SlideError, DeviceError
        Reading or computing failed.
    """
    card = bundle.card
    if settings.patches.roi_patching == "reference" and card.mode != "dlcnbc-ws":
        patches = cut_out_patches(slide, card, case.regions)
    else:
        table = patches_for(card, slide, seen, case.regions, settings.patches)
        patches = yield from _grid_patches(slide, card, table, settings)
    require_patches(slide, len(patches.table), settings)
    if card.norm_statistics == "bag":
        return (yield from _score_with_bag_statistics(bundle, patches, case, settings))
    return (yield from _score_cut_out(bundle, patches, case, settings))


def cut_out_patches(slide: Slide, card: ModelCard, regions: Sequence[Region]) -> _Patches:
    """Cut each polygon's bounding box out as the reference does; see `patches.reference`.

    Raises
    ------
    RegionError
        No region, or none that leaves a patch.
    """
    mpp = require_mpp(slide.info)
    grid = patch_grid(slide.info.size_px, mpp, card.patch_px, card.mpp)
    l0_per_px = np.array([px_at(1, card.mpp, mpp.x), px_at(1, card.mpp, mpp.y)])
    pixels: list[NDArray[np.uint8]] = []
    corners, offsets = [np.empty((0, 2))], [np.empty((0, 2), np.int64)]
    for polygon in (part for region in regions for part in shapely.get_parts(region.geometry)):
        vertices_px = shapely.get_coordinates(polygon.exterior) / l0_per_px
        corner_px = np.floor(vertices_px.min(axis=0))
        size_px = np.maximum(np.ceil(vertices_px.max(axis=0)) - corner_px, 1).astype(int)
        place = Rect(*(corner_px * l0_per_px).tolist(), *(size_px * l0_per_px).tolist())
        box_rgb = read_resampled(slide, place, (int(size_px[0]), int(size_px[1])))
        cut, xy = reference_patches(box_rgb, vertices_px - corner_px, card.patch_px)
        pixels.extend(cut)
        offsets.append(xy // card.patch_px)
        corners.append(np.broadcast_to(corner_px * l0_per_px, xy.shape))
    if not pixels:
        raise RegionError(
            f"The ROI of {slide.info.path.name} leaves no patch less than {MAX_WHITE_SHARE:.0%} white.",
            "Draw a larger region, or set ROI patching to grid (--roi-patching grid).",
        )
    column, row = np.concatenate(offsets).astype(np.int32).T
    table = PatchTable(grid, column, row, np.concatenate(corners))
    entropy = entropy_bits(np.stack(pixels)).astype(np.float32)

    def pixels_of(index: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([resized(pixels[i], card.input_px) for i in index])

    return _Patches(table, entropy, pixels_of)


def _grid_patches(
    slide: Slide, card: ModelCard, table: PatchTable, settings: PredictSettings
) -> Generator[Progress, None, _Patches]:
    """Read the patches once for their entropy; their pixels are read again bag by bag, not held."""
    entropy = np.empty(len(table), np.float32)
    engine = settings.engine
    threads = threads_for(engine, card.input_px)
    for chunk in decoded(slide, table, card.input_px, threads=threads, chunk=engine.batch):
        entropy[chunk.rows] = chunk.entropy
        yield Progress("entropy", int(chunk.rows[-1]) + 1, len(table))
    if card.mode == "dlcnbc-ws":
        rich = entropy >= settings.patches.min_entropy_bits
        table, entropy = table.take(rich), entropy[rich]
    l0_xy, step = table.l0_xy, table.grid.step_l0

    def pixels_of(index: NDArray[np.int64]) -> NDArray[np.uint8]:
        places = [Rect(float(x), float(y), *step) for x, y in l0_xy[index]]
        return np.stack([resized(read_patch(slide, p, card.patch_px), card.input_px) for p in places])

    return _Patches(table, entropy, pixels_of)


def _score_cut_out(
    bundle: Bundle, patches: _Patches, case: Case, settings: PredictSettings
) -> Generator[Progress, None, Run]:
    """Score cut-out patches with running statistics: the ordinary network, the ordinary maps."""
    from napari_aln.runtimes.base import compile_network

    started = time.perf_counter()
    card, n = bundle.card, len(patches.table)
    network = compile_network(
        bundle.network(),
        card.input_px,
        settings_for_card(card, settings.engine),
        bf16_safe_on=card.bf16_safe_on,
    )
    h, e = np.empty((n, card.hidden), np.float32), np.empty(n, np.float32)
    for index in np.array_split(np.arange(n), -(-n // settings.engine.batch)):
        h[index], e[index] = network(patches.pixels_of(index))
        yield Progress("extract", int(index[-1]) + 1, n)
    choice = engine_for(bundle, settings.engine).choice
    features = Features(patches.table, patches.entropy, h, e)
    seconds = {"extract": round(time.perf_counter() - started, 3)}
    return score(bundle, features, case, Execution(**choice._asdict(), seconds=seconds), settings)


def _score_with_bag_statistics(
    bundle: Bundle, patches: _Patches, case: Case, settings: PredictSettings
) -> Generator[Progress, None, Run]:
    """Score bag by bag; a patch's values are means over the bags that drew it."""
    from napari_aln.mil.bag_statistics import BagStatisticsNetwork

    card, n = bundle.card, len(patches.table)
    started = time.perf_counter()
    vector, _ = clinical_vector(card, case.clinical, settings)
    partitions, bags = draw(card, patches.table, settings)
    device = choose(settings.engine, bf16_safe_on=()).device
    network = BagStatisticsNetwork(bundle.network(), device)
    head = bundle.head
    probabilities = np.empty((len(bags), len(card.classes)))
    attention = np.zeros(n)
    drawn = np.zeros(n)
    for k, bag in enumerate(bags):
        h, e = network(patches.pixels_of(bag))
        probabilities[k] = PatchScorer(head, h, e).score_all(vector)
        attention[bag] += attention_slide(e)  # softmax over the bag, times its size
        drawn[bag] += 1
        yield Progress("score bags", k + 1, len(bags))
    with np.errstate(invalid="ignore"):  # a patch that no bag drew has no value
        within = attention / drawn
    prediction = BagPrediction(bags, partitions, probabilities)
    undefined = np.full(n, np.nan)
    scores = PatchScores(
        table=patches.table,
        in_roi=belongs(patches.table, case.regions, settings.patches.min_roi_share),
        entropy=patches.entropy,
        attention_logit=undefined,
        attention_slide=undefined,
        attention_bag=within,
        contribution=undefined,
        probability=undefined,
    )
    seconds = {"score bags": round(time.perf_counter() - started, 3)}
    execution = Execution("torch", device, "fp32", seconds)
    return Run(record(bundle, scores, prediction, case, execution, settings), scores, prediction)
