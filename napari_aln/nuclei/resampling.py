"""Pictures and labels at coarser and finer resolutions, and labels made whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bool = NDArray[np.bool_]
    Int32 = NDArray[np.int32]
    Float32 = NDArray[np.float32]

_Value = TypeVar("_Value", bound=np.generic)


def whole(labels: Int32, count: int) -> Int32:
    """Return labels of which each is one piece, the largest it had, numbered 1..n."""
    parts = measure.label(labels, connectivity=1)  # type: ignore[no-untyped-call]
    area = np.bincount(parts.ravel())
    area[0] = 0
    of = np.zeros(len(area), np.int32)
    of[parts.ravel()] = labels.ravel()
    largest = np.zeros(count, np.int64)
    order = np.argsort(area, kind="stable")
    largest[of[order]] = order  # the last one written is the largest
    number = np.zeros(len(area), np.int32)
    kept = largest[1:][area[largest[1:]] > 0]
    number[kept] = np.arange(1, len(kept) + 1)
    whole: Int32 = number[parts]
    return whole


def shrunk(picture: Float32, factor: int) -> Float32:
    """Return block means; the last row and column are repeated to fill the last blocks."""
    if factor == 1:
        return picture
    height, width = (-(-side // factor) for side in picture.shape)
    missing = (height * factor - picture.shape[0], width * factor - picture.shape[1])
    if any(missing):
        picture = np.pad(picture, ((0, missing[0]), (0, missing[1])), mode="edge")
    total = np.zeros((height, width), np.float32)
    for down in range(factor):
        for right in range(factor):
            total += picture[down::factor, right::factor]
    total /= np.float32(factor**2)
    return total


def enlarged(picture: Float32, factor: int, shape: tuple[int, ...]) -> Float32:
    """Return a picture `factor` times as large, bilinear, cut to `shape`."""
    if factor > 1:
        size = (picture.shape[1] * factor, picture.shape[0] * factor)
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    return picture[: shape[0], : shape[1]]


def repeated(picture: NDArray[_Value], factor: int, shape: tuple[int, ...]) -> NDArray[_Value]:
    """Return a picture with each pixel `factor` x `factor` times, cut to `shape`."""
    return np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)[: shape[0], : shape[1]]


def around(picture: NDArray[_Value], extremum: np.ufunc) -> NDArray[_Value]:
    """Return `np.maximum` or `np.minimum` of each pixel's 3 x 3 surroundings; SciPy's filters take longer."""
    found = picture.copy()
    extremum(found[1:], picture[:-1], out=found[1:])
    extremum(found[:-1], picture[1:], out=found[:-1])
    rows = found.copy()
    extremum(found[:, 1:], rows[:, :-1], out=found[:, 1:])
    extremum(found[:, :-1], rows[:, 1:], out=found[:, :-1])
    return found


def filled(mask: Bool, max_px: float) -> Bool:
    """Fill the holes that are not larger than `max_px`."""
    holes, _ = ndimage.label(~mask)
    small = np.bincount(holes.ravel()) <= max_px
    small[0] = True  # label 0 is the mask itself
    filled: Bool = small[holes]
    return filled
