"""The nucleus network learns from labelled pictures, in plain torch.

Squares are cut turned, mirrored and rescaled, and recoloured in optical density, so that what is learned does
not hang on the stain and scanner of the few slides that were annotated.
"""

from __future__ import annotations

import hashlib
import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from napari_aln.nuclei.network import FOLD, NucleusNet
from napari_aln.nuclei.targets import targets_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_aln.runtimes.choice import Choice
    from napari_aln.settings.nuclei import NucleiTrainSettings

LEARNED_UM = 0.25
"""µm/px of the squares, before they are rescaled at random."""

_WARM_UP = 0.1  # share of the steps in which the learning rate rises
_CLIP = 1.0
_DEPTH_WEIGHT = 4.0
_MAX_DECAY = 0.998  # of the running mean of the weights
_HUE_SD, _GAIN_SD, _STRENGTH_SD, _GLASS_SD = 0.06, 0.10, 0.18, 0.03
_MAX_BLUR, _MAX_NOISY, _NOISE = 0.3, 0.3, 5.0


@dataclass(frozen=True)
class LabelledPicture:
    """An annotated picture.

    Attributes
    ----------
    name
        Said in errors.
    rgb
        uint8 (H, W, 3).
    labels
        int32 (H, W), 0 = background.
    mpp
        µm/px.
    group
        Pictures of one source. Small groups are shown more often than their area asks for.
    """

    name: str
    rgb: NDArray[np.uint8]
    labels: NDArray[np.int32]
    mpp: float
    group: str = ""


class Step(NamedTuple):
    """A step of training that was done."""

    done: int
    loss: float  # running mean


class _Source(NamedTuple):
    planes: torch.Tensor  # uint8 (6, H, W): RGB, then foreground, depth, weight in 0..255
    mpp: float


def digest(pictures: Sequence[LabelledPicture]) -> str:
    """Return the SHA-256 of pixels, labels and µm/px of pictures in their order; their names are left out."""
    found = hashlib.sha256()
    for picture in pictures:
        found.update(f"{picture.rgb.shape} {picture.mpp!r}|".encode())
        found.update(np.ascontiguousarray(picture.rgb, np.uint8).data)
        found.update(np.ascontiguousarray(picture.labels, np.int32).data)
    return found.hexdigest()


def fit_nuclei(
    network: NucleusNet, pictures: Sequence[LabelledPicture], settings: NucleiTrainSettings, choice: Choice
) -> Iterator[Step]:
    """Train the network in place; yield after each step.

    AdamW with a warm-up and a cosine to zero. At the end the network holds the running mean of its weights,
    which is steadier than the last of them.

    Parameters
    ----------
    network
        Is left in eval mode on the CPU.
    pictures
        At least one, with at least one nucleus.
    settings
        See `NucleiTrainSettings`.
    choice
        Device and precision.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    sources = [_source(picture) for picture in pictures]
    share = _shares(pictures)
    network.train().to(choice.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-3)
    mean = {name: value.detach().clone() for name, value in network.state_dict().items()}
    running = None
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _schedule(step / settings.steps)
        chosen = rng.choice(len(sources), size=settings.batch, p=share)
        planes = torch.stack([_square(sources[k], settings.square_px, rng) for k in chosen])
        planes = planes.to(choice.device)
        rgb = _recoloured(planes[:, :3]).contiguous(memory_format=torch.channels_last)
        with _autocast(choice):
            foreground, depth = network.logits(rgb)
        loss = _loss(foreground.float(), depth.float(), planes[:, 3:] / 255)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimiser.step()
        _follow(mean, network, min(_MAX_DECAY, (step + 1) / (step + 10)))
        now = float(loss.item())
        running = now if running is None else 0.98 * running + 0.02 * now
        yield Step(step + 1, running)
    network.load_state_dict(mean)
    network.eval().to("cpu")


def _shares(pictures: Sequence[LabelledPicture]) -> NDArray[np.float64]:
    """Return how often each picture is shown: by the root of its area, groups by the root of their sum."""
    share = np.array([math.sqrt(p.labels.size) * p.mpp for p in pictures])
    group = np.unique([p.group for p in pictures], return_inverse=True)[1]
    share /= np.sqrt(np.bincount(group, weights=share))[group]
    total: NDArray[np.float64] = share / share.sum()
    return total


def seen_mpp(pictures: Sequence[LabelledPicture]) -> float:
    """Return the median µm/px of what the network is shown."""
    mpp = np.array([picture.mpp for picture in pictures])
    order = np.argsort(mpp)
    total = np.cumsum(_shares(pictures)[order])
    return float(round(mpp[order][np.searchsorted(total, total[-1] / 2)], 3))


def _autocast(choice: Choice) -> torch.autocast | nullcontext[None]:
    return torch.autocast(choice.device, torch.bfloat16) if choice.precision == "bf16" else nullcontext()


def _schedule(progress: float) -> float:
    if progress < _WARM_UP:
        return 0.05 + 0.95 * progress / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))


@torch.no_grad()
def _follow(mean: dict[str, torch.Tensor], network: nn.Module, decay: float) -> None:
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            mean[name].lerp_(value, 1 - decay)
        else:
            mean[name].copy_(value)


def _source(picture: LabelledPicture) -> _Source:
    targets = targets_of(picture.labels, picture.mpp)
    planes = [*np.moveaxis(picture.rgb, 2, 0)]
    planes += [targets.foreground * 255, targets.depth * 255, targets.weight / targets.weight.max() * 255]
    stacked = np.stack([np.asarray(plane + 0.5 if plane.dtype != np.uint8 else plane) for plane in planes])
    return _Source(torch.from_numpy(np.ascontiguousarray(stacked.astype(np.uint8))), picture.mpp)


def _square(source: _Source, side: int, rng: np.random.Generator) -> torch.Tensor:
    """Cut a float (6, side, side) square anywhere, turned, mirrored, rescaled; outside is mirrored in."""
    _, height, width = source.planes.shape
    scale = LEARNED_UM / source.mpp * math.exp(rng.uniform(-math.log(1.4), math.log(1.4)))  # px a pixel
    angle = rng.uniform(0, 2 * math.pi)
    reach = side * scale / 2
    x, y = (rng.uniform(min(reach, n / 2), max(n - reach, n / 2)) for n in (width, height))
    cut = math.ceil(reach * math.sqrt(2)) + 2
    left, top = max(0, int(x) - cut), max(0, int(y) - cut)
    part = source.planes[:, top : int(y) + cut + 1, left : int(x) + cut + 1].float()
    if scale > 1.3:  # as a scanner of that resolution would have seen it
        part = functional.avg_pool2d(part[None], 3, 1, 1, count_include_pad=False)[0]
    c, s = math.cos(angle) * scale, math.sin(angle) * scale
    mirror = 1.0 if rng.random() < 0.5 else -1.0
    grid = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
    down, right = torch.meshgrid(grid, grid * mirror, indexing="ij")
    column, row = x - left + c * right - s * down, y - top + s * right + c * down
    at = torch.stack([2 * column / part.shape[2] - 1, 2 * row / part.shape[1] - 1], dim=-1)
    return functional.grid_sample(
        part[None], at[None], mode="bilinear", padding_mode="reflection", align_corners=False
    )[0]


def _recoloured(rgb: torch.Tensor) -> torch.Tensor:
    """Return (n, 3, S, S) in 0..255 as another stain and scanner might have made it."""
    n, device = len(rgb), rgb.device
    if float(torch.rand(())) < _MAX_BLUR:
        soft = functional.avg_pool2d(rgb, 3, 1, 1, count_include_pad=False)
        share = torch.rand(n, 1, 1, 1, device=device) * 1.6 - 0.8  # below 0: sharper
        rgb = rgb + share * (soft - rgb)
    density = -torch.log((rgb.clamp(0, 255) + 1) / 256)
    mix = torch.eye(3, device=device) + _HUE_SD * torch.randn(n, 3, 3, device=device)
    gain = torch.exp(
        _GAIN_SD * torch.randn(n, 3, 1, device=device) + _STRENGTH_SD * torch.randn(n, 1, 1, device=device)
    )
    density = torch.bmm(mix * gain, density.flatten(2)).view_as(density)
    glass = 1 + _GLASS_SD * torch.randn(n, 3, 1, 1, device=device)
    light = 256 * torch.exp(-density) * glass - 1
    if float(torch.rand(())) < _MAX_NOISY:
        light = light + _NOISE * torch.rand(n, 1, 1, 1, device=device) * torch.randn_like(light)
    return light.clamp(0, 255)


def _loss(foreground: torch.Tensor, depth: torch.Tensor, planes: torch.Tensor) -> torch.Tensor:
    wanted, weight = planes[:, :1], planes[:, 2:] / planes[:, 2:].amax().clamp(min=1e-6)
    misfit = functional.binary_cross_entropy_with_logits(foreground, wanted, reduction="none")
    found = torch.sigmoid(foreground)
    both = (found * wanted).sum(dim=(1, 2, 3)) + 1
    dice = 1 - (2 * both / (found.sum(dim=(1, 2, 3)) + wanted.sum(dim=(1, 2, 3)) + 2)).mean()
    inner, counts = functional.avg_pool2d(planes[:, 1:2], FOLD), functional.avg_pool2d(weight, FOLD)
    deep = functional.smooth_l1_loss(torch.sigmoid(depth), inner, reduction="none", beta=0.1)
    spread = weight.mean()
    return (misfit * weight).mean() / spread + dice + _DEPTH_WEIGHT * (deep * counts).mean() / spread
