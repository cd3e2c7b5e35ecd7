"""What makes a tile's nuclei doubtful: nothing on it, out of focus, black debris."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_aln.nuclei.classical import WORKING_UM
from napari_aln.nuclei.resampling import shrunk
from napari_aln.patches.quality import MIN_SHARPNESS, sharpness
from napari_aln.patches.tissue import optical_density

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLANK_DENSITY = 0.05  # optical density of green; what is paler is glass
BLANK_SHARE = 0.01
"""A tile of which less is stained is blank."""

OPAQUE_DENSITY = 0.8
OPAQUE_SPREAD = 0.2
"""Debris, pigment and folds let no light of any colour through; haematoxylin lets blue through."""

OPAQUE_SHARE = 0.5
_SIDE_PX = 256


def is_blank(rgb: NDArray[np.uint8], glass_rgb: tuple[int, int, int]) -> bool:
    """Whether an (H, W, 3) tile shows hardly anything but glass."""
    return bool((optical_density(rgb[..., 1], glass_rgb[1]) > BLANK_DENSITY).mean() < BLANK_SHARE)


def is_blurred(rgb: NDArray[np.uint8], mpp: float, glass_rgb: tuple[int, int, int]) -> bool:
    """Whether the tissue of an (H, W, 3) tile is out of focus, by `patches.quality.sharpness`."""
    small = np.stack(
        [shrunk(rgb[..., c].astype(np.float32), max(1, round(WORKING_UM / mpp))) for c in range(3)], axis=-1
    )
    height, width = small.shape[:2]
    side = min(_SIDE_PX, height, width)
    squares = [
        small[y : y + side, x : x + side].round().astype(np.uint8)
        for y in range(0, height - side + 1, side)
        for x in range(0, width - side + 1, side)
    ]
    shown = [square for square in squares if not is_blank(square, glass_rgb)]
    return bool(shown) and sharpness(np.stack(shown)) < MIN_SHARPNESS


def opaque_shares(
    labels: NDArray[np.int32], rgb: NDArray[np.uint8], glass_rgb: tuple[int, int, int]
) -> NDArray[np.float64]:
    """Return, for labels 1..n, the (n,) share of pixels through which hardly any light comes."""
    inside = np.flatnonzero(labels)
    of, pixels = labels.ravel()[inside], rgb.reshape(-1, 3)[inside]
    density = np.stack([optical_density(pixels[:, c], glass_rgb[c]) for c in range(3)], axis=-1)
    least, most = density.min(axis=1), density.max(axis=1)
    opaque = (least > OPAQUE_DENSITY) & (most - least < OPAQUE_SPREAD * most)
    n = int(labels.max(initial=0)) + 1
    shares: NDArray[np.float64] = np.bincount(of, weights=opaque, minlength=n) / np.maximum(
        np.bincount(of, minlength=n), 1
    )
    return shares[1:]
