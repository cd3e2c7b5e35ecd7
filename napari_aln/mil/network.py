"""The attention MIL network in its three variants, and the one module that runtimes compile."""

from __future__ import annotations

import torch
from torch import nn

from napari_aln.mil.card import CLINICAL_REPEATS, Pooling


class AttentionHead(nn.Module):
    """Attention pooling and classifier (Ilse et al. 2018 in the plain tanh form; Xu et al. 2021).

    Parameters
    ----------
    n_features
        Values per patch that the encoder gives.
    n_classes
        2 or 3; class 0 is N0.
    n_clinical
        5, or 0 for the image-only mode.
    hidden
        Width of the instance embedding h.
    attention_width
        Width of the attention's hidden layer; 1 in the reference.
    classifier_hidden
        Width of the classifier's hidden layer.
    dropout
        Probability of dropping a value while training; the reference uses 0.5 everywhere.
    pooling
        "attention"; or a baseline. "random": attention that is drawn and never trained. "mean": attention
        that is the same for all, its weights are 0. "max": the largest of each of the bag's values.
    """

    def __init__(  # noqa: PLR0913 - the widths of the card, all by name
        self,
        n_features: int,
        n_classes: int = 2,
        n_clinical: int = 0,
        *,
        hidden: int = 256,
        attention_width: int = 1,
        classifier_hidden: int = 64,
        dropout: float = 0.5,
        pooling: Pooling = "attention",
    ) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.n_clinical = n_clinical
        self.pooling = pooling
        # Layers stand at the reference's indices, so that its keys map one to one.
        self.fc1 = nn.Sequential(nn.Linear(n_features, hidden), nn.Dropout(dropout), nn.ReLU())
        self.attention = nn.Sequential(
            nn.Linear(hidden, attention_width),
            nn.Dropout(dropout),
            nn.Tanh(),
            nn.Linear(attention_width, 1),
            nn.Dropout(dropout),
        )
        self.classifier = nn.Sequential(
            nn.Linear(hidden + n_clinical * CLINICAL_REPEATS, classifier_hidden),
            nn.ReLU(),
            nn.Linear(classifier_hidden, n_classes),
        )
        if pooling != "attention":
            self._set_attention(random=pooling == "random")

    @torch.no_grad()
    def _set_attention(self, *, random: bool) -> None:
        """Give the attention weights that rest: 0, or random ones under which e varies by about 1."""
        for parameter in self.attention.parameters():
            if not random or parameter.ndim == 1:
                parameter.zero_()
            else:
                parameter.normal_(std=2.0 / parameter.shape[1] ** 0.5)
            parameter.requires_grad_(False)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Turn (n, n_features) encoder features into (n, hidden) instance embeddings h."""
        h: torch.Tensor = self.fc1(x)  # (n, hidden)
        return h

    def attention_logit(self, h: torch.Tensor) -> torch.Tensor:
        """Turn (n, hidden) embeddings into (n,) attention logits e, before softmax."""
        first, first_dropout, tanh, last, last_dropout = self.attention
        inner = tanh(first_dropout(first(h)))  # (n, attention_width)
        # A sum of products, not the linear layer: OpenVINO 2026.4 with several streams cannot compile two
        # matrix products in a row with a width of 1 between them ("Layout rank").
        e: torch.Tensor = (inner * last.weight).sum(dim=1) + last.bias  # (n,)
        return last_dropout(e)  # type: ignore[no-any-return]

    def pool(self, h: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Return z (hidden,) of a bag's h (n, hidden): their mean weighted by softmax(e), or their max."""
        return self.pool_bags(h[None], e[None])[0]

    def pool_bags(self, h: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Return z (b, hidden) of b bags at once, from h (b, n, hidden) and e (b, n)."""
        if self.pooling == "max":
            return h.amax(dim=1)
        return (torch.softmax(e, dim=1)[:, :, None] * h).sum(dim=1)

    def classify(self, z: torch.Tensor, clinical: torch.Tensor | None = None) -> torch.Tensor:
        """Turn z (hidden,) and the clinical vector (5,), or None, into (n_classes,) logits."""
        if self.n_clinical:
            if clinical is None:
                raise ValueError("this head was built with clinical values and got none")
            z = torch.cat([z, clinical.to(z.dtype).repeat(CLINICAL_REPEATS)])
        logits: torch.Tensor = self.classifier(z)
        return logits

    def classify_bags(self, h: torch.Tensor, e: torch.Tensor, clinical: torch.Tensor) -> torch.Tensor:
        """Turn h (b, n, hidden), e (b, n) and clinical vectors (b, 5 or 0) of b bags into (b, n_classes)."""
        z = self.pool_bags(h, e)  # (b, hidden)
        logits: torch.Tensor = self.classifier(torch.cat([z, clinical.repeat(1, CLINICAL_REPEATS)], dim=1))
        return logits

    def forward(self, x: torch.Tensor, clinical: torch.Tensor | None = None) -> torch.Tensor:
        """Turn one bag's (n, n_features) features into (n_classes,) logits."""
        h = self.embed(x)
        return self.classify(self.pool(h, self.attention_logit(h)), clinical)


class PatchNetwork(nn.Module):
    """What is computed of a patch by itself: uint8 pixels to embedding h and attention logit e.

    Parameters
    ----------
    encoder
        (n, 3, S, S) to (n, F).
    head
        Its `embed` and `attention_logit` are used.
    mean, std
        Of the pixel values in 0..1, per colour channel.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self,
        encoder: nn.Module,
        head: AttentionHead,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        mean_64, std_64 = torch.tensor([mean, std], dtype=torch.float64)
        self.register_buffer("scale", (1 / (255 * std_64)).float().view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", (-mean_64 / std_64).float().view(1, 3, 1, 1), persistent=False)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn uint8 (n, S, S, 3) into normalised float32 (n, 3, S, S)."""
        return pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn uint8 (n, S, S, 3) into h (n, hidden) and e (n,)."""
        h = self.head.embed(self.encoder(self.normalise(pixels)))
        return h, self.head.attention_logit(h)


class BagNetwork(nn.Module):
    """A patch network that answers for whole bags: what is trained end to end.

    Parameters
    ----------
    network
        Encoder and head; shared, not copied.
    """

    def __init__(self, network: PatchNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor, clinical: torch.Tensor) -> torch.Tensor:
        """Turn b bags, uint8 (b, n, S, S, 3), and clinical vectors (b, 5 or 0) into logits (b, classes)."""
        b, n = pixels.shape[:2]
        h, e = self.network(pixels.flatten(0, 1))
        return self.network.head.classify_bags(h.view(b, n, -1), e.view(b, n), clinical)
