"""The reference's ROI patching on small arrays whose answer can be counted."""

import numpy as np

from napari_aln.patches.reference import reference_patches


def box_of(height, width, value=100):
    return np.full((height, width, 3), value, dtype=np.uint8)


WHOLE = np.array([(0, 0), (999, 0), (999, 999), (0, 999)], dtype=float)


def test_padding_is_white_on_the_right_and_below_and_patches_start_top_left():
    patches, xy = reference_patches(box_of(10, 14), WHOLE, patch_px=8, max_white_share=1.0)
    assert xy.tolist() == [[0, 0], [8, 0], [0, 8], [8, 8]]
    assert patches.shape == (4, 8, 8, 3)
    assert patches.dtype == np.uint8
    white = (patches == 255).all(axis=-1).mean(axis=(1, 2))
    np.testing.assert_allclose(white, [0, 2 / 8, 6 / 8, 1 - 6 * 2 / 64])


def test_a_patch_at_the_limit_is_dropped():
    box = box_of(10, 10)
    box[:3] = 255  # 0.3 of the patch
    assert len(reference_patches(box, WHOLE, patch_px=10)[0]) == 0
    box[2, 9] = 100
    assert len(reference_patches(box, WHOLE, patch_px=10)[0]) == 1


def test_a_channel_at_255_counts_a_third_as_in_the_reference():
    box = box_of(10, 10)
    box[:8, :, 0] = 255  # red alone: 80 of 300 values
    assert len(reference_patches(box, WHOLE, patch_px=10)[0]) == 1
    box[:9, :, 0] = 255  # 90 of 300
    assert len(reference_patches(box, WHOLE, patch_px=10)[0]) == 0


def test_outside_the_polygon_is_white_and_its_boundary_is_inside():
    triangle = np.array([(0, 0), (7, 0), (0, 7)], dtype=float)
    patches, _ = reference_patches(box_of(8, 8), triangle, patch_px=8, max_white_share=1.0)
    row, column = np.indices((8, 8))
    np.testing.assert_array_equal((patches[0] == 100).all(axis=-1), row + column <= 7)


def test_the_picture_given_is_not_painted_over():
    box = box_of(8, 8)
    reference_patches(box, np.array([(0, 0), (3, 0), (0, 3)], dtype=float), patch_px=8)
    assert (box == 100).all()


def test_nothing_left_keeps_the_shapes():
    patches, xy = reference_patches(box_of(8, 8, 255), WHOLE, patch_px=8)
    assert patches.shape == (0, 8, 8, 3)
    assert xy.shape == (0, 2)
