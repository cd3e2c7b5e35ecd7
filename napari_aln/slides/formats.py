"""Which formats are read, by which reader, and which of them a file in the tests proves."""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """One file format and how sure we are of it."""

    name: str
    suffixes: tuple[str, ...]
    reader: str
    tested: bool
    how: str  # the file that proves it, or what stands in for a proof


_OPENSLIDE_ONLY = "read by OpenSlide; no file of this kind in the tests"

FORMATS: tuple[Format, ...] = (
    Format("Aperio", (".svs",), "openslide", True, "a real slide (CMU-1-Small-Region)"),
    Format("DICOM WSI, file or folder", (".dcm",), "openslide", True, "a real slide, recompressed"),
    Format("tiled pyramidal TIFF", (".tif", ".tiff"), "openslide", True, "written in the tests"),
    Format("OME-TIFF", (".ome.tif", ".ome.tiff"), "tifffile", True, "written in the tests"),
    Format("other TIFF, 8-bit RGB or grey", (".tif", ".tiff"), "tifffile", True, "written in the tests"),
    Format(
        "JPEG, as in BCNB", (".jpg", ".jpeg"), "image", True, "real BCNB slides, and written in the tests"
    ),
    Format("PNG", (".png",), "image", True, "written in the tests"),
    Format("Hamamatsu", (".ndpi", ".vms", ".vmu"), "openslide", False, _OPENSLIDE_ONLY),
    Format("MIRAX", (".mrxs",), "openslide", False, _OPENSLIDE_ONLY),
    Format("Leica", (".scn",), "openslide", False, _OPENSLIDE_ONLY),
    Format("Ventana", (".bif",), "openslide", False, _OPENSLIDE_ONLY),
    Format("Philips TIFF", (".tiff",), "openslide", False, _OPENSLIDE_ONLY),
    Format("Sakura", (".svslide",), "openslide", False, _OPENSLIDE_ONLY),
    Format("Trestle", (".tif",), "openslide", False, _OPENSLIDE_ONLY),
    Format("Zeiss", (".czi",), "openslide", False, _OPENSLIDE_ONLY),
)
SLIDE_SUFFIXES = tuple(dict.fromkeys(suffix for known in FORMATS for suffix in known.suffixes))
