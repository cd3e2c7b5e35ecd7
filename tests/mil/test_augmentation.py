"""Augmentations give pictures, are seeded, treat each patch by itself and leave torch's generators alone."""

from typing import get_args

import numpy as np
import pytest
import torch

from napari_aln.mil.augmentation import augmentation, augmented
from napari_aln.settings.training import Augmentation

SIDE_PX = 24
NAMES = get_args(Augmentation)


@pytest.fixture
def patches():
    rng = np.random.default_rng(0)
    smooth = rng.integers(40, 220, (6, 4, 4, 3), dtype=np.uint8)
    return torch.from_numpy(smooth.repeat(6, axis=1).repeat(6, axis=2))


@pytest.mark.parametrize("name", NAMES)
def test_each_gives_pictures_of_the_same_kind_and_the_same_ones_at_a_seed(patches, name):
    transform = augmentation(name, SIDE_PX)
    before = patches.clone()
    state = torch.get_rng_state()
    seen = [augmented(patches, transform, seed) for seed in range(4)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(patches, before)
    for one in seen:
        assert (one.shape, one.dtype) == (patches.shape, torch.uint8)
    torch.rand(5)
    again = augmented(patches, augmentation(name, SIDE_PX), 2)
    assert torch.equal(again, seen[2])
    moved = [not torch.equal(one, patches) for one in seen]
    assert any(moved) == (name != "none")
    if name != "none":
        assert any(not torch.equal(seen[0], other) for other in seen[1:])


def test_each_patch_is_drawn_by_itself(patches):
    alike = patches[:1].expand(8, -1, -1, -1)
    turned = augmented(alike, augmentation("rotation", SIDE_PX), 0)
    assert len({one.numpy().tobytes() for one in turned}) == 8


def test_flips_are_flips_and_what_turning_frees_is_glass(patches):
    flipped = augmented(patches, augmentation("vertical-flip", SIDE_PX), 0)
    for one, patch in zip(flipped, patches, strict=True):
        assert torch.equal(one, patch) or torch.equal(one, patch.flip(0))
    dark = torch.zeros_like(patches)
    turned = augmented(dark, augmentation("translate", SIDE_PX), 1)
    assert set(np.unique(turned.numpy())) == {0, 255}
