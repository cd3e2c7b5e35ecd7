"""Evaluation: how right a model or a reader is, with intervals as the papers give them.

Importing the package loads nothing; each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_aln.evaluation.auc import auc_interval, delong_test
    from napari_aln.evaluation.metrics import Estimate, confusion_metrics

__all__ = ["Estimate", "auc_interval", "confusion_metrics", "delong_test"]

_HOMES = {
    "Estimate": "napari_aln.evaluation.metrics",
    "confusion_metrics": "napari_aln.evaluation.metrics",
    "auc_interval": "napari_aln.evaluation.auc",
    "delong_test": "napari_aln.evaluation.auc",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562: whatever stands there)
    if name not in _HOMES:
        raise AttributeError(f"module 'napari_aln.evaluation' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
