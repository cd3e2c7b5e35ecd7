"""What the nodes of a traced network are: convolutions, and the ReLU that is done together with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import fx, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

_RELUS = (torch.relu, nn.functional.relu)


def module_of(node: fx.Node, modules: Mapping[str, nn.Module]) -> nn.Module | None:
    """Return the module that a node calls; None where it calls none."""
    return modules[str(node.target)] if node.op == "call_module" else None


def is_convolution(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a node is a two-dimensional convolution."""
    return isinstance(module_of(node, modules), nn.Conv2d)


def is_relu(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a node is a ReLU, as a module or a function."""
    return isinstance(module_of(node, modules), nn.ReLU) or node.target in _RELUS


def takes_relu(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a node is a convolution whose result nothing but a ReLU reads: both can be done in one."""
    users = list(node.users)
    return is_convolution(node, modules) and len(users) == 1 and is_relu(users[0], modules)
