"""Resampling on the device: the pixels that Pillow gives."""

import numpy as np
import pytest
import torch
from PIL import Image

from napari_aln.patches.device import resample_torch

BOXES = {
    "a tenth": (0.0, 0.0, 204.8, 204.8),
    "ties": (1.0, 2.0, 201.0, 202.0),
    "whole": (0.0, 0.0, 206.0, 206.0),
    "one part in three": (0.1, 0.7, 202.4, 203.9),
    "much smaller": (3.3, 4.4, 203.1, 199.2),
    "enlarged": (50.2, 60.9, 110.7, 100.1),
    "to the edges": (0.999, 0.001, 205.999, 205.5),
}


def pillows(rgb, box, out_px):
    return np.asarray(Image.fromarray(rgb).resize(out_px, Image.Resampling.BILINEAR, box=box))


@pytest.mark.parametrize("out_px", [(256, 256), (100, 64), (31, 206)])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_every_pixel_is_pillows(box, out_px):
    rgb = np.random.default_rng(1).integers(0, 256, (206, 206, 3), np.uint8)
    ours = resample_torch(
        torch.from_numpy(rgb)[None], torch.tensor([box]).double(), torch.tensor([[206, 206]]), out_px
    )
    np.testing.assert_array_equal(ours[0], pillows(rgb, box, out_px))


def test_each_picture_has_its_own_box_and_extent():
    rgb = np.random.default_rng(2).integers(0, 256, (2, 120, 130, 3), np.uint8)
    boxes = [(0.5, 0.25, 100.0, 90.5), (10.1, 3.0, 130.0, 120.0)]
    extents = [(100, 91), (130, 120)]
    ours = resample_torch(
        torch.from_numpy(rgb), torch.tensor(boxes).double(), torch.tensor(extents), (64, 64)
    )
    for picture, box, (width, height), own in zip(rgb, boxes, extents, ours, strict=True):
        np.testing.assert_array_equal(own, pillows(picture[:height, :width], box, (64, 64)))
