"""The one place that imports torchvision, so that it also works beside a torch built without CUDA.

The torchvision wheel of the package index is built for CUDA. Beside a CPU build of torch its compiled part
cannot be loaded, and ``import torchvision`` then stops because two operators that it describes were never
declared. Models and transforms need neither, so declaring them (without an implementation) is enough.

Nor do they need torch's compiler, which torchvision loads for one question of an operator on boxes: a second
and 70 MB, in every process that runs a model. That question finds the compiler when it is asked.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from napari_aln.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_QUESTION = ("torch._dynamo.utils", ("is_compile_supported",))
_declared: list[torch.library.Library] = []  # a schema lives only as long as its Library


def _is_compile_supported(device_type: str) -> bool:
    """Ask the compiler itself, once somebody wants to know."""
    return bool(importlib.import_module("torch._dynamo.utils").is_compile_supported(device_type))


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Answer torchvision's question by `_is_compile_supported`.

    Whatever else is imported meanwhile, by torchvision or on another thread, is imported as ever: nothing
    stands in for the compiler in `sys.modules`.
    """
    plain_import = builtins.__import__
    answer = SimpleNamespace(is_compile_supported=_is_compile_supported)

    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:  # noqa: ANN401  (as `__import__` itself)
        importer = str((globals or {}).get("__name__"))
        if importer.startswith("torchvision.") and (name, fromlist) == _QUESTION:
            return answer
        return plain_import(name, globals, locals, fromlist, level)

    builtins.__import__ = import_
    try:
        yield
    finally:
        builtins.__import__ = plain_import


def _load() -> ModuleType:
    with _without_compiler():
        module = importlib.import_module("torchvision")
        importlib.import_module("torchvision.models")
        return module


def _forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # the half-imported package would be handed out next time


def _import_torchvision() -> ModuleType:
    try:
        return _load()
    except RuntimeError:
        _forget()
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    _declared.append(library)
    for schema in _SCHEMAS:
        if not hasattr(torch.ops.torchvision, schema.split("(")[0]):
            library.define(schema)  # type: ignore[no-untyped-call]
    try:
        return _load()
    except RuntimeError as error:
        raise DeviceError(
            f"torchvision cannot be loaded beside torch {torch.__version__}: {error}.",
            "Install the torchvision release that belongs to this torch.",
        ) from error


torchvision = _import_torchvision()
models = importlib.import_module("torchvision.models")

__all__ = ["models", "torchvision"]
