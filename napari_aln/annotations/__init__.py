"""Regions drawn elsewhere: read, mended and written, one file per format."""

from napari_aln.annotations.geojson import write_geojson
from napari_aln.annotations.read import read_regions, recorded_slide_hash
from napari_aln.annotations.usable import usable_regions

__all__ = ["read_regions", "recorded_slide_hash", "usable_regions", "write_geojson"]
