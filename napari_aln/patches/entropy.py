"""Shannon entropy of patches: how much there is to see in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LUMA_WEIGHTS = (19595, 38470, 7471)
"""Weights of R, G and B in the grey value, in units of 2**-16: ITU-R BT.601 (0.299, 0.587, 0.114).

In integers, as in Pillow's mode ``L``, so that rounding is the same on every machine and device.
"""


def grey_uint8(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (...) grey value of (..., 3) RGB, rounded to uint8."""
    red, green, blue = (
        rgb[..., channel].astype(np.uint32) * weight for channel, weight in enumerate(LUMA_WEIGHTS)
    )
    grey: NDArray[np.uint8] = ((red + green + blue + 0x8000) >> 16).astype(np.uint8)
    return grey


def entropy_bits(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the Shannon entropy of the 8-bit grey value of each picture.

    Parameters
    ----------
    rgb
        (H, W, 3) or (n, H, W, 3) uint8.

    Returns
    -------
    () or (n,) float64
        ``-sum(p * log2(p))`` over the 256 grey values, in bits: 0 for a picture of one grey, at most 8.

    Raises
    ------
    ValueError
        The pictures are not uint8 RGB. On float grey every pixel would be a value of its own, and the entropy
        would exceed 8 bits.
    """
    if rgb.dtype != np.uint8 or rgb.ndim not in (3, 4) or rgb.shape[-1] != 3:
        message = f"Entropy is defined for uint8 RGB pictures, not {rgb.dtype} of shape {rgb.shape}."
        raise ValueError(message)
    greys = grey_uint8(rgb).reshape(-1, rgb.shape[-3] * rgb.shape[-2])
    bits = np.array([_entropy_of(np.bincount(grey, minlength=256)) for grey in greys])
    return bits.reshape(rgb.shape[:-3])


def _entropy_of(counts: NDArray[np.intp]) -> float:
    """Return the entropy in bits of a histogram."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0  # + 0.0: no minus zero for a picture of one grey
