"""Winograd convolutions in place of a network's own; see `winograd_kernels`."""

from __future__ import annotations

import math
import threading
import weakref
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import fx, nn

from napari_aln.runtimes.winograd_kernels import (
    LANES,
    POINTS,
    TILE,
    transform_pixels,
    transform_products,
    transformed_weights,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

_TILES = 160
"""Tiles a matrix product: few, so that what it reads and writes stays near; each reads the weights anew."""
_MULTIPLE = 64
"""What the numbers of channels and filters are multiples of, so that oneDNN's blocks are full."""

_GROUPS = ([0, 0], [1, 1], [1, 1], POINTS)  # padding, stride, dilation, groups of the products' convolution

# torch.compile's ways to oneDNN: none that is public keeps weights in oneDNN's order.
_ordered = torch.ops.mkldnn._reorder_convolution_weight  # noqa: SLF001
_convolved = torch.ops.mkldnn._convolution_pointwise  # noqa: SLF001

_RELUS = (torch.relu, nn.functional.relu)

_rooms = threading.local()


class WinogradConv(nn.Module):
    """A 3 x 3 convolution, and the ReLU and the pooling after it where there are such.

    Parameters
    ----------
    convolution
        One that `is_taken`.
    dtype
        float32 or bfloat16.
    relu, pool
        Whether a ReLU follows, and then a pooling of 2 x 2.

    Notes
    -----
    The products are a 1 x 1 convolution of as many groups as there are points: oneDNN then keeps the weights
    in the order in which it reads them, and does float32 more than twice as fast as torch's products of
    matrices, which are MKL's, on AMD's processors.
    """

    def __init__(
        self, convolution: nn.Conv2d, dtype: torch.dtype = torch.float32, *, relu: bool, pool: bool
    ) -> None:
        super().__init__()
        weight = convolution.weight.detach().float().numpy()
        self._filters, self._channels = weight.shape[:2]
        seen = torch.from_numpy(transformed_weights(weight)).to(dtype)
        self._weight = seen.reshape(-1, self._channels, 1, 1)
        self._dtype, self._pool = dtype, pool
        bias = convolution.bias
        added = torch.zeros(len(weight)) if bias is None else bias.detach().float()
        self._bias = added.contiguous().numpy()
        self._least = np.full(LANES, 0 if relu else -np.inf, np.float32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve (n, C, H, W), of any precision and layout; the result is of `dtype`, channels last."""
        pixels = x.to(self._dtype).permute(0, 2, 3, 1).contiguous()
        n, *size, channels = pixels.shape
        height, width = (side // 2 if self._pool else side for side in size)
        results = _room((n, height, width, self._filters), self._dtype)
        total = n * math.prod(-(-side // TILE) for side in size)
        tiles = -(-total // -(-total // _TILES))  # as even as they get: all products are as large
        seen = _room((tiles, POINTS, channels), self._dtype)
        zeros = pixels.new_zeros(channels)
        for first in range(0, total, tiles):
            transform_pixels(_bits(pixels), _bits(zeros), first, _bits(seen))
            products = _bits(self._products(seen))
            ending = self._bias, self._least, self._pool
            transform_products(products, first, tuple(size), *ending, _bits(results))
        return results.permute(0, 3, 1, 2)

    def _products(self, seen: torch.Tensor) -> torch.Tensor:
        """Multiply (tiles, 36, channels) with the weights; returns (tiles, 36, filters)."""
        tiles = len(seen)
        picture = seen.reshape(1, tiles, 1, -1).permute(0, 3, 1, 2)
        self._weight = _in_order(self._weight, picture, *_GROUPS)
        products = _convolved(picture, self._weight, None, *_GROUPS, "none", [], "")
        return cast(
            "torch.Tensor", products.permute(0, 2, 3, 1).contiguous().view(tiles, POINTS, self._filters)
        )


class ReluConv(nn.Module):
    """A convolution of torch's own and the ReLU after it, its result in memory that is kept.

    Parameters
    ----------
    convolution
        One surrounded by zeros.
    dtype
        float32 or bfloat16.
    """

    def __init__(self, convolution: nn.Conv2d, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self._weight = convolution.weight.detach().to(dtype)
        self._bias = None if convolution.bias is None else convolution.bias.detach().to(dtype)
        self._dtype = dtype
        ways = cast("tuple[int, ...]", convolution.padding), convolution.stride, convolution.dilation
        self._ways = [*map(list, ways), convolution.groups]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve one picture or more; see `WinogradConv.forward`."""
        x = x.to(self._dtype).contiguous(memory_format=torch.channels_last)
        first = self._of_one(x[:1])
        _, filters, height, width = first.shape
        results = _room((len(x), height, width, filters), self._dtype).permute(0, 3, 1, 2)
        results[:1] = first
        for index in range(1, len(x)):
            results[index : index + 1] = self._of_one(x[index : index + 1])
        return results

    def _of_one(self, picture: torch.Tensor) -> torch.Tensor:
        self._weight = _in_order(self._weight, picture, *self._ways)
        made = _convolved(picture, self._weight, self._bias, *self._ways, "relu", [], "")
        return cast("torch.Tensor", made)


def with_winograd(traced: nn.Module, dtype: torch.dtype = torch.float32) -> fx.GraphModule | None:
    """Put Winograd convolutions where a network allows for them; None where it has none.

    Parameters
    ----------
    traced
        In eval mode, BatchNorm folded. Changed.
    dtype
        See `WinogradConv`.
    """
    if not isinstance(traced, fx.GraphModule):
        return None
    modules = dict(traced.named_modules())
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    nodes = [
        node
        for node in traced.graph.nodes
        if isinstance(_module_of(node, modules), nn.Conv2d) and calls[node.target] == 1
    ]
    for node in nodes:
        convolution = cast("nn.Conv2d", modules[str(node.target)])
        relu = _only_user(node, lambda one: _is_relu(one, modules))
        pool = None
        does: nn.Module
        if is_taken(convolution):
            pool = _only_user(relu or node, lambda one: _halves(_module_of(one, modules)))
            does = WinogradConv(convolution, dtype, relu=relu is not None, pool=pool is not None)
        elif relu and convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str):
            does = ReluConv(convolution, dtype)
        else:
            continue
        traced.set_submodule(str(node.target), does)
        for done in filter(None, (pool, relu)):
            done.replace_all_uses_with(done.all_input_nodes[0])
            traced.graph.erase_node(done)
    traced.recompile()
    return traced if any(isinstance(one, WinogradConv) for one in traced.modules()) else None


def is_taken(convolution: nn.Conv2d) -> bool:
    """Whether a convolution can be done so: 3 x 3, every place, surrounded by zeros, with many channels."""
    one_by_one = convolution.stride == convolution.dilation == (1, 1) and convolution.groups == 1
    padded = convolution.padding in (1, (1, 1)) and convolution.padding_mode == "zeros"
    many = convolution.in_channels % _MULTIPLE == convolution.out_channels % _MULTIPLE == 0
    return convolution.kernel_size == (3, 3) and one_by_one and padded and many


def _module_of(node: fx.Node, modules: Mapping[str, nn.Module]) -> nn.Module | None:
    """Return the module that a node calls; None where it calls none."""
    return modules[str(node.target)] if node.op == "call_module" else None


def _is_relu(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a node is a ReLU, as a module or a function."""
    return isinstance(_module_of(node, modules), nn.ReLU) or node.target in _RELUS


def _only_user(node: fx.Node, is_wanted: Callable[[fx.Node], bool]) -> fx.Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 and is_wanted(users[0]) else None


def _halves(module: nn.Module | None) -> bool:
    if not isinstance(module, nn.MaxPool2d) or module.ceil_mode or module.return_indices:
        return False
    by_two = module.kernel_size in (2, (2, 2)) and module.stride in (2, (2, 2))
    return by_two and module.padding in (0, (0, 0)) and module.dilation in (1, (1, 1))


def _in_order(weight: torch.Tensor, picture: torch.Tensor, *ways: object) -> torch.Tensor:
    """Return weights in the order that suits oneDNN for such pictures, if they are not yet in one."""
    if weight.is_mkldnn:
        return weight
    return cast("torch.Tensor", _ordered(weight, *ways, list(picture.shape)))


class _Room(NamedTuple):
    """Memory of a thread, and who reads what was written to it last; it is free once that is gone."""

    memory: torch.Tensor  # uint8
    reader: Callable[[], object]


def _room(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Return memory to write to, this thread's own; what lies there may be anything.

    Memory of such sizes the system gives anew each time, in pages that are cleared when they are first
    touched: that took a tenth and more of the network's time. It is kept until the thread ends.
    """
    rooms: list[_Room] = _rooms.__dict__.setdefault("of_thread", [])
    bytes_ = math.prod(shape) * dtype.itemsize
    free = [room for room in rooms if len(room.memory) >= bytes_ and room.reader() is None]
    if free:
        memory = free[-1].memory
        rooms[:] = [room for room in rooms if room.memory is not memory]
    else:
        memory = torch.empty(bytes_, dtype=torch.uint8)
    given = memory.numpy()[:bytes_]  # held by each tensor that shares it
    rooms.append(_Room(memory, weakref.ref(given)))
    return torch.from_numpy(given).view(dtype).reshape(shape)


def _bits(numbers: torch.Tensor) -> NDArray[np.generic]:
    """Return float32 as it is, bf16 as its bits."""
    if numbers.dtype == torch.float32:
        return cast("NDArray[np.generic]", numbers.numpy())
    return cast("NDArray[np.generic]", numbers.view(torch.int16).numpy().view(np.uint16))
