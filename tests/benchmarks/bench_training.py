"""How long a head on frozen features takes to train, and how much memory, from features on disk.

    python tests/benchmarks/bench_training.py [--slides 1000] [--patches 500] [--features 512] [--threads 2]

Made-up features in a training store of their own, 60 : 20 : 20 train : validation : (unused) test, and the
default recipe with early stopping. Target: 2 minutes on 2 cores for 1 000 slides x 500 patches x 512 values,
and a memory that does not grow with the number of slides. Writing the features is not counted; the printed
load says whether the machine was idle.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from napari_aln.mil.network import AttentionHead
from napari_aln.mil.training import using_threads
from napari_aln.settings.training import RecipeSettings
from napari_aln.store.features import FeatureKey
from napari_aln.store.training_features import TrainingStore, stored
from napari_aln.workflows.training.epochs import EpochProgress
from napari_aln.workflows.training.fit_head import fit_head


class MadeUpPatient:
    """One slide, whose share of odd patches tells the label, faintly."""

    def __init__(self, number: int, store: TrainingStore, shape: tuple[int, int]) -> None:
        rng = np.random.default_rng(number)
        self.label = number % 2
        self.clinical = rng.normal(size=5).astype(np.float32)
        features = rng.standard_normal(shape, np.float32)
        features[: shape[0] // 10, :8] += 0.6 * self.label
        key = FeatureKey(str(number), "made-up", (0.5, 0.5), 256, 0.5, 224, "", "", "", "fp32", "")
        self._rows = stored(store.entry(key), np.arange(shape[0]), features)

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return (len(index), F) features."""
        return self._rows.take(index)


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slides", type=int, default=1000)
    parser.add_argument("--patches", type=int, default=500)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None, help="where the made-up features go for a while")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        store = TrainingStore(folder / "store")
        shape = given.patches, given.features
        patients = [MadeUpPatient(number, store, shape) for number in range(given.slides)]
        n_train, n_val = int(0.6 * given.slides), int(0.2 * given.slides)
        print(
            f"{given.slides} slides x {shape[0]} patches x {shape[1]} values, {given.threads} threads;",
            end=" ",
        )
        print(f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")
        head = AttentionHead(given.features, 2, 5, attention_width=16, dropout=0.25)
        with using_threads(given.threads):
            measure(head, patients[:n_train], patients[n_train : n_train + n_val], folder)
        print(f"load at the end {os.getloadavg()[0]:.1f}")
    finally:
        shutil.rmtree(folder)


def measure(
    head: AttentionHead, train: list[MadeUpPatient], validation: list[MadeUpPatient], folder: Path
) -> None:
    """Train, and print time, epochs and memory."""
    process = psutil.Process()
    before, started, processor = process.memory_info().rss, time.perf_counter(), time.process_time()
    private = 0
    steps = fit_head(head, train, validation, RecipeSettings(), folder, {})
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            fitted = end.value
            break
        memory = process.memory_info()
        private = max(private, memory.rss - getattr(memory, "shared", 0))
        if isinstance(step, EpochProgress) and step.done == 1:
            print(f"first epoch, statistics included: {time.perf_counter() - started:.1f} s")
    seconds = time.perf_counter() - started
    print(
        f"{seconds:.1f} s ({time.process_time() - processor:.1f} s of processor) for {fitted.epochs} epochs, "
        f"{seconds / fitted.epochs:.2f} s an epoch; best {fitted.best_epoch}, AUC {fitted.validation_auc:.3f}"
    )
    print(f"memory: {before / 1e6:.0f} MB before, at most {private / 1e6:.0f} MB of its own")


if __name__ == "__main__":
    main()
