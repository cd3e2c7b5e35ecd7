"""How much haematoxylin each nucleus holds, and how unevenly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_aln.errors import UsageError
from napari_aln.nuclei.runs import BAND_PX
from napari_aln.nuclei.stain import fit_stain, haematoxylin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.nuclei.runs import Runs
    from napari_aln.nuclei.stain import Stain

_FIT_SIDE_PX = 1024
_FIT_PICTURES = 9


class Haematoxylin(NamedTuple):
    """Optical density (base 10) of each of n nuclei."""

    mean: NDArray[np.float64]  # (n,)
    deviation: NDArray[np.float64]  # (n,) standard deviation over the nucleus's pixels


def checked_rgb(rgb: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the picture that belongs to a label image.

    Raises
    ------
    UsageError
        It is not uint8 (H, W, 3), or of another size than the labels.
    """
    rgb = np.asarray(rgb)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise UsageError(
            f"The picture is (H, W, 3) of uint8, not {rgb.shape} of {rgb.dtype}.",
            "Give red, green and blue with 0..255, without an alpha channel.",
        )
    if rgb.shape[:2] != shape:
        of_labels, of_rgb = (f"{size[1]} x {size[0]} px" for size in (shape, rgb.shape))
        raise UsageError(
            f"The label image ({of_labels}) does not match the picture ({of_rgb}).",
            "Give the picture in which these nuclei were found, at the same resolution.",
        )
    return rgb


def haematoxylin_of(runs: Runs, rgb: NDArray[np.uint8], stain: Stain | None = None) -> Haematoxylin:
    """Measure the haematoxylin of each nucleus.

    Parameters
    ----------
    runs
        Of the label image.
    rgb
        (H, W, 3) the picture it belongs to.
    stain
        The slide's, so that pictures of one slide can be compared; None: read from this picture.
    """
    height, width = rgb.shape[:2]
    stain = stain or fit_stain(_places(rgb))
    begin = np.empty(len(runs.row), np.int64)
    begin[runs.order] = runs.row.astype(np.int64) * width + runs.start
    length = runs.stop - runs.start
    end = np.empty_like(begin)
    end[runs.order] = begin[runs.order] + length
    sums, squares = np.zeros(len(begin)), np.zeros(len(begin))
    step = max(1, BAND_PX // max(width, 1))
    for top in range(0, height, step):
        here = slice(*np.searchsorted(begin, [top * width, (top + step) * width]))
        if here.start == here.stop:
            continue
        density = np.append(haematoxylin(rgb[top : top + step], stain).ravel(), np.float32(0))
        cuts = np.column_stack([begin[here], end[here]]).ravel() - top * width
        sums[here] = np.add.reduceat(density, cuts)[::2]
        squares[here] = np.add.reduceat(density * density, cuts)[::2]
    area = runs.sums(length)
    mean = runs.sums(sums[runs.order]) / area
    variance = runs.sums(squares[runs.order]) / area - mean**2
    return Haematoxylin(mean, np.sqrt(np.maximum(variance, 0.0)))


def _places(rgb: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return the picture in a few evenly spread pieces: the stain is the same all over it."""
    height, width = rgb.shape[:2]
    side = max(1, round(_FIT_PICTURES**0.5))
    if height * width <= _FIT_PICTURES * _FIT_SIDE_PX**2:
        return [rgb]
    ys, xs = (np.linspace(0, max(size - _FIT_SIDE_PX, 0), side).astype(int) for size in (height, width))
    return [rgb[y : y + _FIT_SIDE_PX, x : x + _FIT_SIDE_PX] for y in ys for x in xs]
