"""Nuclei: where they are, what they look like in micrometres, and how a slide's nuclei are distributed."""

from napari_aln.nuclei.aggregates import patch_statistics, region_statistics
from napari_aln.nuclei.detections import write_detections
from napari_aln.nuclei.morphometry import FEATURES, measure, neighbour_distances_um
from napari_aln.nuclei.outlines import Outlines, outlines_of
from napari_aln.nuclei.segmentation import segment
from napari_aln.nuclei.table import NucleusTable, placed, read_nuclei, write_nuclei, write_nuclei_csv

__all__ = [
    "FEATURES",
    "NucleusTable",
    "Outlines",
    "measure",
    "neighbour_distances_um",
    "outlines_of",
    "patch_statistics",
    "placed",
    "read_nuclei",
    "region_statistics",
    "segment",
    "write_detections",
    "write_nuclei",
    "write_nuclei_csv",
]
