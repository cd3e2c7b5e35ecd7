"""The engine against the naive loop, slide to features, and the main job from file to heatmap.

    python tests/benchmarks/bench_engine.py [--rounds 3] [--patches 60] [--encoder vgg13_bn] [--out FILE]

All variants run in turn, round by round, in one process; medians and ratios are printed. The naive loop is
that of most scripts: OpenSlide patch by patch, torchvision transforms, batches of ten, eager, gradients on.
The machine should be idle: the printed load says whether it was.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import openslide
import psutil
import torch

from napari_aln import open_slide
from napari_aln.mil.architecture import build_network
from napari_aln.mil.bundle import Bundle, open_bundle, save_bundle
from napari_aln.mil.card import ClinicalFields, ModelCard, NumericField
from napari_aln.patches.grid import patch_grid
from napari_aln.records import PatchTable
from napari_aln.runtimes.torchvision_import import torchvision  # noqa: F401  (before torchvision's parts)
from napari_aln.settings.engine import EngineSettings
from napari_aln.slides import Slide
from napari_aln.workflows.slide.decode import decoded
from napari_aln.workflows.slide.extract import Want, extract
from napari_aln.workflows.slide.networks import engine_for

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests_shared import drain, draw_tissue, write_slide

NAIVE_BATCH = 10


def make_bundle(folder: Path, encoder: str) -> Bundle:
    """Save a bundle with random weights of a full-size encoder."""
    torch.manual_seed(0)
    clinical = ClinicalFields(
        age_years=NumericField(mean=50, std=10), tumor_size_cm=NumericField(mean=2, std=1)
    )
    pool = "7x7" if encoder.startswith("vgg") else "gap"
    card = ModelCard(
        name=f"random {encoder}", mode="dlcnbc-ws", encoder=encoder, pool=pool, mpp=0.5, clinical=clinical
    )
    return save_bundle(card, build_network(card).state_dict(), folder / "bench.alnmodel")


def tissue_table(slide: Slide, n: int) -> PatchTable:
    """Return n cells of the slide's grid from its middle on, row by row."""
    grid = patch_grid(slide.info.size_px, slide.info.mpp, 256, 0.5)
    cell = np.arange(grid.rows * grid.columns)[grid.columns :][:n]
    return PatchTable(grid, (cell % grid.columns).astype(np.int32), (cell // grid.columns).astype(np.int32))


class NaiveLoop:
    """What a script does."""

    def __init__(self, path: Path, bundle: Bundle) -> None:
        self.slide = openslide.OpenSlide(path)
        network = bundle.network()
        self.encoder, self.head = network.encoder.eval(), network.head.eval()
        transforms_v2 = importlib.import_module("torchvision.transforms.v2")
        self.transform = transforms_v2.Compose(
            [
                transforms_v2.Resize((224, 224)),
                transforms_v2.ToImage(),
                transforms_v2.ToDtype(torch.float32, scale=True),
                transforms_v2.Normalize(bundle.card.mean, bundle.card.std),
            ]
        )

    def __call__(self, table: PatchTable) -> None:
        """Extract features of all patches."""
        batch = []
        for x, y in table.l0_xy.astype(int):
            patch = self.slide.read_region((int(x), int(y)), 0, (256, 256)).convert("RGB")
            batch.append(self.transform(patch))
            if len(batch) == NAIVE_BATCH:
                h = self.head.embed(self.encoder(torch.stack(batch)))
                self.head.attention_logit(h)
                batch = []


def engine_variant(slide: Slide, bundle: Bundle, precision: str) -> tuple:
    """Return the engine's whole path, and inference alone on patches read before, at one precision."""
    settings = EngineSettings(precision=precision)
    engine = engine_for(bundle, settings)
    network = engine.compile(bundle)

    def whole(table: PatchTable) -> None:
        drain(extract(slide, [Want(lambda: network, table, 256)], engine.decode_to_px, settings))

    held: dict[int, list[np.ndarray]] = {}

    def inference_only(table: PatchTable) -> None:
        chunks = held.setdefault(
            len(table), [c.pixels for c in decoded(slide, table, engine.decode_to_px, threads=1, chunk=16)]
        )
        started = time.perf_counter()
        for pixels in chunks:
            network(pixels)
        inference_only.seconds = time.perf_counter() - started

    return whole, inference_only


def seconds_of(variant, table: PatchTable) -> float:
    """Time one call; variants that prepare something state their own time."""
    started = time.perf_counter()
    variant(table)
    elapsed = time.perf_counter() - started
    return getattr(variant, "seconds", elapsed)


def throughput(path: Path, bundle: Bundle, rounds: int, n: int) -> dict[str, float]:
    """Return median patches/s of every variant."""
    with open_slide(path) as slide:
        table = tissue_table(slide, n)
        fp32, fp32_only = engine_variant(slide, bundle, "fp32")
        bf16, bf16_only = engine_variant(slide, bundle, "bf16")
        naive_n = n // 3 // NAIVE_BATCH * NAIVE_BATCH
        variants = {
            "naive eager loop": (NaiveLoop(path, bundle), tissue_table(slide, naive_n)),
            "engine fp32": (fp32, table),
            "inference only fp32": (fp32_only, table),
            "engine bf16": (bf16, table),
            "inference only bf16": (bf16_only, table),
        }
        rates: dict[str, list[float]] = {name: [] for name in variants}
        for turn in range(rounds + 1):
            for name, (variant, patches) in variants.items():
                seconds = seconds_of(variant, patches)
                if turn:  # the first round warms caches and is not counted
                    rates[name].append(len(patches) / seconds)
    return {name: statistics.median(values) for name, values in rates.items()}


def whole_job(path: Path, bundle: Bundle, folder: Path) -> dict[str, float]:
    """Time the command line from file to heatmap, then again from the cache; with its peak memory."""
    command = [sys.executable, "-m", "napari_aln", "predict", str(path), "--model", str(bundle.path)]
    clinical = ["--age", "50", "--tumor-size", "2", "--er", "+", "--pr", "+", "--her2", "-"]
    command += [*clinical, "--out", str(folder / "out"), "--cache-dir", str(folder / "cache")]
    found = {}
    for name in ("file to heatmap, first run", "second run, from the cache"):
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peak = 0
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_info().rss)
            except psutil.Error:
                break
            time.sleep(0.02)
        process.wait()
        found[f"{name} (s)"] = time.perf_counter() - started
        found[f"{name}, peak memory (MB)"] = peak / 1e6
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patches", type=int, default=60)
    parser.add_argument("--encoder", default="vgg13_bn")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = write_slide(folder / "bench.tif", np.tile(draw_tissue(np.random.default_rng(0)), (2, 2, 1)))
        bundle = make_bundle(folder, arguments.encoder)
        rates = throughput(path, open_bundle(bundle.path), arguments.rounds, arguments.patches)
        job = whole_job(path, bundle, folder)
    naive = rates["naive eager loop"]
    for name, rate in rates.items():
        print(f"{name:28s} {rate:8.1f} patches/s  {rate / naive:5.2f} x naive")
    for precision in ("fp32", "bf16"):
        share = rates[f"engine {precision}"] / rates[f"inference only {precision}"]
        print(f"engine / inference only, {precision}: {share:.3f}")
    for name, value in job.items():
        print(f"{name:52s} {value:8.2f}")
    if arguments.out:
        arguments.out.write_text(json.dumps(rates | job, indent=2))


if __name__ == "__main__":
    main()
