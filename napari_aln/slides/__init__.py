"""Slides: open any supported file, read it in level pixels, resample patches, make overviews.

Importing this package loads no reader; each is imported when a file needs it. `FORMATS` lists what
is read and what of it is proven by a file in the tests.
"""

from napari_aln.slides.formats import FORMATS
from napari_aln.slides.opening import open_slide
from napari_aln.slides.protocol import Slide
from napari_aln.slides.sampling import overview, read_patch

__all__ = ["FORMATS", "Slide", "open_slide", "overview", "read_patch"]
