"""Patches and overviews: exact coordinates, the right level, untouched pixels where nothing is resampled."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from slide_files import resized, write_pyramid

from napari_aln.errors import UsageError
from napari_aln.geometry import Rect
from napari_aln.records import Level
from napari_aln.slides import open_slide, overview, read_patch
from napari_aln.slides.sampling import level_for, read_resampled

_MARKER = Rect(2950, 1960, 24, 16)  # near the far corner of 3001 x 2003


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """Return a lossless pyramid, grey with one dark marker; downsamples 3.9960 x 3.9980, 15.96 x 16.02."""
    rgb = np.full((2003, 3001, 3), 210, np.uint8)
    x, y, width, height = (int(value) for value in _MARKER)
    rgb[y : y + height, x : x + width] = 10
    levels = [rgb, resized(rgb, 751, 501), resized(rgb, 188, 125)]
    return write_pyramid(tmp_path_factory.mktemp("marked") / "marked.tif", levels, compression="zlib")


def _centre(rgb):
    """Return the centre (x, y) of what is dark, in pixels from the corner of the picture."""
    weight = 210.0 - rgb[..., 0].astype(float)
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]] + 0.5
    return (x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()


@pytest.mark.parametrize("downsample", [1.0, 1.7, 3.0, 3.998, 4.0, 6.5, 15.9, 16.0, 20.0])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.37, -0.81), (-40.5, 33.25)])
def test_far_corner_marker_is_where_it_was_painted(marked, downsample, shift):
    side = round(160 / downsample)
    rect = Rect(2880 + shift[0], 1880 + shift[1], side * downsample, side * downsample)
    with open_slide(marked) as slide:
        patch = read_patch(slide, rect, side)
    if rect.x + rect.width > 3001 or rect.y + rect.height > 2003:
        patch = np.where(patch > 210, 210, patch)  # the glass beyond the edge
    x, y = _centre(patch)
    assert rect.x + x * downsample == pytest.approx(2962, abs=0.1 + 0.04 * downsample)
    assert rect.y + y * downsample == pytest.approx(1968, abs=0.1 + 0.04 * downsample)


@pytest.mark.parametrize("downsample", [3.3, 8.0, 16.0])
def test_far_corner_marker_in_the_overview(marked, downsample):
    with open_slide(marked) as slide:
        rgb, (by_x, by_y) = overview(slide, downsample)
    assert (by_x, by_y) == (3001 / rgb.shape[1], 2003 / rgb.shape[0])
    x, y = _centre(rgb)
    assert (x * by_x, y * by_y) == pytest.approx((2962, 1968), abs=0.1 + 0.04 * downsample)


def test_aligned_patches_come_back_unchanged(pyramid, rgb):
    with open_slide(pyramid) as slide:
        level0 = slide.read_level(0, (0, 0), (701, 533))
        assert np.array_equal(read_patch(slide, Rect(256, 128, 224, 224), 224), level0[128:352, 256:480])
        by_x, by_y = slide.info.levels[1].downsample
        level1 = slide.read_level(1, (0, 0), (176, 134))
        got = read_patch(slide, Rect(100 * by_x, 60 * by_y, 64 * by_x, 64 * by_y), 64)
        assert np.array_equal(got, level1[60:124, 100:164])


def test_a_resampled_patch_is_what_pillow_makes_of_the_pixels(pyramid):
    with open_slide(pyramid) as slide:
        pixels = slide.read_level(0, (100, 50), (300, 300))
        expected = Image.fromarray(pixels).resize((224, 224), Image.Resampling.BILINEAR)
        assert np.array_equal(read_patch(slide, Rect(100, 50, 300, 300), 224), np.asarray(expected))
        # half a pixel further: the box that covers it, with the float corner inside
        pixels = slide.read_level(0, (100, 50), (301, 301))
        expected = Image.fromarray(pixels).resize(
            (224, 224), Image.Resampling.BILINEAR, box=(0.5, 0.5, 300.5, 300.5)
        )
        assert np.array_equal(read_patch(slide, Rect(100.5, 50.5, 300, 300), 224), np.asarray(expected))


def test_beyond_the_edge_is_background(pyramid):
    with open_slide(pyramid) as slide:
        patch = read_patch(slide, Rect(650, 500, 100, 100), 100)
        assert np.array_equal(patch[:33, :51], slide.read_level(0, (650, 500), (51, 33)))
        assert (patch[33:] == 255).all()
        assert (patch[:, 51:] == 255).all()
        assert (read_patch(slide, Rect(-500.5, -500.5, 90, 90), 30) == 255).all()


def test_a_rectangle_may_have_two_sides(pyramid):
    with open_slide(pyramid) as slide:
        assert read_resampled(slide, Rect(10, 10, 200, 100), (100, 50)).shape == (50, 100, 3)


@pytest.mark.parametrize("rect", [Rect(0, 0, 0, 10), Rect(0, 0, 10, -1), Rect(0, 0, float("nan"), 5)])
def test_an_empty_rectangle_is_refused(pyramid, rect):
    with open_slide(pyramid) as slide, pytest.raises(UsageError, match="empty"):
        read_patch(slide, rect, 10)


def test_the_coarsest_level_that_is_fine_enough():
    levels = tuple(Level(1, 1, by) for by in [(1.0, 1.0), (4.0013, 3.999), (16.02, 15.98)])
    chosen = [level_for(levels, (by, by)) for by in (0.5, 1.0, 3.9, 3.99, 4.0, 10.0, 15.98, 16.0, 99.0)]
    assert chosen == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert level_for(levels, (16.0, 1.0)) == 0


def test_overview_by_resolution_and_by_side(pyramid):
    with open_slide(pyramid) as slide:
        rgb, downsample = overview(slide, um_per_px=2.0)
        assert rgb.shape == (67, 88, 3)
        assert downsample == (701 / 88, 533 / 67)
        assert overview(slide, um_per_px=0.1)[0].shape == (533, 701, 3)  # never enlarged
        assert overview(slide, 2.0, max_side_px=100)[0].shape == (76, 100, 3)
        assert overview(slide, max_side_px=5000)[1] == (1.0, 1.0)
        assert slide.thumbnail(50).shape == (38, 50, 3)
        whole = slide.read_level(0, (0, 0), (701, 533))
        assert np.array_equal(overview(slide)[0], whole)
        assert np.abs(rgb.mean((0, 1)) - whole.mean((0, 1))).max() < 1.5


def test_overview_says_what_it_cannot_do(pyramid, tmp_path, rgb):
    unknown = write_pyramid(tmp_path / "no mpp.tif", [rgb], mpp=None)
    with open_slide(unknown) as slide, pytest.raises(UsageError, match="µm/px"):
        overview(slide, um_per_px=2.0)
    with open_slide(pyramid) as slide:
        for wrong in ({"downsample": 2.0, "um_per_px": 2.0}, {"downsample": 0.0}, {"max_side_px": -1}):
            with pytest.raises(UsageError):
                overview(slide, **wrong)


class _Ramp:
    """A slide whose level-0 pixel says where it is: red = x / 16, green = y / 16; no file needed."""

    def __init__(self, info):
        self.info = info

    def read_level(self, level, level_xy, size_px):
        by_x, by_y = self.info.levels[level].downsample
        x = (np.arange(size_px[0]) + 0.5 + level_xy[0]) * by_x / 16
        y = (np.arange(size_px[1]) + 0.5 + level_xy[1]) * by_y / 16
        red, green = np.meshgrid(x, y)
        return np.clip(np.dstack([red, green, red * 0]) + 0.5, 0, 255).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(100, 2500),
    y=st.floats(100, 2500),
    side=st.floats(20, 900),
    size=st.integers(8, 96),
    odd=st.floats(3.9, 4.1),
)
def test_every_pixel_of_a_patch_comes_from_its_place(pyramid_info, x, y, side, size, odd):
    levels = (Level(4000, 4000, (1.0, 1.0)), Level(1000, 1000, (odd, 8 - odd)))
    patch = read_patch(_Ramp(replace(pyramid_info, levels=levels)), Rect(x, y, side, side), size)
    middle = (np.arange(size) + 0.5) * side / size
    inner = slice(2, -2)  # at the rim the filter is cut off by the box
    assert np.abs(patch[0, inner, 0] - (x + middle[inner]) / 16).max() <= 1.2
    assert np.abs(patch[inner, 0, 1] - (y + middle[inner]) / 16).max() <= 1.2


@pytest.fixture(scope="module")
def pyramid_info(marked):
    with open_slide(marked) as slide:
        return slide.info
