"""The two transforms around the matrix products of a Winograd convolution in bf16, compiled by numba.

A 3 x 3 convolution is computed for tiles of 4 x 4 results, each from 6 x 6 pixels: F(4 x 4, 3 x 3) of Lavin
& Gray 2016, "Fast algorithms for convolutional neural networks". That is 36 products a tile, channel and
filter in place of 144. As points of the Toom-Cook algorithm serve 0, ±3/4, ±3/2 and infinity: products at
points close to one another in size round less (Barabasz et al. 2020, "Error analysis and improving the
accuracy of Winograd convolution for deep neural networks"), so that they bear bf16, which those at the
usual 0, ±1, ±2 do worse.

Pixels lie channels last, as bits of bf16 in uint16, which numba does not know; sums are float32.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILE, WINDOW = 4, 6
"""Results and pixels of a tile, along each side."""

LANES = 64
"""Channels that are transformed together; the numbers of channels and filters are multiples of it."""

_NEAR, _FAR = 0.75, 1.5  # the points besides 0 and infinity, each with either sign
_A, _B = np.float32(_NEAR), np.float32(_FAR)
_A2, _B2 = np.float32(_NEAR**2), np.float32(_FAR**2)
_A3, _B3 = np.float32(_NEAR**3), np.float32(_FAR**3)
_LOWEST = np.finfo(np.float32).min  # not -inf, which compiled with fastmath may be anything
_SUM, _PRODUCT = np.float32(_NEAR**2 + _FAR**2), np.float32((_NEAR * _FAR) ** 2)


def transformed_weights(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the filters are at the 36 pairs of points.

    Parameters
    ----------
    weights
        (filters, channels, 3, 3).

    Returns
    -------
    (36, channels, filters).
    """
    points = (0.0, _NEAR, -_NEAR, _FAR, -_FAR)
    apart = [math.prod(p - q for q in points if q != p) for p in points]
    at = np.array([*([1 / n, p / n, p * p / n] for p, n in zip(points, apart, strict=True)), [0, 0, 1]])
    seen = np.einsum("ai,bj,kcij->abck", at, at, weights.astype(np.float64), optimize=True)
    flat: NDArray[np.float32] = np.ascontiguousarray(seen, np.float32)
    return flat.reshape(WINDOW * WINDOW, weights.shape[1], weights.shape[0])


def _kernel(function):
    """Have a function compiled when it is first called, and kept from start to start where it can be."""
    how = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **how)(function)
    except RuntimeError:  # neither beside this file nor in the user's cache folder may be written
        return njit(**how)(function)


@intrinsic
def _float_of(_context, _bits):
    def make(_target, builder, _signature, values):
        return builder.bitcast(values[0], ir.FloatType())

    return types.float32(types.uint32), make


@intrinsic
def _bits_of(_context, _number):
    def make(_target, builder, _signature, values):
        return builder.bitcast(values[0], ir.IntType(32))

    return types.uint32(types.float32), make


@njit(inline="always")
def _read(bf16):
    return _float_of(np.uint32(bf16) << np.uint32(16))


@njit(inline="always")
def _written(number):
    """Round to the nearest bf16, ties to even; what is no number becomes some number."""
    bits = _bits_of(number)
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@njit(inline="always")
def _of_pixels(d0, d1, d2, d3, d4, d5):
    """Evaluate at the six points: the rows of B transposed."""
    even_near, odd_near = d4 - _B2 * d2, _A * (d3 - _B2 * d1)
    even_far, odd_far = d4 - _A2 * d2, _B * (d3 - _A2 * d1)
    return (
        _PRODUCT * d0 - _SUM * d2 + d4,
        even_near + odd_near,
        even_near - odd_near,
        even_far + odd_far,
        even_far - odd_far,
        _PRODUCT * d1 - _SUM * d3 + d5,
    )


@njit(inline="always")
def _of_products(m0, m1, m2, m3, m4, m5):
    """Return the four results: the rows of A transposed."""
    near, near_apart = m1 + m2, m1 - m2
    far, far_apart = m3 + m4, m3 - m4
    return (
        m0 + near + far,
        _A * near_apart + _B * far_apart,
        _A2 * near + _B2 * far,
        _A3 * near_apart + _B3 * far_apart + m5,
    )


@njit(inline="always")
def _evaluate(pixels, top, left, c, rows):
    """Evaluate a window of (H, W, channels) along its columns."""
    for j in range(WINDOW):
        d0, d1 = pixels[top, left + j, c : c + LANES], pixels[top + 1, left + j, c : c + LANES]
        d2, d3 = pixels[top + 2, left + j, c : c + LANES], pixels[top + 3, left + j, c : c + LANES]
        d4, d5 = pixels[top + 4, left + j, c : c + LANES], pixels[top + 5, left + j, c : c + LANES]
        for k in range(LANES):
            r = _of_pixels(_read(d0[k]), _read(d1[k]), _read(d2[k]), _read(d3[k]), _read(d4[k]), _read(d5[k]))
            rows[0, j, k], rows[1, j, k], rows[2, j, k] = r[0], r[1], r[2]
            rows[3, j, k], rows[4, j, k], rows[5, j, k] = r[3], r[4], r[5]


@_kernel
def transform_pixels(pixels, first, seen):
    """Transform the pixels of some tiles.

    Parameters
    ----------
    pixels
        (n, H, W, channels) uint16; around them lie zeros.
    first
        The number of the first tile, counted along rows, then columns of tiles, then patches.
    seen
        (36, tiles, channels) uint16, written; beyond the last tile there is, it stays as it was.
    """
    n, height, width, channels = pixels.shape
    down, across = (height + TILE - 1) // TILE, (width + TILE - 1) // TILE
    window = np.empty((WINDOW, WINDOW, LANES), np.uint16)
    rows = np.empty((WINDOW, WINDOW, LANES), np.float32)
    for tile in range(min(seen.shape[1], n * down * across - first)):
        patch, place = divmod(first + tile, down * across)
        top, left = place // across * TILE - 1, place % across * TILE - 1
        is_inside = top >= 0 and left >= 0 and top + WINDOW <= height and left + WINDOW <= width
        for c in range(0, channels, LANES):
            if is_inside:
                _evaluate(pixels[patch], top, left, c, rows)
            else:
                window[:] = 0
                for y in range(max(top, 0), min(top + WINDOW, height)):
                    for x in range(max(left, 0), min(left + WINDOW, width)):
                        window[y - top, x - left] = pixels[patch, y, x, c : c + LANES]
                _evaluate(window, 0, 0, 0, rows)
            for i in range(WINDOW):
                at = WINDOW * i
                s0, s1 = seen[at, tile, c : c + LANES], seen[at + 1, tile, c : c + LANES]
                s2, s3 = seen[at + 2, tile, c : c + LANES], seen[at + 3, tile, c : c + LANES]
                s4, s5 = seen[at + 4, tile, c : c + LANES], seen[at + 5, tile, c : c + LANES]
                for k in range(LANES):
                    d0, d1, d2 = rows[i, 0, k], rows[i, 1, k], rows[i, 2, k]
                    r = _of_pixels(d0, d1, d2, rows[i, 3, k], rows[i, 4, k], rows[i, 5, k])
                    s0[k], s1[k], s2[k] = _written(r[0]), _written(r[1]), _written(r[2])
                    s3[k], s4[k], s5[k] = _written(r[3]), _written(r[4]), _written(r[5])


@njit(inline="always")
def _finish(rows, bias, least, results, top, left, c):
    """Write the results of a tile into (H, W, filters)."""
    for i in range(TILE):
        y0, y1 = results[top + i, left, c : c + LANES], results[top + i, left + 1, c : c + LANES]
        y2, y3 = results[top + i, left + 2, c : c + LANES], results[top + i, left + 3, c : c + LANES]
        for k in range(LANES):
            m0, m1, m2 = rows[i, 0, k], rows[i, 1, k], rows[i, 2, k]
            r = _of_products(m0, m1, m2, rows[i, 3, k], rows[i, 4, k], rows[i, 5, k])
            y0[k], y1[k] = _written(max(r[0] + bias[k], least)), _written(max(r[1] + bias[k], least))
            y2[k], y3[k] = _written(max(r[2] + bias[k], least)), _written(max(r[3] + bias[k], least))


@njit(inline="always")
def _finish_pooled(rows, bias, least, results, top, left, c):
    """Write the highest of each 2 x 2 results."""
    for i in range(TILE // 2):
        y0, y1 = results[top + i, left, c : c + LANES], results[top + i, left + 1, c : c + LANES]
        for k in range(LANES):
            m0, m1, m2 = rows[2 * i, 0, k], rows[2 * i, 1, k], rows[2 * i, 2, k]
            r = _of_products(m0, m1, m2, rows[2 * i, 3, k], rows[2 * i, 4, k], rows[2 * i, 5, k])
            m0, m1, m2 = rows[2 * i + 1, 0, k], rows[2 * i + 1, 1, k], rows[2 * i + 1, 2, k]
            q = _of_products(m0, m1, m2, rows[2 * i + 1, 3, k], rows[2 * i + 1, 4, k], rows[2 * i + 1, 5, k])
            y0[k] = _written(max(max(max(r[0], r[1]), max(q[0], q[1])) + bias[k], least))
            y1[k] = _written(max(max(max(r[2], r[3]), max(q[2], q[3])) + bias[k], least))


@_kernel
def transform_products(products, first, size, bias, relu, pool, results):
    """Turn the products of some tiles into results.

    Parameters
    ----------
    products
        (36, tiles, filters) uint16.
    first
        See `transform_pixels`.
    size
        H and W of the pixels.
    bias
        (filters,) float32.
    relu
        Whether what is below zero becomes zero.
    pool
        Whether of each 2 x 2 results the highest alone is kept.
    results
        (n, H, W, filters) uint16, written where these tiles lie; with `pool` both sides are half as long.
    """
    n, height, width, filters = results.shape
    down, across = (size[0] + TILE - 1) // TILE, (size[1] + TILE - 1) // TILE
    side = TILE // 2 if pool else TILE
    rows = np.empty((TILE, WINDOW, LANES), np.float32)
    whole = np.empty((TILE, TILE, LANES), np.uint16)
    least = np.float32(0) if relu else _LOWEST
    for tile in range(min(products.shape[1], n * down * across - first)):
        patch, place = divmod(first + tile, down * across)
        top, left = place // across * side, place % across * side
        is_inside = top + side <= height and left + side <= width
        for c in range(0, filters, LANES):
            for j in range(WINDOW):
                m0, m1 = products[j, tile, c : c + LANES], products[6 + j, tile, c : c + LANES]
                m2, m3 = products[12 + j, tile, c : c + LANES], products[18 + j, tile, c : c + LANES]
                m4, m5 = products[24 + j, tile, c : c + LANES], products[30 + j, tile, c : c + LANES]
                for k in range(LANES):
                    r0, r1, r2 = _read(m0[k]), _read(m1[k]), _read(m2[k])
                    r = _of_products(r0, r1, r2, _read(m3[k]), _read(m4[k]), _read(m5[k]))
                    rows[0, j, k], rows[1, j, k], rows[2, j, k], rows[3, j, k] = r[0], r[1], r[2], r[3]
            b = bias[c : c + LANES]
            if is_inside and pool:
                _finish_pooled(rows, b, least, results[patch], top, left, c)
            elif is_inside:
                _finish(rows, b, least, results[patch], top, left, c)
            else:
                if pool:
                    _finish_pooled(rows, b, least, whole, 0, 0, 0)
                else:
                    _finish(rows, b, least, whole, 0, 0, 0)
                for y in range(top, min(top + side, height)):
                    for x in range(left, min(left + side, width)):
                        results[patch, y, x, c : c + LANES] = whole[y - top, x - left]
