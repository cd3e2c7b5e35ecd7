"""Thousands of slides: seconds a slide, memory and open files as a cohort grows, and what kills cost.

Run ``python tests/benchmarks/bench_cohort.py --slides 1000 --kills 6``. It draws small slides, each of its
own content, some damaged, some missing, some copies; predicts them with ``napari-aln predict``; prints one
line for each tenth of the run. With ``--kills`` it predicts them once more into another folder, ends the run
or one of its workers at random moments, goes on, and compares both folders: all that is not time must be
equal, and no slide may be done twice.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
from cohort_runs import same
from tests_shared import draw_tissue, write_random_bundle, write_slide

if TYPE_CHECKING:
    from collections.abc import Callable

_PATCH_PX = 128
_SIDES_PX = (300, 520)
_DAMAGED, _MISSING, _COPIED = 50, 90, 40  # one slide in so many
_LOOK_EVERY_S = 0.5


class Stand(NamedTuple):
    """What a run had come to at one moment."""

    seconds: float
    n_done: int
    parent_mb: float
    worker_mb: float  # of the largest worker
    parent_files: int
    worker_files: int


def make_cohort(folder: Path, n: int) -> Path:
    """Draw slides and write the table that names them."""
    (folder / "slides").mkdir(parents=True)
    rng = np.random.default_rng(0)
    tissue = draw_tissue(rng)
    rows, last = [], b""
    for i in range(n):
        path = folder / "slides" / f"slide-{i:05d}.tif"
        if i % _DAMAGED == 1:
            path.write_bytes(last[: len(last) // 3])
        elif i % _COPIED == 2:
            path.write_bytes(last)
        elif i % _MISSING != 3:
            width, height = rng.integers(*_SIDES_PX, 2)
            x, y = rng.integers(300, 700), rng.integers(250, 600)
            shifted = tissue[y : y + height, x : x + width].astype(np.int16) + rng.integers(-6, 7, 3)
            write_slide(path, shifted.clip(0, 255).astype(np.uint8))
            last = path.read_bytes()
        rows.append([f"P{i:05d}", path, int(rng.integers(30, 90)), 2.1, "+", "-", "-"])
    table = folder / "cohort.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["patient_id", "slide", "age_years", "tumor_size_cm", "er", "pr", "her2"])
        writer.writerows(rows)
    return table


class Run:
    """``napari-aln predict`` in processes of its own."""

    def __init__(self, table: Path, bundle: Path, out: Path, workers: int) -> None:
        program = [sys.executable, "-c", "from napari_aln.cli import main; main()"]
        command = ["predict", table, "--model", bundle, "--out", out, "--workers", workers]
        cache = ["--cache-dir", out.with_name(f"{out.name}-cache")]
        self.out, self.started = out, time.monotonic()
        self.process = psutil.Popen(
            [*program, *map(str, [*command, *cache])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def goes_on(self) -> bool:
        return self.process.poll() is None

    def workers(self) -> list[psutil.Process]:
        try:
            return [one for one in self.process.children() if "spawn_main" in " ".join(one.cmdline())]
        except psutil.Error:
            return []

    def stand(self) -> Stand:
        """Return how far it is, and what it holds."""
        memory, files = [0.0], [0]
        for worker in self.workers():
            try:
                memory.append(worker.memory_info().rss / 1e6)
                files.append(worker.num_fds())
            except psutil.Error:  # it has just been replaced
                continue
        return Stand(
            time.monotonic() - self.started,
            n_results(self.out),
            self.process.memory_info().rss / 1e6,
            max(memory),
            self.process.num_fds(),
            max(files),
        )


def n_results(out: Path) -> int:
    return (
        sum(not one.name.startswith(".") and one.suffix == "" for one in out.iterdir()) if out.is_dir() else 0
    )


def undisturbed(run: Run, n: int) -> None:
    """Wait for the end of a run; print a line for each tenth of its slides."""
    print("slides | s | s/slide since | parent MB | worker MB | parent files | worker files")
    last = Stand(0, 0, 0, 0, 0, 0)
    peak = 0.0
    while run.goes_on():
        time.sleep(_LOOK_EVERY_S)
        try:
            now = run.stand()
        except psutil.Error:
            break
        peak = max(peak, now.worker_mb)
        if now.n_done - last.n_done >= n / 10:
            each = (now.seconds - last.seconds) / (now.n_done - last.n_done)
            print(
                f"{now.n_done} | {now.seconds:.0f} | {each:.3f} | {now.parent_mb:.0f} | {now.worker_mb:.0f}"
                f" | {now.parent_files} | {now.worker_files}",
                flush=True,
            )
            last = now
    seconds = time.monotonic() - run.started
    print(f"whole run {seconds:.0f} s, {n_results(run.out)} results, worker peak {peak:.0f} MB")


def disturbed(
    begin: Callable[[], Run], kills: int, seconds: tuple[float, float], rng: np.random.Generator
) -> None:
    """Kill a run or one of its workers at random moments, go on until the end."""
    begun = begin()
    kept: dict[str, int] = {}
    for i in range(kills):
        time.sleep(rng.uniform(*seconds))
        of_parent = i % 2 == 0
        workers = begun.workers()
        if not begun.goes_on():
            break
        victim = begun.process if of_parent or not workers else workers[int(rng.integers(len(workers)))]
        os.kill(victim.pid, signal.SIGKILL)
        if of_parent:
            begun.process.wait()
            psutil.wait_procs(workers, timeout=30)
            kept |= made_at(begun.out) | kept
            begun = begin()
        who = "the run" if of_parent else "a worker"
        print(f"killed {who} at {n_results(begun.out)} results", flush=True)
    begun.process.wait()
    again = [name for name, when in made_at(begun.out).items() if kept.get(name, when) != when]
    print(f"gone on with until the end; results made twice: {len(again)} of {len(kept)} that kills had left")


def made_at(out: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("*/result.json")}


def compare(out: Path, other: Path) -> None:
    """Print what two runs of one cohort have in common."""
    tables = [_rows(folder) for folder in (out, other)]
    names = [{one.parent.name for one in folder.glob("*/result.json")} for folder in (out, other)]
    differ = [name for name in names[0] & names[1] if not same(out / name, other / name)]
    left = [one.name for folder in (out, other) for one in folder.rglob("*.incomplete")]
    states = [json.loads(one.read_bytes()) for one in (other / ".cohort" / "slides").glob("*.json")]
    good = [sum(one["ended_at"] is not None and not one["cause"] for one in s["attempts"]) for s in states]
    print(
        f"summaries equal: {tables[0] == tables[1]}; results in one only: {len(names[0] ^ names[1])}; "
        f"results that differ: {len(differ)}; left half written: {len(left)}; "
        f"slides with more than one attempt that succeeded: {sum(n > 1 for n in good)}; "
        f"attempts cut off: {sum('cut off' in o['cause'] for s in states for o in s['attempts'])}"
    )


def _rows(out: Path) -> list[dict[str, str]]:
    with (out / "cohort.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:  # how often it was tried is what kills change
        for name in ("attempts", "earlier_causes"):
            row.pop(name)
    return rows


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slides", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seconds-between-kills", type=float, nargs=2, default=(8.0, 30.0))
    parser.add_argument("--folder", type=Path, help="keep everything here; left out: a temporary folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        table = folder / "cohort" / "cohort.csv"
        if not table.exists():
            make_cohort(folder / "cohort", args.slides)
            write_random_bundle(folder / "random.alnmodel", patch_px=_PATCH_PX, input_px=_PATCH_PX)
        asked = [table, folder / "random.alnmodel"]
        print(f"{args.slides} slides, {args.workers} workers, load {os.getloadavg()}")
        undisturbed(Run(*asked, folder / "out", args.workers), args.slides)
        for name in ("cohort.csv", "cohort.html"):
            print(f"{name}: {(folder / 'out' / name).stat().st_size / 1e3:.0f} kB")
        if args.kills:
            rng = np.random.default_rng()
            killed = partial(Run, *asked, folder / "killed", args.workers)
            disturbed(killed, args.kills, tuple(args.seconds_between_kills), rng)
            compare(folder / "out", folder / "killed")
        print(f"load {os.getloadavg()}")


if __name__ == "__main__":
    main()
