"""Haematoxylin density of a slide: red absorption, less what its own eosin takes of it.

Haematoxylin absorbs red strongly, eosin hardly, so the red channel alone nearly separates them. How much red
a slide's eosin does absorb, as a share of green, is read from the slide, and so are its glass and the
densities of its nuclei and of the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from skimage.filters import threshold_otsu

from napari_aln.patches.tissue import ASSUMED_GLASS_RGB, glass_rgb, optical_density

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MIN_CONTRAST = 0.08
"""Density by which nuclei exceed the rest where there are any; the palest annotated picture has 0.14."""

MAX_RED_TO_GREEN = 1.3
"""Haematoxylin absorbs both about alike; marking dyes that absorb red far more are no nuclei."""

_MIN_STAINED_OD = 0.05  # of green; paler is glass
_MIN_STAINED_PX = 100
_EOSIN_PERCENTILE = 5.0  # of red over green in stained pixels: what is eosin alone
_EOSIN_SHARE = 0.5
"""Part of that ratio taken off. All of it costs 0.17 F1 where the picture is violet throughout (no pixel is
eosin alone, and nuclei are taken off themselves)."""
_MAX_EOSIN_RATIO = 0.15
_GLASS_SHARE = 0.25  # at most, of as many stained pixels; 0.25 to 2 gave the same F1
_MOST_PX = 50_000


@dataclass(frozen=True, slots=True)
class Stain:
    """How one slide is stained; densities are of `haematoxylin`. From `fit_stain`."""

    glass_rgb: tuple[int, int, int]
    eosin_ratio: float  # red over green optical density that is taken for eosin
    threshold: float  # between nuclei and the rest
    rest: float  # mean of what is below it
    nuclear: float  # mean of what is above it

    @property
    def contrast(self) -> float:
        """Density by which nuclei exceed the rest; below `MIN_CONTRAST` there are none."""
        return self.nuclear - self.rest


def fit_stain(pictures: Sequence[NDArray[np.uint8]]) -> Stain:
    """Read the stain of a slide from some of its (H, W, 3) uint8 pictures.

    Blank ones give a stain without contrast.
    """
    total = sum(picture.shape[0] * picture.shape[1] for picture in pictures)
    step = max(1, math.isqrt(total // _MOST_PX))
    rgb = np.concatenate(
        [np.zeros((0, 3), np.uint8), *(picture[::step, ::step].reshape(-1, 3) for picture in pictures)]
    )
    if len(rgb) < _MIN_STAINED_PX:
        return Stain(ASSUMED_GLASS_RGB, 0.0, 0.0, 0.0, 0.0)
    glass = glass_rgb(rgb[None])
    red, green = optical_density(rgb[:, 0], glass[0]), optical_density(rgb[:, 1], glass[1])
    stained = green > _MIN_STAINED_OD
    if stained.sum() < _MIN_STAINED_PX:
        return Stain(glass, 0.0, 0.0, 0.0, 0.0)
    eosin = float(np.percentile(red[stained] / green[stained], _EOSIN_PERCENTILE))
    ratio = min(max(_EOSIN_SHARE * eosin, 0.0), _MAX_EOSIN_RATIO)
    # Some glass, as smears have nothing else beside their nuclei; of all, glass and tissue were the classes.
    glass_step = max(1, round((~stained).sum() / (_GLASS_SHARE * stained.sum())))
    density = _density(red, green, ratio)
    density = np.concatenate([density[stained], density[~stained][::glass_step]])
    threshold = float(threshold_otsu(density))  # type: ignore[no-untyped-call]
    above = density > threshold
    if above.all() or not above.any():
        return Stain(glass, ratio, threshold, threshold, threshold)
    return Stain(glass, ratio, threshold, float(density[~above].mean()), float(density[above].mean()))


def haematoxylin(rgb: NDArray[np.uint8], stain: Stain) -> NDArray[np.float32]:
    """Return the (H, W) haematoxylin density of (H, W, 3) pixels; zero on glass, little in marking dye."""
    red = optical_density(rgb[..., 0], stain.glass_rgb[0])
    green = optical_density(rgb[..., 1], stain.glass_rgb[1])
    return _density(red, green, stain.eosin_ratio)


def _density(red: NDArray[np.float32], green: NDArray[np.float32], eosin: float) -> NDArray[np.float32]:
    density: NDArray[np.float32] = np.minimum(red, np.float32(MAX_RED_TO_GREEN) * green)
    density -= np.float32(eosin) * green
    return density
