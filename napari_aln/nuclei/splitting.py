"""Clumps of nuclei taken apart: watershed from every dome of the surface, then what belongs together is joined.

Convexity is judged from support functions, the furthest reach of a piece in each of 16 directions: that of two
pieces together is the larger of both, so the hull of any union costs no look at the pixels.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Int32 = NDArray[np.int32]
    Float32 = NDArray[np.float32]

_DIRECTIONS = 16
_ANGLE = 2 * np.pi / _DIRECTIONS
_UNIT_YX = np.stack([np.sin(_ANGLE * np.arange(_DIRECTIONS)), np.cos(_ANGLE * np.arange(_DIRECTIONS))])
_CIRCLE = np.tan(_ANGLE / 2) / (_ANGLE / 2)  # circumscribed polygon over circle

JOIN_SOLIDITY = 0.90
JOIN_NECK = 0.80


def split(mask: NDArray[np.bool_], surface: Float32, max_area_px: float) -> Int32:
    """Label the nuclei of a mask.

    Parameters
    ----------
    mask
        (H, W) foreground.
    surface
        (H, W) heights with one dome per nucleus or more, positive on the mask.
    max_area_px
        No union becomes larger than this.

    Returns
    -------
    int32, (H, W)
        1..n, 0 outside the mask.
    """
    peak = (surface == ndimage.maximum_filter(surface, size=3)) & mask
    markers, count = ndimage.label(peak, structure=np.ones((3, 3), bool))
    if not count:
        return np.zeros(mask.shape, np.int32)
    pieces: Int32 = watershed(-surface, markers, mask=mask).astype(np.int32)
    return joined(pieces, surface, max_area_px)


def joined(pieces: Int32, surface: Float32, max_area_px: float) -> Int32:
    """Join neighbouring pieces whose union is convex or that no neck divides, best pair first."""
    count = int(pieces.max(initial=0))
    first, second, saddle = _neighbours(pieces, surface)
    if not len(first):
        return pieces
    area = np.bincount(pieces.ravel(), minlength=count + 1).astype(float)
    height = np.zeros(count + 1)
    np.maximum.at(height, pieces.ravel(), surface.ravel())
    reach = support(pieces, count)
    parent = list(range(count + 1))
    touching: list[dict[int, float]] = [{} for _ in range(count + 1)]
    for a, b, s in zip(first.tolist(), second.tolist(), saddle.tolist(), strict=True):
        touching[a][b] = touching[b][a] = s
    version = [0] * (count + 1)
    solid = area / np.maximum(hull_area(reach), 1.0)

    def scores(a: NDArray[np.int64], b: NDArray[np.int64], s: NDArray[np.float64]) -> NDArray[np.float64]:
        total = area[a] + area[b]
        solidity = total / np.maximum(hull_area(np.maximum(reach[a], reach[b])), 1.0)
        neck = s / np.minimum(height[a], height[b])
        loss = solidity - np.minimum(1.0, (solid[a]*area[a] + solid[b]*area[b])/total)
        value = W_SOL*(solidity - JOIN_SOLIDITY) + W_NECK*(neck - JOIN_NECK) + W_LOSS*loss
        return np.where(total <= max_area_px, value, -1.0)

    queue = [
        (-v, a, b, 0, 0)
        for v, a, b in zip(scores(first, second, saddle).tolist(), first.tolist(), second.tolist(), strict=True)
        if v > 0
    ]
    heapq.heapify(queue)
    while queue:
        _, a, b, va, vb = heapq.heappop(queue)
        if version[a] != va or version[b] != vb:
            continue
        parent[b] = a
        version[a] += 1
        version[b] = -1
        area[a] += area[b]
        height[a] = max(height[a], height[b])
        reach[a] = np.maximum(reach[a], reach[b])
        solid[a] = area[a] / max(float(hull_area(reach[a : a + 1])[0]), 1.0)
        for other, s in touching[b].items():
            if other == a:
                continue
            del touching[other][b]
            touching[a][other] = touching[other][a] = max(s, touching[a].get(other, 0.0))
        touching[a].pop(b, None)
        touching[b] = {}
        if touching[a]:
            others = np.fromiter(touching[a], np.int64)
            found = scores(np.full(len(others), a), others, np.fromiter(touching[a].values(), float))
            for v, other in zip(found.tolist(), others.tolist(), strict=True):
                if v > 0:
                    heapq.heappush(queue, (-v, a, other, version[a], version[other]))
    root = np.arange(count + 1)
    for i in range(count + 1):
        j = i
        while parent[j] != j:
            j = parent[j]
        root[i] = j
    return root.astype(np.int32)[pieces]

W_SOL, W_NECK, W_LOSS = 1.0, 0.3, 0.0

def support(labels: Int32, count: int) -> NDArray[np.float64]:
    """Return (count + 1, 16): how far each label's pixels reach along each direction, px."""
    edge = np.zeros(labels.shape, bool)
    edge[1:] |= labels[1:] != labels[:-1]
    edge[:-1] |= labels[1:] != labels[:-1]
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    edge[[0, -1]] = True
    edge[:, [0, -1]] = True
    edge &= labels > 0
    yx = np.argwhere(edge)
    label = labels[edge]
    order = np.argsort(label, kind="stable")
    yx, label = yx[order], label[order]
    start = np.flatnonzero(np.diff(label, prepend=0))
    reach = np.zeros((count + 1, _DIRECTIONS))
    if len(start):
        reach[label[start]] = np.maximum.reduceat(yx @ _UNIT_YX, start)
        reach += 0.5 * np.abs(_UNIT_YX).sum(axis=0)  # to the pixels' corners
    return reach


def hull_area(reach: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area of the polygons around (n, 16) reaches, as of circles: a disc's hull is the disc."""
    side = (np.roll(reach, 1, axis=1) + np.roll(reach, -1, axis=1) - 2 * reach * np.cos(_ANGLE)) / np.sin(_ANGLE)
    return 0.5 * (reach * side).sum(axis=1) / _CIRCLE


def _neighbours(
    pieces: Int32, surface: Float32
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the pairs of touching labels and the highest point of the border of each."""
    lows, highs, levels = [], [], []
    for near, far in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        a, b = pieces[near], pieces[far]
        where = (a != b) & (a > 0) & (b > 0)
        a, b = a[where], b[where]
        lows.append(np.minimum(a, b))
        highs.append(np.maximum(a, b))
        levels.append(np.minimum(surface[near][where], surface[far][where]))
    low, high, level = np.concatenate(lows).astype(np.int64), np.concatenate(highs), np.concatenate(levels)
    key = low * (int(pieces.max(initial=0)) + 1) + high
    order = np.argsort(key, kind="stable")
    key, level = key[order], level[order]
    start = np.flatnonzero(np.diff(key, prepend=-1))
    if not len(start):
        empty = np.zeros(0, np.int64)
        return empty, empty, np.zeros(0)
    low, high = np.divmod(key[start], int(pieces.max(initial=0)) + 1)
    return low, high, np.maximum.reduceat(level, start).astype(float)
