"""JPEG decoded on the device: tiles that are damaged, cut short, or not the decoder's kind."""

import numpy as np
import pytest
from device_doubles import StandIn
from jpeg_slides import segment_of, write

from napari_aln import open_slide
from napari_aln.errors import DeviceError, SlideError
from napari_aln.geometry import Rect
from napari_aln.slides import read_patch
from napari_aln.workflows.slide.device_patches import device_patches


def damage(path, index):
    """Overwrite the head of a tile."""
    offset, _ = segment_of(path, index)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(60))


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_a_damaged_tile_is_told_with_the_file_and_spares_the_others(tmp_path, name):
    path = write(tmp_path / name)
    with open_slide(path) as slide:
        patches = device_patches(slide, (1.0, 1.0), StandIn())
        damage(path, 14)  # the third tile of the third row
        with pytest.raises(SlideError) as told:
            patches.read([Rect(0, 0, 128, 128), Rect(300, 300, 128, 128)], 128)
        assert name in told.value.fact
        whole = [Rect(0, 0, 128, 128)]
        np.testing.assert_array_equal(patches.read(whole, 128)[0], read_patch(slide, whole[0], 128))


def cut_end(path, index):
    """Overwrite the end marker of a tile."""
    offset, count = segment_of(path, index)
    with path.open("r+b") as file:
        file.seek(offset + count - 2)
        file.write(b"\x12\x34")


def test_a_jpeg_without_its_end_is_told(tmp_path):
    path = write(tmp_path / "a.ome.tif")
    with open_slide(path) as slide:
        patches = device_patches(slide, (1.0, 1.0), StandIn())
        cut_end(path, 14)
        with pytest.raises(SlideError, match="has no end"):
            patches.read([Rect(300, 300, 128, 128)], 128)


def test_openslide_has_the_last_word_on_a_jpeg_without_its_end(tmp_path):
    path = write(tmp_path / "a.tif")
    with open_slide(path) as slide:
        patches = device_patches(slide, (1.0, 1.0), StandIn())
        cut_end(path, 14)
        place = Rect(300, 300, 128, 128)
        np.testing.assert_array_equal(patches.read([place], 128)[0], read_patch(slide, place, 128))


@pytest.mark.parametrize("spoil", [lambda tile: None, lambda tile: tile[:100]], ids=["none", "cut short"])
def test_a_tile_only_the_decoder_cannot_take_comes_from_the_reader(jpeg_slide, spoil):
    class Picky(StandIn):
        def __call__(self, streams, *, stores_rgb):
            first, *rest = super().__call__(streams, stores_rgb=stores_rgb)
            return [spoil(first), *rest] if rest else [first]

    patches = device_patches(jpeg_slide, (1.0, 1.0), Picky())
    place = Rect(100, 60, 128, 128)
    np.testing.assert_array_equal(patches.read([place], 128)[0], read_patch(jpeg_slide, place, 128))


def test_a_decoder_that_gives_up_is_told(jpeg_slide):
    class GivesUp(StandIn):
        def __call__(self, streams, *, stores_rgb):
            if self.batches:
                raise RuntimeError("illegal memory access")
            return super().__call__(streams, stores_rgb=stores_rgb)

    patches = device_patches(jpeg_slide, (1.0, 1.0), GivesUp())
    with pytest.raises(DeviceError, match="illegal memory access"):
        patches.read([Rect(0, 0, 128, 128)], 128)
