"""The two transforms around the matrix products of a Winograd convolution, compiled by numba.

A 3 x 3 convolution is computed for tiles of 4 x 4 results, each from 6 x 6 pixels: F(4 x 4, 3 x 3) of Lavin
& Gray 2016, "Fast algorithms for convolutional neural networks". That is 36 products a tile, channel and
filter in place of 144. As points of the Toom-Cook algorithm serve 0, ±3/4, ±3/2 and infinity: products at
points close to one another in size round less (Barabasz et al. 2020, "Error analysis and improving the
accuracy of Winograd convolution for deep neural networks"), so that they bear bf16, which those at the
usual 0, ±1, ±2 do worse.

Pixels lie channels last, in float32 or as bits of bf16 in uint16, which numba does not know; sums are
float32. The arithmetic of a tile is written out in vectors of `LANES` channels, since what numba makes of
loops, asking before each whether arrays overlap, took more than twice as long.
"""

from __future__ import annotations

import functools
import math
import pickle
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILE, WINDOW = 4, 6
"""Results and pixels of a tile, along each side."""

POINTS = WINDOW * WINDOW
"""Pairs of points, so products of a tile, channel and filter."""

LANES = 16
"""Channels that are transformed together; the numbers of channels and filters are multiples of it."""

_NEAR, _FAR = 0.75, 1.5  # the points besides 0 and infinity, each with either sign

_INT = ir.IntType(64)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_HALVES, _BITS = ir.VectorType(ir.IntType(16), LANES), ir.VectorType(ir.IntType(32), LANES)
_CONTRACT = ("contract",)  # a product and a sum may be one instruction


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's bf16, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"


def transformed_weights(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the filters are at the 36 pairs of points.

    Parameters
    ----------
    weights
        (filters, channels, 3, 3).

    Returns
    -------
    (36, filters, channels).
    """
    points = (0.0, _NEAR, -_NEAR, _FAR, -_FAR)
    apart = [math.prod(p - q for q in points if q != p) for p in points]
    at = np.array([*([1 / n, p / n, p * p / n] for p, n in zip(points, apart, strict=True)), [0, 0, 1]])
    seen = np.einsum("ai,bj,kcij->abkc", at, at, weights.astype(np.float64), optimize=True)
    flat: NDArray[np.float32] = np.ascontiguousarray(seen, np.float32)
    return flat.reshape(POINTS, *weights.shape[:2])


def _of_pixels(d0, d1, d2, d3, d4, d5):
    """Evaluate at the six points: the rows of B transposed."""
    near2, far2 = _NEAR**2, _FAR**2
    even_near, odd_near = d4 - far2 * d2, _NEAR * (d3 - far2 * d1)
    even_far, odd_far = d4 - near2 * d2, _FAR * (d3 - near2 * d1)
    return (
        near2 * far2 * d0 - (near2 + far2) * d2 + d4,
        even_near + odd_near,
        even_near - odd_near,
        even_far + odd_far,
        even_far - odd_far,
        near2 * far2 * d1 - (near2 + far2) * d3 + d5,
    )


def _of_products(m0, m1, m2, m3, m4, m5):
    """Return the four results: the rows of A transposed."""
    near, near_apart = m1 + m2, m1 - m2
    far, far_apart = m3 + m4, m3 - m4
    return (
        m0 + near + far,
        _NEAR * near_apart + _FAR * far_apart,
        _NEAR**2 * near + _FAR**2 * far,
        _NEAR**3 * near_apart + _FAR**3 * far_apart + m5,
    )


def _both_ways(transform, read):
    """Transform the columns of a window, then the rows of what they give; `read` gives row i, column j."""
    columns = [transform(*(read(i, j) for i in range(WINDOW))) for j in range(WINDOW)]
    return [transform(*row) for row in zip(*columns, strict=True)]


class _Lanes:
    """Float32 numbers of `LANES` channels in code that is being written: arithmetic with them writes more."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def __add__(self, other):
        return _Lanes(self.builder, self.builder.fadd(self.value, other.value, flags=_CONTRACT))

    def __sub__(self, other):
        return _Lanes(self.builder, self.builder.fsub(self.value, other.value, flags=_CONTRACT))

    def __rmul__(self, number):
        factor = ir.Constant(_FLOATS, [float(np.float32(number))] * LANES)
        return _Lanes(self.builder, self.builder.fmul(factor, self.value, flags=_CONTRACT))

    def or_more(self, other):
        """Return the larger number of each lane; what is no number stays so."""
        kind = ir.FunctionType(_FLOATS, (_FLOATS, _FLOATS))
        maximum = self.builder.module.declare_intrinsic(f"llvm.maximum.v{LANES}f32", (), kind)
        return _Lanes(self.builder, self.builder.call(maximum, (self.value, other.value)))


class _Numbers:
    """An array in code that is being written, or numbers like its own at other addresses."""

    def __init__(self, context, builder, kind, value):
        self.builder, self.bf16 = builder, kind.dtype == types.uint16
        self.bytes = kind.dtype.bitwidth // 8
        self.address = builder.ptrtoint(context.make_array(kind)(context, builder, value).data, _INT)

    def after(self, address, numbers):
        """Return the address that lies some numbers after another."""
        return self.builder.add(address, self.builder.mul(numbers, _INT(self.bytes)))

    def read(self, address):
        if not self.bf16:
            return _Lanes(self.builder, self.builder.load(self._pointer(address, _FLOATS), align=4))
        bits = self.builder.zext(self.builder.load(self._pointer(address, _HALVES), align=2), _BITS)
        bits = self.builder.shl(bits, ir.Constant(_BITS, [16] * LANES))
        return _Lanes(self.builder, self.builder.bitcast(bits, _FLOATS))

    def write(self, lanes, address):
        """Write numbers, for bf16 rounded to the nearest, ties to even."""
        value = lanes.value
        if self.bf16:
            value = _rounded(self.builder, value)
        self.builder.store(value, self._pointer(address, value.type), align=self.bytes)

    def _pointer(self, address, kind):
        return self.builder.inttoptr(address, kind.as_pointer())


def _rounds_bf16():
    """Whether what numba compiles for has an instruction for it; LLVM's own way elsewhere is not linked."""
    return "+avx512bf16" in cpu_target.target_context.codegen().magic_tuple()[2]


def _rounded(builder, value):
    """Round float32 to the bits of the nearest bf16, ties to even; what is no number stays so."""
    if _rounds_bf16():
        return builder.bitcast(builder.fptrunc(value, ir.VectorType(_BFloat(), LANES)), _HALVES)

    def all_lanes(number):
        return ir.Constant(_BITS, [number] * LANES)

    bits = builder.bitcast(value, _BITS)
    odd = builder.and_(builder.lshr(bits, all_lanes(16)), all_lanes(1))
    rounded = builder.lshr(builder.add(bits, builder.add(odd, all_lanes(0x7FFF))), all_lanes(16))
    is_none = builder.fcmp_unordered("uno", value, value)
    return builder.trunc(builder.select(is_none, all_lanes(0x7FC0), rounded), _HALVES)


def _held_in(context, builder, kind, array):
    """Return what reads the integers of an array, in code that is being written."""
    start = context.make_array(kind)(context, builder, array).data
    return lambda index: builder.load(builder.gep(start, [_INT(index)]))


@intrinsic
def _transform_window(_typing, places, channel, seen, first, channels):
    """Write what a window is at the points into `seen`, for the channels from `channel` on.

    `places` holds the addresses of the window's pixels, `first` counts numbers up to the tile's first.
    """

    def write(context, builder, signature, arguments):
        places, channel, seen, first, channels = arguments
        numbers = _Numbers(context, builder, signature.args[2], seen)
        place = _held_in(context, builder, signature.args[0], places)
        grid = _both_ways(
            _of_pixels, lambda i, j: numbers.read(numbers.after(place(WINDOW * i + j), channel))
        )
        start = numbers.after(numbers.address, builder.add(first, channel))
        for point, lanes in enumerate(lanes for row in grid for lanes in row):
            numbers.write(lanes, numbers.after(start, builder.mul(channels, _INT(point))))
        return context.get_dummy_value()

    return types.void(places, types.int64, seen, types.int64, types.int64), write


def _finished(pools):
    """Return what makes results of a tile's products; with `pools` of each 2 x 2 the highest alone."""

    @intrinsic
    def finish(_typing, products, first, filter_, filters, bias, least, places):
        def write(context, builder, signature, arguments):
            products, first, filter_, filters, bias, least, places = arguments
            numbers = _Numbers(context, builder, signature.args[0], products)
            biases = _Numbers(context, builder, signature.args[4], bias)
            lowest = _Numbers(context, builder, signature.args[5], least)
            place = _held_in(context, builder, signature.args[6], places)
            start = numbers.after(numbers.address, builder.add(first, filter_))

            def read(i, j):
                return numbers.read(numbers.after(start, builder.mul(filters, _INT(WINDOW * i + j))))

            grid = _both_ways(_of_products, read)
            if pools:
                pairs = [[a.or_more(b) for a, b in zip(row[::2], row[1::2], strict=True)] for row in grid]
                grid = [
                    [a.or_more(b) for a, b in zip(*rows, strict=True)]
                    for rows in zip(pairs[::2], pairs[1::2], strict=True)
                ]
            added = biases.read(biases.after(biases.address, filter_))
            floor = lowest.read(lowest.address)
            for index, lanes in enumerate(lanes for row in grid for lanes in row):
                numbers.write((lanes + added).or_more(floor), numbers.after(place(index), filter_))
            return context.get_dummy_value()

        ints = types.int64
        return types.void(products, ints, ints, ints, bias, least, places), write

    return finish


_finish, _finish_pooled = _finished(pools=False), _finished(pools=True)


def _kernel(function):
    """Have a function compiled when it is first called, and kept from start to start where it can be."""
    how = {"nogil": True, "error_model": "numpy"}
    compiled = njit(**how)(function)
    try:
        kept = njit(cache=True, **how)(function)
    except RuntimeError:  # neither beside this file nor in the user's cache folder may be written
        return compiled

    @functools.wraps(function)
    def call(*arguments):
        try:
            return kept(*arguments)
        except (OSError, EOFError, pickle.UnpicklingError):  # the disk is full, or what was kept is damaged
            return compiled(*arguments)

    return call


@njit(inline="always")
def _place(places, side, base, corner, size, line, outside):
    """Find the addresses of side x side pixels, one `line` of bytes each, `outside` where there is none."""
    (patch, top, left), (height, width) = corner, size
    for i in range(side):
        for j in range(side):
            y, x = top + i, left + j
            is_inside = y >= 0 and y < height and x >= 0 and x < width
            places[side * i + j] = base + ((patch * height + y) * width + x) * line if is_inside else outside


@_kernel
def transform_pixels(pixels, zeros, first, seen):
    """Transform the pixels of some tiles.

    Parameters
    ----------
    pixels
        (n, H, W, channels) uint16 or float32; around them lie zeros.
    zeros
        (channels,) zeros of the same type.
    first
        The number of the first tile, counted along rows, then columns of tiles, then patches.
    seen
        (tiles, 36, channels) of the same type, written; beyond the last tile there is, it stays as it was.
    """
    n, height, width, channels = pixels.shape
    down, across = (height + TILE - 1) // TILE, (width + TILE - 1) // TILE
    base, outside, line = pixels.ctypes.data, zeros.ctypes.data, channels * pixels.itemsize
    places = np.empty(POINTS, np.int64)
    for tile in range(min(len(seen), n * down * across - first)):
        patch, place = divmod(first + tile, down * across)
        top, left = place // across * TILE - 1, place % across * TILE - 1
        _place(places, WINDOW, base, (patch, top, left), (height, width), line, outside)
        for channel in range(0, channels, LANES):
            _transform_window(places, channel, seen, tile * POINTS * channels, channels)


@_kernel
def transform_products(products, first, size, bias, least, pool, results):
    """Turn the products of some tiles into results.

    Parameters
    ----------
    products
        (tiles, 36, filters) uint16 or float32. Results that lie outside are written over them.
    first
        See `transform_pixels`.
    size
        H and W of the pixels.
    bias
        (filters,) float32.
    least
        (LANES,) float32: what is less becomes this, zero for a ReLU.
    pool
        Whether of each 2 x 2 results the highest alone is kept.
    results
        (n, H, W, filters) of the same type, written where these tiles lie; with `pool` both sides are half
        as long.
    """
    n, height, width, filters = results.shape
    down, across = (size[0] + TILE - 1) // TILE, (size[1] + TILE - 1) // TILE
    side = TILE // 2 if pool else TILE
    base, line = results.ctypes.data, filters * results.itemsize
    places = np.empty(TILE * TILE, np.int64)
    for tile in range(min(len(products), n * down * across - first)):
        patch, place = divmod(first + tile, down * across)
        top, left = place // across * side, place % across * side
        outside = products.ctypes.data + tile * POINTS * line
        _place(places, side, base, (patch, top, left), (height, width), line, outside)
        start = tile * POINTS * filters
        for filter_ in range(0, filters, LANES):
            if pool:
                _finish_pooled(products, start, filter_, filters, bias, least, places)
            else:
                _finish(products, start, filter_, filters, bias, least, places)
