"""A million nuclei in the window: opened from their file, panned, zoomed, filtered, coloured, sorted.

Run ``xvfb-run -a -s "-screen 0 2560x1440x24" python tests/benchmarks/bench_nuclei_layer.py``. Nuclei lie at
random on a generated slide of 20 mm side, 2500 a mm², and are written tile by tile with their outlines, as
they are measured; with ``--ellipses`` the file holds none, and ellipses are drawn. "open" counts from the
drop of the file until the nuclei are on the canvas and in the table. A frame is one step of the camera until
it is drawn, with what is built anew on the way; "bare" are the same steps while nuclei are hidden; "jump"
counts from a leap across the slide until outlines are drawn there. Without a graphics card a frame is mostly
the software's drawing of the window: the difference is what nuclei cost. "cpu" is the processor time of a
frame over all threads, which other processes disturb less.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from large_slide import write_slide
from most_memory import most_memory_mb

SIDE_PX, MPP_UM = 20_000, 1.0
TILE_PX = 512
OUTLINE_POINTS = 24
STEPS = 40
POWERS = (5.0, 10.0, 20.0, 40.0)


def table_of(n: int, side_px: int) -> Any:
    """Return nuclei at random places, shaped as nuclei are."""
    import pandas as pd

    from napari_aln.nuclei import FEATURES

    rng = np.random.default_rng(0)
    major = rng.normal(9, 1.5, n).clip(4)
    minor = major * rng.uniform(0.6, 0.95, n)
    x, y = rng.uniform(0, side_px, (2, n))
    by_tile = np.lexsort((x // TILE_PX, y // TILE_PX))
    x, y = x[by_tile], y[by_tile]
    known = {
        "label": np.arange(1, n + 1),
        "area_um2": np.pi / 4 * major * minor,
        "circumference_um": np.pi * (major + minor) / 2,
        "major_axis_um": major,
        "minor_axis_um": minor,
        "orientation_rad": rng.uniform(-np.pi / 2, np.pi / 2, n),
        "centroid_x_px": x,
        "centroid_y_px": y,
        "on_border": np.zeros(n, bool),
        "x": x,
        "y": y,
    }
    others = {name: rng.random(n) for name in FEATURES if name not in known}
    return pd.DataFrame(known | others)


def outlines_of_table(table: Any) -> Any:
    """Return each nucleus's ellipse as an outline of as many points as an outline has at 0.25 µm/px."""
    import shapely

    from napari_aln.nuclei import Outlines

    turn = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
    along = table.major_axis_um.to_numpy()[:, None] / 2 * np.cos(turn)
    across = table.minor_axis_um.to_numpy()[:, None] / 2 * np.sin(turn)
    angle = table.orientation_rad.to_numpy()[:, None]
    x = table.x.to_numpy()[:, None] + along * np.cos(angle) - across * np.sin(angle)
    y = table.y.to_numpy()[:, None] + along * np.sin(angle) + across * np.cos(angle)
    on_pixels = np.round(4 * np.stack([x, y], axis=2)) / 4  # of 0.25 µm
    return Outlines(table.label.to_numpy(), shapely.polygons(on_pixels))


class Stage:
    """The review's window with the slide, and a clock for what is drawn."""

    def __init__(self, slide: Path, size: tuple[int, int]) -> None:
        import napari
        from vispy import gloo

        from napari_aln.geometry import Mpp
        from napari_aln.widgets.window import dock_of

        self.viewer = napari.Viewer(show=True)
        self.viewer.window._qt_window.resize(*size)
        self.dock = dock_of(self.viewer)
        self.dock.take_room()
        self.review = self.dock.review
        canvas = self.viewer.window._qt_viewer.canvas._scene_canvas
        self._update, self._finish = canvas.update, gloo.gl.glFinish
        canvas.events.draw.connect(self._on_draw, position="last")
        self.draws = 0
        self.cpu_ms: list[float] = []  # of all steps of the last pan or zoom
        self.review.open_slide(slide, Mpp(MPP_UM, MPP_UM))
        self.until(lambda: self.review.state.slide is not None and not self.review.surveying.is_running)
        self.dock.side_docks.show("nuclei")
        self.nuclei: Any = self.dock.side_docks.held("nuclei")
        self.settle()

    def _on_draw(self, _event: object) -> None:
        self._finish()
        self.draws += 1

    def until(self, condition: Callable[[], bool]) -> None:
        from qtpy.QtWidgets import QApplication

        end = time.perf_counter() + 300
        while not condition():
            QApplication.processEvents()
            if time.perf_counter() > end:
                raise TimeoutError

    def settle(self, seconds: float = 0.6) -> None:
        end = time.perf_counter() + seconds
        self.until(lambda: time.perf_counter() > end)

    def timed(self, change: Callable[[], object]) -> float:
        """Return the milliseconds from a change until it is drawn."""
        drawn, start, spent = self.draws, time.perf_counter(), time.process_time()
        change()
        self._update()
        self.until(lambda: self.draws > drawn)
        self.cpu_ms.append((time.process_time() - spent) * 1e3)
        return (time.perf_counter() - start) * 1e3

    def pan(self, power: float | None) -> list[float]:
        """Return the milliseconds of each step of a pan over more than a view."""
        scene, camera = self.review.scene, self.viewer.scene.camera
        if power is None:
            scene.fit()
        else:
            scene.set_camera((SIDE_PX * 0.45, SIDE_PX * 0.45), power / 10)
        self.settle()
        step = 20 / camera.zoom  # 20 px of the screen down, 30 to the right

        def move() -> None:
            y, x = camera.center[-2:]
            camera.center = (y + step, x + 1.5 * step)

        self.cpu_ms = []
        return [self.timed(move) for _ in range(STEPS)]

    def jump(self, number: int) -> float:
        """Return the milliseconds from a leap to another place at 20x until outlines are drawn there."""
        view = self.nuclei.view
        place = np.random.default_rng(number).uniform(0.1 * SIDE_PX, 0.9 * SIDE_PX, 2)
        self.settle(0.3)
        start = time.perf_counter()
        self.review.scene.set_camera(tuple(place), 2.0)

        def is_there() -> bool:
            return view.near and view._drawn is not None and view._covers(view._view_l0(), view._um_zoom())

        self.until(is_there)
        self.timed(lambda: None)
        return (time.perf_counter() - start) * 1e3

    def zoom(self) -> list[float]:
        """Return the milliseconds of each step from the whole slide to 40x."""
        self.review.scene.fit()
        self.settle()
        camera = self.viewer.scene.camera
        by = (4.0 / camera.zoom) ** (1 / STEPS)

        def closer() -> None:
            camera.zoom = camera.zoom * by

        self.cpu_ms = []
        return [self.timed(closer) for _ in range(STEPS)]


def frames(
    name: str, with_nuclei: list[float], bare: list[float], cpu_ms: tuple[float, float], drawn: str
) -> None:
    """Print a pan's or zoom's figures; `cpu_ms`: processor time of a frame, with nuclei and bare."""
    p50, p95 = np.percentile(with_nuclei, [50, 95])
    print(
        f"{name:10} {1e3 / np.mean(with_nuclei):6.1f} fps  p50 {p50:5.1f}  p95 {p95:6.1f} ms   "
        f"bare {1e3 / np.mean(bare):6.1f} fps  p50 {np.median(bare):5.1f} ms   "
        f"cpu {cpu_ms[0]:.0f} and {cpu_ms[1]:.0f} ms   {drawn}"
    )


def perform(folder: Path, n: int, size: tuple[int, int], *, ellipses: bool) -> None:
    """Measure and print."""
    from napari_aln.nuclei import write_nuclei

    slide = folder / "generated.tif"
    write_slide(slide, SIDE_PX)
    stage = Stage(slide, size)
    info = stage.review.state.slide.info
    path = folder / "nuclei.parquet"
    table = table_of(n, SIDE_PX)
    more = {} if ellipses else {"outlines": outlines_of_table(table)}
    write_nuclei(table, path, mpp=info.mpp, slide_hash=info.quick_hash, **more)
    del table, more
    dock, panel, view = stage.nuclei, stage.nuclei.panel, stage.nuclei.view
    stage.review.scene.fit()
    stage.settle()
    start = time.perf_counter()
    stage.review.open_files([path])
    stage.until(lambda: dock.shown is not None)
    stage.timed(lambda: None)
    opened_ms = (time.perf_counter() - start) * 1e3
    print(
        f"{n:,} nuclei, canvas {stage.viewer.canvas.size[::-1]} px, {info.mpp.mean:.3g} µm/px, load {_load()}"
    )
    print(f"open       {opened_ms:6.0f} ms, of {path.stat().st_size / 1e6:.0f} MB")
    for feature in ("density", "area_um2"):
        panel.colours.feature_combo.setCurrentIndex(panel.colours.feature_combo.findData(feature))
        print(f"coloured by {feature}")
        for power in (None, *POWERS):
            moved = stage.pan(power)
            n_drawn = len(view._rows_in(view._drawn[0])) if view.near else 0
            drawn = f"{n_drawn} outlines" if view.near else f"raster of {view.cell_um:g} µm"
            cpu_ms = float(np.mean(stage.cpu_ms))
            view.set_visible(False)
            bare = stage.pan(power)
            view.set_visible(True)
            both = cpu_ms, float(np.mean(stage.cpu_ms))
            frames("pan, fit" if power is None else f"pan, {power:g}x", moved, bare, both, drawn)
        moved = stage.zoom()
        cpu_ms = float(np.mean(stage.cpu_ms))
        view.set_visible(False)
        bare = stage.zoom()
        view.set_visible(True)
        frames("zoom", moved, bare, (cpu_ms, float(np.mean(stage.cpu_ms))), "")
    spent = [stage.jump(k) for k in range(20)]
    print(f"jump, 20x  p50 {np.median(spent):6.0f} ms  max {max(spent):6.0f} ms")
    for name, power in (("whole slide", None), ("20x", 20.0)):
        stage.pan(power)
        chosen = [{"area_um2": (least, None)} for least in range(20, 60, 5)]
        spent = [stage.timed(lambda r=ranges: dock._on_filter(r)) for ranges in chosen]
        stage.timed(lambda: dock._on_filter({}))
        print(f"filter, {name:12} p50 {np.median(spent):6.0f} ms  max {max(spent):6.0f} ms")
    spent = [stage.timed(lambda c=c: panel.table.sortByColumn(c, _ascending())) for c in range(1, 6)]
    print(f"sort                 p50 {np.median(spent):6.0f} ms")
    rows = np.random.default_rng(1).integers(0, n, 20)
    spent = [stage.timed(lambda r=int(row): panel.table.choose(r)) for row in rows]
    print(f"choose in the table  p50 {np.median(spent):6.0f} ms")
    middle = view.nuclei.l0_xy[rows]
    start = time.perf_counter()
    for place in middle:
        view.nuclei.row_at(place)
    print(f"nucleus at a point   {(time.perf_counter() - start) / len(rows) * 1e3:6.2f} ms")
    print(f"peak memory {most_memory_mb():.0f} MB, load {_load()}")
    stage.viewer.close()


def _ascending() -> Any:
    from qtpy.QtCore import Qt

    return Qt.SortOrder.AscendingOrder


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def main() -> None:
    """Measure with settings of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nuclei", type=int, default=1_000_000)
    parser.add_argument("--ellipses", action="store_true", help="a file without outlines")
    parser.add_argument("--size", default="1600x1000", help="of the window, in px")
    arguments = parser.parse_args()
    width, height = (int(part) for part in arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("NAPARI_CONFIG", "NAPARI_ALN_CONFIG", "NAPARI_ALN_CACHE"):
            os.environ[name] = str(Path(folder) / (name.lower() + ".yaml" * (name == "NAPARI_CONFIG")))
        perform(Path(folder), arguments.nuclei, (width, height), ellipses=arguments.ellipses)


if __name__ == "__main__":
    main()
