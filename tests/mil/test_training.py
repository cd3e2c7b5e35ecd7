"""What trainers share gives what the network gives, one after the other."""

import pytest
import torch

from napari_aln.mil.network import AttentionHead, PatchNetwork
from napari_aln.mil.training import FeatureNetwork, bag_logits

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_many_bags_at_once_equal_one_bag_after_the_other():
    torch.manual_seed(0)
    head = AttentionHead(6, n_clinical=5, attention_width=3).eval()
    x, clinical = torch.randn(4, 7, 6), torch.randn(4, 5)
    one_by_one = torch.stack([head(x[i], clinical[i]) for i in range(4)])
    assert torch.allclose(bag_logits(head, x, clinical), one_by_one, atol=1e-6)


def test_the_feature_network_is_the_encoder_on_normalised_pixels():
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.Flatten())
    network = PatchNetwork(encoder, AttentionHead(8), MEAN, STD).eval()
    pixels = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    features, _ = FeatureNetwork(network)(pixels)
    expected = (pixels.permute(0, 3, 1, 2) / 255.0 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(
        STD
    ).view(3, 1, 1)
    assert torch.allclose(features, network.encoder(expected), atol=1e-5)
