"""Haematoxylin density of a slide: red absorption less what its own eosin takes of it.

Haematoxylin absorbs red strongly, eosin hardly, so the red channel alone nearly separates them. How much red
a slide's eosin does absorb, ``od_red = eosin_ratio * od_green`` in tissue without nuclei, is read from the
slide; so are the glass and the density between nuclei and the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from skimage.filters import threshold_otsu

from napari_aln.patches.tissue import glass_rgb, optical_density

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MIN_CONTRAST = 0.10
"""Optical density between the means of nuclei and the rest; below that there is nothing to tell apart."""

_MIN_STAINED_OD = 0.05  # of green; paler is glass
_MAX_EOSIN_RATIO = 0.45
_MOST_PIXELS = 250_000


@dataclass(frozen=True, slots=True)
class Stain:
    """How one slide is stained; from `fit_stain`."""

    glass_rgb: tuple[int, int, int]
    eosin_ratio: float  # red over green optical density of what is not nucleus
    threshold: float  # haematoxylin density between nuclei and the rest
    rest: float  # mean density of the rest
    nuclear: float  # mean density of nuclei

    @property
    def contrast(self) -> float:
        """Density by which nuclei exceed the rest."""
        return self.nuclear - self.rest


def fit_stain(pictures: Sequence[NDArray[np.uint8]]) -> Stain:
    """Read the stain of a slide from a handful of its (H, W, 3) uint8 pictures.

    Blank pictures give a stain whose `contrast` is below `MIN_CONTRAST`.
    """
    step = max(1, int(np.ceil(np.sqrt(sum(p.shape[0] * p.shape[1] for p in pictures) / _MOST_PIXELS))))
    pixels = [p[::step, ::step, :3].reshape(-1, 3) for p in pictures]
    rgb = np.concatenate(pixels) if pixels else np.zeros((0, 3), np.uint8)
    if not len(rgb):
        return Stain((255, 255, 255), 0.0, 0.0, 0.0, 0.0)
    glass = glass_rgb(rgb[None])
    red, green = optical_density(rgb[:, 0], glass[0]), optical_density(rgb[:, 1], glass[1])
    stained = green > _MIN_STAINED_OD
    if stained.sum() < 100:
        return Stain(glass, 0.0, 0.0, 0.0, 0.0)
    ratio = EOSIN * float(np.clip(np.percentile(red[stained] / green[stained], 5), 0.0, _MAX_EOSIN_RATIO))
    density = red - np.float32(ratio) * green
    threshold = float(threshold_otsu(density))
    above = density > threshold
    if above.all() or not above.any():
        return Stain(glass, ratio, threshold, threshold, threshold)
    return Stain(glass, ratio, threshold, float(density[~above].mean()), float(density[above].mean()))

EOSIN = 1.0

def haematoxylin(rgb: NDArray[np.uint8], stain: Stain) -> NDArray[np.float32]:
    """Return the (H, W) haematoxylin density of (H, W, 3) pixels; zero on glass."""
    density = optical_density(rgb[..., 0], stain.glass_rgb[0])
    if stain.eosin_ratio:
        density -= np.float32(stain.eosin_ratio) * optical_density(rgb[..., 1], stain.glass_rgb[1])
    return density
