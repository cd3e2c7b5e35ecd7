"""The one place that imports torchvision, so that it also works beside a torch built without CUDA.

The torchvision wheel of the package index is built for CUDA. Beside a CPU build of torch its compiled part
cannot be loaded, and ``import torchvision`` then stops because two operators that it describes were never
declared. Models and transforms need neither, so declaring them (without an implementation) is enough.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import torch

from napari_aln.errors import DeviceError

if TYPE_CHECKING:
    from types import ModuleType

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # a schema lives only as long as its Library


def _import_torchvision() -> ModuleType:
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # the half-imported package would be handed out next time
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    _declared.append(library)
    for schema in _SCHEMAS:
        if not hasattr(torch.ops.torchvision, schema.split("(")[0]):
            library.define(schema)  # type: ignore[no-untyped-call]
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        raise DeviceError(
            f"torchvision cannot be loaded beside torch {torch.__version__}: {error}.",
            "Install the torchvision release that belongs to this torch.",
        ) from error


torchvision = _import_torchvision()
models = importlib.import_module("torchvision.models")

__all__ = ["models", "torchvision"]
