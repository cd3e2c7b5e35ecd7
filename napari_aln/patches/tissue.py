"""Tissue and pen marks on the overview picture of a slide.

Both are judged by optical density against the slide's own glass, ``od = log10(glass / pixel)`` per channel,
so that white glass and BCNB's grey glass (about 190) look the same. H&E absorbs green most; dust, dirt and
shadows absorb all channels alike. The tissue signal is therefore ``od_green - min(od_red, od_blue)``, which
is zero for any grey. Figures in this module were chosen on the BCNB overviews and the Aperio test slide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold
from skimage.measure import label, regionprops
from skimage.morphology import remove_small_holes, remove_small_objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

ASSUMED_GLASS_RGB = (240, 240, 240)
"""Where a picture shows no glass. Any neutral value gives the same tissue signal."""

MIN_GLASS_VALUE = 120
MIN_GLASS_SHARE = 0.01
MIN_TINTED_GLASS_SHARE = 0.25
PAINTED_WHITE = 254

LOW_SIGNAL, HIGH_SIGNAL = 0.02, 0.05
"""Hysteresis thresholds of the tissue signal. On glass its 99th percentile is 0.007-0.014; the palest stroma
seen has 0.04, the median of tissue is 0.07-0.22."""

SMOOTH_UM = 6.0
MIN_TISSUE_UM2 = 4000.0  # a quarter of a 128 µm patch; nothing smaller can become one
MAX_HOLE_UM2 = 20_000.0  # one or two large fat cells
MIN_PEN_LENGTH_UM = 250.0  # dye specks and pigment are smaller, drawn lines are millimetres long
MAX_PEN_SHARE_OF_SLIDE = 0.3


@dataclass(frozen=True)
class TissueMask:
    """What the overview shows where. All masks are (H, W) of the overview."""

    tissue: NDArray[np.bool_]
    pen: NDArray[np.bool_]
    um_per_px: float
    glass_rgb: tuple[int, int, int]
    low_signal: float  # hysteresis thresholds used, in optical density
    high_signal: float

    @property
    def tissue_mm2(self) -> float:
        """Area of the tissue in mm²."""
        return float(self.tissue.sum()) * self.um_per_px**2 * 1e-6


def tissue_mask(rgb: NDArray[np.uint8], um_per_px: float) -> TissueMask:
    """Find tissue and pen marks.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8 overview.
    um_per_px
        Its µm/px; 4-8 is best.

    Returns
    -------
    TissueMask
        An empty slide gives an empty mask.
    """
    glass = glass_rgb(rgb)
    od = optical_density(rgb, glass)
    pen = _pen(od, um_per_px)
    signal = _tissue_signal(od)
    signal = ndimage.gaussian_filter(signal, SMOOTH_UM / um_per_px)
    low, high = _thresholds(signal, od)
    tissue = apply_hysteresis_threshold(signal, low, high) & ~pen
    px_area = um_per_px**2
    tissue = remove_small_objects(tissue, max_size=round(MIN_TISSUE_UM2 / px_area))
    tissue = remove_small_holes(tissue, max_size=round(MAX_HOLE_UM2 / px_area)) & ~pen
    return TissueMask(tissue, pen, um_per_px, glass, low, high)


def glass_rgb(rgb: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Return the colour of the empty glass: the mode of the bright pixels of low saturation.

    Pure white is what scanners and BCNB's cut-out regions paint where nothing was scanned; where another
    neutral grey is there as well, that is the glass.
    """
    pixels = rgb.reshape(-1, 3)
    brightest, darkest = pixels.max(axis=1).astype(np.int16), pixels.min(axis=1).astype(np.int16)
    bright = brightest > MIN_GLASS_VALUE
    saturation_px = brightest - darkest
    unpainted = bright & (darkest < PAINTED_WHITE) & (saturation_px <= 0.04 * brightest)
    neutral = bright & (saturation_px <= 0.1 * brightest)
    painted = bright & (darkest >= PAINTED_WHITE)
    enough = MIN_GLASS_SHARE * len(pixels)
    if unpainted.sum() >= enough and painted.sum() >= enough:
        return _mode(pixels[unpainted])
    if neutral.sum() >= enough:
        return _mode(pixels[neutral])
    # Tinted light: one colour, whichever, that fills a good part of the picture.
    coarse = (pixels[bright].astype(np.int32) >> 3) @ (1024, 32, 1)
    if coarse.size and np.bincount(coarse).max() >= MIN_TINTED_GLASS_SHARE * len(pixels):
        return _mode(pixels[bright][coarse == np.bincount(coarse).argmax()])
    return ASSUMED_GLASS_RGB


def _mode(pixels: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Return the most frequent value of each channel of (n, 3) pixels."""
    red, green, blue = (int(np.bincount(pixels[:, c], minlength=256).argmax()) for c in range(3))
    return red, green, blue


def optical_density(rgb: NDArray[np.uint8], glass: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return ``log10((glass + 1) / (rgb + 1))`` per channel; below zero where brighter than glass."""
    table = np.log10(
        (np.asarray(glass, dtype=np.float32) + 1) / (np.arange(256, dtype=np.float32)[:, None] + 1)
    )
    density: NDArray[np.float32] = np.stack(
        [table[rgb[..., channel], channel] for channel in range(3)], axis=-1
    ).astype(np.float32)
    return density


def _tissue_signal(od: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much more green is absorbed than the less absorbed of red and blue."""
    signal: NDArray[np.float32] = od[..., 1] - np.minimum(od[..., 0], od[..., 2])
    return signal


def _thresholds(signal: NDArray[np.float32], od: NDArray[np.float32]) -> tuple[float, float]:
    """Return both hysteresis thresholds, raised where the glass of this slide is noisier than usual."""
    on_glass = signal[np.abs(od).max(axis=-1) < 0.05]
    if on_glass.size < 0.1 * signal.size:  # of so little, much would be pale tissue
        return LOW_SIGNAL, HIGH_SIGNAL
    noise = 1.4826 * float(np.median(np.abs(on_glass - np.median(on_glass))))
    raised = min(2.0, max(1.0, 6 * noise / HIGH_SIGNAL))
    return raised * LOW_SIGNAL, raised * HIGH_SIGNAL


def _pen(od: NDArray[np.float32], um_per_px: float) -> NDArray[np.bool_]:
    """Find ink: strokes longer than `MIN_PEN_LENGTH_UM` in colours that H&E does not have.

    Tissue on the slides named above has ``od_blue / od_red >= 0.45`` and ``od_red / od_green <= 0.9`` at any
    density; the drawn outlines have about -0.06 and 1.0.
    """
    red, green, blue = np.moveaxis(od, -1, 0)
    blue_ink = (red > 0.3) & (blue < 0.25 * red) & (red > 0.9 * green)
    green_ink = (red > 0.3) & (green < 0.75 * red)
    # Eosin and blood absorb blue clearly less than green; red ink absorbs both alike and red hardly at all.
    red_ink = (green > 0.6) & (blue > 0.9 * green) & (red < 0.2 * green)
    black_ink = (od.min(axis=-1) > 0.8) & (od.max(axis=-1) - od.min(axis=-1) < 0.2 * od.max(axis=-1))
    seed = blue_ink | green_ink | red_ink | black_ink
    # A thin line mixes with what lies beside it: take the paler pixels of the same hue next to it as well.
    pale_blue = (red > 0.08) & (blue < 0.4 * red) & (red > 0.8 * green)
    pale_green = (red > 0.08) & (green < 0.85 * red)
    near = ndimage.binary_dilation(seed, iterations=2)
    ink = seed | (near & (pale_blue | pale_green))
    joined = label(ndimage.binary_dilation(ink, structure=_SQUARE), connectivity=2)
    long_enough = [
        stroke.label
        for stroke in regionprops(joined)
        if max(stroke.bbox[2] - stroke.bbox[0], stroke.bbox[3] - stroke.bbox[1]) * um_per_px
        >= MIN_PEN_LENGTH_UM
    ]
    found = np.isin(joined, long_enough)
    # No one draws over most of a slide: such a picture is no H&E at all, which the input check says.
    return found if found.mean() <= MAX_PEN_SHARE_OF_SLIDE else np.zeros_like(found)


_SQUARE = np.ones((3, 3), dtype=bool)
