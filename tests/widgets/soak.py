"""The window for hours: a drawn walk through hundreds of actions, and what the process holds on the way.

    xvfb-run -a -s "-screen 0 2560x1440x24" python tests/widgets/soak.py --actions 500 [--seed 1] [--out FILE]

A process of its own, so that nothing of other tests is counted, and a crash is told with what led to it.
`--empty N` opens and closes N of napari's own windows instead, with nothing of ours in them: what those
leave behind is napari's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from pathlib import Path

import numpy as np

from napari_aln.heap import prepare_heaps

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

EVERY = 50
"""Actions between two censuses."""

WARM_UP = 100
"""Actions before the census with which the last is compared; in a short walk half of them."""

MOST_GROWTH = 0.05
"""Of the memory, from the warm-up to the end."""

LEAST_LATE = 2
"""Censuses at the end from which it is told that there is ever more of something."""

NAPARIS = (
    "napari._qt.qt_main_window.Window",
    "napari.utils.color.ColorArray",
    "napari.utils.color.ColorValue",
    "napari.utils.colormaps.colormap.Colormap",
    "napari.utils.events.event.EmitterGroup",
    "napari.utils.events.event.EventEmitter",
    "napari.utils.events.event._WeakCounter",
    "napari.utils.task_status.TaskStatusManager",
)
"""napari 0.9.2 keeps windows that were closed, empty ones too (`--empty`), since its themes hold them, and a
colour map of each name that was ever shown."""


def main() -> None:
    """Walk, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--actions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--empty", type=int, default=0, metavar="N", help="only open N windows of napari")
    parser.add_argument("--out", type=Path, help="where the findings are written as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["NAPARI_CONFIG"] = str(home / "napari" / "settings.yaml")
        os.environ["NAPARI_ALN_CONFIG"] = str(home / "config")
        os.environ["NAPARI_ALN_CACHE"] = str(home / "cache")
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # networks are small, and waiting threads spin
        prepare_heaps()  # before there are threads, as `napari-aln view` does
        found = empty(given.empty) if given.empty else soak(home, given.actions, given.seed)
    text = json.dumps(found, indent=1)
    if given.out:
        given.out.write_text(text)
    print(summary(found), flush=True)


class Complaints:
    """Exceptions that nobody caught: in slots, in threads, in destructors; and what napari notifies of."""

    def __init__(self) -> None:
        self.told: list[str] = []
        sys.excepthook = self._on_exception
        threading.excepthook = lambda args: self._on_exception(*args[:3])
        sys.unraisablehook = lambda args: self._on_exception(*args[:3])
        from napari.utils.notifications import notification_manager

        self._records = notification_manager.records

    def _on_exception(self, kind, error, where) -> None:
        self.told.append("".join(traceback.format_exception(kind, error, where)))
        print(self.told[-1], file=sys.stderr, flush=True)

    def take(self) -> list[str]:
        """Return what was told since the last time."""
        told = [*self.told, *(note.message for note in self._records)]
        self.told.clear()
        self._records.clear()
        return told


def soak(home: Path, actions: int, seed: int) -> dict:
    """Walk; return the censuses, what each kind of action was followed by, and what went wrong."""
    import soak_census as census
    from pytestqt.qt_compat import qt_api

    qt_api.set_qt_api("pyside6")
    from pytestqt.qtbot import QtBot
    from soak_walk import Walk
    from tests_shared import draw_tissue, write_slide

    from napari_aln.widgets.window import dock_of, open_window
    from napari_aln.workflows.demo import BUNDLES, SLIDE, sample_path

    files = home / "files"
    files.mkdir()
    slides = [
        sample_path(SLIDE),
        write_slide(files / "other.tif", draw_tissue(np.random.default_rng(4))),
        write_slide(files / "unscaled.tif", draw_tissue(np.random.default_rng(5)), mpp=None),
    ]
    damaged = files / "damaged.tif"
    damaged.write_bytes(slides[1].read_bytes()[:20_000])

    def opened():
        viewer = open_window()
        viewer.window._qt_window.resize(1280, 800)
        return dock_of(viewer)

    complaints = Complaints()
    walk = Walk(
        opened,
        QtBot(None),
        bundles=[sample_path(name) for name in BUNDLES],
        slides=slides,
        damaged=damaged,
        folder=files,
        seed=seed,
    )
    grew = defaultdict(lambda: defaultdict(float))
    warm = min(WARM_UP, actions // 2)
    found = {"seed": seed, "actions": 0, "warm_up": warm, "wrong": [], "censuses": [], "grew": grew}
    every = min(EVERY, warm)
    due, started = every, time.monotonic()
    while found["actions"] < actions or walk.busy:
        before = census.glance()
        try:
            name = walk.step()
        except BaseException:  # noqa: BLE001 - whatever stops the walk is what is looked for, a timeout too
            found["wrong"].append(f"stopped: {traceback.format_exc()} {walk.what_works()}")
            print(found["wrong"][-1], flush=True)
            break
        found["actions"] += 1
        for what, value in census.glance().items():
            grew[name][what] += value - before[what]
        if not walk.busy and (found["actions"] >= due or found["actions"] == actions):
            walk.compose()
            found["censuses"].append({"actions": found["actions"], **census.take().as_dict()})
            print(summary(found), flush=True)
            due += every
        for complaint in (*complaints.take(), *walk.new_errors()):
            found["wrong"].append(f"{found['actions']} {name}: {complaint}")
            print(found["wrong"][-1], flush=True)
    return found | {
        "done": dict(walk.done),
        "cut_in_time": walk.cut_in_time,
        "minutes": (time.monotonic() - started) / 60,
    }


def empty(windows: int) -> dict:
    """Open and close windows of napari alone; return a census after each."""
    import soak_census as census
    from napari import Viewer
    from qtpy.QtWidgets import QApplication

    complaints = Complaints()
    found = {"actions": 0, "warm_up": 1, "wrong": [], "censuses": [], "grew": {}}
    for number in range(1, windows + 1):
        viewer = Viewer(show_welcome_screen=False)
        viewer.add_image(np.zeros((512, 512, 3), np.uint8), rgb=True)
        QApplication.processEvents()
        viewer.close()
        del viewer
        found["actions"] = number
        found["censuses"].append({"actions": number, **census.take().as_dict()})
    found["wrong"] = complaints.take()
    return found


def verdict(found: dict) -> list[str]:
    """Return what speaks against a walk: complaints, and what there is more of than after the warm-up.

    Objects come and go with what was done last, so only classes of which there is more and more are told. So
    does memory, by some percent: it is judged by the line through all censuses, and where the walk is long,
    since what is loaded once is loaded early.
    """
    from soak_census import growth

    told = list(found["wrong"])
    warm = after_warm_up(found)
    if len(warm) < 2:
        return [*told, "the walk was too short to be judged"]
    before, after = warm[0], warm[-1]
    more = {what: growth(before[what], after[what]) for what in ("threads", "files", "widgets", "top_levels")}
    more["objects"] = _ever_more([one["objects"] for one in warm])
    told += [f"more {what}: {which}" for what, which in more.items() if which]
    if len(after["children"]) > len(before["children"]):
        told.append(f"more children: {after['children']}")
    first, last = memory(found)
    by = last / first - 1
    if by >= MOST_GROWTH and after["actions"] >= 2 * WARM_UP:
        told.append(f"memory grew by {by:.1%}: {first:.0f} to {last:.0f} MiB")
    return told


def after_warm_up(found: dict) -> list[dict]:
    """Return the censuses that count."""
    return [one for one in found["censuses"] if one["actions"] >= found["warm_up"]]


def memory(found: dict) -> tuple[float, float]:
    """Return the MiB after the warm-up and at the end, on the line through all censuses between."""
    warm = after_warm_up(found)
    at = [one["actions"] for one in warm]
    line = np.polynomial.Polynomial.fit(at, [one["rss_mib"] for one in warm], 1)
    return float(line(at[0])), float(line(at[-1]))


def _ever_more(counts: list[dict[str, int]]) -> dict[str, int]:
    """Return the classes of which the last counts all exceed all those before, and by how much."""
    late = len(counts) // 3
    if late < LEAST_LATE:
        return {}
    names = set().union(*counts) - set(NAPARIS)
    most = {name: max(count.get(name, 0) for count in counts[:-late]) for name in names}
    least = {name: min(count.get(name, 0) for count in counts[-late:]) for name in names}
    return {name: least[name] - most[name] for name in sorted(names) if least[name] > most[name]}


def summary(found: dict) -> str:
    """Return the figures as lines."""
    lines = [f"{found['actions']} actions, {found.get('cut_in_time', 0)} runs ended while under way"]
    lines += [
        f"{one['actions']:4d}: {one['rss_mib']:.0f} MiB, {sum(one['threads'].values())} threads of Python, "
        f"{one['os_threads']} in all, {sum(one['files'].values())} files, "
        f"{sum(one['widgets'].values())} widgets, {len(one['children'])} children"
        for one in found["censuses"]
    ]
    if len(after_warm_up(found)) > 1:
        first, last = memory(found)
        lines.append(f"memory, on the line through all after the warm-up: {first:.0f} to {last:.0f} MiB")
    told = verdict(found)
    if told:
        by_memory = sorted(found["grew"].items(), key=lambda entry: -entry[1].get("rss_mib", 0))
        lines += [f"after '{name}': {dict(grew)}" for name, grew in by_memory[:8]]
    return "\n".join([*lines, *(told or ["nothing is left behind"])])


if __name__ == "__main__":
    main()
