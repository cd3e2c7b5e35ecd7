"""Shannon entropy of patches: how much there is to see in them.

The default threshold, `PatchSettings.min_entropy_bits` = 5.0, was chosen on patches of 256 px, sorted by
entropy and looked at: the Aperio test slide at 0.5 µm/px, and the BCNB regions at full and half resolution.

==================================================  =================
patch                                               bits
==================================================  =================
glass, out-of-focus dirt: Aperio / BCNB             0.5-2.5 / 1.7-2.3
fat on the BCNB overviews                           3.6-5.2
a quarter to a half tissue, the rest clean glass    3.3-4.7
half to nine tenths tissue                          5.0-7.0
full of tissue: Aperio / BCNB tumour                5.9-7.8 / 6.3-7.2
==================================================  =================

So 5.0 drops glass, fat without cells, and threads and edges that fill less than half of the patch, and keeps
every patch full of tissue. It does not tell stroma from cells: pale stroma has about 6 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

LUMA_WEIGHTS = (19595, 38470, 7471)
"""Weights of R, G and B in the grey value, in units of 2**-16: ITU-R BT.601 (0.299, 0.587, 0.114).

Pillow's mode ``L`` computes ``(19595 R + 38470 G + 7471 B + 2**15) >> 16`` in integers, so that rounding is
the same on every machine and, written out with these weights, on every device.
"""


def grey_uint8(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (..., W) grey value of (..., W, 3) RGB, rounded to uint8."""
    rows = np.ascontiguousarray(rgb).reshape(-1, *rgb.shape[-2:])
    return np.asarray(Image.fromarray(rows).convert("L")).reshape(rgb.shape[:-1])


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
