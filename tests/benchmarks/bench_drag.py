"""How smooth the window is while the ROI is changed: a vertex dragged by the mouse, with both runs answered.

    xvfb-run -a -s "-screen 0 2560x1440x24" python tests/benchmarks/bench_drag.py
        [--patches 10000 100000] [--vertices 100 10000] [--moves 25] [--profile FILE]

The slide is a generated one, the answers rest on random features of all its patches, so that every move is
answered from memory: cards, map, comparison, patch outlines and patch count follow it. A move is timed from
the mouse event until the canvas has shown a frame drawn after it; "settled" is when the window has nothing
left to do. "Answered" is from the last of the moves until the answer for it is on the screen: where answers
take long they are asked less often than the mouse moves, and the outline goes ahead of them. Of how many
moves the answer was in the frame that was timed is said too. The longest block is the longest gap of a 5 ms
beat in the window's event loop. Target: 100 ms from the mouse to the picture at 10 000 patches. The frame
alone is timed too: without a graphics card it is drawn by the processor.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

PATCH_PX, MPP = 32, 0.25  # small patches: many on a slide that is quickly written
SEEN_PX = 16  # level-0 px that one overview pixel spans
WIDTH_PX, HEIGHT_PX = 1280, 800


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patches", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--vertices", type=int, nargs="+", default=[100, 10_000])
    parser.add_argument("--moves", type=int, default=25)
    parser.add_argument("--profile", type=Path, help="write where the time of the drags went, for pstats")
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load", ", ".join(f"{load:.1f}" for load in os.getloadavg()))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["NAPARI_CONFIG"] = str(home / "napari.yaml")
        os.environ["NAPARI_ALN_CONFIG"] = os.environ["NAPARI_ALN_CACHE"] = str(home)
        for n_patches in given.patches:
            bench = Bench(home, int(n_patches**0.5))
            for n_vertices in given.vertices:
                bench.measure(n_vertices, given.moves, given.profile)
            bench.close()


class Bench:
    """A window with a slide of `side` x `side` patches, both modes answered."""

    def __init__(self, home: Path, side: int) -> None:
        from bench_whatif import MARGIN, PATIENT, make_bundle, make_features
        from bench_window import Heart
        from large_slide import write_slide

        from napari_aln.patches.tissue import TissueMask
        from napari_aln.slides import open_slide
        from napari_aln.widgets.window import dock_of, open_window
        from napari_aln.workflows.slide.prepare import Overview

        self.side, self.patient = side, PATIENT
        path = home / f"{side}.tif"
        write_slide(path, (side + 2 * MARGIN) * PATCH_PX)
        self.slide = open_slide(path)
        seen_px = self.slide.info.size_px[0] // SEEN_PX
        tissue = np.zeros((seen_px, seen_px), bool)
        edge = MARGIN * PATCH_PX // SEEN_PX
        tissue[edge:-edge, edge:-edge] = True
        mask = TissueMask(tissue, np.zeros_like(tissue), 8.0, (240, 240, 240))
        rgb = np.full((seen_px, seen_px, 3), 200, np.uint8)
        self.seen = Overview(rgb, (float(SEEN_PX), float(SEEN_PX)), mask)
        rng = np.random.default_rng(0)
        self.bundles = [make_bundle(mode, rng, PATCH_PX, MPP) for mode in ("dlcnbc", "dlcnbc-ws")]
        self.features = make_features(self.slide, side, rng, PATCH_PX, MPP)
        self.viewer = open_window()
        self.window = self.viewer.window._qt_window
        self.window.resize(WIDTH_PX, HEIGHT_PX)
        self.dock = dock_of(self.viewer)
        self.review = self.dock.review
        self.canvas = self.viewer.window._qt_viewer.canvas.native
        self.frames = 0
        self.canvas.frameSwapped.connect(self._on_frame)
        self.heart = Heart()

    def measure(self, n_vertices: int, n_moves: int, profile: Path | None) -> None:
        """Drag a vertex, without the split view and with it; pan, zoom and recolour."""
        from bench_whatif import ring

        regions = (ring(self.side, n_vertices, np.random.default_rng(1), PATCH_PX),)
        self.answer(regions)
        self.settle(1)
        print(f"\n{self.side**2} patches, ROI of {n_vertices} vertices")
        show("  a frame alone", [self.timed(self.canvas.update) for _ in range(10)])
        self.drag("  vertex dragged", n_moves, profile)
        self.dock.show_split(True)
        self.settle(1)
        self.drag("  vertex dragged, split view", n_moves, None)
        self.dock.show_split(False)
        self.settle(0.5)
        camera = self.viewer.scene.camera
        self.look("  panned", lambda k: setattr(camera, "center", tuple(np.add(camera.center, 20.0)[-2:])))
        self.look("  zoomed", lambda k: setattr(camera, "zoom", camera.zoom * (1.1 if k % 2 else 1 / 1.2)))
        self.look("  recoloured", lambda k: self.review.state.colour_by(("viridis", "magma")[k % 2]))

    def answer(self, regions: tuple[Any, ...]) -> None:
        """Put the slide under review, and give it both runs' results."""
        from napari_aln.records import SlideResult
        from napari_aln.settings.prediction import PredictSettings
        from napari_aln.workflows.predict import Request
        from napari_aln.workflows.review.whatif import Extracted, WhatIf
        from napari_aln.workflows.slide.score import Execution

        state = self.review.state
        self.review.scene.show_slide(self.slide)
        state.set_slide(self.slide)
        state.set_seen(self.seen)
        state.bundles.clear()
        state.add_bundles(self.bundles)
        state.set_clinical(self.patient)
        self.review.roi.set_regions(regions)
        for bundle in reversed(self.bundles):
            settings = PredictSettings()
            what_if = WhatIf(bundle, self.slide, self.seen, settings, Execution("openvino", "cpu", "fp32"))
            what_if.add(Extracted(self.features.table, self.features))
            run = what_if.score(regions, self.patient).run
            name = run.record.run
            request = Request([bundle], regions=regions, clinical=self.patient, settings=settings)
            result = SlideResult(
                self.slide.info,
                "bench",
                (run.record,),
                {name: run.scores},
                {name: run.bags},
                regions,
                features={name: self.features},
            )
            state.add_result(request, self.seen, result)

    def drag(self, title: str, n_moves: int, profile: Path | None) -> None:
        """Take the point of the outline that is next to its right end, and drag it to and fro."""
        import cProfile

        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        roi = self.review.roi
        roi.take("vertices")
        self.settle(0.5)
        corners = np.asarray(self.review.state.regions[0].geometry.exterior.coords)
        start = self.place_of(corners[0])
        QTest.mouseMove(self.canvas, start)
        self.settle(0.2)
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=start)
        self.settle(0.2)
        before = self.review.state.regions
        self.heart.reset()
        took_ms, n_answered = [], 0
        profiler = cProfile.Profile()
        for k in range(n_moves):
            place = start - QPoint(5 + 3 * (k % 20), k % 7)
            if profile:
                profiler.enable()
            took_ms.append(self.timed(lambda place=place: QTest.mouseMove(self.canvas, place)))
            n_answered += self.is_answered()
            if profile:
                profiler.disable()
        started = time.perf_counter()
        while not self.is_answered() and time.perf_counter() < started + 10:
            self.settle(0.005)
        answered_ms = (time.perf_counter() - started) * 1000
        assert self.review.state.regions != before, "nothing was dragged"
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=place)
        live = self.review.state.live
        assert all(live.get(run) for run in ("dlcnbc",)), "nothing was asked again"
        roi.take("none")
        if profile:
            profiler.dump_stats(profile)
        show(title, took_ms)
        print(f"    longest block {self.heart.longest_ms:.0f} ms")
        print(f"    answered in that frame: {n_answered} of {n_moves}; the last {answered_ms:.0f} ms later")
        self.settle(0.3)

    def is_answered(self) -> bool:
        """Tell whether the ROI's run has answered for the outline as it is now."""
        live, now = self.review.state.live["dlcnbc"], self.review.state.roi
        return live is not None and all(
            a.geometry.equals(b.geometry) for a, b in zip(live.regions, now, strict=True)
        )

    def look(self, title: str, change: Callable[[int], object]) -> None:
        """Time changes of the view."""
        show(title, [self.timed(lambda k=k: change(k)) for k in range(16)])

    def timed(self, act: Callable[[], object]) -> tuple[float, float]:
        """Return milliseconds until the next frame is shown, and until nothing is left to do."""
        from qtpy.QtWidgets import QApplication

        self.settle(0.02)
        frames, started = self.frames, time.perf_counter()
        act()
        while self.frames == frames and time.perf_counter() < started + 10:
            QApplication.processEvents()
        shown = time.perf_counter()
        for _ in range(3):
            QApplication.processEvents()
        return (shown - started) * 1000, (time.perf_counter() - started) * 1000

    def place_of(self, l0_xy: Any) -> Any:
        """Return where a level-0 pixel is drawn."""
        from qtpy.QtCore import QPoint

        camera = self.viewer.scene.camera
        middle = np.array([self.canvas.height(), self.canvas.width()]) / 2
        world_yx = self.review.scene.frame.world_yx(l0_xy)
        y, x = (world_yx - np.array(camera.center[-2:])) * camera.zoom + middle
        return QPoint(round(x), round(y))

    def settle(self, seconds: float) -> None:
        """Serve the window."""
        from bench_window import wait

        wait(lambda: False, seconds)

    def close(self) -> None:
        """Close the window."""
        self.heart.timer.stop()
        self.viewer.close()
        self.settle(0.5)

    def _on_frame(self) -> None:
        self.frames += 1


def show(name: str, took_ms: list[tuple[float, float]]) -> None:
    """Print median, 95th percentile and longest."""
    drawn, settled = zip(*took_ms, strict=True)
    p50_ms, p95_ms, last_ms = statistics.median(drawn), np.percentile(drawn, 95), statistics.median(settled)
    print(
        f"{name}: to the picture median {p50_ms:.0f} ms, p95 {p95_ms:.0f} ms, longest {max(drawn):.0f} ms; "
        f"settled median {last_ms:.0f} ms"
    )


if __name__ == "__main__":
    main()
