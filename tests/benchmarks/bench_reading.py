"""Tiles per second: decoding tiles directly against OpenSlide's `read_region`.

Run ``python tests/benchmarks/bench_reading.py``. Every round measures each way once, in turn, so that other
load on the machine meets all alike; the table shows medians over the rounds. The file is in the page cache;
each round opens the slide anew (not timed), so that no tile decoded before is of help.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openslide
import tifffile
from PIL import Image

from napari_aln.slides import open_slide

if TYPE_CHECKING:
    from collections.abc import Callable

_REAL = Path(__file__).parents[3] / "shared" / "data" / "slides" / "CMU-1-Small-Region.svs"
_TILE = 256


def write_slide(path: Path, side: int) -> None:
    """Write a tiled JPEG TIFF of smooth texture with fine grain, about as hard to decode as tissue."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(90, 250, (side // 32, side // 32, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)).astype(
        np.int16
    )
    pixels += rng.integers(-12, 13, (side, side, 1), dtype=np.int16)
    tifffile.imwrite(
        path,
        pixels.clip(0, 255).astype(np.uint8),
        tile=(_TILE, _TILE),
        photometric="rgb",
        compression="jpeg",
        compressionargs={"level": 80},
        resolution=(40_000, 40_000),
        resolutionunit="CENTIMETER",
    )


def corners(size_px: tuple[int, int], step_px: tuple[int, int], offset_px: int) -> list[tuple[int, int]]:
    """Return the corners of whole tiles, shifted by `offset_px`, in reading order."""
    columns = (size_px[0] - offset_px - _TILE) // step_px[0] + 1
    rows = (size_px[1] - offset_px - _TILE) // step_px[1] + 1
    return [
        (column * step_px[0] + offset_px, row * step_px[1] + offset_px)
        for row in range(rows)
        for column in range(columns)
    ]


def rate(read: Callable[[tuple[int, int]], object], at: list[tuple[int, int]], threads: int) -> float:
    """Return tiles per second of reading all corners once."""
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        for _ in pool.map(read, at):
            pass
        return len(at) / (time.perf_counter() - start)


def round_of_openslide(
    path: Path, at: list[tuple[int, int]], size_px: tuple[int, int], threads: int
) -> float:
    """Return OpenSlide's rate to RGB: read a region, leave its opaque alpha aside."""
    with openslide.OpenSlide(path) as slide:
        return rate(lambda corner: np.asarray(slide.read_region(corner, 0, size_px))[..., :3], at, threads)


def round_of_ours(path: Path, at: list[tuple[int, int]], size_px: tuple[int, int], threads: int) -> float:
    """Return our rate."""
    with open_slide(path) as slide:
        return rate(lambda corner: slide.read_level(0, corner, size_px), at, threads)


def measure(path: Path, name: str, rounds: int, most: int) -> None:
    """Print one line for each way of reading one slide."""
    with open_slide(path) as slide, openslide.OpenSlide(path) as stated:
        info = slide.info
        tile = tuple(
            int(stated.properties[f"openslide.level[0].tile-{side}"]) for side in ("width", "height")
        )
    print(f"\n{name}: {info.size_px[0]} x {info.size_px[1]} px, {tile[0]} x {tile[1]} tiles, {info.reader}")
    print(f"{'':34}{'openslide':>12}{'ours':>12}{'ratio':>8}   tiles/s, median of {rounds}")
    for label, size, offset in (("aligned", tile, 0), (f"unaligned {_TILE} x {_TILE}", (_TILE, _TILE), 101)):
        at = corners(info.size_px, size, offset)[:most]
        for threads in (1, 2):
            seen: dict[str, list[float]] = {"openslide": [], "ours": []}
            for _ in range(rounds):
                seen["openslide"].append(round_of_openslide(path, at, size, threads))
                seen["ours"].append(round_of_ours(path, at, size, threads))
            slow, fast = (statistics.median(values) for values in seen.values())
            print(f"{label:24}{threads} threads {slow:12.0f}{fast:12.0f}{fast / slow:8.2f}")


def main() -> None:
    """Measure a generated slide, and the real one where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=8192, help="side of the generated slide in px")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tiles", type=int, default=1024, help="most tiles a round")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generated.tif"
        write_slide(path, arguments.side)
        measure(path, "generated", arguments.rounds, arguments.tiles)
    if _REAL.exists():
        measure(_REAL, "CMU-1-Small-Region.svs", arguments.rounds, arguments.tiles)
    else:
        print("\nCMU-1-Small-Region.svs is not here: skipped")


if __name__ == "__main__":
    main()
