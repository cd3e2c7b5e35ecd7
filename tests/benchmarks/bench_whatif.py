"""How long a what-if takes: a moved vertex and a changed value, with 10 000 and 100 000 patches in memory.

    python tests/benchmarks/bench_whatif.py [--patches 10000 100000] [--vertices 1000] [--rounds 15]
        [--out FILE]

Random features and a random head on a square of tissue; the ROI is a ragged ring of vertices that holds
nearly all patches, the worst case. Target: 16 ms for one model at 10 000 patches, 50 ms to scale and lay out
a map of 100 000. Each step is also measured by itself. The printed load says whether the machine was idle;
the processor time beside the median says what the step itself takes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import shapely

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from stored import load, store, versions_of

from napari_aln.geometry import Mpp, Rect
from napari_aln.mil.attribution import attention_bag, effects
from napari_aln.mil.bundle import Bundle
from napari_aln.mil.card import ClinicalFields, ModelCard, NumericField
from napari_aln.mil.scoring import bag_attention
from napari_aln.patches.bags import draw_bags
from napari_aln.patches.grid import patch_grid
from napari_aln.patches.membership import inside
from napari_aln.patches.raster import raster
from napari_aln.patches.tissue import TissueMask
from napari_aln.records import Clinical, Features, Level, PatchTable, Region, SlideInfo
from napari_aln.settings.prediction import PredictSettings
from napari_aln.workflows.review.whatif import Extracted, WhatIf
from napari_aln.workflows.slide.compare import compare
from napari_aln.workflows.slide.maps import MAP_STYLES, at_least, colour_limits, hotspots, scaled
from napari_aln.workflows.slide.prepare import Overview, usable_roi
from napari_aln.workflows.slide.score import Execution, draw

PATIENT = Clinical(age_years=61, tumor_size_cm=2.4, er=True, pr=False, her2=False)
MPP, PATCH_PX, MARGIN = 0.5, 256, 10
HIDDEN = 256


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patches", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--vertices", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="write the answers' times here, as JSON")
    given = parser.parse_args()
    before = load()
    print(f"numpy {np.__version__}, shapely {shapely.__version__}, {os.cpu_count()} cores, load {before:.1f}")
    figures = [
        measure(n_patches, n_vertices, given.rounds)
        for n_patches in given.patches
        for n_vertices in given.vertices
    ]
    if given.out:
        versions = versions_of("napari-aln", "numpy", "shapely")
        store(given.out, {"rounds": given.rounds}, figures, versions, before)


def measure(n_patches: int, n_vertices: int, rounds: int) -> dict[str, Any]:
    """Time both modes' answers and the parts they are made of; return the answers' medians."""
    side = int(n_patches**0.5)
    slide, seen = make_slide(side)
    rng = np.random.default_rng(0)
    rois = [[ring(side, n_vertices, np.random.default_rng(k))] for k in range(rounds + 1)]
    print(f"\n{side * side} patches, ROI of {n_vertices} vertices")
    answers, found = {}, {"patches": side * side, "vertices": n_vertices}
    for mode in ("dlcnbc", "dlcnbc-ws"):
        bundle = make_bundle(mode, rng)
        what_if = WhatIf(bundle, slide, seen, PredictSettings(), Execution("openvino", "cpu", "fp32"))
        features = make_features(slide, side, rng)
        show(f"{mode}: taking features in", [timed(what_if.add, Extracted(features.table, features))])
        answers[mode] = what_if.score(rois[0], PATIENT)
        held = answers[mode].run.record.n_patches
        moved = [timed(what_if.score, roi, PATIENT) for roi in rois[1:]]
        found[f"{mode}, vertex moved, ms"] = show(
            f"{mode}: vertex moved, {held} patches in {answers[mode].run.record.n_bags} bags", moved
        )
        ages = np.linspace(30, 80, rounds)
        aged = [
            timed(what_if.score, rois[0], Clinical(float(age), 2.4, er=True, pr=False, her2=False))
            for age in ages
        ]
        found[f"{mode}, age changed, ms"] = show(f"{mode}: age changed", aged)
    parts(what_if, rois, rounds)
    maps(answers, rounds)
    return found


def parts(what_if: WhatIf, rois: list[list[Region]], rounds: int) -> None:
    """Time the steps of an answer."""
    scorer, table = what_if._known.scorer, what_if._known.table
    settings, card = what_if.settings, what_if.bundle.card
    partitions, bags = draw(card, table, settings)
    vector = np.array([0.5, -0.2, 1.0, 0.0, 1.0])
    moved = itertools.cycle(rois)  # what was asked last is not worked out again
    steps: dict[str, Callable[[], Any]] = {
        "regions mended": lambda: usable_roi(what_if._slide, next(moved)),
        "cells inside": lambda: inside(table.grid, next(moved), 0.7),
        f"{partitions} partitions drawn": lambda: draw_bags(table.cell, card.bag_size, partitions, 0),
        "bags scored": lambda: scorer.score_bags(list(bags), vector),
        "attention": lambda: attention_bag(bag_attention(scorer.e, bags)),
        "contribution and probability": lambda: effects(scorer, vector),
    }
    for name, step in steps.items():
        show(f"  of it {name}", [timed(step) for _ in range(rounds)])


def maps(answers: dict[str, Any], rounds: int) -> None:
    """Time what follows an answer: the comparison, and a map's scaling and layout."""
    roi, whole = (answers[mode].run for mode in ("dlcnbc", "dlcnbc-ws"))
    pairs = (roi.record, roi.scores), (whole.record, whole.scores)
    regions = answers["dlcnbc"].regions
    show("comparison", [timed(compare, *pairs, regions) for _ in range(rounds)])
    scores, style = whole.scores, MAP_STYLES["attention_slide"]

    def recoloured(scaling: str) -> None:
        values = scaled(scores.attention_slide, scaling)
        colour_limits(style, [values])
        raster(scores.table, np.where(at_least(values, 0.2), values, np.nan))

    for scaling in ("unscaled", "rank", "min-max"):
        show(f"map {scaling}, thresholded, as a raster", [timed(recoloured, scaling) for _ in range(rounds)])
    show("1000 hotspots", [timed(hotspots, scores, "attention_slide", 1000) for _ in range(rounds)])


def make_slide(side: int) -> tuple[Any, Overview]:
    """Return the facts of a slide of `side` x `side` patches within a margin, and its overview."""
    px = (side + 2 * MARGIN) * PATCH_PX
    level = Level(px, px, (1.0, 1.0))
    whole = Rect(0, 0, px, px)
    info = SlideInfo(
        Path("bench.tif"), "none", "tifffile", (level,), Mpp(MPP, MPP), "file", whole, (240, 240, 240), "0"
    )
    seen_px = px // 16
    tissue = np.zeros((seen_px, seen_px), bool)
    edge = MARGIN * PATCH_PX // 16
    tissue[edge:-edge, edge:-edge] = True
    mask = TissueMask(tissue, np.zeros_like(tissue), 8.0, (240, 240, 240))
    return SimpleNamespace(info=info), Overview(np.zeros((1, 1, 3), np.uint8), (16.0, 16.0), mask)


def make_bundle(mode: str, rng: np.random.Generator, patch_px: int = PATCH_PX, mpp: float = MPP) -> Bundle:
    """Return a bundle that holds a random head alone."""
    clinical = ClinicalFields(
        age_years=NumericField(mean=55, std=11), tumor_size_cm=NumericField(mean=2.2, std=1.1)
    )
    card = ModelCard(
        name=mode,
        mode=mode,
        encoder="vgg13_bn",
        pool="7x7",
        mpp=mpp,
        patch_px=patch_px,
        clinical=clinical,
    )
    shapes = {
        "fc1.0.bias": (HIDDEN,),
        "classifier.0.weight": (card.classifier_hidden, HIDDEN + 50),
        "classifier.0.bias": (card.classifier_hidden,),
        "classifier.2.weight": (2, card.classifier_hidden),
        "classifier.2.bias": (2,),
    }
    tensors = {f"head.{name}": rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    return Bundle(Path("bench.alnmodel"), card, "0" * 64, tensors)


def make_features(
    slide: Any, side: int, rng: np.random.Generator, patch_px: int = PATCH_PX, mpp: float = MPP
) -> Features:
    """Return random features of all patches on the tissue."""
    grid = patch_grid(slide.info.size_px, slide.info.mpp, patch_px, mpp)
    row, column = np.divmod(np.arange(side * side), side)
    table = PatchTable(grid, (column + MARGIN).astype(np.int32), (row + MARGIN).astype(np.int32))
    h = rng.standard_normal((len(table), HIDDEN), np.float32)
    np.maximum(h, 0, out=h)
    entropy = np.full(len(table), 7.0, np.float32)
    return Features(table, entropy, h, rng.standard_normal(len(table), np.float32))


def ring(side: int, n_vertices: int, rng: np.random.Generator, patch_l0: int = PATCH_PX) -> Region:
    """Return a ragged square outline within the tissue's edge."""
    angle = np.linspace(0, 2 * np.pi, n_vertices, endpoint=False)
    to_edge = 1 / np.maximum(abs(np.cos(angle)), abs(np.sin(angle)))
    radius = side * patch_l0 / 2 * to_edge * rng.uniform(0.99, 1.0, n_vertices)
    middle = (side / 2 + MARGIN) * patch_l0
    return Region(shapely.Polygon(middle + np.column_stack([np.cos(angle), np.sin(angle)]) * radius[:, None]))


def timed(step: Callable[..., Any], *given: Any) -> tuple[float, float]:
    """Return the milliseconds that a step takes, by the clock and on the processor."""
    started, busy = time.perf_counter(), time.process_time()
    step(*given)
    return (time.perf_counter() - started) * 1000, (time.process_time() - busy) * 1000


def show(name: str, took_ms: list[tuple[float, float]]) -> float:
    """Print the median, the longest, and the median on the processor; return the first."""
    clock, busy = zip(*took_ms, strict=True)
    middle, most = statistics.median(clock), max(clock)
    print(
        f"{name}: median {middle:.1f} ms, longest {most:.1f} ms, processor {statistics.median(busy):.1f} ms"
    )
    return middle


if __name__ == "__main__":
    main()
