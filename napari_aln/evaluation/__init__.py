"""Evaluation: how right a model or a reader is, with intervals as the papers give them."""

from napari_aln.evaluation.metrics import Estimate, confusion_metrics

__all__ = ["Estimate", "confusion_metrics"]
