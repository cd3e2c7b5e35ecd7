"""Does the network wait for its patches? Decoding, reading, augmentation and steps of end-to-end training.

    python tests/benchmarks/bench_finetune.py [--encoder vgg13_bn] [--augmentation randaugment] [--steps 20]

Takes slides of a synthetic cohort (drawn once into --folder), decodes them into a patch store and trains on
them. Printed: patches a second of decoding (once in a cohort's life), how long a step takes of which part,
and the share of an epoch in which the device has nothing to do because bags are not there yet. Target: the
device is busy at least 90 % of the time. Runs on a processor; on CUDA where there is a device.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import get_args

import numpy as np
import psutil
import torch

from napari_aln.cohort.synthesize import synthesize
from napari_aln.cohort.table import read_cohort
from napari_aln.mil.card import ModelCard
from napari_aln.mil.training import using_threads
from napari_aln.runtimes.fabric import fabric_for
from napari_aln.settings.cohorts import SynthesizeSettings
from napari_aln.settings.patches import PatchSettings
from napari_aln.settings.training import Augmentation, FinetuneSettings
from napari_aln.store.training_patches import PatchStore
from napari_aln.workflows.training.bundle import Order
from napari_aln.workflows.training.encoder_weights import fresh_encoder
from napari_aln.workflows.training.epochs import Tally
from napari_aln.workflows.training.fit_network import NetworkLearner
from napari_aln.workflows.training.pixels import stored_pixels

_SMALL = SynthesizeSettings(core_width_um=(500, 600), core_length_um=(1500, 1800))


class BenchPatient:
    """A patient of one slide."""

    def __init__(self, label: int, stored: object) -> None:
        self.label, self._stored = label, stored
        self.clinical = np.zeros(0, np.float32)

    def __len__(self) -> int:
        return len(self._stored)

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return (len(index), S, S, 3)."""
        return self._stored.take(index)


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="vgg13_bn")
    parser.add_argument("--augmentation", default="randaugment", choices=get_args(Augmentation))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--folder", type=Path, default=None, help="where slides and patches go for a while")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        with using_threads(given.threads):
            _measure(given, folder)
    finally:
        shutil.rmtree(folder)


def _measure(given: argparse.Namespace, folder: Path) -> None:
    recipe = FinetuneSettings(
        encoder=given.encoder,
        augmentation=given.augmentation,
        workers=given.workers,
        precision=given.precision,
        bags_per_epoch=max(given.steps // given.patients, 1),
    )
    fabric = fabric_for(recipe)
    weights = fresh_encoder(recipe.encoder, recipe.pool, 0)
    order = Order(folder / "cohort.csv", "dlcnb", folder / "m.alnmodel", recipe)
    card = ModelCard(name="bench", mode="dlcnb", encoder=recipe.encoder, mpp=recipe.mpp, **weights.fields)
    network = order.network(card, weights.encoder)
    patients = _patients(given, folder, card, recipe)
    print(
        f"{recipe.encoder}, bags of {recipe.bag_size}, augmentation {recipe.augmentation}, {fabric.device}, "
        f"{given.threads} threads; load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"
    )
    learner = _Timed(network, patients, patients, recipe, fabric)
    for epoch in (1, 2):  # the first one warms up
        learner.waited = learner.augmented = 0.0
        started, done = time.perf_counter(), 0
        for _ in learner.steps(epoch, Tally(learner.train_labels, 2)):
            done += 1
        seconds = time.perf_counter() - started
    print(
        f"{1000 * seconds / done:.0f} ms a step of {recipe.bag_size} patches; waiting for bags "
        f"{1000 * learner.waited / done:.1f} ms, {learner.waited / seconds:.1%} of the time; the processor "
        f"was busy with augmentation {learner.augmented / seconds:.1%} of the time"
    )
    if fabric.device.type == "cuda":
        print(f"GPU memory: {torch.cuda.max_memory_allocated() / 1e9:.2f} GB at most")
    print(f"memory: {psutil.Process().memory_info().rss / 1e6:.0f} MB, mapped patches included")


def _patients(
    given: argparse.Namespace, folder: Path, card: ModelCard, recipe: FinetuneSettings
) -> list[BenchPatient]:
    for _ in synthesize(folder / "cohort", given.patients, 0, _SMALL):
        pass
    store, started, found = PatchStore(folder / "store"), time.perf_counter(), []
    for number, row in enumerate(read_cohort(folder / "cohort" / "cohort.csv")):
        whole = card.model_copy(update={"mode": "dlcnbc-ws"})
        work = stored_pixels(row, whole, PatchSettings(), given.workers, store)
        while True:
            try:
                next(work)
            except StopIteration as end:
                found.append(BenchPatient(number % 2, end.value.stored))
                break
    seconds, n = time.perf_counter() - started, sum(map(len, found))
    print(f"decoded {n} patches in {seconds:.1f} s, {n / seconds:.0f}/s (tissue found, resized and stored)")
    return found


class _Timed(NetworkLearner):
    """A learner that notes how long it waits for bags, and how long augmentation keeps the processor."""

    waited = augmented = 0.0

    def _read_ahead(self, plan):
        bags = super()._read_ahead(plan)
        while True:
            started = time.perf_counter()
            try:
                found = next(bags)
            except StopIteration:
                return
            self.waited += time.perf_counter() - started
            yield found

    def _on_device(self, read: torch.Tensor, seed: int) -> torch.Tensor:
        started = time.perf_counter()
        try:
            return super()._on_device(read, seed)
        finally:
            self.augmented += time.perf_counter() - started


if __name__ == "__main__":
    main()
