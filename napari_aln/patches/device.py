"""Entropy, resizing and cutting as torch operations, so that patches can be made on a device.

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


def cut_torch(
    tiles: Tensor, slots: Tensor, corners: Tensor, size_px: tuple[int, int], inside: Tensor, glass: Tensor
) -> Tensor:
    """Cut pictures of one size out of a mosaic of which only some tiles are there.

    Parameters
    ----------
    tiles
        uint8 (m, tile height, tile width, 3): the tiles that are there, in any order.
    slots
        int64 (rows, columns): which of `tiles` stands at each place of the mosaic. Places that no picture
        touches may hold anything.
    corners
        int64 (n, 2): x and y of the pictures' upper left corners in mosaic pixels.
    size_px
        Width and height of the pictures.
    inside
        int64 (4,): left, top, right and lower edge of what is picture in the mosaic, in mosaic pixels.
    glass
        uint8 (3,): colour of everything else.

    Returns
    -------
    uint8 (n, height, width, 3)
    """
    tile_h, tile_w = tiles.shape[1:3]
    left, top, right, bottom = inside
    x = corners[:, :1] + torch.arange(size_px[0], device=tiles.device)  # (n, width)
    y = corners[:, 1:] + torch.arange(size_px[1], device=tiles.device)  # (n, height)
    in_x, in_y = x.clamp(left, right - 1), y.clamp(top, bottom - 1)
    tile = slots[(in_y // tile_h)[:, :, None], (in_x // tile_w)[:, None, :]]  # (n, height, width)
    cut = tiles[tile, (in_y % tile_h)[:, :, None], (in_x % tile_w)[:, None, :]]
    is_picture = (in_y == y)[:, :, None] & (in_x == x)[:, None, :]
    return torch.where(is_picture[..., None], cut, glass)


def resample_torch(rgb: Tensor, boxes: Tensor, extents: Tensor, out_px: tuple[int, int]) -> Tensor:
    """Resample a float box of each picture, as Pillow's ``Image.resize(out_px, BILINEAR, box=box)``.

    Differs from it by one grey value at most, where Pillow's fixed point rounds a half the other way.

    Parameters
    ----------
    rgb
        uint8 (n, H, W, 3).
    boxes
        float64 (n, 4): left, top, right and lower edge in pixels of each picture.
    extents
        int64 (n, 2): width and height of each picture's own part; what lies beyond is not looked at.
    out_px
        Width and height of the result.

    Returns
    -------
    uint8 (n, height, width, 3)
    """
    across = _weights(boxes[:, 0], boxes[:, 2], extents[:, 0], rgb.shape[2], out_px[0])
    down = _weights(boxes[:, 1], boxes[:, 3], extents[:, 1], rgb.shape[1], out_px[1])
    # To whole grey values after each pass, halves upwards, as Pillow does.
    wide = (torch.einsum("nhwc,now->nhoc", rgb.float(), across) + 0.5).floor()
    return (torch.einsum("nhoc,nph->npoc", wide, down) + 0.5).floor().clamp(0, 255).to(torch.uint8)


def _weights(first: Tensor, last: Tensor, extent: Tensor, length: int, out: int) -> Tensor:
    """Return the (n, out, length) share of each pixel in each resampled one: a triangle around its centre."""
    step = ((last - first) / out)[:, None]  # (n, 1) pixels
    centre = first[:, None] + (torch.arange(out, device=first.device) + 0.5) * step  # (n, out)
    pixel = torch.arange(length, device=first.device)
    reach = step.clamp(min=1.0)[:, :, None]
    weight = (1 - (pixel + 0.5 - centre[:, :, None]).abs() / reach).clamp(min=0)
    weight *= pixel < extent[:, None, None]
    return (weight / weight.sum(-1, keepdim=True)).float()
