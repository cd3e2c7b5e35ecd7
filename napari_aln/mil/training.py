"""What trainers share: a network cut before its head, many bags at once, torch's threads."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_aln.mil.card import CLINICAL_REPEATS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_aln.mil.network import AttentionHead, PatchNetwork


@contextmanager
def using_threads(n: int) -> Iterator[None]:
    """Let torch compute with `n` threads until the block ends."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class FeatureNetwork(nn.Module):
    """A patch network cut before its head: any runtime can compute the features to train a head on."""

    def __init__(self, network: PatchNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn uint8 (n, S, S, 3) into features (n, F), and (n,) values that stand in for a head's e."""
        features = self.network.encoder(self.network.normalise(pixels))
        return features, features[:, 0]


def bag_logits(head: AttentionHead, bags: torch.Tensor, clinical: torch.Tensor) -> torch.Tensor:
    """Turn bags (b, n, F) and clinical vectors (b, 5 or 0) into logits (b, classes): many at once."""
    b, n, _ = bags.shape
    h = head.embed(bags.flatten(0, 1))  # (b * n, hidden)
    z = head.pool_bags(h.view(b, n, -1), head.attention_logit(h).view(b, n))  # (b, hidden)
    logits: torch.Tensor = head.classifier(torch.cat([z, clinical.repeat(1, CLINICAL_REPEATS)], dim=1))
    return logits
