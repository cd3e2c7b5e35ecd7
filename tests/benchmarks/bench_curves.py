"""What a slide costs as it grows: reading patches, and going from features to a heatmap.

    python tests/benchmarks/bench_curves.py [--score 100 ... 1000000] [--read 100 ... 10000] [--out FILE]

"score" is all that follows once features are in memory: bags, probabilities, the six values of every patch,
and the default map as a scaled picture. Its memory is what it needs beyond the features themselves (1 KB a
patch). "read" is the engine from the file to features with a network that answers at once: decoding,
resizing, entropy and keeping features, all but the arithmetic. Every size runs in a process of its own.
Printed are medians, and the slope of the time over the number of patches where both are logarithms: 1 is
linear.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from math import isqrt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from stored import load, store, versions_of

SCORE = [100, 1_000, 10_000, 100_000, 1_000_000]
READ = [100, 1_000, 10_000]
READ_STEP_PX = 512  # the slide has 0.25 µm/px, the patches 256 px at 0.5
ROUNDS = 3
LINEAR_FROM = 900  # below, what a run costs once hides the slope


def main() -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--score", type=int, nargs="*", default=SCORE)
    parser.add_argument("--read", type=int, nargs="*", default=READ)
    parser.add_argument("--by", default="", help="a command that runs each size, such as 'nice -n -10'")
    parser.add_argument("--out", type=Path, help="write the results here, as JSON")
    parser.add_argument("--perform", nargs=3, metavar=("PART", "PATCHES", "SLIDE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.perform:
        part, patches, slide = given.perform
        print(json.dumps({"score": score, "read": read}[part](int(patches), Path(slide))))
        return
    before, figures = load(), {}
    with tempfile.TemporaryDirectory() as folder:
        slide = Path(folder) / "large.tif"
        if given.read:
            from large_slide import write_slide

            write_slide(slide, (isqrt(max(given.read)) + 2) * READ_STEP_PX)
        for part, sizes in (("score", given.score), ("read", given.read)):
            by = given.by.split()
            figures[part] = [
                _in_own_process([*by, sys.executable], part, patches, slide) for patches in sizes
            ]
    for part, rows in figures.items():
        for row in rows:
            print(part, "  ".join(f"{name} {value:,.4g}" for name, value in row.items()))
        if sum(row["patches"] >= LINEAR_FROM for row in rows) > 1:
            print(f"{part}: slope of the time {slope(rows, 'seconds'):.2f}")
    if given.out:
        settings = {"rounds": ROUNDS, "hidden": 256}
        store(given.out, settings, figures, versions_of("napari-aln", "numpy"), before)


def slope(rows: list[dict[str, float]], quantity: str) -> float:
    """Return the slope of a quantity over the number of patches, both as logarithms; 1 is linear."""
    large = [row for row in rows if row["patches"] >= LINEAR_FROM]
    x, y = (np.log([row[name] for row in large]) for name in ("patches", quantity))
    return float(np.polyfit(x, y, 1)[0])


def _in_own_process(python: list[str], part: str, patches: int, slide: Path) -> dict[str, Any]:
    done = subprocess.run(
        [*python, __file__, "--perform", part, str(patches), str(slide)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{part} of {patches} patches failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def score(patches: int, _: Path) -> dict[str, float]:
    """Go from features to a picture of the default map."""
    from bench_whatif import MPP, PATIENT, make_bundle, make_features

    from napari_aln.geometry import Mpp
    from napari_aln.patches.raster import raster
    from napari_aln.settings.prediction import PredictSettings
    from napari_aln.workflows.slide.maps import MAP_STYLES, colour_limits, scaled
    from napari_aln.workflows.slide.score import Case, Execution, default_map
    from napari_aln.workflows.slide.score import score as scored

    side = isqrt(patches)
    rng = np.random.default_rng(0)
    px = (side + 20) * 256
    slide = SimpleNamespace(info=SimpleNamespace(size_px=(px, px), mpp=Mpp(MPP, MPP)))
    bundle, features = make_bundle("dlcnbc-ws", rng), make_features(slide, side, rng)
    before_mb = _rss_mb()
    _forget_peak()
    took_s, scoring_s = [], []

    def once() -> None:
        start = time.perf_counter()
        execution = Execution("openvino", "cpu", "fp32")
        run = scored(bundle, features, Case((), PATIENT), execution, PredictSettings())
        scoring_s.append(time.perf_counter() - start)
        name = default_map(bundle.card)
        values = scaled(getattr(run.scores, name), "unscaled")
        colour_limits(MAP_STYLES[name], [values])
        raster(run.scores.table, values)
        took_s.append(time.perf_counter() - start)

    for _ in range(ROUNDS):
        once()  # what it gave is let go before the next: the memory is what one needs
    return {
        "patches": side * side,
        "seconds": statistics.median(took_s),
        "first_s": took_s[0],
        "scoring_s": statistics.median(scoring_s),
        "beyond_mb": _peak_mb() - before_mb,
        "peak_mb": _peak_mb(),
    }


def read(patches: int, path: Path) -> dict[str, float]:
    """Go from the file to features with a network that answers at once."""
    from bench_engine import tissue_table
    from tests_shared import drain

    from napari_aln import open_slide
    from napari_aln.settings.engine import EngineSettings
    from napari_aln.workflows.slide.extract import Want, extract

    settings = EngineSettings()
    with open_slide(path) as slide:
        few = tissue_table(slide, 64)
        drain(extract(slide, [Want(_AtOnce, few, 256)], 224, settings))
        before_mb = _rss_mb()
        _forget_peak()
        start = time.perf_counter()
        table = tissue_table(slide, patches)
        drain(extract(slide, [Want(_AtOnce, table, 256)], 224, settings))
        seconds = time.perf_counter() - start
    return {
        "patches": len(table),
        "seconds": seconds,
        "patches_per_s": len(table) / seconds,
        "beyond_mb": _peak_mb() - before_mb - len(table) * 256 * 4 / 1e6,
        "peak_mb": _peak_mb(),
    }


class _AtOnce:
    """A compiled network that computes nothing."""

    name, version, device, precision = "none", "0", "cpu", "fp32"

    def __call__(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.ones((len(batch), 256), np.float32), np.ones(len(batch), np.float32)


def _rss_mb() -> float:
    import psutil

    return psutil.Process().memory_info().rss / 1e6


def _forget_peak() -> None:
    """Start the search for the most memory anew, where the system can (Linux)."""
    place = Path("/proc/self/clear_refs")
    if place.exists():
        place.write_text("5")


def _peak_mb() -> float:
    """Return the most memory since `_forget_peak`."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
