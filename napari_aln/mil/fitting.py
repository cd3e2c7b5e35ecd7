"""Steps of training as the papers take them: optimiser, schedule, penalties, class weights; and calibration.

Who keeps the checkpoints is `workflows.training.epochs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from torch import nn
from torch.nn import functional

from napari_aln.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from napari_aln.mil.network import AttentionHead
    from napari_aln.settings.training import RecipeSettings

_TEMPERATURES = (0.2, 10.0)


class Fitter:
    """Optimiser and schedule of one training run, with all they remember between steps.

    Parameters
    ----------
    parameters
        What is trained; those that need no gradient rest.
    recipe
        Optimiser, learning rate, momentum, penalties and schedule.
    class_weights
        (classes,) by which each class's loss is multiplied; None: all 1.
    backward
        Computes the gradients of a loss, where that is not torch's own way.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        recipe: RecipeSettings,
        class_weights: NDArray[np.floating] | None = None,
        backward: Callable[[torch.Tensor], None] | None = None,
    ) -> None:
        self._parameters = [p for p in parameters if p.requires_grad]
        self._l1 = recipe.l1
        self._backward = backward or torch.Tensor.backward
        self._weights = None if class_weights is None else torch.from_numpy(np.float32(class_weights))
        common: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
        self.optimiser: torch.optim.Optimizer = (
            torch.optim.SGD(self._parameters, momentum=recipe.momentum, **common)
            if recipe.optimiser == "sgd"
            else torch.optim.Adam(self._parameters, **common)
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
            self.optimiser, recipe.restart_epochs, recipe.restart_factor
        )

    @property
    def learning_rate(self) -> float:
        """Return the rate of the next step."""
        return float(self.optimiser.param_groups[0]["lr"])

    def step(self, logits: torch.Tensor, label: torch.Tensor) -> float:
        """Take one step and return the loss it was taken for, the L1 penalty included.

        Parameters
        ----------
        logits
            (b, classes) of b bags.
        label
            (b,) class of each.

        Raises
        ------
        DeviceError
            The loss is not finite: what was trained is past saving.
        """
        return known_loss(self.begin_step(logits, label))

    def begin_step(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Take one step as `step` does, without waiting for the device; read its loss by `known_loss`."""
        # Not torch's weighted mean: divided by the batch's own weights, they cancel in a batch of one.
        each = functional.cross_entropy(logits, label, reduction="none")
        loss = (each if self._weights is None else each * self._weights.to(label.device)[label]).mean()
        if self._l1:
            loss = loss + self._l1 * torch.stack([p.abs().sum() for p in self._parameters]).sum()
        self.optimiser.zero_grad()
        self._backward(loss)
        self.optimiser.step()
        return loss.detach()

    def end_epoch(self) -> None:
        """Move on in the schedule."""
        self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on as if nothing had happened: tensors and plain values."""
        return {"optimiser": self.optimiser.state_dict(), "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])


def known_loss(loss: torch.Tensor) -> float:
    """Return the loss of a step, once the device has come to it.

    Raises
    ------
    DeviceError
        It is not finite: what was trained is past saving.
    """
    value = loss.item()
    if not np.isfinite(value):
        raise DeviceError(
            f"The loss became {value}: training ran away.", "Lower the learning rate (--learning-rate)."
        )
    return value


def balanced_weights(labels: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Return (n_classes,) weights under which all classes weigh the same, 1 on average over the patients."""
    counts = np.bincount(labels, minlength=n_classes)
    weights: NDArray[np.float64] = len(labels) / (n_classes * counts)
    return weights


def best_temperature(logits: Sequence[NDArray[np.floating]], labels: NDArray[np.int64]) -> float:
    """Return the temperature under which the patients' probabilities fit their labels best.

    Guo et al. 2017, on the mean of the bag probabilities, since that is what is reported.

    Parameters
    ----------
    logits
        (bags, classes) of each patient.
    labels
        (p,) class of each patient.
    """

    def loss(temperature: float) -> float:
        p = [softmax(x / temperature, axis=1).mean(axis=0)[k] for x, k in zip(logits, labels, strict=True)]
        return float(-np.log(np.maximum(p, 1e-7)).mean())

    return float(minimize_scalar(loss, bounds=_TEMPERATURES, method="bounded").x)


@torch.no_grad()
def fold_statistics(head: AttentionHead, mean: NDArray[np.floating], sd: NDArray[np.floating]) -> None:
    """Fold standardisation into a head, so that it takes features as they are."""
    first = cast("nn.Linear", head.fc1[0])
    first.weight /= torch.from_numpy(np.float32(sd))
    first.bias.sub_(first.weight @ torch.from_numpy(np.float32(mean)))


@torch.no_grad()
def temper(head: AttentionHead, temperature: float) -> None:
    """Fold a temperature into a head, so that its probabilities are calibrated."""
    last = cast("nn.Linear", head.classifier[2])
    last.weight.div_(temperature)
    last.bias.div_(temperature)
