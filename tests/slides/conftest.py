"""Small slides with known pixels, and where the real ones lie."""

import threading
from pathlib import Path

import numpy as np
import pytest
from pyramid_parts import TIMEOUT_S
from slide_files import resized, textured, write_pyramid

from napari_aln.slides.pyramid import Pyramid

_DATA = Path(__file__).parents[3] / "shared" / "data"


def _real(relative: str) -> Path:
    path = _DATA / relative
    if not path.exists():
        pytest.skip(f"the real slide ../shared/data/{relative} is not here")
    return path


@pytest.fixture
def svs():
    return _real("slides/CMU-1-Small-Region.svs")


@pytest.fixture
def dicom_folder():
    return _real("slides/cmu-1-small-region-dicom")


@pytest.fixture
def bcnb_jpeg():
    return _real("bcnb/slides/351899.jpg")


@pytest.fixture(scope="session")
def rgb() -> np.ndarray:
    return textured(701, 533)


@pytest.fixture(scope="session")
def pyramid(tmp_path_factory, rgb) -> Path:
    """Return a JPEG pyramid with non-integer downsamples: 701 x 533, 176 x 134, 44 x 34."""
    path = tmp_path_factory.mktemp("pyramid") / "pyramid.tif"
    return write_pyramid(path, [rgb, resized(rgb, 176, 134), resized(rgb, 44, 34)])


@pytest.fixture
def opened():
    """Return a maker of pyramids that are closed in the end, and leave no thread."""
    pyramids = []

    def make(slide, **keywords) -> Pyramid:
        pyramids.append(Pyramid(slide, **{"patience_s": TIMEOUT_S, **keywords}))
        return pyramids[-1]

    yield make
    for pyramid in pyramids:
        for gate in getattr(pyramid._slide, "gates", {}).values():
            gate.set()
        pyramid.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("napari-aln-tiles")]


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return textured(2310, 1405, seed=4)
