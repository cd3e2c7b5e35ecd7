"""The real nvImageCodec, on its processor backend: the same code as on CUDA but for the device."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch

from napari_aln import open_slide
from napari_aln.errors import DeviceError
from napari_aln.geometry import Rect
from napari_aln.runtimes.jpeg_decoder import NvImageCodec, installed
from napari_aln.slides import read_patch
from napari_aln.workflows.slide.device_patches import device_patches

ROOT = Path(__file__).parents[2]
SLIDES = {
    "red, green and blue in shared tables": ROOT.parent / "shared/data/slides/CMU-1-Small-Region.svs",
    "JFIF": ROOT / "sample_data/demo-slide.tif",
}

needs_library = pytest.mark.skipif(not installed(), reason="nvImageCodec (the extra `gpu`) is not installed")


@pytest.fixture(scope="module")
def decoder():
    return NvImageCodec("cpu")


@pytest.fixture(params=SLIDES.values(), ids=SLIDES)
def slide(request):
    if not request.param.exists():
        pytest.skip(f"{request.param.name} is not here")
    with open_slide(request.param) as opened:
        yield opened


def picture(seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, (8, 10, 3), np.uint8).repeat(16, 0).repeat(16, 1)


@needs_library
def test_a_batch_decodes_as_imagecodecs_does(decoder):
    streams = [imagecodecs.jpeg_encode(picture(seed), level=85) for seed in range(5)]
    tiles = decoder(streams, stores_rgb=False)
    for tile, stream in zip(tiles, streams, strict=True):
        assert tile.dtype == torch.uint8
        np.testing.assert_array_equal(tile, imagecodecs.jpeg_decode(stream))


@needs_library
@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_chroma_is_upsampled_as_libjpeg_does(decoder, subsampling):
    stream = imagecodecs.jpeg_encode(picture(), level=85, subsampling=subsampling)
    (tile,) = decoder([stream], stores_rgb=False)
    np.testing.assert_array_equal(tile, imagecodecs.jpeg_decode(stream))


@needs_library
def test_what_cannot_be_decoded_is_none_and_spares_the_others(decoder, capfd):
    stream = imagecodecs.jpeg_encode(picture(), level=85)
    first, second, third = decoder([b"no JPEG", stream, stream[: len(stream) // 2]], stores_rgb=False)
    assert first is None
    assert third is None
    np.testing.assert_array_equal(second, imagecodecs.jpeg_decode(stream))
    assert capfd.readouterr().err == ""  # the program tells of damage, not the library


@needs_library
def test_patches_of_real_slides_equal_the_readers(slide, decoder):
    patches = device_patches(slide, (1.0, 1.0), decoder)
    assert patches.decoder_name == "nvimgcodec"
    width, height = slide.info.size_px
    corners = [(0, 0), (480, 480), (777, 901), (width - 256, height - 256), (width - 100, height - 50)]
    places = [Rect(float(x), float(y), 256.0, 256.0) for x, y in corners]
    theirs = np.stack([read_patch(slide, place, 256) for place in places])
    np.testing.assert_array_equal(patches.read(places, 256), theirs)


@needs_library
def test_resampled_patches_of_real_slides_equal_the_readers(slide, decoder):
    patches = device_patches(slide, (1.91, 1.91), decoder)
    places = [Rect(391.7 + 488.96 * i, 402.3, 488.96, 488.96) for i in range(3)]
    theirs = np.stack([read_patch(slide, place, 256) for place in places])
    np.testing.assert_array_equal(patches.read(places, 256), theirs)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
@needs_library
def test_without_a_device_the_library_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    with pytest.raises(DeviceError) as told:
        NvImageCodec("cuda")
    assert told.value.fact.startswith("nvImageCodec cannot be used")
    assert "/" not in told.value.fact


@pytest.mark.skipif(installed(), reason="nvImageCodec is installed")
def test_without_the_library_the_way_to_it_is_told():
    with pytest.raises(DeviceError, match="nvidia-nvimgcodec"):
        NvImageCodec("cpu")


@needs_library
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_decodes_to_nearly_the_same(slide):
    on_gpu = device_patches(slide, (1.0, 1.0), NvImageCodec("cuda"))
    assert on_gpu is not None, "nvJPEG takes these tiles otherwise than libjpeg"
    places = [Rect(480.0, 480.0, 256.0, 256.0), Rect(777.0, 901.0, 256.0, 256.0)]
    made = on_gpu.read(places, 256)
    assert made.device.type == "cuda"
    theirs = np.stack([read_patch(slide, place, 256) for place in places])
    assert np.abs(made.cpu().numpy().astype(int) - theirs).mean() <= 1.0
