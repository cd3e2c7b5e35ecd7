"""The torch twins of entropy and resizing agree with NumPy and Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image

from napari_aln.patches.device import entropy_bits_torch, grey_torch, resize_torch
from napari_aln.patches.entropy import entropy_bits, grey_uint8


@pytest.fixture
def patches():
    rng = np.random.default_rng(11)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((256, 256), Image.Resampling.BICUBIC))
    noise = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    edges = np.zeros((256, 256, 3), dtype=np.uint8)
    edges[::3, :, 0] = edges[:, ::5, 1] = edges[100:, 100:, 2] = 255
    return np.stack([smooth, noise, edges])


def test_grey_is_the_same_to_the_bit(patches):
    np.testing.assert_array_equal(grey_torch(torch.from_numpy(patches)).numpy(), grey_uint8(patches))


def test_entropy_is_the_same(patches):
    constant = np.full_like(patches[:1], 240)
    everything = np.concatenate([patches, constant])
    bits = entropy_bits_torch(torch.from_numpy(everything))
    np.testing.assert_allclose(bits.numpy(), entropy_bits(everything), atol=1e-12)
    assert bits[-1] == 0


@pytest.mark.parametrize("out_px", [224, 128, 256, 299, 331])
def test_resize_agrees_with_pillow_to_one_grey_value(patches, out_px):
    ours = resize_torch(torch.from_numpy(patches), out_px).numpy()
    assert ours.dtype == np.uint8
    for picture, resized in zip(patches, ours, strict=True):
        pillow = np.asarray(Image.fromarray(picture).resize((out_px, out_px), Image.Resampling.BILINEAR))
        difference = np.abs(resized.astype(int) - pillow)
        assert difference.max() <= 1
