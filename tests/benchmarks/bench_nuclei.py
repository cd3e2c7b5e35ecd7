"""Nuclei a second: morphometry against scikit-image's regionprops, and a slide from pixels to a table.

    python tests/benchmarks/bench_nuclei.py [--nuclei 50000] [--radius 8] [--picture] [--reference 2000]
        [--slide] [--out FILE]

The picture is drawn: ellipses of random size, elongation and rotation, about `--radius` px large, three
radii apart. `--picture` measures haematoxylin too. The reference measures so many of the nuclei and is scaled
up to all. Target: 1 million nuclei in 60 s on two cores. `--slide` also finds and measures those of the demo
slide, with each method that ships.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from stored import load, store, versions_of
from tests_shared import drain

from napari_aln.nuclei import measure

PATTERN = 24
"""Nuclei a side of the drawn square that is repeated: the numbers differ, the shapes come again."""


def drawn(nuclei: int, radius_px: float) -> np.ndarray:
    """Return an int32 label image of about that many nuclei."""
    rng = np.random.default_rng(0)
    cell = round(3 * radius_px)
    square = np.zeros((PATTERN * cell, PATTERN * cell), np.int32)
    y, x = np.mgrid[:cell, :cell]
    for number in range(PATTERN**2):
        row, column = divmod(number, PATTERN)
        angle, squeeze = rng.uniform(0, np.pi), rng.uniform(0.6, 1.0)
        cx, cy = cell / 2 + rng.uniform(-1, 1, 2)
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        size = radius_px * rng.uniform(0.8, 1.15)
        inside = (along * np.sqrt(squeeze)) ** 2 + (across / np.sqrt(squeeze)) ** 2 < size**2
        square[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell][inside] = number + 1
    times = max(1, round((nuclei / PATTERN**2) ** 0.5))
    labels = np.tile(square, (times, times))
    for row in range(times):
        for column in range(times):
            here = labels[row * len(square) :, column * len(square) :][: len(square), : len(square)]
            here[here > 0] += (row * times + column) * PATTERN**2
    return labels


def reference_s(labels: np.ndarray, wanted: int) -> tuple[float, int]:
    """Return the seconds regionprops takes for about so many nuclei, and how many those were."""
    from skimage.measure import regionprops_table

    share = min(1.0, (wanted / max(int(labels.max()), 1)) ** 0.5)
    piece = labels[: int(len(labels) * share), : int(labels.shape[1] * share)]
    piece = np.unique(piece, return_inverse=True)[1].reshape(piece.shape)
    names = ("label", "area", "perimeter_crofton", "axis_major_length", "axis_minor_length", "orientation",
             "centroid", "solidity", "eccentricity")  # fmt: skip
    start = time.perf_counter()
    found = regionprops_table(piece, properties=names)
    return time.perf_counter() - start, len(found["label"])


def whole_slide(method: str) -> dict[str, Any]:
    """Find and measure the nuclei of the demo slide."""
    from napari_aln import open_slide
    from napari_aln.settings.nuclei import NucleiSettings
    from napari_aln.workflows.demo import SLIDE, sample_path
    from napari_aln.workflows.nuclei.measure import measure_nuclei

    with open_slide(sample_path(SLIDE)) as slide:
        start = time.perf_counter()
        found = drain(measure_nuclei(slide, NucleiSettings(method=method)))
        seconds = time.perf_counter() - start
    n = len(found.table)
    print(f"demo slide, {method}: {n:,} nuclei in {seconds:.1f} s, {n / seconds:,.0f} a second")
    return {"method": method, "nuclei": n, "seconds": seconds, "nuclei_per_s": n / seconds}


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nuclei", type=int, default=50_000)
    parser.add_argument("--radius", type=float, default=8.0)
    parser.add_argument("--picture", action="store_true")
    parser.add_argument("--reference", type=int, default=2_000, help="0: none")
    parser.add_argument("--slide", action="store_true")
    parser.add_argument("--out", type=Path, help="write the results here, as JSON")
    given = parser.parse_args()
    before, figures = load(), {}
    print(f"load {before:.1f}")
    labels = drawn(given.nuclei, given.radius)
    rgb = None
    if given.picture:
        rgb = np.empty((*labels.shape, 3), np.uint8)
        for channel, (nucleus, rest) in enumerate(((90, 225), (60, 160), (140, 205))):
            rgb[..., channel] = np.where(labels > 0, np.uint8(nucleus), np.uint8(rest))
    cpu, start = time.process_time(), time.perf_counter()
    table = measure(labels, 0.5, rgb)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    area_px = np.median(table["area_um2"]) * 4
    print(
        f"{len(table):,} nuclei of {area_px:.0f} px in {labels.size / 1e6:,.0f} Mpx: "
        f"{seconds:.1f} s, {cpu:.1f} s of processor time, {seconds / len(table) * 1e6:.1f} s a million; "
        f"peak {peak_gb:.1f} GB"
    )
    figures["measured"] = {"nuclei": len(table), "nuclei_per_s": len(table) / seconds, "peak_gb": peak_gb}
    if given.reference:
        taken, n = reference_s(labels, given.reference)
        figures["regionprops"] = {"nuclei": n, "nuclei_per_s": n / taken}
        print(
            f"regionprops of scikit-image, {n:,} nuclei, without rectangle and neighbours: "
            f"{taken / n * 1e6:.0f} s a million, {taken / n * len(table) / seconds:.0f} times as long"
        )
    if given.slide:
        from napari_aln.nuclei.segmentation import METHODS

        figures["slide"] = [whole_slide(method) for method in METHODS]
    if given.out:
        settings = {"radius_px": given.radius, "haematoxylin": given.picture}
        store(given.out, settings, figures, versions_of("napari-aln", "scikit-image", "openvino"), before)


if __name__ == "__main__":
    main()
