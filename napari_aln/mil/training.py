"""Training in plain torch: an encoder on patch targets, and the attention head on cached features.

A small trainer for demonstration models: the encoder learns from numbers known of each patch (such as nucleus
counts and shapes), then rests, and the head learns from the patients' labels.
"""

from __future__ import annotations

import copy
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import rankdata
from torch import nn
from torch.nn import functional

from napari_aln.mil.card import CLINICAL_REPEATS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_aln.mil.network import AttentionHead, PatchNetwork
    from napari_aln.settings import TrainSettings

VIEWS = 5
"""Views of a patch to learn from: its four quarters (each a quarter of the work), then the whole."""

_WARM_UP = 0.05  # share of the steps in which the learning rate rises
_CLIP = 1.0
_PATIENTS = 16  # in a step of the head
_VALIDATION_BAGS = 32
_TEMPERATURES = (0.5, 5.0)


@dataclass(frozen=True)
class LabelledPatches:
    """Patches and what is known of them.

    Attributes
    ----------
    pixels
        uint8 (n, S, S, 3); S is even.
    targets
        float32 (n, VIEWS, k): upper left, upper right, lower left, lower right quarter, whole. NaN: unknown.
    """

    pixels: NDArray[np.uint8]
    targets: NDArray[np.float32]

    def view(self, index: NDArray[np.int64], which: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return one view of some patches: uint8 (m, s, s, 3), contiguous, and its (m, k) targets."""
        if which == VIEWS - 1:
            return self.pixels[index], self.targets[index, which]
        half = self.pixels.shape[1] // 2
        top, left = divmod(which, 2)
        part = self.pixels[index, top * half : (top + 1) * half, left * half : (left + 1) * half]
        return np.ascontiguousarray(part), self.targets[index, which]


@contextmanager
def using_threads(n: int) -> Iterator[None]:
    """Let torch compute with `n` threads until the block ends."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit_encoder(
    network: PatchNetwork,
    patches: LabelledPatches,
    *,
    steps: int,
    whole_steps: int,
    batch: int,
    learning_rate: float,
    seed: int,
) -> Iterator[tuple[int, float]]:
    """Train a patch network's encoder to tell the targets of a patch; yield (steps done, running loss).

    A linear layer from the features to the standardised targets is trained along and thrown away. The first
    steps see quarters, the last ones whole patches. bf16 autocast where the processor has it costs no
    accuracy here and halves the time.

    Parameters
    ----------
    network
        Its encoder is changed in place; its head is left alone.
    patches
        What to learn from.
    steps, whole_steps
        Steps on quarters, and on whole patches (with a quarter of the batch) after them.
    batch
        Quarters a step.
    learning_rate
        Highest rate of AdamW; a short warm-up, then a cosine to zero.
    seed
        Of the order, the augmentation and the thrown-away layer.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    mean, sd = _statistics(patches.targets)
    out = nn.Linear(_feature_count(network), patches.targets.shape[2])
    encoder = network.encoder.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = [*encoder.parameters(), *out.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=1e-4)
    total, running = steps + whole_steps, float("nan")
    for step in range(total):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * _schedule(step / total)
        is_whole = step >= steps
        index = rng.integers(len(patches.pixels), size=max(batch // 4, 1) if is_whole else batch)
        pixels, targets = patches.view(index, VIEWS - 1 if is_whole else int(rng.integers(VIEWS - 1)))
        x = _augmented(network, torch.from_numpy(pixels), rng)
        with torch.autocast("cpu", torch.bfloat16):
            features = encoder(x)
        wanted = torch.from_numpy((targets - mean) / sd)
        known = torch.isfinite(wanted)
        misfit = functional.smooth_l1_loss(out(features.float()), wanted.nan_to_num(), reduction="none")
        loss = (misfit * known).sum() / known.sum().clamp(min=1)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, _CLIP)
        optimiser.step()
        running = loss.item() if math.isnan(running) else 0.98 * running + 0.02 * loss.item()
        yield step + 1, running
    network.encoder.eval()


def _feature_count(network: PatchNetwork) -> int:
    return cast("nn.Linear", network.head.fc1[0]).in_features


def _statistics(targets: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and deviation (VIEWS pooled) of each target, unknown ones aside."""
    flat = targets.reshape(-1, targets.shape[2])
    return np.nanmean(flat, axis=0), np.maximum(np.nanstd(flat, axis=0), 1e-6)


def _schedule(progress: float) -> float:
    if progress < _WARM_UP:
        return (progress + 1e-3) / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))


def _augmented(network: PatchNetwork, pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Normalise a batch; turn and mirror it as a whole, and vary brightness and stain patch by patch."""
    n = len(pixels)
    density = -torch.log((pixels.float() + 1.0) / 256.0)
    gain = torch.from_numpy(rng.normal(1.0, 0.10, (n, 1, 1, 1)) * rng.normal(1.0, 0.04, (n, 1, 1, 3))).float()
    light = 256.0 * torch.exp(-density * gain) - 1.0
    x = network.normalise(light)
    x = torch.rot90(x, int(rng.integers(4)), (2, 3))
    if rng.integers(2):
        x = x.flip(3)
    return x.contiguous(memory_format=torch.channels_last)


class FeatureNetwork(nn.Module):
    """A patch network cut before its head: any runtime can compute the features to train a head on."""

    def __init__(self, network: PatchNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn uint8 (n, S, S, 3) into features (n, F), and (n,) values that stand in for a head's e."""
        features = self.network.encoder(self.network.normalise(pixels))
        return features, features[:, 0]


@dataclass(frozen=True)
class LabelledBags:
    """Patients to train a head on: one entry each.

    Attributes
    ----------
    features
        (n_i, F) of each patient's patches.
    clinical
        float32 (p, 5), or (p, 0) for an image-only head.
    positive
        bool (p,).
    """

    features: Sequence[NDArray[np.floating]]
    clinical: NDArray[np.float32]
    positive: NDArray[np.bool_]


def fit_head(
    head: AttentionHead,
    train: LabelledBags,
    validation: LabelledBags,
    settings: TrainSettings,
    bag_size: int = 10,
) -> Iterator[tuple[int, float, float]]:
    """Train a fresh attention head on random bags; yield (epochs done, mean loss, validation AUC).

    Classes weigh the same however many patients they have. The head learns on features standardised with the
    training patients' statistics; these are folded into its first layer, so that it takes features as they
    are. Ends with the weights of the epoch with the best validation AUC (of equals: the lowest loss), its
    logits divided by the temperature that suits the validation patients best (Guo et al. 2017).
    """
    rng = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    mean, sd = _feature_statistics(train.features)
    optimiser = torch.optim.AdamW(
        head.parameters(), lr=settings.head_learning_rate, weight_decay=settings.head_weight_decay
    )
    share = train.positive.mean()
    weight = torch.tensor([0.5 / (1 - share), 0.5 / share]).float()
    label = torch.from_numpy(train.positive.astype(np.int64))
    clinical = torch.from_numpy(train.clinical)
    standard = [torch.from_numpy((np.asarray(f, np.float32) - mean) / sd) for f in train.features]
    unseen = _fixed_bags(validation, mean, sd, bag_size)
    best, best_state, best_epoch = (-1.0, 0.0), copy.deepcopy(head.state_dict()), 0
    for epoch in range(1, settings.head_epochs + 1):
        head.train()
        losses = []
        for _ in range(settings.bags_per_epoch):
            for some in np.array_split(rng.permutation(len(standard)), max(len(standard) // _PATIENTS, 1)):
                bags = torch.stack([_draw(standard[i], bag_size, rng) for i in some])
                loss = functional.cross_entropy(bag_logits(head, bags, clinical[some]), label[some], weight)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                losses.append(loss.item())
        head.eval()
        auc, unseen_loss = _validate(head, unseen, validation.positive)
        if (auc, -unseen_loss) > best:
            best, best_state, best_epoch = (auc, -unseen_loss), copy.deepcopy(head.state_dict()), epoch
        yield epoch, float(np.mean(losses)), auc
        if epoch - best_epoch >= settings.head_patience:
            break
    head.load_state_dict(best_state)
    _temper(head, unseen, validation.positive)
    _fold(head, mean, sd)


def roc_auc(positive: NDArray[np.bool_], score: NDArray[np.floating]) -> float:
    """Return the area under the ROC curve, ties counted half; both classes must be there."""
    rank, n = rankdata(score), int(positive.sum())
    return float((rank[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def bag_logits(head: AttentionHead, bags: torch.Tensor, clinical: torch.Tensor) -> torch.Tensor:
    """Turn bags (b, n, F) and clinical vectors (b, 5 or 0) into logits (b, classes): many at once."""
    b, n, _ = bags.shape
    h = head.embed(bags.flatten(0, 1))  # (b * n, hidden)
    z = head.pool_bags(h.view(b, n, -1), head.attention_logit(h).view(b, n))  # (b, hidden)
    logits: torch.Tensor = head.classifier(torch.cat([z, clinical.repeat(1, CLINICAL_REPEATS)], dim=1))
    return logits


def _fixed_bags(
    patients: LabelledBags, mean: NDArray[np.float32], sd: NDArray[np.float32], bag_size: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the same bags for every epoch: (b, n, F) and clinical vectors (b, 5 or 0) of each patient."""
    rng = np.random.default_rng(0)
    fixed = []
    for raw, clinical in zip(patients.features, patients.clinical, strict=True):
        standard = torch.from_numpy((np.asarray(raw, np.float32) - mean) / sd)
        bags = torch.stack([_draw(standard, bag_size, rng) for _ in range(_VALIDATION_BAGS)])
        fixed.append((bags, torch.from_numpy(clinical).expand(_VALIDATION_BAGS, -1)))
    return fixed


@torch.no_grad()
def _validate(
    head: AttentionHead, fixed: list[tuple[torch.Tensor, torch.Tensor]], positive: NDArray[np.bool_]
) -> tuple[float, float]:
    """Return AUC and loss of the patients' mean bag probabilities."""
    p = np.array([torch.softmax(bag_logits(head, *bags), dim=1)[:, 1].mean().item() for bags in fixed])
    of_truth = np.where(positive, p, 1 - p)
    return roc_auc(positive, p), float(-np.log(np.maximum(of_truth, 1e-7)).mean())


@torch.no_grad()
def _temper(
    head: AttentionHead, fixed: list[tuple[torch.Tensor, torch.Tensor]], positive: NDArray[np.bool_]
) -> None:
    """Divide the head's logits by the temperature of the lowest validation loss: as bold as it is right."""
    head.eval()
    logits = [bag_logits(head, *bags) for bags in fixed]

    def loss(temperature: float) -> float:
        p = np.array([torch.softmax(x / temperature, dim=1)[:, 1].mean().item() for x in logits])
        return float(-np.log(np.maximum(np.where(positive, p, 1 - p), 1e-7)).mean())

    temperature = float(minimize_scalar(loss, bounds=_TEMPERATURES, method="bounded").x)
    layer = cast("nn.Linear", head.classifier[2])
    layer.weight.div_(temperature)
    layer.bias.div_(temperature)


@torch.no_grad()
def _fold(head: AttentionHead, mean: NDArray[np.float32], sd: NDArray[np.float32]) -> None:
    """Make a head that takes ``(x - mean) / sd`` one that takes x; its answers stay the same."""
    layer = cast("nn.Linear", head.fc1[0])
    layer.weight /= torch.from_numpy(sd)
    layer.bias.sub_(layer.weight @ torch.from_numpy(mean))


def _draw(features: torch.Tensor, bag_size: int, rng: np.random.Generator) -> torch.Tensor:
    """Draw a bag without repeats; a patient with fewer patches gives some of them twice."""
    n = len(features)
    return features[rng.permutation(n)[:bag_size] if n >= bag_size else rng.integers(n, size=bag_size)]


def _feature_statistics(
    features: Sequence[NDArray[np.floating]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and deviation of each feature; dead features get the deviation of a quiet one."""
    everything = np.concatenate([np.asarray(f, np.float32) for f in features])
    sd = everything.std(axis=0)
    return everything.mean(axis=0), np.maximum(sd, max(float(np.median(sd)) * 0.05, 1e-6)).astype(np.float32)
