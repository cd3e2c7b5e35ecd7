"""Encoder and head learn together: what they learn, that it repeats itself, and goes on after any end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests_shared import collect, drain

from napari_aln.errors import DeviceError, StoreError
from napari_aln.mil.network import AttentionHead, PatchNetwork
from napari_aln.runtimes.fabric import fabric_for
from napari_aln.settings.training import FinetuneSettings
from napari_aln.workflows.training.epochs import VALIDATION_BAGS, EpochProgress
from napari_aln.workflows.training.fit_network import fit_network

SIDE_PX, N_FEATURES = 16, 6
RECIPE = FinetuneSettings(
    epochs=3,
    bag_size=4,
    bags_per_epoch=2,
    dropout=0.3,
    learning_rate=0.1,
    device="cpu",
    augmentation="rotation",
)
CONFIGURATION = {"mode": "dlcnb", "cohort": "abc"}


class Patient:
    """Patches of which every other one is red as far as the label says; nothing else tells it.

    Not all of them: what all patches of a bag have in common, BatchNorm takes away in a step of one bag.
    """

    def __init__(self, label, rng, n_patches=11):
        self.label = label
        self.clinical = np.zeros(0, np.float32)
        self.pixels = rng.integers(60, 196, (n_patches, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        self.pixels[::2, :8] = np.array([120 + 65 * label, 60, 120])
        self.taken = 0

    def __len__(self):
        return len(self.pixels)

    def take(self, index):
        self.taken = max(self.taken, len(index))
        return self.pixels[index]


def patients(n, seed, n_classes=2):
    rng = np.random.default_rng(seed)
    return [Patient(i % n_classes, rng) for i in range(n)]


def fresh_network(n_classes=2, pooling="attention"):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = torch.nn.Sequential(
            torch.nn.Conv2d(3, N_FEATURES, 3, stride=2),
            torch.nn.BatchNorm2d(N_FEATURES),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
        )
        head = AttentionHead(N_FEATURES, n_classes, hidden=16, dropout=RECIPE.dropout, pooling=pooling)
        return PatchNetwork(encoder, head, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


def fit(folder, recipe=RECIPE, network=None, train=None, configuration=CONFIGURATION):
    network = network or fresh_network()
    torch.set_num_threads(1)
    fabric = fabric_for(recipe)
    fabric.launch()
    train = train or patients(12, 0)
    return network, fit_network(network, train, patients(7, 1), recipe, fabric, folder, configuration)


def same(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def epochs_of(seen):
    return [step for step in seen if isinstance(step, EpochProgress)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    network, steps = fit(folder)
    seen, fitted = collect(steps)
    return network, fitted, seen, (folder / "metrics.csv").read_bytes()


@pytest.mark.parametrize(("optimiser", "rate", "share"), [("sgd", 0.2, 0.9), ("adam", 0.01, 0.5)])
def test_the_encoder_learns_what_tells_the_label(tmp_path, optimiser, rate, share):
    how = {"optimiser": optimiser, "learning_rate": rate, "l1": 1e-6, "class_weights": True, "batch": 2}
    before = fresh_network()
    network, steps = fit(tmp_path, RECIPE.model_copy(update=how | {"epochs": 8}))
    seen, fitted = collect(steps)
    losses = [step.loss for step in epochs_of(seen)]
    assert np.mean(losses[-3:]) < share * losses[0]
    assert fitted.validation_auc == 1.0
    assert max(step.training_auc for step in epochs_of(seen)) > 0.9
    assert not torch.equal(before.encoder[0].weight, network.encoder[0].weight)
    assert not network.training


def test_an_epoch_takes_each_bag_that_the_patches_fill_and_no_more_patches_at_once(tmp_path):
    train = patients(5, 0)
    recipe = RECIPE.model_copy(update={"bags_per_epoch": None, "epochs": 1})
    seen, _ = collect(fit(tmp_path, recipe, train=train)[1])
    steps = [step.step for step in seen if step.step.startswith("epoch 1, step")]
    assert len(steps) == 5 * (11 // 4)
    assert steps[-1].startswith("epoch 1, step 10 of 10")
    assert max(patient.taken for patient in train) == recipe.bag_size


def test_it_stops_above_a_training_auc(tmp_path):
    recipe = RECIPE.model_copy(update={"epochs": 30, "stop_above_training_auc": 0.9})
    seen, fitted = collect(fit(tmp_path, recipe)[1])
    areas = [step.training_auc for step in epochs_of(seen)]
    assert areas[-1] > 0.9 >= max(areas[:-1], default=0)
    assert fitted.epochs == len(areas) < 30


def test_three_classes_and_pooling_by_the_maximum(tmp_path):
    recipe = RECIPE.model_copy(update={"epochs": 1})
    fabric = fabric_for(recipe)
    network = fresh_network(3, "max")
    work = fit_network(network, patients(6, 0, 3), patients(6, 1, 3), recipe, fabric, tmp_path, CONFIGURATION)
    assert 0 <= drain(work).validation_auc <= 1


def test_mixed_precision_learns_too(tmp_path):
    recipe = RECIPE.model_copy(update={"precision": "bf16", "epochs": 6})
    try:
        network, steps = fit(tmp_path, recipe)
    except DeviceError:
        pytest.skip("this processor has no bf16")
    seen, _ = collect(steps)
    assert epochs_of(seen)[-1].loss < epochs_of(seen)[0].loss
    assert all(value.dtype != torch.bfloat16 for value in network.state_dict().values())


def test_the_same_seed_gives_the_same_weights_and_another_others(whole, tmp_path):
    again, steps = fit(tmp_path / "a", RECIPE.model_copy(update={"workers": 5}))
    for _ in steps:
        torch.rand(3)  # what others draw meanwhile does not matter
    assert same(again, whole[0])
    for change in ({"seed": 1}, {"augmentation": "none"}):
        other, steps = fit(tmp_path / str(change), RECIPE.model_copy(update=change))
        drain(steps)
        assert not same(other, whole[0])


def killed_at(where, folder):
    """Run a training in a process of its own that kills itself there."""
    code = f"""
import os, signal, sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}
from pathlib import Path
from test_fit_network import EpochProgress, fit
_, steps = fit(Path({str(folder)!r}))
for step in steps:
    if step.step.startswith({where!r}):
        os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_killed_training_goes_on_to_the_same_weights(whole, tmp_path):
    killed_at("epoch 2, step 3", tmp_path)
    network, steps = fit(tmp_path)
    seen, fitted = collect(steps)
    assert [step.done for step in epochs_of(seen)] == [2, 3]
    assert same(network, whole[0])
    assert fitted == whole[1]
    assert (tmp_path / "metrics.csv").read_bytes() == whole[3]


def test_a_cancelled_training_goes_on_and_one_of_other_settings_is_refused(whole, tmp_path):
    _, steps = fit(tmp_path)
    next(step for step in steps if isinstance(step, EpochProgress))
    steps.close()
    _, steps = fit(tmp_path, RECIPE.model_copy(update={"augmentation": "none"}))
    with pytest.raises(StoreError, match="augmentation is none and was rotation"):
        drain(steps)
    network, steps = fit(tmp_path)
    drain(steps)
    assert same(network, whole[0])


def test_a_training_that_runs_away_is_stopped(tmp_path):
    network = fresh_network()
    network.head.classifier[2].weight.data[:] = torch.nan
    _, steps = fit(tmp_path, network=network)
    with pytest.raises(DeviceError, match="ran away"):
        drain(steps)


def test_too_little_memory_is_told_with_what_to_do(tmp_path):
    class Greedy(torch.nn.Module):
        def forward(self, x):
            raise torch.OutOfMemoryError("CUDA out of memory")

    network = fresh_network()
    network.encoder[0] = Greedy()
    with pytest.raises(DeviceError, match=r"too small for a step of 4 patches.*--batch"):
        drain(fit(tmp_path, network=network)[1])


def test_patches_that_are_gone_end_the_training_with_what_to_do(tmp_path):
    train = patients(6, 0)

    def gone(index):
        raise StoreError("The training patches in x cannot be read.", "Run the same command again.")

    work = fit(tmp_path, train=train)[1]
    next(step for step in work if isinstance(step, EpochProgress))
    train[3].take = gone
    with pytest.raises(StoreError, match="cannot be read"):
        drain(work)


TWO = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from test_fit_network import *
from napari_aln.runtimes.fabric import part_from_others
if __name__ == "__main__":
    change = {{"gpus": 2, "bags_per_epoch": None, "epochs": 2}}
    network, steps = fit(Path({folder!r}), RECIPE.model_copy(update=change))
    fitted = drain(steps)
    part_from_others()
    import os
    torch.save(network.state_dict(), Path({folder!r}) / f"{{os.environ['LOCAL_RANK']}}.pt")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes are started otherwise")
def test_two_processes_share_the_bags_and_end_with_the_same_weights(tmp_path):
    paths = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    script = tmp_path / "two.py"
    script.write_text(TWO.format(paths=paths, folder=str(tmp_path)))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, timeout=120, env=environment)
    assert ended.returncode == 0, ended.stderr.decode()
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    lines = (tmp_path / "metrics.csv").read_text("utf-8-sig").splitlines()
    assert len(lines) == 1 + 2
    assert 0.0 <= float(lines[1].split(",")[2]) <= 1.0
    assert VALIDATION_BAGS > 1
