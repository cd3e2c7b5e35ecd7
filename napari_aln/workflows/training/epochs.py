"""The epochs of a training, whatever learns: the best one kept, curves written, resumable after any end.

All that is drawn in an epoch follows from seed, epoch and patient, so a run that is cut off needs no state of
a random generator to go on to the same weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import torch

from napari_aln.cohort.writing import write_table
from napari_aln.evaluation.auc import roc_auc
from napari_aln.evaluation.multiclass import macro_auc
from napari_aln.mil.fitting import best_temperature
from napari_aln.records import Progress
from napari_aln.store.atomic import atomic_file
from napari_aln.store.checkpoint import load_checkpoint, save_checkpoint
from napari_aln.workflows.training.curves import CHECKPOINT_NAME, METRICS_NAME

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.mil.fitting import Fitter
    from napari_aln.settings.training import RecipeSettings

VALIDATION_BAGS = 16
"""Bags of a validation patient, the same in every epoch."""

_COLUMNS: dict[str, type] = {
    "epoch": int,
    "loss": float,
    "validation_auc": float,
    "validation_loss": float,
    "learning_rate": float,
    "training_auc": float,
}
_NO_MATTER = {
    *("restart", "name", "download", "fresh", "encoder_weights", "encoder_from"),  # weights count by hash
    *("remarks", "licence", "stored_weights", "workers"),
}


Value_co = TypeVar("Value_co", bound=np.generic, covariant=True)


class Patient(Protocol[Value_co]):
    """What a training learns from: patches as float32 features, or as uint8 pixels."""

    @property
    def label(self) -> int:
        """Index of the class."""

    @property
    def clinical(self) -> NDArray[np.float32]:
        """Clinical vector (5,) or (0,)."""

    def __len__(self) -> int:
        """Return the number of patches."""

    def take(self, index: NDArray[np.int64]) -> NDArray[Value_co]:
        """Return the features (m, F) or pixels (m, S, S, 3) of some patches."""


@dataclass(frozen=True, slots=True)
class EpochProgress(Progress):
    """The end of an epoch: what a curve is drawn from."""

    loss: float = float("nan")
    validation_auc: float = float("nan")
    validation_loss: float = float("nan")
    training_auc: float = float("nan")


@dataclass(frozen=True)
class Fitted:
    """How the training went; what was trained holds the weights.

    Attributes
    ----------
    best_epoch, epochs
        The epoch that was kept, counted from 1, and how many there were.
    validation_auc
        Of the best epoch; two classes, or the mean of one-vs-rest.
    temperature
        By which the logits are to be divided.
    """

    best_epoch: int
    epochs: int
    validation_auc: float
    temperature: float


class Tally:
    """What the steps of an epoch gave: losses, and the training patients' probabilities as they went by."""

    def __init__(self, labels: NDArray[np.int64], n_classes: int) -> None:
        self._labels = labels
        self._sums = np.zeros((len(labels) + 1, n_classes + 1))  # last column: bags; last row: loss and steps

    def add(self, loss: float, patients: NDArray[np.int64], logits: torch.Tensor) -> None:
        """Note a step.

        Parameters
        ----------
        loss
            Of the step.
        patients
            (b,) whose bags they were.
        logits
            (b, classes).
        """
        p = torch.softmax(logits.detach().double().cpu(), dim=1).numpy()
        np.add.at(self._sums, patients, np.column_stack([p, np.ones(len(p))]))
        self._sums[-1, :2] += loss, 1.0

    def gather(self, learner: Learner) -> None:
        """Take in what the other processes noted."""
        self._sums = learner.summed(self._sums)

    @property
    def loss(self) -> float:
        """Return the mean loss of the steps so far."""
        return float(self._sums[-1, 0] / self._sums[-1, 1])

    @property
    def auc(self) -> float:
        """Return the training AUC: of weights that moved meanwhile, and with dropout. NaN: a class unseen."""
        seen = self._sums[:-1, -1] > 0
        p, labels = self._sums[:-1, :-1][seen] / self._sums[:-1, -1:][seen], self._labels[seen]
        if len(np.unique(labels)) < p.shape[1]:
            return float("nan")
        return _auc(p, labels)


class Learner(ABC):
    """What learns, with the patients it learns from.

    Parameters
    ----------
    module
        What is trained; its state is what a checkpoint keeps.
    fitter
        Takes the steps.
    n_classes
        2 or 3.
    train_labels, validation_labels
        Index of each patient's class.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        fitter: Fitter,
        n_classes: int,
        train_labels: NDArray[np.int64],
        validation_labels: NDArray[np.int64],
    ) -> None:
        self.module, self.fitter, self.n_classes = module, fitter, n_classes
        self.train_labels, self.validation_labels = train_labels, validation_labels

    @abstractmethod
    def steps(self, epoch: int, tally: Tally) -> Iterator[str]:
        """Take and note the steps of an epoch; yield how far it is, in words, where work can be ended."""

    @abstractmethod
    def validation_logits(self) -> Generator[Progress, None, NDArray[np.float32]]:
        """Return (patients, VALIDATION_BAGS, classes), on the same bags every time."""

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files."""
        return True

    def summed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over all processes that train together."""
        return values


def run_epochs(
    learner: Learner, recipe: RecipeSettings, folder: Path, configuration: Mapping[str, str]
) -> Generator[Progress, None, Fitted]:
    """Train; yield progress, an `EpochProgress` at the end of each epoch.

    Ends with the weights of the epoch of the best validation AUC (of equals: the lowest validation loss).

    Parameters
    ----------
    learner
        Its module is changed in place.
    recipe
        Epochs, patience and all that a checkpoint must agree in.
    folder
        Gets `metrics.csv`, and `checkpoint.pt` after each epoch until the end. A checkpoint that lies there
        is gone on from.
    configuration
        What the training depends on besides recipe and module; see `store.checkpoint`.

    Raises
    ------
    StoreError
        The checkpoint belongs to another training, or cannot be written: the disk is full.
    DeviceError
        The loss is not finite.
    """
    run = _Run(learner, folder, {**configuration, **_text(recipe)})
    run.resume(anew=recipe.restart)
    while run.goes_on(recipe):
        epoch = run.epoch + 1
        tally = Tally(learner.train_labels, learner.n_classes)
        for far in learner.steps(epoch, tally):
            yield Progress(f"epoch {epoch}{far}, loss {tally.loss:.3f}", epoch - 1, recipe.epochs)
        rate = learner.fitter.learning_rate
        learner.fitter.end_epoch()
        tally.gather(learner)
        logits = yield from learner.validation_logits()
        auc, loss = judged(logits, learner.validation_labels)
        run.note((epoch, tally.loss, auc, loss, rate, tally.auc))
        yield EpochProgress(f"epoch {epoch}", epoch, recipe.epochs, None, tally.loss, auc, loss, tally.auc)
    run.take_best()
    logits = yield from learner.validation_logits()
    temperature = best_temperature(list(logits), learner.validation_labels)
    return Fitted(run.best_epoch, run.epoch, run.best[0], temperature)


def judged(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return AUC (three classes: mean of one-vs-rest) and loss of the patients' mean bag probabilities.

    Parameters
    ----------
    logits
        (patients, bags, classes).
    labels
        (patients,).
    """
    p = torch.softmax(torch.from_numpy(logits).double(), dim=2).mean(dim=1).numpy()
    loss = float(-np.log(np.maximum(p[np.arange(len(p)), labels], 1e-7)).mean())
    return _auc(p, labels), loss


def draw_bags(n_patches: int, n_bags: int, bag_size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (n_bags, bag_size) patches: the shuffled patches cut into bags, shuffled again when used up."""
    times = -(-n_bags * bag_size // n_patches)
    order = np.concatenate([rng.permutation(n_patches) for _ in range(times)])
    return order[: n_bags * bag_size].reshape(n_bags, bag_size)


def bags_of(n_patches: int, recipe: RecipeSettings, bag_size: int) -> int:
    """Return how many bags of a patient an epoch takes: as set, else as many as the patches fill."""
    return recipe.bags_per_epoch or max(n_patches // bag_size, 1)


def _auc(p: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return roc_auc(labels == 1, p[:, 1]) if p.shape[1] == 2 else macro_auc(labels, p)


class _Run:
    """What a training has come to, on disk after each epoch."""

    def __init__(self, learner: Learner, folder: Path, configuration: dict[str, str]) -> None:
        self._learner = learner
        self._folder, self._configuration = folder, configuration
        self.epoch = self.best_epoch = 0
        self.best = (-1.0, 0.0)
        self._best_weights = _copied(learner.module)
        self._history: list[dict[str, Any]] = []

    def goes_on(self, recipe: RecipeSettings) -> bool:
        """Whether there is another epoch to come."""
        limit = recipe.stop_above_training_auc
        if limit is not None and self._history and self._history[-1]["training_auc"] > limit:
            return False
        return self.epoch < recipe.epochs and self.epoch - self.best_epoch < recipe.patience

    def resume(self, *, anew: bool) -> None:
        """Go on from a checkpoint, if there is one and it shall count."""
        state = None if anew else load_checkpoint(self._folder / CHECKPOINT_NAME, self._configuration)
        if state is None:
            return
        self._learner.module.load_state_dict(state["weights"])
        self._learner.fitter.load_state_dict(state["fitter"])
        self.epoch, self.best_epoch = state["epoch"], state["best_epoch"]
        self.best, self._best_weights = tuple(state["best"]), state["best_weights"]
        self._history = state["history"]

    def note(self, line: tuple[Any, ...]) -> None:
        """Write down an epoch that has ended, given as `_COLUMNS`."""
        said = dict(zip(_COLUMNS, line, strict=True))
        self.epoch = said["epoch"]
        standing = said["validation_auc"], -said["validation_loss"]
        if standing > self.best:
            self.best, self.best_epoch = standing, self.epoch
            self._best_weights = _copied(self._learner.module)
        self._history.append(said)
        if not self._learner.writes:
            return
        state = {
            "weights": self._learner.module.state_dict(),
            "fitter": self._learner.fitter.state_dict(),
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best": list(self.best),
            "best_weights": self._best_weights,
            "history": self._history,
        }
        save_checkpoint(self._folder / CHECKPOINT_NAME, self._configuration, state)
        with atomic_file(self._folder / METRICS_NAME) as temporary:
            write_table(temporary, _COLUMNS, self._history, ".csv")

    def take_best(self) -> None:
        """Put the best epoch's weights into what was trained."""
        self._learner.module.load_state_dict(self._best_weights)


def _copied(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


def _text(recipe: RecipeSettings) -> dict[str, str]:
    """Return the recipe as far as a training's numbers depend on it."""
    fields = recipe.model_dump(mode="json", exclude=_NO_MATTER)
    return {name.replace("_", " "): str(value) for name, value in fields.items()}
