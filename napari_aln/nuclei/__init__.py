"""Nuclei: where they are, what they look like in micrometres, and how a slide's nuclei are distributed."""

from napari_aln.nuclei.morphometry import measure
from napari_aln.nuclei.segmentation import segment

__all__ = ["measure", "segment"]
