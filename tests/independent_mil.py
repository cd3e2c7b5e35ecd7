"""The reference's arithmetic, written down a second time from the description alone, to compare with."""

import torch
from torch import nn
from torch.nn import functional

from napari_aln.runtimes.torchvision_import import models

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def reference_backbone(name):
    """The backbone's children without the last one, as the reference wraps them."""
    net = models.get_model(name, weights=None)
    return nn.Sequential(*list(net.children())[:-1])


def checkpoint(backbone, n_features, n_classes, clinical, seed=0):
    """A state_dict with the reference's keys and weights large enough for differences to show."""
    g = torch.Generator().manual_seed(seed)

    def linear(name, outs, ins, scale):
        return {
            f"{name}.weight": torch.randn(outs, ins, generator=g) * scale,
            f"{name}.bias": torch.randn(outs, generator=g) * 0.3,
        }

    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=g) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=g) + 0.5)
    with torch.no_grad():
        spread = backbone.eval()(torch.randn(2, 3, 64, 64, generator=g)).std()
    state = {f"image_feature_extractor.extractor.{k}": v.clone() for k, v in backbone.state_dict().items()}
    state |= linear("attention_aggregator.fc1.0", 256, n_features, float(1 / spread) / n_features**0.5)
    state |= linear("attention_aggregator.attention.0", 1, 256, 0.03)
    state |= linear("attention_aggregator.attention.3", 1, 1, 1.0)
    state["attention_aggregator.attention.3.weight"].fill_(3.0)
    state |= linear("classifier.0", 64, 256 + (50 if clinical else 0), 0.1)
    return state | linear("classifier.2", n_classes, 64, 0.2)


def bag_probabilities(state, backbone, pixels, clinical, bag_statistics):
    """Probabilities of one bag, uint8 (n, S, S, 3)."""
    backbone.load_state_dict(
        {
            k.removeprefix("image_feature_extractor.extractor."): v
            for k, v in state.items()
            if "extractor" in k
        }
    )
    backbone.train(bag_statistics)
    x = (torch.tensor(pixels).permute(0, 3, 1, 2) / 255 - MEAN) / STD

    def linear(name, value):
        return functional.linear(value, state[f"{name}.weight"], state[f"{name}.bias"])

    with torch.no_grad():
        h = functional.relu(linear("attention_aggregator.fc1.0", backbone(x).flatten(1)))
        e = linear(
            "attention_aggregator.attention.3", torch.tanh(linear("attention_aggregator.attention.0", h))
        )
        z = (torch.softmax(e, 0) * h).sum(0)
        if clinical is not None:
            z = torch.cat([z] + [torch.tensor(clinical, dtype=torch.float32)] * 10)
        return torch.softmax(linear("classifier.2", functional.relu(linear("classifier.0", z))), 0).numpy()
