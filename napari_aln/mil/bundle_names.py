"""What a bundle and its two parts are called; apart from what reads them, which a window starts without."""

from __future__ import annotations

BUNDLE_SUFFIX = ".alnmodel"
CARD_NAME = "card.json"
WEIGHTS_NAME = "weights.safetensors"
