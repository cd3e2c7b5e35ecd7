"""The viewer's pyramid against napari-wsi and against OpenSlide without a pyramid of its own.

Run ``xvfb-run -a -s "-screen 0 2560x1440x24" python tests/benchmarks/bench_viewer.py --peer-python PYTHON``
with the Python of an environment where napari-wsi is installed; without it that contender is left out. Every
round runs each contender once, in turn, in a process of its own with default napari settings in a temporary
folder; the table shows percentiles over all rounds. The file is in the page cache.

"command" is the time from a program's own command with the slide (`napari-aln view`, `napari`) to the
picture; "first" is the first slide of a fresh window, with all that is imported for it; "again" the same
slide once more after its layer was removed. Times run until the picture is whole and on the canvas: ours
until no tile is missing in what was drawn, the others until `layer.loaded` and drawn. Ours first has the file
tried in a process of its own, as the window does with a file it does not know. Jumps go to the same random
places at five zooms for all. What was measured while other processes used more than a fifth of the machine
is left out, for all alike ("kept %" says how much was not). "ours, idle" has first done what the review
window does while it stands open and nobody has dropped a slide yet. "peak" counts that other process too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from large_slide import TILE_PX, write_slide
from most_memory import most_memory_mb
from viewer_stage import Heartbeat, Stage

_ZOOMS = (0.9, 0.42, 0.2, 0.1, 0.055)  # screen pixels per level-0 pixel
_FIGURES = (
    ("command p50 ms", "command", 50),
    ("first p50 ms", "first", 50),
    ("again p50 ms", "again", 50),
    ("jump p50 ms", "jump", 50),
    ("jump p95 ms", "jump", 95),
    ("pan p50 ms", "pan", 50),
    ("pan p95 ms", "pan", 95),
    ("block p95 ms", "block", 95),
    ("block max ms", "block", 100),
    ("peak MB", "peak", 50),
    ("growth MB", "growth", 50),
    ("kept %", "kept", None),
)
_COMMANDS = ("ours", "napari-wsi")  # that have one which opens a slide
_CONTENDERS = ("ours", "ours, idle", "napari-wsi", "openslide")


class _BareLevel:
    """One level of the file through OpenSlide, nothing more."""

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, handle, level: int) -> None:
        self._handle, self._level = handle, level
        width, height = handle.level_dimensions[level]
        self.shape = (height, width, 3)
        self.size = height * width * 3

    def __getitem__(self, key):
        key = key if isinstance(key, tuple) else (key,)
        rows, columns = (
            range(n)[k] for k, n in itertools.zip_longest(key[:2], self.shape[:2], fillvalue=slice(None))
        )
        scale = self._handle.level_downsamples[self._level]
        corner = (round(columns.start * scale), round(rows.start * scale))
        return np.asarray(self._handle.read_region(corner, self._level, (len(columns), len(rows))))[..., :3]

    def __array__(self, dtype=None, copy=None):
        return self[:, :]


def _add_ours(stage: Stage, path: Path) -> None:
    from napari_aln.slides.first_open import open_untried, warm_up

    warm_up()  # it starts while the layer's modules are loaded
    from napari_aln.widgets.layers.placement import Frame
    from napari_aln.widgets.layers.slide_layer import SlideLayer

    slide = open_untried(path)
    shown = SlideLayer(stage.viewer, 0)
    shown.show(slide, Frame())
    layer, pyramid = shown.layer, shown.pyramid

    def on_data(_event: object) -> None:
        stage.dirty = True

    layer.events.set_data.connect(on_data)  # tiles that came late are drawn anew
    stage.kept = shown
    stage.whole = lambda: layer.loaded and pyramid.returned_whole
    stage.close = lambda: (shown.close(), slide.close())


def _add_wsi(stage: Stage, path: Path) -> None:
    from napari_wsi.backends.openslide import OpenSlideStore

    stage.kept = OpenSlideStore(path)
    (layer,) = stage.kept.to_viewer(stage.viewer)
    stage.whole = lambda: layer.loaded
    stage.close = stage.kept.close


def _add_openslide(stage: Stage, path: Path) -> None:
    import openslide

    handle = openslide.OpenSlide(path)
    levels = [_BareLevel(handle, level) for level in range(handle.level_count)]
    layer = stage.viewer.add_image(levels, multiscale=True, rgb=True)
    stage.whole = lambda: layer.loaded
    stage.close = handle.close


def _idle(stage: Stage) -> None:
    from napari_aln.widgets.first_picture import use_units
    from napari_aln.widgets.warming import first_picture, load

    beat = Heartbeat()  # else `process` would wait for an event for ever
    use_units(_to_its_end(load(), stage))
    _to_its_end(first_picture(), stage)
    beat.stop()
    stage.settle(3)  # by then the process that tries files is ready


def _to_its_end(work: Generator, stage: Stage) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
        stage.process()


def perform(contender: str, path: Path, side: int, jumps: int) -> dict[str, list[float]]:
    """Show a slide in this process and return what was measured, in ms and MB."""
    import psutil

    if contender.startswith("ours"):
        from napari_aln.heap import made_to_last, prepare_heaps

        prepare_heaps()  # this and the next as `napari-aln view` does
        with made_to_last():
            stage = Stage()
    else:
        stage = Stage()
    before_mb = psutil.Process().memory_info().rss / 1e6
    add = {"napari-wsi": _add_wsi, "openslide": _add_openslide}.get(contender, _add_ours)
    if contender == "ours, idle":
        _idle(stage)
    beat = Heartbeat()
    seen: dict[str, list[float]] = {"first": [], "again": [], "jump": [], "pan": [], "block": []}
    measured = kept = 0

    def measure(figure: str, change) -> None:
        nonlocal measured, kept
        seconds = stage.until_whole(change, beat)
        measured += 1
        kept += stage.undisturbed
        if stage.undisturbed:
            seen[figure].append(seconds * 1e3)
            if figure in {"jump", "pan"}:
                seen["block"].append(beat.longest * 1e3)

    measure("first", lambda: add(stage, path))
    stage.settle(0.5)
    rng = np.random.default_rng(1)
    zooms = np.repeat(_ZOOMS, jumps)
    rng.shuffle(zooms)
    places = rng.uniform(0.1, 0.9, (len(zooms), 2)) * side
    for zoom, place in zip(zooms, places, strict=True):
        measure("jump", lambda z=zoom, p=place: stage.look_at(tuple(p), z))
    for zoom, step in ((0.9, 60), (0.2, 300)):
        stage.until_whole(lambda z=zoom: stage.look_at((side * 0.2, side * 0.2), z), beat)
        for at in range(1, 31):
            place = (side * 0.2 + at * step / 2, side * 0.2 + at * step)
            measure("pan", lambda p=place, z=zoom: stage.look_at(p, z))
    children = psutil.Process().children(recursive=True)
    peak_mb = most_memory_mb() + sum(child.memory_info().rss for child in children) / 1e6
    for _ in range(5):
        stage.close()
        stage.viewer.layers.clear()
        stage.settle(0.2)
        measure("again", lambda: add(stage, path))
    beat.stop()
    stage.close()
    stage.viewer.close()
    return {**seen, "peak": [peak_mb], "growth": [peak_mb - before_mb], "kept": [100 * kept / measured]}


def _in_own_process(python: str, contender: str, path: Path, arguments: argparse.Namespace) -> dict:
    seen: dict[str, list[float]] = {}
    if contender in _COMMANDS:
        command = [python, str(Path(__file__).with_name("command_to_picture.py")), contender, str(path)]
        started = time.time()
        seen["command"] = [1e3 * (float(_last_line(command, contender, arguments)) - started)]
    command = [
        python,
        __file__,
        "--perform",
        contender,
        "--slide",
        str(path),
        "--jumps",
        str(arguments.jumps),
    ]
    return seen | json.loads(_last_line(command, contender, arguments))


def _last_line(command: list[str], contender: str, arguments: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "NAPARI_CONFIG": str(Path(folder) / "settings.yaml"),
            "NAPARI_ALN_CONFIG": folder,
            "NAPARI_ALN_CACHE": folder,
        }
        if arguments.async_slicing:
            environment["NAPARI_ASYNC"] = "1"
        done = subprocess.run(
            [*arguments.by.split(), *command], env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"{contender} failed:\n{done.stderr[-3000:]}")
    return done.stdout.splitlines()[-1]


def _peer_has_wsi(python: str | None) -> bool:
    if python is None:
        print("napari-wsi is left out: no --peer-python was given")
        return False
    found = subprocess.run([python, "-c", "import napari_wsi.backends.openslide"], check=False)
    if found.returncode:
        print(f"napari-wsi is left out: {python} does not have it")
    return not found.returncode


def compare(path: Path, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Run all contenders in turn; print and return the figures."""
    peer = _peer_has_wsi(arguments.peer_python)
    contenders = [name for name in _CONTENDERS if peer or name != "napari-wsi"]
    seen: dict[str, dict[str, list[float]]] = {name: {} for name in contenders}
    for _ in range(arguments.rounds):
        for name in contenders:
            python = arguments.peer_python if name == "napari-wsi" else sys.executable
            for figure, values in _in_own_process(python, name, path, arguments).items():
                seen[name].setdefault(figure, []).extend(values)
    print(f"{'':14}" + "".join(f"{name:>12}" for name in contenders) + "   first column / the others")
    for label, figure, percent in _FIGURES:
        values = [_percentile(seen[name].get(figure, []), percent) for name in contenders]
        ratios = "".join(f"{values[0] / other:10.2f}" for other in values[1:] if other and label != "kept %")
        print(f"{label:14}" + "".join(f"{value:12.0f}" for value in values) + ratios)
    return {
        name: {
            label: _percentile(seen[name][figure], percent)
            for label, figure, percent in _FIGURES
            if figure in seen[name]
        }
        | {"samples": len(seen[name]["jump"])}
        for name in contenders
    }


def _percentile(values: list[float], percent: float | None) -> float:
    """Return a percentile, or the mean where there is none to take."""
    if not values:
        return float("nan")
    return float(np.mean(values) if percent is None else np.percentile(values, percent))


def main() -> None:
    """Measure a generated slide, or a given one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", help="Python of an environment with napari-wsi and this package")
    parser.add_argument("--side", type=int, default=20_000, help="side of the generated slide in px")
    parser.add_argument("--slide", type=Path, help="a square slide instead of the generated one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jumps", type=int, default=12, help="jumps for each of five zooms")
    parser.add_argument("--async-slicing", action="store_true", help="switch on napari's own, for all")
    parser.add_argument("--by", default="", help="a command that runs each, such as 'nice -n -10'")
    parser.add_argument("--out", type=Path, help="write the results here, as JSON")
    parser.add_argument("--perform", choices=_CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.perform:
        import openslide

        with openslide.OpenSlide(arguments.slide) as slide:
            side = min(slide.dimensions)
        print(json.dumps(perform(arguments.perform, arguments.slide, side, arguments.jumps)))
        return
    from stored import load, store, versions_of  # not where pictures are timed: it loads modules

    before = load()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.slide
        if path is None:
            path = Path(folder) / "generated.tif"
            write_slide(path, arguments.side)
            print(f"generated: {arguments.side} px square, levels 1/4/16, JPEG tiles of {TILE_PX} px")
        figures = compare(path, arguments)
    if arguments.out:
        settings = {"side_px": None if arguments.slide else arguments.side, "rounds": arguments.rounds}
        versions = versions_of("napari-aln", "napari", "PySide6", "openslide-python")
        if "napari-wsi" in figures:
            versions["napari-wsi"] = _version_there(arguments.peer_python)
        store(arguments.out, settings | {"jumps": 5 * arguments.jumps}, figures, versions, before)


def _version_there(python: str) -> str:
    program = "import importlib.metadata as m; print(m.version('napari-wsi'))"
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
