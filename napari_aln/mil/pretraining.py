"""An encoder learns what is known of synthetic patches, such as counts and shapes of nuclei; in plain torch.

It also learns to see the same in a patch that another scanner stored: half of what it sees is recoloured,
softened and compressed anew, and is asked to give the features of the original.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_aln.mil.network import PatchNetwork
    from napari_aln.settings.training import PretrainSettings

VIEWS = 5
"""Views of a patch to learn from: its four quarters (each a quarter of the work), then the whole."""

_WARM_UP = 0.05  # share of the steps in which the learning rate rises
_ALONE, _RISE = 0.3, 0.3  # share of the steps without the demand for sameness, and in which it rises
_CLIP = 1.0
_GAINS, _BLURS_PX, _JPEG_QUALITIES = (0.9, 1.1), (0.0, 0.8), (30, 91)
_QUIET = 0.01  # of the features' mean variance: less counts as this much


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


def rendition(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return patches as another scanner might have stored them: recoloured, softer, and compressed anew.

    Parameters
    ----------
    pixels
        uint8 (n, S, S, 3).
    rng
        Draws for each patch a gain a channel, a blur and a JPEG quality.
    """
    stored = np.empty_like(pixels)
    gains = rng.uniform(*_GAINS, (len(pixels), 1, 1, 3))
    recoloured = np.clip(pixels * gains, 0, 255).astype(np.uint8)
    for index, quality in enumerate(rng.integers(*_JPEG_QUALITIES, len(pixels))):
        file = BytesIO()
        soft = Image.fromarray(recoloured[index]).filter(ImageFilter.GaussianBlur(rng.uniform(*_BLURS_PX)))
        soft.save(file, "JPEG", quality=int(quality))
        stored[index] = np.asarray(Image.open(file))
    return stored


def fit_encoder(
    network: PatchNetwork, patches: LabelledPatches, settings: PretrainSettings
) -> Iterator[tuple[int, float, float]]:
    """Train a patch network's encoder to tell the targets of a patch; yield after each step.

    A linear layer from the features to the standardised targets is trained along and thrown away. The first
    steps see quarters, the last ones whole patches (a quarter as many). AdamW, a short warm-up, then a cosine
    to zero. bf16 autocast where the processor has it costs no accuracy here and halves the time.

    Parameters
    ----------
    network
        Its encoder is changed in place; its head is left alone.
    patches
        What to learn from.
    settings
        See `PretrainSettings`; the seed is that of order, augmentation and the thrown-away layer.

    Yields
    ------
    steps done, running misfit of the targets, running share of the features' variance that lies between a
    patch and its rendition
    """
    rng = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    mean, sd = _statistics(patches.targets)
    out = nn.Linear(_feature_count(network), patches.targets.shape[2])
    encoder = network.encoder.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = [*encoder.parameters(), *out.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=1e-4)
    total = settings.steps + settings.whole_steps
    running: NDArray[np.float64] | None = None
    for step in range(total):
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _schedule(step / total)
        is_whole = step >= settings.steps
        n = settings.batch // (8 if is_whole else 2)
        index = rng.integers(len(patches.pixels), size=n)
        pixels, targets = patches.view(index, VIEWS - 1 if is_whole else int(rng.integers(VIEWS - 1)))
        both = np.concatenate([pixels, rendition(pixels, rng)])
        x = _augmented(network, torch.from_numpy(both), rng)
        with torch.autocast("cpu", torch.bfloat16):
            features = encoder(x)
        features = features.float()
        wanted = torch.from_numpy((targets - mean) / sd).repeat(2, 1)
        known = torch.isfinite(wanted)
        misfits = functional.smooth_l1_loss(out(features), wanted.nan_to_num(), reduction="none")
        misfit = (misfits * known).sum() / known.sum().clamp(min=1)
        apart = _difference(features[:n], features[n:])
        optimiser.zero_grad()
        weight = settings.sameness * _demand(step / total)
        (misfit + weight * apart).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, _CLIP)
        optimiser.step()
        now = np.array([misfit.item(), apart.item()])
        running = now if running is None else 0.98 * running + 0.02 * now
        yield step + 1, float(running[0]), float(running[1])
    network.encoder.eval()


def _difference(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of each feature (n, F), as a share of its variance over patches.

    The variance takes part in the gradient: else smaller features would seem to be more alike.
    """
    variance = torch.cat([first, second]).var(dim=0)
    return ((first - second).square().mean(dim=0) / (variance + _QUIET * variance.mean() + 1e-12)).mean()


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


def _demand(progress: float) -> float:
    """Return the share of the weight of sameness: what has learned nothing yet sees the same everywhere."""
    return min(max((progress - _ALONE) / _RISE, 0.0), 1.0)


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
