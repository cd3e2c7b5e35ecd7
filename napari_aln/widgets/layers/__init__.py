"""The only place that touches the viewer's layers: slide, tissue mask, map, regions; all in micrometres."""

from napari_aln.widgets.layers.guard import UnitsGuard
from napari_aln.widgets.layers.map_layer import MapLayer
from napari_aln.widgets.layers.mask_layer import MaskLayer
from napari_aln.widgets.layers.patch_frame import PatchFrame
from napari_aln.widgets.layers.placement import Frame
from napari_aln.widgets.layers.regions_layer import RegionsLayer
from napari_aln.widgets.layers.slide_layer import SlideLayer

__all__ = ["Frame", "MapLayer", "MaskLayer", "PatchFrame", "RegionsLayer", "SlideLayer", "UnitsGuard"]
