"""Colour profiles: got from every kind of file, shown on request, never seen by anything but the display."""

import threading

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from napari_aln.slides import open_slide
from napari_aln.slides.color import to_srgb
from napari_aln.slides.pyramid import Pyramid

STORED, SHOWN = (200, 30, 90), (90, 30, 200)


@pytest.fixture(scope="module")
def swapped() -> bytes:
    """Return sRGB with the red and blue primaries exchanged: it turns red into blue, exactly."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ", 128), profile.index(b"bXYZ", 128)
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


@pytest.fixture(params=["svs-like.tif", "ome.ome.tif", "flat.jpg", "flat.png"])
def slide(request, tmp_path, swapped):
    path = tmp_path / request.param
    pixels = np.full((700, 1300, 3), STORED, np.uint8)
    if path.suffix == ".tif":
        ome = {"ome": True} if ".ome" in path.name else {"metadata": None}
        tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", iccprofile=swapped, **ome)
    else:
        Image.fromarray(pixels).save(path, quality=100, subsampling=0, icc_profile=swapped)
    with open_slide(path) as opened:
        yield opened


def test_every_reader_hands_its_profile_on(slide, swapped):
    assert slide.color_profile() == swapped


def test_the_display_converts_on_request_and_back_and_the_slide_never_does(slide):
    pyramid = Pyramid(slide, patience_s=20)
    try:
        told = threading.Event()
        assert pyramid.has_icc
        assert not pyramid.icc
        stored = pyramid.levels[0][:300, :300]
        pyramid.levels[-1][:]
        pyramid.on_arrival = told.set
        pyramid.icc = True
        assert told.is_set()
        for level in pyramid.levels:
            assert np.abs(level[-200:, -200:].astype(int) - SHOWN).max() <= 3
        assert np.abs(np.asarray(pyramid.levels[-1]).astype(int) - SHOWN).max() <= 3
        assert np.abs(slide.read_level(0, (0, 0), (9, 9)).astype(int) - STORED).max() <= 3
        pyramid.icc = False
        np.testing.assert_array_equal(pyramid.levels[0][:300, :300], stored)
    finally:
        pyramid.close()


def test_one_kind_of_profile_converts_by_known_values(swapped):
    convert = to_srgb(swapped)
    picture = np.array([[STORED, (0, 0, 0), (255, 255, 255), (255, 0, 0)]], np.uint8)
    known = np.array([[SHOWN, (0, 0, 0), (255, 255, 255), (0, 0, 255)]])
    assert np.abs(convert(picture).astype(int) - known).max() <= 1
    assert picture[0, 0].tolist() == list(STORED)


@pytest.mark.parametrize("profile", [None, b"", b"no profile at all", bytes(200)])
def test_without_a_usable_profile_there_is_no_conversion(profile):
    assert to_srgb(profile) is None


def test_a_profile_of_another_colour_space_is_not_used():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert to_srgb(lab) is None


def test_a_slide_without_a_profile_ignores_the_switch(pyramid):
    with open_slide(pyramid) as slide:
        assert slide.color_profile() is None
        shown = Pyramid(slide, patience_s=20)
        try:
            before = shown.levels[0][:100, :100]
            assert not shown.has_icc
            shown.icc = True
            np.testing.assert_array_equal(shown.levels[0][:100, :100], before)
        finally:
            shown.close()


def test_the_real_dicom_slide_has_a_profile(dicom_folder):
    with open_slide(dicom_folder) as slide:
        assert to_srgb(slide.color_profile()) is not None
