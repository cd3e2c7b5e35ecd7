"""Winograd convolutions in place of a network's own, in bf16; see `winograd_kernels`."""

from __future__ import annotations

import math
import threading
from collections import Counter
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import fx, nn

from napari_aln.runtimes.traced_layers import is_convolution, is_relu, module_of
from napari_aln.runtimes.winograd_kernels import (
    LANES,
    TILE,
    WINDOW,
    transform_pixels,
    transform_products,
    transformed_weights,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_TILES = 128
"""Tiles a matrix product: so few that what it reads and writes stays in the processor's second cache."""
_TILES_OF_LARGE = 784
"""The same where the weights are larger than that cache: then they are read as seldom as possible."""
_LARGE_BYTES = 2**20

_scratch = threading.local()


class WinogradConv(nn.Module):
    """A 3 x 3 convolution, and the ReLU and the pooling after it where there are such.

    Parameters
    ----------
    convolution
        One that `is_taken`.
    relu, pool
        Whether a ReLU follows, and then a pooling of 2 x 2.
    """

    def __init__(self, convolution: nn.Conv2d, *, relu: bool, pool: bool) -> None:
        super().__init__()
        weight = convolution.weight.detach().float().numpy()
        self.weight = torch.from_numpy(transformed_weights(weight)).bfloat16()  # (36, channels, filters)
        bias = convolution.bias
        self._bias = np.zeros(len(weight), np.float32) if bias is None else bias.detach().float().numpy()
        self._relu, self._pool = relu, pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve (n, C, H, W), of any precision and layout; the result is bf16, channels last."""
        pixels = x.to(torch.bfloat16).permute(0, 2, 3, 1).contiguous()
        _, channels, filters = self.weight.shape
        n, *size, _ = pixels.shape
        results = pixels.new_empty((n, *(side // 2 if self._pool else side for side in size), filters))
        total = n * math.prod(-(-side // TILE) for side in size)
        most = _TILES_OF_LARGE if 2 * self.weight.numel() > _LARGE_BYTES else _TILES
        tiles = -(-total // -(-total // most))  # as even as they get: each product has the same shape
        seen, products = _room(tiles, channels, "seen"), _room(tiles, filters, "products")
        for first in range(0, total, tiles):
            transform_pixels(_bits(pixels), first, seen)
            torch.bmm(_numbers(seen), self.weight, out=_numbers(products))
            transform_products(
                products, first, tuple(size), self._bias, self._relu, self._pool, _bits(results)
            )
        return results.permute(0, 3, 1, 2)


def with_winograd(traced: nn.Module) -> fx.GraphModule | None:
    """Put Winograd convolutions where a network allows for them; None where it has none.

    Parameters
    ----------
    traced
        In eval mode, BatchNorm folded. Changed.
    """
    if not isinstance(traced, fx.GraphModule):
        return None
    modules = dict(traced.named_modules())
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    places = [
        node for node in traced.graph.nodes if is_convolution(node, modules) and calls[node.target] == 1
    ]
    places = [node for node in places if is_taken(cast("nn.Conv2d", modules[str(node.target)]))]
    for node in places:
        convolution = cast("nn.Conv2d", modules[str(node.target)])
        relu = _only_user(node, lambda one: is_relu(one, modules))
        pool = _only_user(relu or node, lambda one: _halves(module_of(one, modules)))
        does = WinogradConv(convolution, relu=relu is not None, pool=pool is not None)
        traced.set_submodule(str(node.target), does)
        for done in filter(None, (pool, relu)):
            done.replace_all_uses_with(done.all_input_nodes[0])
            traced.graph.erase_node(done)
    traced.recompile()
    return traced if places else None


def is_taken(convolution: nn.Conv2d) -> bool:
    """Whether a convolution can be done so: 3 x 3, every place, surrounded by zeros, with many channels."""
    one_by_one = convolution.stride == convolution.dilation == (1, 1) and convolution.groups == 1
    padded = convolution.padding in (1, (1, 1)) and convolution.padding_mode == "zeros"
    many = convolution.in_channels % LANES == convolution.out_channels % LANES == 0
    return convolution.kernel_size == (3, 3) and one_by_one and padded and many


def _only_user(node: fx.Node, is_wanted: Callable[[fx.Node], bool]) -> fx.Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 and is_wanted(users[0]) else None


def _halves(module: nn.Module | None) -> bool:
    if not isinstance(module, nn.MaxPool2d) or module.ceil_mode or module.return_indices:
        return False
    by_two = module.kernel_size in (2, (2, 2)) and module.stride in (2, (2, 2))
    return by_two and module.padding in (0, (0, 0)) and module.dilation in (1, (1, 1))


def _room(tiles: int, channels: int, name: str) -> NDArray[np.uint16]:
    """Return memory of this thread to write (36, tiles, channels) to; what lies there may be anything."""
    rooms = _scratch.__dict__
    size = WINDOW * WINDOW * tiles * channels
    held: NDArray[np.uint16] | None = rooms.get(name)
    if held is None or held.size < size:
        held = rooms[name] = np.zeros(size, np.uint16)
    return held[:size].reshape(WINDOW * WINDOW, tiles, channels)


def _numbers(bits: NDArray[np.uint16]) -> torch.Tensor:
    return torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16)


def _bits(bf16: torch.Tensor) -> NDArray[np.uint16]:
    return bf16.view(torch.int16).numpy().view(np.uint16)
