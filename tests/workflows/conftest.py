"""What tests of workflows share: JPEG slides to decode on a device, a tiny cohort to train on."""

import pytest
import tifffile
from jpeg_slides import texture, with_shared_tables, write
from tests_shared import MPP, drain

from napari_aln import open_slide
from napari_aln.cohort.synthesize import synthesize
from napari_aln.settings import SynthesizeSettings


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory):
    """Return the table of eight synthetic patients: four to train on, two to choose on, two to test."""
    small = SynthesizeSettings(
        core_width_um=(400, 450), core_length_um=(700, 800), train_share=0.5, val_share=0.25
    )
    return drain(synthesize(tmp_path_factory.mktemp("tiny") / "cohort", 8, 1, small))


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
