"""Axillary lymph node metastasis from breast core-needle biopsy slides with attention MIL.

Research use only. Importing this package loads nothing heavy; `open_slide` and `predict` load what they need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_aln.slides import open_slide
    from napari_aln.workflows.predict import predict

__all__ = ["open_slide", "predict"]

_HOMES = {"open_slide": "napari_aln.slides", "predict": "napari_aln.workflows.predict"}
_ROOMS = ("evaluation", "nuclei")


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562: whatever stands there)
    if name in _ROOMS:
        return importlib.import_module(f"napari_aln.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'napari_aln' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
