"""The convolutional part of a network, cut out of its graph and written as ncnn reads it."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import fx, nn
from torch.fx.passes.split_module import split_module

from napari_aln.errors import DeviceError
from napari_aln.runtimes.traced_layers import is_convolution, is_relu, module_of, takes_relu

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

INPUT, OUTPUT = "pixels", "features"
"""The names of the trunk's one input and one output."""

TRUNK = "submod_trunk"
"""The child that `with_trunk` cuts out; `split_module` puts the first part of the name."""

_MAGIC = "7767517"  # begins every text of ncnn
_RAW_FP32 = np.zeros(1, np.uint32)  # stands before weights that are plain float32
_ADDITIONS = (operator.add, torch.add)


class NcnnGraph(NamedTuple):
    """A trunk as ncnn reads it."""

    text: str  # the layers, as in a .param file
    weights: list[NDArray[np.generic]]  # what a .bin file holds, in the pieces ncnn asks for


def with_trunk(traced: torch.nn.Module) -> fx.GraphModule:
    """Return the network with all that ncnn can compute of it in one child, `TRUNK`.

    Parameters
    ----------
    traced
        In eval mode, BatchNorm folded.

    Raises
    ------
    DeviceError
        A network whose convolutions ncnn cannot compute in one piece with one input and one output.
    """
    if not isinstance(traced, fx.GraphModule):
        raise _refusal("its graph cannot be traced")
    before, trunk = _parts(traced)
    return split_module(
        traced,
        traced,
        lambda node: "before" if node in before else "trunk" if node in trunk else "after",  # type: ignore[arg-type, return-value]
    )


def written(trunk: fx.GraphModule) -> NcnnGraph:
    """Write a trunk as ncnn reads it; see https://github.com/Tencent/ncnn/wiki/operators."""
    writer = _Writer(dict(trunk.named_modules()))
    for node in trunk.graph.nodes:
        writer.write(node)
    return writer.graph()


def _refusal(why: str) -> DeviceError:
    return DeviceError(f"ncnn cannot take this network: {why}.", "Choose runtime openvino or torch.")


def _parts(traced: fx.GraphModule) -> tuple[set[fx.Node], set[fx.Node]]:
    """Return what comes before the trunk, and the trunk: all that layers of ncnn make of one value."""
    modules = dict(traced.named_modules())
    nodes = list(traced.graph.nodes)
    convolutions = [node for node in nodes if is_convolution(node, modules)]
    if not convolutions:
        raise _refusal("it has no convolutions")
    start = nodes.index(convolutions[0])
    entry = convolutions[0].all_input_nodes[0]
    trunk: set[fx.Node] = set()
    for node in nodes[start:]:
        if _is_taken(node, modules) and all(one is entry or one in trunk for one in node.all_input_nodes):
            trunk.add(node)
    left = [node for node in convolutions if node not in trunk]
    ends = [node for node in trunk if any(user not in trunk for user in node.users)]
    if left or len(ends) != 1:
        reading = [one for one in nodes[start:] if any(other in trunk for other in one.all_input_nodes)]
        strange = next(one for one in [*reading, *left] if one not in trunk)
        raise _refusal(f"{_kind(strange, modules)} stands between its convolutions")
    return set(nodes[:start]), trunk


def _kind(node: fx.Node, modules: Mapping[str, nn.Module]) -> str:
    module = module_of(node, modules)
    return type(module).__name__ if module else getattr(node.target, "__name__", str(node.target))


def _is_addition(node: fx.Node) -> bool:
    terms = [one for one in node.args if isinstance(one, fx.Node)]
    return node.target in _ADDITIONS and len(terms) == len(node.args) == 2 and not node.kwargs


def _is_taken(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    module = module_of(node, modules)
    if isinstance(module, nn.Conv2d):
        return module.padding_mode == "zeros" and not isinstance(module.padding, str)
    if isinstance(module, nn.MaxPool2d):
        # Rounding up and dilation are done in another way there, or not at all.
        return not module.ceil_mode and not module.return_indices and module.dilation in (1, (1, 1))
    if not (is_relu(node, modules) or _is_addition(node)):
        return False
    # Nothing is computed in place there: who reads the value later would see the old one.
    in_place = getattr(module, "inplace", False) or node.kwargs.get("inplace")
    return not in_place or len(node.all_input_nodes[0].users) == 1


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of what torch takes as one number or two."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


class _Writer:
    """Writes one layer after the other; what several layers read is copied for each by a Split of ncnn."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._modules = modules
        self._lines: list[str] = []
        self._weights: list[NDArray[np.generic]] = []
        self._n_blobs = 0
        self._unread: dict[fx.Node, list[str]] = {}  # a value, and its names that no layer has read yet

    def graph(self) -> NcnnGraph:
        lines = [_MAGIC, f"{len(self._lines)} {self._n_blobs}", *self._lines]
        return NcnnGraph("\n".join(lines) + "\n", self._weights)

    def write(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self._layer("Input", node, name=INPUT)
        elif node.op == "output":
            self._layer("Noop", node, name=OUTPUT)
        elif _is_addition(node):
            self._layer("BinaryOp", node, {0: 0})
        elif is_relu(node, self._modules):
            (before,) = node.all_input_nodes
            if takes_relu(before, self._modules):
                self._unread[node] = self._named(node, self._unread.pop(before)[0])
            else:
                self._layer("ReLU", node)
        else:
            module = module_of(node, self._modules)
            if isinstance(module, nn.Conv2d):
                self._convolution(node, module)
            elif isinstance(module, nn.MaxPool2d):
                self._layer("Pooling", node, _pooling(module))

    def _convolution(self, node: fx.Node, module: nn.Conv2d) -> None:
        weight = module.weight.detach().float().contiguous().numpy()
        self._weights += [_RAW_FP32, weight]
        if module.bias is not None:
            self._weights.append(module.bias.detach().float().contiguous().numpy())
        (height, width), (down, right) = _pair(module.kernel_size), _pair(module.stride)
        assert not isinstance(module.padding, str)
        (pad_y, pad_x), (apart_y, apart_x) = _pair(module.padding), _pair(module.dilation)
        layer = "Convolution" if module.groups == 1 else "ConvolutionDepthWise"
        self._layer(
            layer,
            node,
            {
                **{0: module.out_channels, 1: width, 11: height, 2: apart_x, 12: apart_y, 3: right, 13: down},
                **{4: pad_x, 14: pad_y, 5: int(module.bias is not None), 6: weight.size},
                **({} if module.groups == 1 else {7: module.groups}),
                9: int(takes_relu(node, self._modules)),
            },
        )

    def _layer(
        self, layer: str, node: fx.Node, parameters: Mapping[int, int] | None = None, name: str = ""
    ) -> None:
        name = name or f"{len(self._lines)}"
        reads = [self._unread[one].pop() for one in _inputs(node)]
        said = [f"{key}={value}" for key, value in (parameters or {}).items()]
        self._line(layer, name, reads, [name], said)
        self._unread[node] = self._named(node, name)

    def _named(self, node: fx.Node, name: str) -> list[str]:
        readers = sum(_inputs(user).count(node) for user in node.users)
        if readers <= 1:
            return [name]
        copies = [f"{name}_{number}" for number in range(readers)]
        self._line("Split", f"{name}_split", [name], copies)
        return copies

    def _line(
        self, layer: str, name: str, reads: Iterable[str], makes: Iterable[str], said: Iterable[str] = ()
    ) -> None:
        reads, makes = list(reads), list(makes)
        self._lines.append(" ".join([layer, name, f"{len(reads)}", f"{len(makes)}", *reads, *makes, *said]))
        self._n_blobs += len(makes)


def _inputs(node: fx.Node) -> list[fx.Node]:
    """Return what a node reads, twice what it reads twice."""
    return [one for one in node.args if isinstance(one, fx.Node)]


def _pooling(module: nn.MaxPool2d) -> dict[int, int]:
    (height, width), (down, right) = _pair(module.kernel_size), _pair(module.stride)
    pad_y, pad_x = _pair(module.padding)
    down_to_fit = 1  # how the size is rounded
    return {0: 0, 1: width, 11: height, 2: right, 12: down, 3: pad_x, 13: pad_y, 5: down_to_fit}
