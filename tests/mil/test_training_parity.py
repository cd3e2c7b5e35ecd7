"""Ten training steps against a second implementation, written from the description of the method alone.

Plain functions on plain tensors: no module, no optimiser and no function of the package takes part.
"""

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_aln.mil.fitting import Fitter
from napari_aln.mil.network import AttentionHead, BagNetwork, PatchNetwork
from napari_aln.settings.training import RecipeSettings

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
N_FEATURES, BAG, SIDE_PX, STEPS = 8, 10, 16, 10


def tiny_encoder():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, N_FEATURES, 3, stride=2),
        torch.nn.BatchNorm2d(N_FEATURES),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )


def written_anew(w, bag, clinical):
    """Logits of one bag, uint8 (n, S, S, 3); BatchNorm takes the bag's own statistics."""
    x = (bag.double().permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN).double().view(3, 1, 1)) / torch.tensor(
        STD
    ).double().view(3, 1, 1)
    x = functional.conv2d(x, w["conv"], w["conv_b"], stride=2)
    centre = x.mean((0, 2, 3), keepdim=True)
    spread = ((x - centre) ** 2).mean((0, 2, 3), keepdim=True)
    x = (x - centre) / torch.sqrt(spread + 1e-5) * w["gamma"].view(-1, 1, 1) + w["beta"].view(-1, 1, 1)
    x = x.clamp(min=0).mean((2, 3))
    h = (x @ w["W1"].T + w["b1"]).clamp(min=0)
    e = torch.tanh(h @ w["W2"].T + w["b2"]) @ w["w3"].T + w["b3"]
    a = torch.exp(e) / torch.exp(e).sum()
    z = (a * h).sum(0)
    if clinical is not None:
        z = torch.cat([z, *[clinical] * 10])
    return (z @ w["V1"].T + w["c1"]).clamp(min=0) @ w["V2"].T + w["c2"]


NAMES = {
    "conv": "encoder.0.weight",
    "conv_b": "encoder.0.bias",
    "gamma": "encoder.1.weight",
    "beta": "encoder.1.bias",
    "W1": "head.fc1.0.weight",
    "b1": "head.fc1.0.bias",
    "W2": "head.attention.0.weight",
    "b2": "head.attention.0.bias",
    "w3": "head.attention.3.weight",
    "b3": "head.attention.3.bias",
    "V1": "head.classifier.0.weight",
    "c1": "head.classifier.0.bias",
    "V2": "head.classifier.2.weight",
    "c2": "head.classifier.2.bias",
}


@pytest.mark.parametrize(
    ("n_classes", "has_clinical", "l1", "class_weights"),
    [(2, False, 0.0, None), (2, True, 1e-4, (0.6, 2.5)), (3, True, 0.0, None)],
)
def test_ten_steps_give_the_losses_of_the_method(n_classes, has_clinical, l1, class_weights):
    rate, momentum, decay = 0.05, 0.3, 1e-3
    rng = np.random.default_rng(n_classes)
    bags = torch.from_numpy(rng.integers(0, 256, (STEPS, BAG, SIDE_PX, SIDE_PX, 3), dtype=np.uint8))
    labels = torch.from_numpy(rng.integers(0, n_classes, STEPS))
    clinical = torch.from_numpy(rng.normal(size=(STEPS, 5)).astype(np.float32)) if has_clinical else None

    torch.manual_seed(4)
    head = AttentionHead(N_FEATURES, n_classes, 5 if has_clinical else 0, dropout=0.0)
    network = PatchNetwork(tiny_encoder(), head, MEAN, STD).train()
    start = network.state_dict()
    w = {short: start[name].clone().double().requires_grad_() for short, name in NAMES.items()}

    recipe = RecipeSettings(
        optimiser="sgd", learning_rate=rate, momentum=momentum, weight_decay=decay, l1=l1, dropout=0.0
    )
    fitter = Fitter(network.parameters(), recipe, class_weights)
    bags_network = BagNetwork(network)  # as `train --finetune` takes its steps
    ours = []
    for bag, label, c in zip(bags, labels, clinical if has_clinical else [None] * STEPS, strict=True):
        logits = bags_network(bag[None], torch.zeros(1, 0) if c is None else c[None])
        ours.append(fitter.step(logits, label[None]))

    theirs, velocity = [], {}
    for i in range(STEPS):
        logits = written_anew(w, bags[i], clinical[i].double() if has_clinical else None)
        loss = torch.log(torch.exp(logits).sum()) - logits[labels[i]]
        loss = loss * (class_weights[labels[i]] if class_weights else 1.0)
        loss = loss + l1 * sum(v.abs().sum() for v in w.values())
        theirs.append(loss.item())
        slopes = torch.autograd.grad(loss, list(w.values()))
        with torch.no_grad():
            for (name, value), slope in zip(w.items(), slopes, strict=True):
                velocity[name] = momentum * velocity.get(name, 0.0) + slope + decay * value
                value -= rate * velocity[name]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.ptp(theirs) > 0.05  # the steps went somewhere
