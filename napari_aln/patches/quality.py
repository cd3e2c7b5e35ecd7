"""Checks of the input before anything is predicted: H&E, sharp, enough of it, stained like the cohort.

Limits were chosen on the BCNB pictures and the Aperio test slide; the figures stand beside each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage
from skimage.color import rgb2hsv

from napari_aln.patches.entropy import grey_uint8
from napari_aln.patches.tissue import optical_density

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_aln.patches.tissue import TissueMask

WarningCode = Literal["not_he", "blurred", "little_tissue", "stain_far"]

HE_HUES_DEG = (250.0, 370.0)  # purple over magenta to red
MAX_BLUE_TO_GREEN = 0.95  # optical densities
MIN_HE_SHARE = 0.85  # BCNB, Aperio and fifty tiles of other H&E: 0.94-1.0; turned brown: at most 0.69
MIN_SHARPNESS = 0.02
MIN_TISSUE_MM2 = 0.2  # about twelve full patches of 128 µm
MAX_STAIN_DISTANCE = 4.0
MIN_COHORT_SD = 0.02  # optical density; a cohort of one slide would make every other one foreign

_MIN_PIXELS = 200  # below that neither hue nor stain means anything
_DARK_DENSITY, _MAX_DARK_SHARE = 0.15, 0.005


@dataclass(frozen=True, slots=True)
class InputWarning:
    """One thing about a slide that makes its prediction doubtful."""

    code: WarningCode
    message: str
    value: float
    limit: float


@dataclass(frozen=True, slots=True)
class StainStats:
    """Optical density of tissue against the slide's own glass, in the order R, G, B.

    Of one slide: mean and standard deviation over its tissue pixels. Of a cohort (`cohort_stain`, what a card
    stores): mean and standard deviation over the slides' means.
    """

    od_mean: tuple[float, float, float]
    od_sd: tuple[float, float, float]


def stain_stats(rgb: NDArray[np.uint8], mask: TissueMask) -> StainStats | None:
    """Return the stain of one slide from its overview (H, W, 3), or None where it shows hardly any tissue."""
    if mask.tissue.sum() < _MIN_PIXELS:
        return None
    density = _density(rgb[mask.tissue], mask)  # (n, 3)
    return StainStats(_triple(density.mean(axis=0)), _triple(density.std(axis=0)))


def cohort_stain(slides: Sequence[StainStats]) -> StainStats:
    """Return mean and standard deviation of the slides' mean densities; at least one slide."""
    means = np.array([slide.od_mean for slide in slides])  # (n, 3)
    return StainStats(_triple(means.mean(axis=0)), _triple(means.std(axis=0)))


def stain_distance(slide: StainStats, cohort: StainStats) -> float:
    """Return how many of the cohort's standard deviations the slide lies off (RMS of R, G, B)."""
    sd = np.maximum(cohort.od_sd, MIN_COHORT_SD)
    return float(np.sqrt(np.mean(((np.array(slide.od_mean) - cohort.od_mean) / sd) ** 2)))


def sharpness(patches_rgb: NDArray[np.uint8]) -> float:
    """Return the median over patches of var(Laplacian) / var(grey), which contrast cancels out of.

    Parameters
    ----------
    patches_rgb
        (n, H, W, 3) uint8 tissue patches at the model's µm/px.

    Returns
    -------
    float
        Tissue patches of the six BCNB regions: 0.057-0.169, of the Aperio slide: 0.47; after a Gaussian of
        1.5 px 0.009-0.021, of 4 px 0.002-0.005. NaN where no patch has any contrast.
    """
    ratios = []
    for patch in patches_rgb:
        grey = grey_uint8(patch).astype(np.float64)
        if (contrast := grey.var()) > 0:
            ratios.append(ndimage.laplace(grey).var() / contrast)
    return float(np.median(ratios)) if ratios else float("nan")


def he_share(rgb: NDArray[np.uint8], mask: TissueMask) -> float | None:
    """Return the share of tissue that is purple, pink or red but not brown, or None where tissue is scarce.

    Hue is taken as it is on the screen, not against the glass, so that a tinted picture counts as foreign:
    the encoder sees it tinted as well. Brown (DAB) absorbs blue most, H&E green.
    """
    if mask.tissue.sum() < _MIN_PIXELS:
        return None
    hue_deg = rgb2hsv(rgb[mask.tissue][None])[0, :, 0] * 360.0
    density = _density(rgb[mask.tissue], mask)
    brown = density[:, 2] > MAX_BLUE_TO_GREEN * density[:, 1]
    return float(np.mean(((hue_deg >= HE_HUES_DEG[0]) | (hue_deg <= HE_HUES_DEG[1] - 360.0)) & ~brown))


def check_input(
    rgb: NDArray[np.uint8],
    mask: TissueMask,
    patches_rgb: NDArray[np.uint8] | None = None,
    cohort: StainStats | None = None,
) -> tuple[InputWarning, ...]:
    """Return what makes this slide doubtful as input of a model for H&E.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8 overview.
    mask
        Its tissue, from `tissue_mask`.
    patches_rgb
        (n, h, w, 3) uint8, a handful of tissue patches at the model's µm/px; sharpness is unchecked without.
    cohort
        Stain of the model's training cohort; unchecked without.
    """
    found: list[InputWarning] = []
    share = he_share(rgb, mask)
    if share is None and _dark_share(rgb, mask) > _MAX_DARK_SHARE:
        share = 0.0  # something is there, and none of it has a colour of H&E
    if share is not None and share < MIN_HE_SHARE:
        message = f"Not H&E as far as colour tells: {share:.0%} of the stained area is purple, pink or red."
        found.append(InputWarning("not_he", message, share, MIN_HE_SHARE))
    if mask.tissue_mm2 < MIN_TISSUE_MM2:
        message = f"Almost no tissue: {mask.tissue_mm2:.2f} mm²."
        found.append(InputWarning("little_tissue", message, mask.tissue_mm2, MIN_TISSUE_MM2))
    if patches_rgb is not None and len(patches_rgb):
        sharp = sharpness(patches_rgb)
        if sharp < MIN_SHARPNESS:
            message = f"Out of focus: sharpness {sharp:.3f}, where sharp slides have 0.05 and more."
            found.append(InputWarning("blurred", message, sharp, MIN_SHARPNESS))
    stats = stain_stats(rgb, mask)
    if cohort is not None and stats is not None:
        distance = stain_distance(stats, cohort)
        if distance > MAX_STAIN_DISTANCE:
            message = f"Stained unlike the training cohort: {distance:.1f} standard deviations off."
            found.append(InputWarning("stain_far", message, distance, MAX_STAIN_DISTANCE))
    return tuple(found)


def _dark_share(rgb: NDArray[np.uint8], mask: TissueMask) -> float:
    """Return the share of the picture that is clearly darker than glass, pen aside."""
    density = _density(rgb, mask).mean(axis=-1)
    return float(np.mean((density > _DARK_DENSITY) & ~mask.pen))


def _density(rgb: NDArray[np.uint8], mask: TissueMask) -> NDArray[np.float64]:
    """Return the (..., 3) optical density of (..., 3) pixels against the slide's glass."""
    channels = [optical_density(rgb[..., c], mask.glass_rgb[c]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float64)


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
