"""How long until the window can be used, against bare napari: whole processes, interleaved, medians.

Run under a display: ``xvfb-run -a python tests/benchmarks/bench_startup.py --rounds 5``. Target: at most 1.3.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """
import napari
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer()
QApplication.processEvents()
"""
OURS = """
from napari_aln.widgets.window import open_window
from qtpy.QtWidgets import QApplication
viewer = open_window()
QApplication.processEvents()
"""
AFTER = """
import sys
print(sorted({"torch", "openvino", "pandas", "matplotlib.figure"} & set(sys.modules)))
"""


def seconds_of(code: str, home: Path) -> float:
    """Return how long a fresh process takes to run `code`."""
    environment = os.environ | {
        "NAPARI_CONFIG": str(home / "napari.yaml"),
        "NAPARI_ALN_CONFIG": str(home),
        "NAPARI_ALN_CACHE": str(home / "cache"),
    }
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for code in (BARE, OURS):
            seconds_of(code, home)  # warms the file cache
        pairs = [(seconds_of(BARE, home), seconds_of(OURS, home)) for _ in range(rounds)]
        loaded = subprocess.run(
            [sys.executable, "-c", OURS + AFTER], capture_output=True, text=True, check=True
        )
    bare, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"bare napari {bare:.2f} s, with the dock {ours:.2f} s, ratio {ratio:.2f} (target 1.3)")
    print(f"heavy modules loaded at the start: {loaded.stdout.strip()}")


if __name__ == "__main__":
    main()
