"""A head learns on stored features: bags drawn anew in each epoch, of some patients at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_aln.mil.fitting import Fitter, balanced_weights, fold_statistics, temper
from napari_aln.mil.training import bag_logits
from napari_aln.workflows.training.epochs import VALIDATION_BAGS, Learner, bags_of, draw_bags, run_epochs

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.mil.network import AttentionHead
    from napari_aln.records import Progress
    from napari_aln.settings.training import RecipeSettings
    from napari_aln.workflows.training.epochs import Fitted, Patient, Tally

PATIENTS_AT_ONCE = 32
"""Patients whose bags are in memory together, and are mixed."""


def fit_head(
    head: AttentionHead,
    train: Sequence[Patient[np.float32]],
    validation: Sequence[Patient[np.float32]],
    recipe: RecipeSettings,
    folder: Path,
    configuration: Mapping[str, str],
    bag_size: int = 10,
) -> Generator[Progress, None, Fitted]:
    """Train a fresh head; yield progress and return how it went, see `epochs.run_epochs`.

    It learns on features standardised with the training patients' statistics. Ends with the weights of the
    best epoch, standardisation and temperature folded in.

    Parameters
    ----------
    head
        Changed in place; it decides how many classes there are.
    train, validation
        Patients, each class among both.
    recipe
        See `RecipeSettings`.
    folder, configuration
        See `run_epochs`.
    bag_size
        Patches a bag.

    Raises
    ------
    StoreError, DeviceError
        See `run_epochs`.
    """
    learner = _HeadLearner(head, train, validation, recipe, bag_size)
    fitted = yield from run_epochs(learner, recipe, folder, configuration)
    fold_statistics(head, learner.mean, learner.sd)
    temper(head, fitted.temperature)
    return fitted


def feature_statistics(
    patients: Sequence[Patient[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
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


class _HeadLearner(Learner):
    """A head with patients whose features are standardised as they become bags."""

    module: AttentionHead

    def __init__(
        self,
        head: AttentionHead,
        train: Sequence[Patient[np.float32]],
        validation: Sequence[Patient[np.float32]],
        recipe: RecipeSettings,
        bag_size: int,
    ) -> None:
        labels, unseen = (np.array([p.label for p in patients]) for patients in (train, validation))
        weights = balanced_weights(labels, head.n_classes) if recipe.class_weights else None
        super().__init__(head, Fitter(head.parameters(), recipe, weights), head.n_classes, labels, unseen)
        self._train, self._validation, self._recipe, self._bag_size = train, validation, recipe, bag_size
        self.mean, self.sd = feature_statistics(train)

    def _bags(self, patient: Patient[np.float32], n_bags: int, rng: np.random.Generator) -> torch.Tensor:
        """Return float32 (n_bags, bag_size, F)."""
        index = draw_bags(len(patient), n_bags, self._bag_size, rng)
        taken = (patient.take(index.ravel()) - self.mean) / self.sd
        return torch.from_numpy(taken.reshape(*index.shape, -1))

    def steps(self, epoch: int, tally: Tally) -> Iterator[str]:
        """Take the steps of an epoch, the bags of some patients at a time; yield after each lot."""
        self.module.train()
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, epoch])
        order = rng.permutation(len(self._train))
        for first in range(0, len(order), PATIENTS_AT_ONCE):
            some: list[int] = order[first : first + PATIENTS_AT_ONCE].tolist()
            times = [bags_of(len(self._train[i]), recipe, self._bag_size) for i in some]
            x = torch.cat([self._bags(self._train[i], n, rng) for i, n in zip(some, times, strict=True)])
            who = np.repeat(some, times)
            clinical = torch.from_numpy(
                np.stack([self._train[i].clinical for i in some]).repeat(times, axis=0)
            )
            label = torch.from_numpy(self.train_labels[who])
            mixed = torch.from_numpy(rng.permutation(len(x)))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(rng.integers(2**62)))  # of dropout
                for now in torch.split(mixed, recipe.batch):
                    logits = bag_logits(self.module, x[now], clinical[now])
                    tally.add(self.fitter.step(logits, label[now]), who[now.numpy()], logits)
            yield ""

    @torch.no_grad()
    def validation_logits(self) -> Generator[Progress, None, NDArray[np.float32]]:
        """Return (patients, VALIDATION_BAGS, classes); no work to be ended in between."""
        yield from ()
        self.module.eval()
        found = []
        for number, patient in enumerate(self._validation):
            bags = self._bags(patient, VALIDATION_BAGS, np.random.default_rng([self._recipe.seed, 0, number]))
            clinical = torch.from_numpy(patient.clinical).expand(VALIDATION_BAGS, -1)
            found.append(bag_logits(self.module, bags, clinical).numpy())
        return np.stack(found)
