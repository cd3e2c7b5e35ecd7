"""A head learns on stored features: what it learns, that it repeats itself, and goes on after any end."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests_shared import collect, drain

from napari_aln.errors import DeviceError, StoreError
from napari_aln.evaluation.auc import roc_auc
from napari_aln.mil.fitting import Fitter, balanced_weights, best_temperature
from napari_aln.mil.network import AttentionHead
from napari_aln.mil.training import bag_logits
from napari_aln.settings.training import RecipeSettings
from napari_aln.workflows.training.epochs import EpochProgress, draw_bags
from napari_aln.workflows.training.fit_head import feature_statistics, fit_head

N_FEATURES = 6
RECIPE = RecipeSettings(epochs=5, bags_per_epoch=2, batch=8, dropout=0.3)
CONFIGURATION = {"mode": "dlcnb", "cohort": "abc"}


class Patient:
    """Patches whose third feature, and nothing else, tells the label."""

    def __init__(self, label, rng, shift=2.0, n_patches=23):
        self.label = label
        self.clinical = np.zeros(0, np.float32)
        self.features = rng.normal(5, 3, (n_patches, N_FEATURES)).astype(np.float32)
        self.features[:, 2] = rng.normal(shift * label, 1, n_patches)

    def __len__(self):
        return len(self.features)

    def take(self, index):
        return self.features[index]


def patients(n, seed, n_classes=2, shift=2.0):
    rng = np.random.default_rng(seed)
    return [Patient(i % n_classes, rng, shift) for i in range(n)]


def fresh_head(n_classes=2):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AttentionHead(N_FEATURES, n_classes, hidden=16, attention_width=2, dropout=RECIPE.dropout)


def fit(folder, recipe=RECIPE, head=None, configuration=CONFIGURATION):
    head = head or fresh_head()
    torch.set_num_threads(1)
    steps = fit_head(head, patients(40, 0), patients(12, 1), recipe, folder, configuration)
    return head, steps


def same(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    head, steps = fit(folder)
    seen, fitted = collect(steps)
    return head, fitted, seen, (folder / "metrics.csv").read_bytes()


def test_it_learns_what_tells_the_label_and_takes_features_as_they_are(tmp_path):
    recipe = RECIPE.model_copy(update={"epochs": 30, "learning_rate": 5e-3})
    head, steps = fit(tmp_path, recipe)
    fitted = drain(steps)
    assert fitted.validation_auc > 0.95
    unseen = patients(40, 2)
    with torch.no_grad():
        x = torch.from_numpy(np.stack([p.features for p in unseen]))
        p = torch.softmax(bag_logits(head.eval(), x, torch.zeros(40, 0)), dim=1)[:, 1].numpy()
    assert roc_auc(np.array([p.label == 1 for p in unseen]), p) > 0.95


def test_the_best_epoch_is_kept_and_patience_ends_the_rest(tmp_path):
    recipe = RECIPE.model_copy(update={"epochs": 60, "patience": 4, "learning_rate": 0.05})
    _, steps = fit(tmp_path, recipe)
    seen, fitted = collect(steps)
    epochs = [step for step in seen if isinstance(step, EpochProgress)]
    best = max((step.validation_auc, -step.validation_loss, -step.done) for step in epochs)
    assert (fitted.validation_auc, fitted.best_epoch) == (best[0], -best[2])
    assert fitted.epochs == fitted.best_epoch + 4 < 60


def test_three_classes_are_told_apart(tmp_path):
    recipe = RECIPE.model_copy(update={"epochs": 25, "learning_rate": 5e-3})
    train, validation = patients(45, 0, 3, shift=3.0), patients(15, 1, 3, shift=3.0)
    fitted = drain(fit_head(fresh_head(3), train, validation, recipe, tmp_path, CONFIGURATION))
    assert fitted.validation_auc > 0.85


def test_the_same_seed_gives_the_same_weights_and_another_others(whole, tmp_path):
    again, steps = fit(tmp_path / "a")
    torch.rand(3)  # what others draw meanwhile does not matter
    drain(steps)
    assert same(again, whole[0])
    other, steps = fit(tmp_path / "b", RECIPE.model_copy(update={"seed": 1}))
    drain(steps)
    assert not same(other, whole[0])


def killed_at(epoch, where, folder):
    """Run a training in a process of its own that kills itself there."""
    code = f"""
import os, signal, sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}
from pathlib import Path
from test_fit_head import EpochProgress, fit
_, steps = fit(Path({str(folder)!r}))
for step in steps:
    if isinstance(step, EpochProgress) == ({where!r} == "between") and step.done >= {epoch}:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
@pytest.mark.parametrize(("epoch", "where"), [(3, "between"), (2, "within")])
def test_a_killed_training_goes_on_to_the_same_weights(whole, tmp_path, epoch, where):
    killed_at(epoch, where, tmp_path)
    assert (tmp_path / "checkpoint.pt").exists()
    head, steps = fit(tmp_path)
    seen, fitted = collect(steps)
    done = [step.done for step in seen if isinstance(step, EpochProgress)]
    assert done == list(range(epoch + 1, RECIPE.epochs + 1))
    assert same(head, whole[0])
    assert fitted == whole[1]
    assert (tmp_path / "metrics.csv").read_bytes() == whole[3]


def test_a_cancelled_training_goes_on_and_restart_begins_anew(whole, tmp_path):
    _, steps = fit(tmp_path)
    next(step for step in steps if isinstance(step, EpochProgress))
    steps.close()
    head, steps = fit(tmp_path, RECIPE.model_copy(update={"restart": True}))
    seen, _ = collect(steps)
    assert sum(isinstance(step, EpochProgress) for step in seen) == RECIPE.epochs
    assert same(head, whole[0])


def stopped(folder):
    _, steps = fit(folder)
    next(step for step in steps if isinstance(step, EpochProgress))
    steps.close()
    return folder / "checkpoint.pt"


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    before = stopped(tmp_path).read_bytes()
    _, steps = fit(tmp_path, RECIPE.model_copy(update={"learning_rate": 0.25}))
    with pytest.raises(
        StoreError, match=r"another training: learning rate is 0\.25 and was 0\.0005.*--restart"
    ):
        next(steps)
    _, steps = fit(tmp_path, configuration={"mode": "dlcnb", "cohort": "other"})
    with pytest.raises(StoreError, match="cohort is other and was abc"):
        next(steps)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


class Evil:
    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('owned').touch()",))


def test_a_damaged_or_foreign_checkpoint_is_refused_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = stopped(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StoreError, match="damaged or foreign"):
        next(fit(tmp_path)[1])
    for content in (Evil(), [1], {"format": 99, "configuration": {}, "state": {}}):
        torch.save(content, path)
        with pytest.raises(StoreError, match="damaged or foreign"):
            next(fit(tmp_path)[1])
    assert not (tmp_path / "owned").exists()


def test_a_full_disk_is_said_and_the_former_checkpoint_kept(whole, tmp_path, monkeypatch):
    path = stopped(tmp_path)
    before = path.read_bytes()

    def full(self, data):
        with self.open("wb") as file:
            file.write(bytes(data)[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(StoreError, match=r"The disk is full: .*checkpoint\.pt could not be written"):
            drain(fit(tmp_path)[1])
    assert path.read_bytes() == before
    assert {item.name for item in tmp_path.iterdir()} == {"checkpoint.pt", "metrics.csv"}
    head, steps = fit(tmp_path)
    drain(steps)
    assert same(head, whole[0])


def test_a_training_that_runs_away_is_stopped(tmp_path):
    _, steps = fit(tmp_path, RECIPE.model_copy(update={"optimiser": "sgd", "learning_rate": 1e30}))
    with pytest.raises(DeviceError, match="ran away"):
        drain(steps)


def test_class_weights_count_in_a_batch_of_one():
    weights = balanced_weights(np.array([0, 0, 0, 1]), 2)
    np.testing.assert_allclose(weights, [4 / 6, 2.0])
    logits = torch.zeros(1, 2, requires_grad=True)
    losses = [
        Fitter([torch.nn.Parameter(torch.zeros(1))], RECIPE, w).step(logits, torch.tensor([1]))
        for w in (None, weights)
    ]
    np.testing.assert_allclose(losses, np.log(2) * np.array([1.0, 2.0]), rtol=1e-6)


def test_statistics_are_those_of_all_patches_and_bags_use_each_patch_before_any_twice():
    some = patients(5, 3)
    everything = np.concatenate([p.features for p in some])
    mean, sd = feature_statistics(some)
    np.testing.assert_allclose(mean, everything.mean(0), rtol=1e-5)
    np.testing.assert_allclose(sd, everything.std(0), rtol=1e-4)
    bags = draw_bags(23, 4, 10, np.random.default_rng(0))
    assert bags.shape == (4, 10)
    assert sorted(np.bincount(bags.ravel(), minlength=23))[0] == 1
    assert set(draw_bags(3, 1, 10, np.random.default_rng(0)).ravel()) == {0, 1, 2}


def test_the_temperature_makes_a_score_as_bold_as_it_is_right():
    labels = (np.arange(10) < 7).astype(np.int64)
    for boldness in (3.0, 0.3):
        logits = [np.array([[0.0, boldness]] * 2) for _ in labels]
        temperature = best_temperature(logits, labels)
        assert 1 / (1 + np.exp(-boldness / temperature)) == pytest.approx(0.7, abs=0.01)
