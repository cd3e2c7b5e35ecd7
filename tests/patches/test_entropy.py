"""Entropy against values by hand and against scikit-image."""

import numpy as np
import pytest
from PIL import Image
from skimage.measure import shannon_entropy

from napari_aln.patches.entropy import entropy_bits, grey_uint8


def flat(*values, side=4):
    return np.stack([np.full((side, side, 3), value, dtype=np.uint8) for value in values])


def test_known_values():
    checkerboard = np.indices((8, 8)).sum(axis=0) % 2 * 255
    ramp = np.arange(256).reshape(16, 16)
    as_rgb = [np.repeat(a[..., None], 3, axis=2).astype(np.uint8) for a in (checkerboard, ramp)]
    assert float(entropy_bits(as_rgb[0])) == 1.0
    assert float(entropy_bits(as_rgb[1])) == 8.0


def test_one_grey_has_no_entropy_and_no_minus_sign():
    bits = entropy_bits(flat(0, 200))
    assert bits.tolist() == [0.0, 0.0]
    assert not np.signbit(bits).any()


def test_a_quarter_and_three_quarters():
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    picture[0] = 90
    assert float(entropy_bits(picture)) == pytest.approx(2 - 0.75 * np.log2(3), abs=1e-15)


def test_equals_scikit_image_on_the_uint8_grey():
    rng = np.random.default_rng(3)
    patches = rng.normal(150, 30, (5, 64, 48, 3)).clip(0, 255).astype(np.uint8)
    expected = [shannon_entropy(grey_uint8(patch)) for patch in patches]
    bits = entropy_bits(patches)
    assert bits.shape == (5,)
    np.testing.assert_allclose(bits, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(entropy_bits(patches[2]), expected[2], rtol=0, atol=1e-12)


def test_grey_is_rounded_bt601():
    rng = np.random.default_rng(4)
    rgb = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    exact = rgb @ [0.299, 0.587, 0.114]
    grey = grey_uint8(rgb)
    assert grey.dtype == np.uint8
    assert np.abs(grey - exact).max() <= 0.5 + 1e-2
    np.testing.assert_array_equal(grey, np.asarray(Image.fromarray(rgb).convert("L")))


def test_a_view_with_strides_is_read_rightly():
    rng = np.random.default_rng(5)
    wide = rng.integers(0, 256, (2, 32, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(entropy_bits(wide[:, ::2, ::2]), entropy_bits(wide[:, ::2, ::2].copy()))


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4, 3)), np.zeros((4, 4), dtype=np.uint8), np.zeros((4, 4, 4), dtype=np.uint8)],
    ids=["float", "grey", "rgba"],
)
def test_other_pictures_are_refused(picture):
    with pytest.raises(ValueError, match="uint8 RGB"):
        entropy_bits(picture)
