"""Training steps: what is learned can be told, and folding changes no answer."""

import numpy as np
import pytest
import torch

from napari_aln.mil.network import AttentionHead, PatchNetwork
from napari_aln.mil.training import (
    FeatureNetwork,
    LabelledBags,
    LabelledPatches,
    _fold,
    _temper,
    bag_logits,
    fit_encoder,
    fit_head,
    roc_auc,
)
from napari_aln.settings import TrainSettings

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_network(n_features=8):
    encoder = torch.nn.Sequential(
        torch.nn.Conv2d(3, n_features, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )
    return PatchNetwork(encoder, AttentionHead(n_features), MEAN, STD)


def bags(n, shift, seed, n_clinical=0):
    """Patients whose third feature, and nothing else, tells the label."""
    rng = np.random.default_rng(seed)
    positive = np.arange(n) % 2 == 1
    features = [
        np.concatenate([rng.normal(5, 3, (12, 2)), rng.normal(shift * p, 1, (12, 1))], axis=1)
        for p in positive
    ]
    return LabelledBags(features, rng.normal(size=(n, n_clinical)).astype(np.float32), positive)


def test_many_bags_at_once_equal_one_bag_after_the_other():
    torch.manual_seed(0)
    head = AttentionHead(6, n_clinical=5, attention_width=3).eval()
    x, clinical = torch.randn(4, 7, 6), torch.randn(4, 5)
    one_by_one = torch.stack([head(x[i], clinical[i]) for i in range(4)])
    assert torch.allclose(bag_logits(head, x, clinical), one_by_one, atol=1e-6)


def test_folding_the_statistics_into_the_head_changes_no_answer():
    torch.manual_seed(0)
    head = AttentionHead(3).eval()
    raw = torch.randn(10, 3) * torch.tensor([2.0, 0.1, 7.0]) + torch.tensor([1.0, -4.0, 20.0])
    mean, sd = raw.mean(0), raw.std(0)
    before = head((raw - mean) / sd)
    _fold(head, mean.numpy(), sd.numpy())
    assert torch.allclose(head(raw), before, atol=1e-5)


def test_a_head_that_is_too_bold_is_tempered_and_a_timid_one_emboldened():
    """Of ten patients whose score says the same, seven are positive: the right answer is 0.7 for each."""
    torch.manual_seed(0)
    positive = np.arange(10) < 7
    fixed = [(torch.ones(2, 4, 3), torch.zeros(2, 0)) for _ in positive]
    for boldness in (3.0, 0.3):
        head = AttentionHead(3).eval()
        with torch.no_grad():
            head.classifier[2].weight.zero_()
            head.classifier[2].bias.copy_(torch.tensor([0.0, boldness]))
        _temper(head, fixed, positive)
        with torch.no_grad():
            p = torch.softmax(bag_logits(head, *fixed[0]), dim=1)[0, 1].item()
        assert p == pytest.approx(0.7, abs=0.06 if boldness == 0.3 else 0.005)


def test_the_head_learns_what_tells_the_label_and_keeps_its_best_epoch():
    settings = TrainSettings(head_epochs=30, head_patience=8, head_learning_rate=5e-3)
    head = AttentionHead(3, attention_width=4)
    seen = list(fit_head(head, bags(40, 2.0, 0), bags(30, 2.0, 1), settings))
    best = max(auc for _, _, auc in seen)
    assert best > 0.95
    unseen = bags(40, 2.0, 2)
    with torch.no_grad():
        raw = torch.from_numpy(np.stack(unseen.features)).float()
        p = torch.softmax(bag_logits(head.eval(), raw, torch.zeros(40, 0)), dim=1)[:, 1].numpy()
    assert roc_auc(unseen.positive, p) > 0.95


def test_nothing_is_learned_where_nothing_tells_the_label():
    settings = TrainSettings(head_epochs=6, head_patience=6)
    head = AttentionHead(3, n_clinical=5)
    *_, (epochs, _, _) = fit_head(head, bags(24, 0.0, 0, 5), bags(12, 0.0, 1, 5), settings)
    assert epochs <= 6
    unseen = bags(60, 0.0, 2, 5)
    with torch.no_grad():
        raw, clinical = torch.from_numpy(np.stack(unseen.features)).float(), torch.from_numpy(unseen.clinical)
        p = torch.softmax(bag_logits(head.eval(), raw, clinical), dim=1)[:, 1].numpy()
    assert 0.25 < roc_auc(unseen.positive, p) < 0.75


def test_patience_stops_early():
    settings = TrainSettings(head_epochs=100, head_patience=3, head_learning_rate=1e-5, bags_per_epoch=1)
    *_, (epochs, _, _) = fit_head(AttentionHead(3), bags(20, 4.0, 0), bags(10, 0.0, 1), settings)
    assert epochs < 100


def test_views_are_the_quarters_in_reading_order_and_the_whole():
    pixels = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1).repeat(3, axis=3)
    targets = np.arange(5, dtype=np.float32).reshape(1, 5, 1)
    patches = LabelledPatches(pixels, targets)
    corners = [int(patches.view(np.array([0]), k)[0][0, 0, 0, 0]) for k in range(5)]
    assert corners == [0, 2, 8, 10, 0]
    assert [patches.view(np.array([0]), k)[0].shape[1] for k in range(5)] == [2, 2, 2, 2, 4]
    assert [float(patches.view(np.array([0]), k)[1][0, 0]) for k in range(5)] == [0, 1, 2, 3, 4]


def test_the_encoder_learns_a_target_and_ignores_unknown_ones():
    rng = np.random.default_rng(0)
    level = rng.uniform(40, 220, 64)
    pixels = np.broadcast_to(level[:, None, None, None], (64, 16, 16, 3)).astype(np.uint8)
    targets = np.stack([np.broadcast_to(level[:, None], (64, 5)), np.full((64, 5), np.nan)], axis=2)
    targets[0, :, 1] = 1.0
    torch.manual_seed(0)
    network = tiny_network()
    head_before = [p.clone() for p in network.head.parameters()]
    losses = [
        loss
        for _, loss in fit_encoder(
            network,
            LabelledPatches(pixels, targets.astype(np.float32)),
            steps=150,
            whole_steps=30,
            batch=32,
            learning_rate=1e-2,
            seed=0,
        )
    ]
    assert len(losses) == 180
    assert losses[-1] < 0.35 * losses[0]
    assert all(torch.equal(a, b) for a, b in zip(head_before, network.head.parameters(), strict=True))
    assert not network.encoder.training


def test_the_feature_network_is_the_encoder_on_normalised_pixels():
    torch.manual_seed(0)
    network = tiny_network().eval()
    pixels = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    features, _ = FeatureNetwork(network)(pixels)
    expected = (pixels.permute(0, 3, 1, 2) / 255.0 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(
        STD
    ).view(3, 1, 1)
    assert torch.allclose(features, network.encoder(expected), atol=1e-5)


def test_roc_auc_of_a_counted_case():
    # Pairs (positive, negative): 0.9 beats both; 0.4 beats 0.1, ties with 0.4: 3.5 of 4.
    positive = np.array([True, False, True, False])
    assert roc_auc(positive, np.array([0.9, 0.4, 0.4, 0.1])) == pytest.approx(3.5 / 4)
