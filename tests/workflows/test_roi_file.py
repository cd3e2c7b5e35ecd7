"""The origin of an annotation file that does not state it: the other one is offered, never taken unasked."""

import json

import numpy as np
import pytest
import shapely
from shapely.geometry import mapping

from napari_aln import open_slide
from napari_aln.errors import RegionError
from napari_aln.geometry import Rect
from napari_aln.workflows.slide.roi_file import read_roi

BOUNDS = Rect(900, 700, 2000, 1400)  # of a slide of 3000 x 2200 px


@pytest.fixture
def slide(tissue_slide, monkeypatch):
    from napari_aln.slides import openslide_reader

    monkeypatch.setattr(openslide_reader, "_bounds", lambda *_: BOUNDS)
    with open_slide(tissue_slide) as slide:
        yield slide


@pytest.fixture
def write(tmp_path):
    def write(shape, **stated):
        path = tmp_path / "roi.geojson"
        path.write_text(json.dumps(mapping(shape) | stated))
        return path

    return write


def test_outlines_off_the_scanned_area_come_onto_it(slide, write):
    path = write(shapely.box(100, 100, 600, 500))
    read = read_roi(slide, path)
    assert read.other == "bounds"
    assert "lie off the scanned area, read as counting from the slide's corner" in read.about_origin
    again = read_roi(slide, path, read.other)
    np.testing.assert_array_equal(again.regions[0].geometry.bounds, (1000, 800, 1500, 1200))
    assert again.other == "level0"  # and back
    told = [*read.warnings, read.about_origin, *again.warnings, again.about_origin]
    assert "--origin" not in " ".join(told)


def test_what_lies_off_the_slide_altogether_is_still_offered(slide, write):
    path = write(shapely.box(-500, -400, -100, -100))
    assert read_roi(slide, path).regions == ()
    assert read_roi(slide, path).other == "bounds"
    (region,) = read_roi(slide, path, "bounds").regions
    assert region.geometry.bounds == (400, 300, 800, 600)


def test_a_file_that_lies_well_may_count_from_either(slide, write):
    read = read_roi(slide, write(shapely.box(1000, 800, 1500, 1200)))
    assert "does not say what it counts from" in read.about_origin
    assert read.regions[0].geometry.bounds == (1000, 800, 1500, 1200)


def test_nothing_is_offered_where_there_is_no_other_origin(tissue_slide, write):
    with open_slide(tissue_slide) as slide:
        read = read_roi(slide, write(shapely.box(100, 100, 600, 500)))
        assert (read.other, read.about_origin) == (None, "")
        with pytest.raises(RegionError, match="no region lies on the slide"):
            read_roi(slide, write(shapely.box(-900, -900, -100, -100)))
