"""A head learns on stored features: bags drawn anew in each epoch, the best epoch kept, resumable.

All that is drawn in an epoch follows from seed, epoch and patient, so a run that is cut off needs no state of
a random generator to go on to the same weights.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from napari_aln.cohort.writing import write_table
from napari_aln.evaluation.auc import roc_auc
from napari_aln.evaluation.multiclass import macro_auc
from napari_aln.mil.fitting import Fitter, balanced_weights, best_temperature, finish_head
from napari_aln.mil.training import bag_logits
from napari_aln.records import Progress
from napari_aln.store.atomic import atomic_file
from napari_aln.store.checkpoint import load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.mil.network import AttentionHead
    from napari_aln.settings import RecipeSettings

PATIENTS_AT_ONCE = 32
"""Patients whose bags are in memory together, and are mixed."""

VALIDATION_BAGS = 16
METRICS_NAME = "metrics.csv"
CHECKPOINT_NAME = "checkpoint.pt"
_COLUMNS: dict[str, type] = {
    "epoch": int,
    "loss": float,
    "validation_auc": float,
    "validation_loss": float,
    "learning_rate": float,
}


class Patient(Protocol):
    """What a head learns from."""

    @property
    def label(self) -> int:
        """Index of the class."""

    @property
    def clinical(self) -> NDArray[np.float32]:
        """Clinical vector (5,) or (0,)."""

    def __len__(self) -> int:
        """Return the number of patches."""

    def take(self, index: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the features (m, F) of some patches."""


@dataclass(frozen=True, slots=True)
class EpochProgress(Progress):
    """The end of an epoch: what a curve is drawn from."""

    loss: float = float("nan")
    validation_auc: float = float("nan")
    validation_loss: float = float("nan")


@dataclass(frozen=True)
class Fitted:
    """How the training went; the head itself holds the weights.

    Attributes
    ----------
    best_epoch, epochs
        The epoch that was kept, counted from 1, and how many there were.
    validation_auc
        Of the best epoch; two classes, or the mean of one-vs-rest.
    temperature
        By which the logits were divided.
    """

    best_epoch: int
    epochs: int
    validation_auc: float
    temperature: float


def fit_head(
    head: AttentionHead,
    train: Sequence[Patient],
    validation: Sequence[Patient],
    recipe: RecipeSettings,
    folder: Path,
    configuration: Mapping[str, str],
    bag_size: int = 10,
) -> Generator[Progress, None, Fitted]:
    """Train a fresh head; yield progress, an `EpochProgress` at the end of each epoch.

    It learns on features standardised with the training patients' statistics. Ends with the weights of the
    epoch of the best validation AUC (of equals: the lowest validation loss), standardisation and temperature
    folded in.

    Parameters
    ----------
    head
        Changed in place; it decides how many classes there are.
    train, validation
        Patients, each class among both.
    recipe
        See `RecipeSettings`.
    folder
        Gets `metrics.csv`, and `checkpoint.pt` after each epoch until the end. A checkpoint that lies there
        is gone on from.
    configuration
        What the training depends on besides recipe and head; see `store.checkpoint`.
    bag_size
        Patches a bag.

    Raises
    ------
    StoreError
        The checkpoint belongs to another training, or cannot be written: the disk is full.
    DeviceError
        The loss is not finite.
    """
    n_classes = head.n_classes
    mean, sd = feature_statistics(train)
    labels = np.array([patient.label for patient in train])
    weights = balanced_weights(labels, n_classes) if recipe.class_weights else None
    fitter = Fitter(head.parameters(), recipe, weights)
    state = _Run(head, fitter, folder, {**configuration, **_text(recipe)})
    state.resume(anew=recipe.restart)
    scale = _Scale(mean, sd, bag_size)
    while state.epoch < recipe.epochs and state.epoch - state.best_epoch < recipe.patience:
        epoch = state.epoch + 1
        head.train()
        losses: list[float] = []
        for part in _training_part(head, fitter, train, scale, recipe, epoch):
            losses += part
            yield Progress(f"epoch {epoch}, loss {np.mean(losses):.3f}", epoch - 1, recipe.epochs)
        rate = fitter.learning_rate
        fitter.end_epoch()
        auc, loss = _judged(_validation_logits(head, validation, scale, recipe.seed), validation)
        state.note(epoch, float(np.mean(losses)), auc, loss, rate)
        yield EpochProgress("train head", epoch, recipe.epochs, None, float(np.mean(losses)), auc, loss)
    state.take_best()
    logits = _validation_logits(head, validation, scale, recipe.seed)
    temperature = best_temperature(logits, np.array([patient.label for patient in validation]))
    finish_head(head, mean, sd, temperature)
    return Fitted(state.best_epoch, state.epoch, state.best[0], temperature)


def feature_statistics(patients: Sequence[Patient]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and deviation of each feature over all patches, one patient in memory at a time.

    Features that hardly vary get the deviation of a quiet one, so that noise in them is not blown up.
    """
    n, total, squares = 0, np.zeros(1), np.zeros(1)
    for patient in patients:
        x = patient.take(np.arange(len(patient))).astype(np.float64)
        n, total, squares = n + len(x), total + x.sum(axis=0), squares + (x * x).sum(axis=0)
    mean = total / n
    sd = np.sqrt(np.maximum(squares / n - mean**2, 0.0))
    sd = np.maximum(sd, max(float(np.median(sd)) * 0.05, 1e-6))
    return mean.astype(np.float32), sd.astype(np.float32)


def draw_bags(n_patches: int, n_bags: int, bag_size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (n_bags, bag_size) patches: the shuffled patches cut into bags, shuffled again when used up."""
    times = -(-n_bags * bag_size // n_patches)
    order = np.concatenate([rng.permutation(n_patches) for _ in range(times)])
    return order[: n_bags * bag_size].reshape(n_bags, bag_size)


@dataclass(frozen=True)
class _Scale:
    """How features become a bag: standardised, so many together."""

    mean: NDArray[np.float32]
    sd: NDArray[np.float32]
    bag_size: int

    def bags(self, patient: Patient, n_bags: int, rng: np.random.Generator) -> torch.Tensor:
        """Return float32 (n_bags, bag_size, F)."""
        index = draw_bags(len(patient), n_bags, self.bag_size, rng)
        taken = (patient.take(index.ravel()) - self.mean) / self.sd
        return torch.from_numpy(taken.reshape(*index.shape, -1))


def _training_part(
    head: AttentionHead,
    fitter: Fitter,
    train: Sequence[Patient],
    scale: _Scale,
    recipe: RecipeSettings,
    epoch: int,
) -> Iterator[list[float]]:
    """Take the steps of an epoch, the bags of some patients at a time; yield their losses."""
    rng = np.random.default_rng([recipe.seed, epoch])
    order = rng.permutation(len(train))
    for first in range(0, len(order), PATIENTS_AT_ONCE):
        some = [train[i] for i in order[first : first + PATIENTS_AT_ONCE]]
        x = torch.cat([scale.bags(patient, recipe.bags_per_epoch, rng) for patient in some])
        times = recipe.bags_per_epoch
        clinical = torch.from_numpy(np.stack([p.clinical for p in some]).repeat(times, axis=0))
        label = torch.from_numpy(np.array([p.label for p in some]).repeat(times))
        mixed = torch.from_numpy(rng.permutation(len(x)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))  # of dropout
            losses = [
                fitter.step(bag_logits(head, x[now], clinical[now]), label[now])
                for now in torch.split(mixed, recipe.batch)
            ]
        yield losses


@torch.no_grad()
def _validation_logits(
    head: AttentionHead, patients: Sequence[Patient], scale: _Scale, seed: int
) -> list[NDArray[np.float32]]:
    """Return (bags, classes) logits of each patient, on the same bags in every epoch."""
    head.eval()
    found = []
    for number, patient in enumerate(patients):
        bags = scale.bags(patient, VALIDATION_BAGS, np.random.default_rng([seed, 0, number]))
        clinical = torch.from_numpy(patient.clinical).expand(VALIDATION_BAGS, -1)
        found.append(bag_logits(head, bags, clinical).numpy())
    return found


def _judged(logits: list[NDArray[np.float32]], patients: Sequence[Patient]) -> tuple[float, float]:
    """Return AUC (three classes: mean of one-vs-rest) and loss of the patients' mean bag probabilities."""
    p = np.stack([torch.softmax(torch.from_numpy(x).double(), dim=1).mean(dim=0).numpy() for x in logits])
    labels = np.array([patient.label for patient in patients])
    loss = float(-np.log(np.maximum(p[np.arange(len(p)), labels], 1e-7)).mean())
    return (roc_auc(labels == 1, p[:, 1]) if p.shape[1] == 2 else macro_auc(labels, p)), loss


class _Run:
    """What a training has come to, on disk after each epoch."""

    def __init__(
        self, head: AttentionHead, fitter: Fitter, folder: Path, configuration: dict[str, str]
    ) -> None:
        self._head, self._fitter = head, fitter
        self._folder, self._configuration = folder, configuration
        self.epoch = self.best_epoch = 0
        self.best = (-1.0, 0.0)
        self._best_weights = copy.deepcopy(head.state_dict())
        self._history: list[dict[str, Any]] = []

    def resume(self, *, anew: bool) -> None:
        """Go on from a checkpoint, if there is one and it shall count."""
        state = None if anew else load_checkpoint(self._folder / CHECKPOINT_NAME, self._configuration)
        if state is None:
            return
        self._head.load_state_dict(state["head"])
        self._fitter.load_state_dict(state["fitter"])
        self.epoch, self.best_epoch = state["epoch"], state["best_epoch"]
        self.best, self._best_weights = tuple(state["best"]), state["best_head"]
        self._history = state["history"]

    def note(self, epoch: int, loss: float, auc: float, unseen_loss: float, rate: float) -> None:
        """Write down an epoch that has ended."""
        self.epoch = epoch
        if (auc, -unseen_loss) > self.best:
            self.best, self.best_epoch = (auc, -unseen_loss), epoch
            self._best_weights = copy.deepcopy(self._head.state_dict())
        self._history.append(dict(zip(_COLUMNS, (epoch, loss, auc, unseen_loss, rate), strict=True)))
        state = {
            "head": self._head.state_dict(),
            "fitter": self._fitter.state_dict(),
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best": list(self.best),
            "best_head": self._best_weights,
            "history": self._history,
        }
        save_checkpoint(self._folder / CHECKPOINT_NAME, self._configuration, state)
        with atomic_file(self._folder / METRICS_NAME) as temporary:
            write_table(temporary, _COLUMNS, self._history, ".csv")

    def take_best(self) -> None:
        """Put the best epoch's weights into the head."""
        self._head.load_state_dict(self._best_weights)


def _text(recipe: RecipeSettings) -> dict[str, str]:
    """Return the recipe as far as a training's numbers depend on it."""
    others = {"restart", "name", "download", "encoder_weights", "encoder_from"}
    fields = recipe.model_dump(mode="json", exclude=others)
    return {name.replace("_", " "): str(value) for name, value in fields.items()}
