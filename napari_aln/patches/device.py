"""Entropy and resizing as torch operations, so that patches can go up to a device as uint8.

Imports torch: nothing imports this module from a package's ``__init__``.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from napari_aln.patches.entropy import LUMA_WEIGHTS

Tensor = torch.Tensor


def grey_torch(rgb: Tensor) -> Tensor:
    """Return the (n, H, W) int32 grey value 0..255 of (n, H, W, 3) uint8, as `entropy.grey_uint8`."""
    red, green, blue = (
        rgb[..., channel].to(torch.int32) * weight for channel, weight in enumerate(LUMA_WEIGHTS)
    )
    grey: Tensor = (red + green + blue + 0x8000) >> 16
    return grey


def entropy_bits_torch(rgb: Tensor) -> Tensor:
    """Return the (n,) float64 entropy in bits of (n, H, W, 3) uint8, as `entropy.entropy_bits`."""
    grey = grey_torch(rgb).flatten(1).long()  # (n, H * W)
    first_bin = 256 * torch.arange(len(grey), device=rgb.device)[:, None]
    counts = torch.bincount((grey + first_bin).flatten(), minlength=256 * len(grey)).view(-1, 256)
    share = counts.double() / grey.shape[1]  # (n, 256)
    bits: Tensor = -torch.special.xlogy(share, share).sum(dim=1) / math.log(2)
    return bits.clamp(min=0.0)  # no minus zero for a picture of one grey


def resize_torch(rgb: Tensor, out_px: int) -> Tensor:
    """Resize (n, H, W, 3) uint8 to (n, out_px, out_px, 3) uint8, bilinear with antialias.

    Within one grey value of Pillow's ``Image.resize(..., BILINEAR)``, which rounds to uint8 between its two
    passes and works in fixed point; this one rounds once at the end.
    """
    channels_first = rgb.permute(0, 3, 1, 2).float()  # (n, 3, H, W)
    resized = functional.interpolate(
        channels_first, size=(out_px, out_px), mode="bilinear", antialias=True, align_corners=False
    )
    return resized.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
