"""What tests of workflows share: JPEG slides to decode on a device."""

import pytest
import tifffile
from jpeg_slides import texture, with_shared_tables, write
from tests_shared import MPP

from napari_aln import open_slide


@pytest.fixture(params=["plain", "ome", "tables"])
def jpeg_slide(request, tmp_path):
    """Return the same picture through OpenSlide's fast path, through tifffile, and as abbreviated JPEGs."""
    path = tmp_path / ("a.ome.tif" if request.param == "ome" else "a.tif")
    if request.param == "tables":
        with_shared_tables(path)
    elif request.param == "ome":
        about = {"PhysicalSizeX": MPP, "PhysicalSizeY": MPP, "axes": "YXS"}
        with tifffile.TiffWriter(path, ome=True) as tiff:
            tiff.write(texture(), tile=(128, 128), compression="jpeg", photometric="rgb", metadata=about)
    else:
        write(path)
    with open_slide(path) as opened:
        yield opened
