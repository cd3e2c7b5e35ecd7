"""An encoder learns what is known of patches, and to see the same in patches that were stored otherwise."""

import numpy as np
import pytest
import torch

from napari_aln.mil.network import AttentionHead, PatchNetwork
from napari_aln.mil.pretraining import LabelledPatches, _difference, fit_encoder, rendition
from napari_aln.settings.training import PretrainSettings

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
QUICK = PretrainSettings(steps=150, whole_steps=30, batch=64, learning_rate=1e-2)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_network(n_features=8):
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(
        torch.nn.Conv2d(3, n_features, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )
    return PatchNetwork(encoder, AttentionHead(n_features), MEAN, STD)


def levels():
    """Plain patches whose grey is the first target; the second is unknown but once."""
    level = np.random.default_rng(0).uniform(40, 220, 64)
    pixels = np.broadcast_to(level[:, None, None, None], (64, 16, 16, 3)).astype(np.uint8)
    targets = np.stack([np.broadcast_to(level[:, None], (64, 5)), np.full((64, 5), np.nan)], axis=2)
    targets[0, :, 1] = 1.0
    return LabelledPatches(pixels, targets.astype(np.float32))


def test_views_are_the_quarters_in_reading_order_and_the_whole():
    pixels = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1).repeat(3, axis=3)
    targets = np.arange(5, dtype=np.float32).reshape(1, 5, 1)
    patches = LabelledPatches(pixels, targets)
    corners = [int(patches.view(np.array([0]), k)[0][0, 0, 0, 0]) for k in range(5)]
    assert corners == [0, 2, 8, 10, 0]
    assert [patches.view(np.array([0]), k)[0].shape[1] for k in range(5)] == [2, 2, 2, 2, 4]
    assert [float(patches.view(np.array([0]), k)[1][0, 0]) for k in range(5)] == [0, 1, 2, 3, 4]


def test_the_encoder_learns_a_target_and_ignores_unknown_ones():
    network = tiny_network()
    head_before = [p.clone() for p in network.head.parameters()]
    steps = list(fit_encoder(network, levels(), QUICK))
    assert [done for done, _, _ in steps] == list(range(1, 181))
    assert steps[-1][1] < 0.5 * steps[0][1]
    assert all(torch.equal(a, b) for a, b in zip(head_before, network.head.parameters(), strict=True))
    assert not network.encoder.training


def test_the_demand_for_sameness_brings_renditions_together():
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 256, (64, 32, 32, 3)).astype(np.uint8)
    target = np.broadcast_to(noisy.mean(axis=(1, 2, 3))[:, None, None], (64, 5, 1)).astype(np.float32)
    apart = {}
    for sameness in (0.0, 10.0):
        settings = QUICK.model_copy(update={"sameness": sameness})
        *_, (_, _, apart[sameness]) = fit_encoder(tiny_network(), LabelledPatches(noisy, target), settings)
    assert apart[10.0] < 0.7 * apart[0.0]


def test_the_difference_is_a_share_of_each_features_variance():
    first = torch.tensor([[0.0, 0.0], [2.0, 20.0]])
    assert _difference(first, first).item() == 0.0
    moved = _difference(first, first + torch.tensor([1.0, 10.0]))
    values = torch.cat([first, first + torch.tensor([1.0, 10.0])]).var(dim=0)
    expected = (torch.tensor([1.0, 100.0]) / (values + 0.01 * values.mean())).mean()
    assert moved.item() == pytest.approx(expected.item())


def test_a_rendition_is_the_same_picture_stored_otherwise():
    rng = np.random.default_rng(0)
    smooth = np.linspace(60, 200, 64)[None, :, None, None] * np.ones((2, 1, 64, 3))
    pixels = smooth.astype(np.uint8)
    stored = rendition(pixels, rng)
    assert (stored.shape, stored.dtype) == (pixels.shape, np.uint8)
    assert (stored != pixels).any()
    ratio = stored.mean(axis=(1, 2)) / pixels.mean(axis=(1, 2))
    assert ((ratio > 0.87) & (ratio < 1.13)).all()
    assert not np.array_equal(stored[0], stored[1])  # each patch draws its own
    np.testing.assert_array_equal(stored, rendition(pixels, np.random.default_rng(0)))
