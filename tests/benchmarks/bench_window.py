"""Whether the window stays alive: heartbeat during a run, cancel, and recolouring a map.

    xvfb-run -a -s "-screen 0 2560x1440x24" python tests/benchmarks/bench_window.py [--encoder vgg13_bn]

A timer beats every 5 ms in the window's own event loop; the longest gap between two beats is how long the
window was blocked. Targets: 100 ms during a run, 1 s to cancel, 50 ms to recolour a map. The opening of the
slide and the arrival of the result are measured apart from the run, for they draw more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parent))

BEAT_MS = 5
WIDTH_PX, HEIGHT_PX = 1280, 800


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="vgg13_bn")
    parser.add_argument("--cancels", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["NAPARI_CONFIG"] = str(home / "napari.yaml")
        os.environ["NAPARI_ALN_CONFIG"] = os.environ["NAPARI_ALN_CACHE"] = str(home)
        measure(home, given.encoder, given.cancels)


def measure(home: Path, encoder: str, cancels: int) -> None:
    """Open the demo slide with a large random model, run it, cancel it, recolour its map."""
    from bench_engine import make_bundle

    from napari_aln.widgets.window import dock_of, open_window
    from napari_aln.workflows.demo import SLIDE, demo_clinical, sample_path

    bundle = make_bundle(home, encoder)
    viewer = open_window()
    viewer.window._qt_window.resize(WIDTH_PX, HEIGHT_PX)
    dock = dock_of(viewer)
    review = dock.review
    heart = Heart()
    wait(lambda: False, 2)  # until the window has settled

    heart.reset()
    review.open_files([sample_path(SLIDE), bundle.path])
    wait(lambda: review.state.seen is not None and review.state.bundles)
    wait(lambda: False, 1)
    print(f"opening the slide: longest block {heart.longest_ms:.0f} ms")

    review.state.set_clinical(demo_clinical())
    steps = []
    review.running.progressed.connect(steps.append)
    cancelled_s, ended_s = [], []
    for _ in range(cancels):
        steps.clear()
        dock.run.buttons["whole-slide"].click()
        wait(lambda: len(steps) > 6)
        started = time.perf_counter()
        dock.run.cancel_button.click()
        cancelled_s.append(time.perf_counter() - started)
        wait(lambda: not running_threads())
        ended_s.append(time.perf_counter() - started)
    print(f"cancel: window says so after {max(cancelled_s) * 1000:.0f} ms at most; the work has ended after")
    print(f"  {statistics.median(ended_s):.2f} s (median), {max(ended_s):.2f} s (longest of {cancels})")

    heart.reset()
    dock.run.buttons["whole-slide"].click()
    wait(lambda: any(step.step == "extract" and 0 < step.total * 0.95 <= step.done for step in steps))
    gaps = heart.gaps_ms
    p50_ms, p99_ms = np.quantile(gaps, (0.5, 0.99))
    print(f"run with {encoder}: {len(gaps)} beats, gap p50 {p50_ms:.0f} ms, p99 {p99_ms:.0f} ms,")
    print(f"  longest {max(gaps):.0f} ms (target 100)")
    heart.reset()
    wait(lambda: review.state.answers)
    wait(lambda: False, 1)
    print(f"end of the run and its result: longest block {heart.longest_ms:.0f} ms")
    print(f"memory {psutil.Process().memory_info().rss / 1e9:.2f} GB")

    recolour(dock)
    viewer.close()


def recolour(dock: object) -> None:
    """Show and recolour a map of 100 000 patches."""
    from napari_aln.records import PatchGrid, PatchTable

    scene = dock.review.scene
    side = 320
    grid = PatchGrid(256, 0.5, (6.0, 6.0), side, side)
    cell = np.arange(100_000)
    table = PatchTable(grid, (cell % side).astype(np.int32), (cell // side).astype(np.int32))
    values = np.random.default_rng(0).random(len(cell))
    scene.map.show(table, values, (0.0, 1.0), "viridis", scene.frame)
    took_ms = []
    for number in range(20):
        started = time.perf_counter()
        colours = ("viridis", "magma")[number % 2]
        scene.map.show(table, values, (0.0, 1.0 + number), colours, scene.frame)
        wait(lambda: False, 0)
        took_ms.append((time.perf_counter() - started) * 1000)
    median_ms = statistics.median(took_ms)
    print(f"recolouring 100 000 patches, drawn: median {median_ms:.0f} ms, longest {max(took_ms):.0f} ms")


def running_threads() -> list[threading.Thread]:
    """Return the threads of runs that are still at work."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("aln-run")]


def wait(condition: object, seconds: float = 300) -> None:
    """Serve the window until something holds, or for so long."""
    from qtpy.QtCore import QEventLoop
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    QApplication.processEvents()
    while not condition() and time.monotonic() < end:
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, BEAT_MS)


class Heart:
    """Beats in the window's event loop."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(self._beat)
        self.reset()
        self.timer.start(BEAT_MS)

    def reset(self) -> None:
        """Forget the gaps so far."""
        self.gaps_ms: list[float] = []
        self._last = time.perf_counter()

    @property
    def longest_ms(self) -> float:
        """Longest gap since the last reset."""
        return max(self.gaps_ms)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.gaps_ms.append((now - self._last) * 1000)
        self._last = now


if __name__ == "__main__":
    main()
