"""Augmentation of patches on the device, by torchvision's transforms: each patch drawn by itself, by seed.

The names are those of Shkembi et al.; the paper states a range for the rotation only. Ours are mild, so that
a patch stays one that a scanner could have made; those of the four policies are torchvision's own.
"""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from napari_aln.runtimes.torchvision_import import torchvision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_aln.settings.training import Augmentation

    Transform = Callable[[torch.Tensor], torch.Tensor]

MIXED = ("rotation", "shear", "erasing", "vertical-flip")
"""What `mixture` applies one after another: the four best of the paper's Table 2."""

_GLASS = 255.0
"""What a patch that was turned or moved leaves free."""


def augmentation(name: Augmentation, side_px: int) -> Transform | None:
    """Return the transform of one uint8 patch (3, S, S); None: patches stay as they are.

    Parameters
    ----------
    name
        See `settings.training.Augmentation`.
    side_px
        S, which the transform keeps.
    """
    if name == "none":
        return None
    v2: Any = importlib.import_module(f"{torchvision.__name__}.transforms.v2")
    if name == "mixture":
        chosen: Transform = v2.Compose([_single(v2, part, side_px) for part in MIXED])
        return chosen
    return _single(v2, name, side_px)


def _single(v2: Any, name: str, side_px: int) -> Transform:  # noqa: ANN401 - torchvision is untyped
    bilinear = v2.InterpolationMode.BILINEAR

    def affine(**ranges: Any) -> Transform:  # noqa: ANN401 - see above
        made: Transform = v2.RandomAffine(**({"degrees": 0} | ranges), interpolation=bilinear, fill=_GLASS)
        return made

    makers: dict[str, Callable[[], Transform]] = {
        "rotation": lambda: v2.RandomRotation(10, interpolation=bilinear, fill=_GLASS),
        "shear": lambda: affine(shear=(-10, 10, -10, 10)),
        "scale": lambda: affine(scale=(0.8, 1.2)),
        "translate": lambda: affine(translate=(0.1, 0.1)),
        "horizontal-flip": v2.RandomHorizontalFlip,
        "vertical-flip": v2.RandomVerticalFlip,
        "brightness": lambda: v2.ColorJitter(brightness=0.2),
        "contrast": lambda: v2.ColorJitter(contrast=0.2),
        "saturation": lambda: v2.ColorJitter(saturation=0.2),
        "hue": lambda: v2.ColorJitter(hue=0.05),
        "greyscale": lambda: v2.RandomGrayscale(0.5),
        "solarise": lambda: v2.RandomSolarize(threshold=192, p=0.5),
        "posterise": lambda: v2.RandomPosterize(bits=4, p=0.5),
        "erasing": lambda: v2.RandomErasing(p=0.5, value=int(_GLASS)),
        "crop": lambda: v2.RandomResizedCrop(side_px, scale=(0.7, 1.0), ratio=(1.0, 1.0), antialias=True),
        "augmix": v2.AugMix,
        "autoaugment": v2.AutoAugment,
        "randaugment": v2.RandAugment,
        "trivialaugment": v2.TrivialAugmentWide,
    }
    return makers[name]()


def augmented(pixels: torch.Tensor, transform: Transform | None, seed: int) -> torch.Tensor:
    """Return patches transformed one by one; the same seed gives the same on the same device.

    The state of torch's generators is as before afterwards.

    Parameters
    ----------
    pixels
        uint8 (n, S, S, 3), on any device.
    transform
        See `augmentation`.
    seed
        Draws what is done to each patch.

    Returns
    -------
    uint8 (n, S, S, 3).
    """
    if transform is None:
        return pixels
    with seeded(seed, pixels.device):
        done = [transform(patch) for patch in pixels.permute(0, 3, 1, 2)]
    return torch.stack(done).permute(0, 2, 3, 1)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Let torch draw by a seed until the block ends, and as before after it."""
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices, device_type="cuda"):
        torch.manual_seed(seed)
        yield
