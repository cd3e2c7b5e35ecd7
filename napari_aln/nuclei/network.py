"""The small network that finds nuclei: a U-Net from RGB to nucleus or not, and how deep inside a nucleus.

Its first layer folds 2 x 2 pixels into channels and its last unfolds them, so that it computes at half the
resolution and answers at the full one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTHS = (32, 64, 96, 128)
"""Channels from half the resolution down to a sixteenth."""

MAX_PARAMETERS = 2_000_000
FOLD = 2
_LOGITS = FOLD**2 + 1  # four pixels of foreground, one depth for all of them


def stride_px(widths: Sequence[int]) -> int:
    """Return the px of which sides of pictures, and shifts that leave the answer alone, are multiples."""
    return FOLD << (len(widths) - 1)


def reach_px(widths: Sequence[int]) -> int:
    """Return how far from a pixel others may bear on its answer, rounded up to whole strides."""
    levels = len(widths)
    convolutions = [4 if level < levels - 1 else 2 for level in range(levels)]
    reach = sum(n * (FOLD << level) for level, n in enumerate(convolutions))
    reach += sum(FOLD << level for level in range(1, levels))  # bilinear enlargement looks at a neighbour
    stride = stride_px(widths)
    return -(-(reach + FOLD) // stride) * stride


def _twice(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, 3, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )


class NucleusNet(nn.Module):
    """Takes uint8 (n, H, W, 3), sides multiples of `stride_px`.

    Returns (n, H, W), the probability of nucleus, and (n, H/2, W/2), the depth: 0 at the edge of a nucleus
    and outside, 1 at its innermost point.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.widths = tuple(widths)
        first, *deeper = self.widths
        self.down = nn.ModuleList(
            _twice(into, out) for into, out in zip((3 * FOLD**2, *self.widths), self.widths, strict=False)
        )
        self.narrow = nn.ModuleList(
            nn.Conv2d(below, here, 1) for here, below in zip(self.widths, deeper, strict=False)
        )
        self.up = nn.ModuleList(_twice(2 * here, here) for here in self.widths[:-1])
        self.out = nn.Conv2d(first, _LOGITS, 1)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return probability of nucleus and depth."""
        foreground, depth = self.logits(pixels.permute(0, 3, 1, 2).float())
        return torch.sigmoid(foreground)[:, 0], torch.sigmoid(depth)[:, 0]

    def logits(self, rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (n, 1, H, W) and (n, 1, H/2, W/2) before the sigmoid, of (n, 3, H, W) in 0..255."""
        x = functional.pixel_unshuffle(rgb / 127.5 - 1.0, FOLD)
        skips = []
        for level, block in enumerate(self.down):
            if level:
                x = functional.max_pool2d(x, 2)
            x = block(x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = functional.interpolate(
                self.narrow[level](x), scale_factor=2.0, mode="bilinear", align_corners=False
            )
            x = self.up[level](torch.cat([x, skips[level]], dim=1))
        x = self.out(x).float()
        return functional.pixel_shuffle(x[:, : FOLD**2], FOLD), x[:, FOLD**2 :]


def parameter_count(network: nn.Module) -> int:
    """Return how many numbers are learned."""
    return sum(cast("torch.Tensor", p).numel() for p in network.parameters())
