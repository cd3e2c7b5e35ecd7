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

if TYPE_CHECKING:
    from numpy.typing import NDArray

ASSUMED_GLASS_RGB = (240, 240, 240)
"""Where a picture shows no glass. Any neutral value gives the same tissue signal."""

MIN_GLASS_VALUE = 120  # of the brightest channel
MIN_GLASS_SHARE = 0.01
MAX_GLASS_SATURATION = 0.1
MIN_TINTED_GLASS_SHARE = 0.25
PAINTED_WHITE = 254

LOW_SIGNAL, HIGH_SIGNAL = 0.02, 0.05
"""Hysteresis thresholds of the tissue signal. On glass its 99th percentile is 0.007-0.014; the palest stroma
seen has 0.04, the median of tissue is 0.07-0.22."""

SMOOTH_UM = 6.0
MIN_TISSUE_UM2 = 4000.0  # a quarter of a 128 µm patch; nothing smaller can become one
MAX_HOLE_UM2 = 20_000.0  # one or two large fat cells
MIN_PEN_LENGTH_UM = 120.0  # dye specks and pigment are smaller, drawn lines are millimetres long
MAX_PEN_SHARE_OF_SLIDE = 0.3


@dataclass(frozen=True)
class TissueMask:
    """What the overview shows where. All masks are (H, W) of the overview."""

    tissue: NDArray[np.bool_]
    pen: NDArray[np.bool_]
    um_per_px: float
    glass_rgb: tuple[int, int, int]

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
        An empty slide gives an empty mask. Holes up to the size of two fat cells are filled; larger lumens
        and the meshes of pure fat stay open.
    """
    glass = glass_rgb(rgb)
    red, green, blue = (optical_density(rgb[..., c], glass[c]) for c in range(3))
    pen = _pen(red, green, blue, um_per_px)
    signal = green - np.minimum(red, blue)
    signal[pen] = 0
    signal = ndimage.gaussian_filter(signal, SMOOTH_UM / um_per_px)
    on_glass = (np.abs(red) < 0.05) & (np.abs(green) < 0.05) & (np.abs(blue) < 0.05)
    low, high = _thresholds(signal, on_glass)
    tissue = _joined(signal, low, high, MIN_TISSUE_UM2 / um_per_px**2)
    tissue = _filled(tissue, MAX_HOLE_UM2 / um_per_px**2) & ~pen
    return TissueMask(tissue, pen, um_per_px, glass)


def glass_rgb(rgb: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Return the colour of the empty glass: the mode of the bright pixels of low saturation.

    Pure white is what scanners and BCNB's cut-out regions paint where nothing was scanned; where another
    neutral grey is there as well, that is the glass. Where the light is tinted, it is the colour that fills
    a good part of the picture, and `ASSUMED_GLASS_RGB` where no glass can be seen.
    """
    red, green, blue = (rgb[..., channel].ravel() for channel in range(3))
    brightest = np.maximum(np.maximum(red, green), blue)
    darkest = np.minimum(np.minimum(red, green), blue)
    spread = brightest - darkest
    bright = brightest > MIN_GLASS_VALUE
    enough = MIN_GLASS_SHARE * bright.size
    painted = darkest >= PAINTED_WHITE
    unpainted = bright & ~painted & (spread <= 0.04 * brightest)
    if painted.sum() >= enough and unpainted.sum() >= enough:
        return _mode(red, green, blue, unpainted)
    neutral = bright & (spread <= MAX_GLASS_SATURATION * brightest)
    if neutral.sum() >= enough:
        mode = _mode(red, green, blue, neutral)
        # Without any glass, the modes of the channels come from different pixels of pale tissue.
        if max(mode) - min(mode) <= MAX_GLASS_SATURATION * max(mode):
            return mode
    coarse = (red >> 3).astype(np.int32) * 1024 + (green >> 3) * np.int32(32) + (blue >> 3)
    counts = np.bincount(coarse[bright], minlength=1)
    if counts.max() >= MIN_TINTED_GLASS_SHARE * bright.size:
        return _mode(red, green, blue, bright & (coarse == counts.argmax()))
    return ASSUMED_GLASS_RGB


def _mode(
    red: NDArray[np.uint8], green: NDArray[np.uint8], blue: NDArray[np.uint8], where: NDArray[np.bool_]
) -> tuple[int, int, int]:
    """Return the most frequent value of each channel among the chosen pixels."""
    r, g, b = (int(np.bincount(channel[where]).argmax()) for channel in (red, green, blue))
    return r, g, b


def optical_density(channel: NDArray[np.uint8], glass: int) -> NDArray[np.float32]:
    """Return ``log10((glass + 1) / (value + 1))`` of one channel; below zero where brighter than glass."""
    table = np.log10((glass + 1) / (np.arange(256) + 1)).astype(np.float32)
    density: NDArray[np.float32] = table[channel]
    return density


def _thresholds(signal: NDArray[np.float32], on_glass: NDArray[np.bool_]) -> tuple[float, float]:
    """Return both hysteresis thresholds, raised where the glass of this slide is noisier than usual."""
    if on_glass.sum() < 0.1 * signal.size:  # of so little, much would be pale tissue
        return LOW_SIGNAL, HIGH_SIGNAL
    of_glass = signal[on_glass]
    noise = 1.4826 * float(np.median(np.abs(of_glass - np.median(of_glass))))
    raised = min(2.0, max(1.0, 6 * noise / HIGH_SIGNAL))
    return raised * LOW_SIGNAL, raised * HIGH_SIGNAL


def _joined(signal: NDArray[np.float32], low: float, high: float, min_px: float) -> NDArray[np.bool_]:
    """Return the pieces above `low` that reach `high` somewhere and are not small; corners connect."""
    pieces, _ = ndimage.label(signal > low, structure=_SQUARE)
    area_px = np.bincount(pieces.ravel())
    strong_px = np.bincount(pieces.ravel(), weights=(signal > high).ravel())
    kept = (strong_px > 0) & (area_px >= min_px)
    kept[0] = False
    joined: NDArray[np.bool_] = kept[pieces]
    return joined


def _filled(mask: NDArray[np.bool_], max_px: float) -> NDArray[np.bool_]:
    """Fill the holes that are not larger than `max_px`."""
    holes, _ = ndimage.label(~mask)
    small = np.bincount(holes.ravel()) <= max_px
    small[0] = True  # label 0 is the mask itself
    filled: NDArray[np.bool_] = small[holes]
    return filled


def _pen(
    red: NDArray[np.float32], green: NDArray[np.float32], blue: NDArray[np.float32], um_per_px: float
) -> NDArray[np.bool_]:
    """Find ink in the (H, W) densities: strokes longer than `MIN_PEN_LENGTH_UM` in colours foreign to H&E.

    Tissue on the slides named above has ``blue / red >= 0.45`` and ``red / green <= 0.9`` at any density; the
    drawn outlines have about -0.06 and 1.0.
    """
    blue_ink = (red > 0.25) & (blue < 0.3 * red) & (red > 0.6 * green)
    green_ink = (red > 0.3) & (green < 0.75 * red)
    # Eosin absorbs blue far less than green; red ink and blood do not, but blood takes more from red.
    red_ink = (green > 0.7) & (blue > 0.65 * green) & (red < 0.12 * green)
    least, most = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    black_ink = (least > 0.8) & (most - least < 0.2 * most)
    seed = blue_ink | green_ink | red_ink | black_ink
    if not seed.any():
        return seed
    # One pixel more all around: the soft edge of the line.
    ink, _ = ndimage.label(ndimage.binary_dilation(seed, structure=_SQUARE), structure=_SQUARE)
    longest_px = [max(_length(rows), _length(columns)) for rows, columns in ndimage.find_objects(ink)]
    is_stroke = np.array([False, *(length * um_per_px >= MIN_PEN_LENGTH_UM for length in longest_px)])
    pen: NDArray[np.bool_] = is_stroke[ink]
    # No one draws over most of a slide: such a picture is no H&E at all, which the input check says.
    return pen if pen.mean() <= MAX_PEN_SHARE_OF_SLIDE else np.zeros_like(pen)


def _length(extent: slice) -> int:
    return int(extent.stop - extent.start)


_SQUARE = np.ones((3, 3), dtype=bool)
