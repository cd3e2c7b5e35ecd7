"""Networks as mere shapes, on torch's meta device: for weights that are put in whole."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Undrawn(TorchFunctionMode):
    """Draw no weights from a normal distribution.

    There is nothing to draw without memory, but to say so torch loads its compiler: a second and 70 MB.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        named = kwargs or {}
        if func in (torch.Tensor.normal_, nn.init.normal_):
            return args[0] if args else named["tensor"]
        return func(*args, **named)


@contextmanager
def on_meta_device() -> Iterator[None]:
    """Give modules that are made meanwhile every shape, and neither memory nor weights."""
    with torch.device("meta"), _Undrawn():
        yield
