"""JPEG decoded on the device: patches equal the reader's; what the device cannot take stays away from it."""

import imagecodecs
import numpy as np
import pytest
import tifffile
from device_doubles import Blind, ColourBlind, StandIn
from jpeg_slides import segment_of, set_byte_count, texture, with_shared_tables, write

from napari_aln import open_slide
from napari_aln.errors import DeviceError
from napari_aln.geometry import Rect
from napari_aln.slides import read_patch
from napari_aln.workflows.slide import device_patches as module
from napari_aln.workflows.slide.device_patches import device_patches

PLACES = {
    "on tiles": [Rect(0, 0, 128, 128), Rect(256, 128, 128, 128)],
    "across tiles": [Rect(100, 60, 128, 128), Rect(311, 399, 128, 128)],
    "edge tiles": [Rect(573, 405, 128, 128)],
    "over the edge": [Rect(-30, -40, 128, 128), Rect(650, 500, 128, 128)],
    "outside": [Rect(900, 900, 128, 128), Rect(-500, 20, 128, 128)],
    "far apart": [Rect(0, 0, 128, 128), Rect(573, 0, 128, 128), Rect(0, 405, 128, 128)],
}


RESAMPLED = {
    "coarser": [Rect(10, 20, 256.5, 256.5), Rect(266.5, 200.25, 256.5, 256.5)],
    "twice": [Rect(4, 6, 256, 256)],
    "finer": [Rect(33.3, 41.7, 100.2, 100.2)],
    "shifted": [Rect(10.5, 20.25, 128, 128), Rect(138.5, 20.25, 128, 128)],
    "differs in x and y": [Rect(10.1, 20.2, 200.7, 150.1)],
    "over the edge": [Rect(-20.3, 500.2, 150.5, 150.5), Rect(640.1, -9.9, 150.5, 150.5)],
    "a smaller one at the end of a tile": [Rect(0.75, 0.75, 130.5, 130.5), Rect(253, 253, 130.5, 130.5)],
    "some aligned": [Rect(0, 0, 130.5, 130.5), Rect(130.5, 130.5, 130.5, 130.5)],
}


def both(slide, places):
    patches = device_patches(slide, (places[0].width / 128, places[0].height / 128), StandIn())
    ours = patches.read(places, 128).numpy()
    return ours, np.stack([read_patch(slide, place, 128) for place in places])


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_patches_on_whole_pixels_equal_the_readers(jpeg_slide, places):
    ours, theirs = both(jpeg_slide, places)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("places", RESAMPLED.values(), ids=RESAMPLED)
def test_resampled_patches_equal_the_readers(jpeg_slide, places):
    ours, theirs = both(jpeg_slide, places)
    np.testing.assert_array_equal(ours, theirs)


def test_tiles_of_a_chunk_are_decoded_in_one_call_and_once(jpeg_slide):
    decoder = StandIn()
    patches = device_patches(jpeg_slide, (1.0, 1.0), decoder)
    patches.read([Rect(100, 0, 128, 128), Rect(120, 0, 128, 128), Rect(140, 0, 128, 128)], 128)
    assert decoder.batches == [1, 3]  # the sample; then tiles 0, 1 and 2 of the first row


def test_a_lower_level_is_read_where_it_serves(tissue_slide):
    with open_slide(tissue_slide) as slide:
        patches = device_patches(slide, (2.0, 2.0), StandIn())
        places = [Rect(600, 500, 512, 512), Rect(1001, 777, 512, 512)]
        theirs = np.stack([read_patch(slide, place, 256) for place in places])
        np.testing.assert_array_equal(patches.read(places, 256), theirs)
        assert patches.read([Rect(0, 0, 256, 256)], 256) is None  # made of another level


@pytest.mark.parametrize(
    "keywords",
    [
        {"compression": "deflate"},
        {"compression": "jpeg", "tile": None, "rowsperstrip": 64},
        {"compression": "jpeg", "planarconfig": "separate"},
    ],
    ids=["deflate", "strips", "planes"],
)
def test_what_is_no_plain_jpeg_stays_on_the_processor(tmp_path, keywords):
    with open_slide(write(tmp_path / "a.tif", **keywords)) as slide:
        assert device_patches(slide, (1.0, 1.0), StandIn()) is None


def test_grey_jpeg_and_other_readers_stay_on_the_processor(tmp_path):
    tifffile.imwrite(tmp_path / "grey.tif", texture()[..., 0], tile=(128, 128), compression="jpeg")
    imagecodecs.imwrite(str(tmp_path / "flat.jpg"), texture())
    for name in ("grey.tif", "flat.jpg"):
        with open_slide(tmp_path / name) as slide:
            assert device_patches(slide, (1.0, 1.0), StandIn()) is None


def test_a_missing_tile_stays_on_the_processor(tmp_path):
    path = write(tmp_path / "a.ome.tif")
    set_byte_count(path, 7, 0)
    with open_slide(path) as slide:
        assert device_patches(slide, (1.0, 1.0), StandIn()) is None


def test_a_decoder_that_mistakes_colours_is_not_used(tmp_path):
    with open_slide(with_shared_tables(tmp_path / "a.tif")) as slide:
        assert device_patches(slide, (1.0, 1.0), StandIn()) is not None
        assert device_patches(slide, (1.0, 1.0), ColourBlind()) is None


def test_a_decoder_that_takes_no_tile_is_not_used(jpeg_slide):
    assert device_patches(jpeg_slide, (1.0, 1.0), Blind()) is None


def test_the_sample_is_the_tile_with_the_most_bytes(tmp_path):
    rgb = texture()
    rgb[:128] = rgb[:, :128] = 200  # the first tiles are of one grey
    path = write(tmp_path / "a.tif", rgb=rgb)
    with open_slide(path) as slide:
        column, row = slide.encoded_level(0).fullest
        assert segment_of(path, row * 6 + column)[1] == max(segment_of(path, index)[1] for index in range(30))
        assert (column, row) != (0, 0)


def test_without_a_decoder_the_processor_decodes(jpeg_slide, monkeypatch):
    module._shared_decoder.cache_clear()
    monkeypatch.setattr(module, "installed", lambda: False)
    assert device_patches(jpeg_slide, (1.0, 1.0)) is None
    module._shared_decoder.cache_clear()

    def fails():
        raise DeviceError("nvImageCodec cannot be used: no driver.", "Update it.")

    monkeypatch.setattr(module, "installed", lambda: True)
    monkeypatch.setattr(module, "NvImageCodec", fails)
    assert device_patches(jpeg_slide, (1.0, 1.0)) is None
    module._shared_decoder.cache_clear()
