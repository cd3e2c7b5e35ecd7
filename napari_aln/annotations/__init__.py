"""Regions drawn elsewhere: read, mended and written, one file per format."""

from napari_aln.annotations.asap import write_asap
from napari_aln.annotations.geojson import write_geojson
from napari_aln.annotations.imagescope import write_imagescope
from napari_aln.annotations.placing import other_origin
from napari_aln.annotations.read import AnnotationFile, read_annotations, read_regions
from napari_aln.annotations.statement import Origin
from napari_aln.annotations.unnamed import without_names
from napari_aln.annotations.usable import usable_regions

__all__ = [
    "AnnotationFile",
    "Origin",
    "other_origin",
    "read_annotations",
    "read_regions",
    "usable_regions",
    "without_names",
    "write_asap",
    "write_geojson",
    "write_imagescope",
]
