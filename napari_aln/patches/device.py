"""Entropy, resizing and cutting as torch operations, so that patches can be made on a device.

Imports torch: nothing imports this module from a package's ``__init__``.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from napari_aln.patches.entropy import LUMA_WEIGHTS

Tensor = torch.Tensor

_SHARE_BITS = 22  # of a pixel's share in a resampled one, in Pillow's integers


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


def send(tensor: Tensor, device: str | torch.device) -> Tensor:
    """Send a tensor to a device without waiting for what the device is still at."""
    to_cuda = torch.device(device).type == "cuda"
    return tensor.pin_memory().to(device, non_blocking=True) if to_cuda else tensor.to(device)


def cut_torch(
    tiles: Tensor,
    slots: Tensor,
    corners: Tensor,
    size_px: tuple[int, int],
    inside: tuple[int, int, int, int],
    glass: Tensor,
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
        Left, top, right and lower edge of what is picture in the mosaic, in mosaic pixels.
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
    """Resample a float box of each picture, to the very pixels of Pillow's ``resize(.., BILINEAR, box=box)``.

    Pillow sums in integers, so that this can do the same on every device. Formulas: ``precompute_coeffs`` and
    ``normalize_coeffs_8bpc`` of Pillow's ``Resample.c``.

    Parameters
    ----------
    rgb
        uint8 (n, H, W, 3).
    boxes
        float64 (n, 4), on the CPU: left, top, right and lower edge in pixels of each picture.
    extents
        int64 (n, 2), on the CPU: width and height of each picture's own part; the rest is not looked at.
    out_px
        Width and height of the result.

    Returns
    -------
    uint8 (n, height, width, 3)
    """
    boxes = boxes.float()  # as Pillow holds them
    across = _taps(boxes[:, 0], boxes[:, 2], extents[:, 0], out_px[0])
    down = _taps(boxes[:, 1], boxes[:, 3], extents[:, 1], out_px[1])
    wide = _weighted(rgb, 2, *(send(part[:, None, :, None], rgb.device) for part in across))
    return _weighted(wide, 1, *(send(part[:, :, None, None], rgb.device) for part in down))


def _taps(first: Tensor, last: Tensor, extent: Tensor, out: int) -> tuple[Tensor, Tensor]:
    """Return (n, out, taps) pixels that make each resampled one, and their shares in units of 2**-22."""
    step = (last - first).double()[:, None] / out  # (n, 1) pixels
    reach = step.clamp(min=1.0)  # of the triangle to both sides of its centre
    centre = first.double()[:, None] + (torch.arange(out) + 0.5) * step  # (n, out)
    lowest = (centre - reach + 0.5).long().clamp(min=0)
    end = torch.minimum((centre + reach + 0.5).long(), extent[:, None])
    taps = 2 * math.ceil(float(reach.max())) + 1
    pixel = lowest[..., None] + torch.arange(taps)
    share = (1 - ((pixel - centre[..., None] + 0.5) / reach[..., None]).abs()).clamp(min=0)
    share *= pixel < end[..., None]
    share /= share.sum(-1, keepdim=True)
    return torch.minimum(pixel, extent[:, None, None] - 1), (share * 2**_SHARE_BITS + 0.5).int()


def _weighted(rgb: Tensor, axis: int, pixel: Tensor, share: Tensor) -> Tensor:
    """Sum shares of pixels along an axis of (n, H, W, 3) uint8; `pixel`, `share`: (n, H', W', 1, taps)."""
    shape = list(rgb.shape)
    shape[axis] = pixel.shape[axis]
    total = torch.full(shape, 1 << (_SHARE_BITS - 1), dtype=torch.int32, device=rgb.device)  # a half
    for tap in range(pixel.shape[-1]):
        total += rgb.gather(axis, pixel[..., tap].expand(shape)) * share[..., tap]
    return (total >> _SHARE_BITS).clamp(0, 255).to(torch.uint8)
