"""Model bundles that lie: slipping out of their folder, unfolding without end, asking for huge networks."""

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from broken_bytes import damaged
from broken_json import DEEP, Hostile, odd_json


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content, compresslevel=1)
    return out.getvalue()


def safetensors(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


class BundleParts:
    """A sound bundle in parts."""

    def __init__(self, bundle: Path) -> None:
        with zipfile.ZipFile(bundle) as archive:
            self.card, self.weights = archive.read("card.json"), archive.read("weights.safetensors")

    def with_weights(self, weights: bytes, **card) -> bytes:
        """Return a bundle whose card gives the hash that these weights have."""
        told = json.loads(self.card) | {"weights_sha256": hashlib.sha256(weights).hexdigest()} | card
        return self.of(json.dumps(told).encode(), weights)

    @staticmethod
    def of(card: bytes, weights: bytes) -> bytes:
        return zipped({"card.json": card, "weights.safetensors": weights})


def crafted_bundles(parts: BundleParts) -> Iterator[Hostile]:
    """Yield bundles made to do harm."""
    both = {"card.json": parts.card, "weights.safetensors": parts.weights}
    length = struct.unpack("<Q", parts.weights[:8])[0]
    header = json.loads(parts.weights[8 : 8 + length])
    body = parts.weights[8 + length :]
    name, some = next((key, value) for key, value in header.items() if key != "__metadata__")

    def changed(**fields) -> bytes:
        return parts.with_weights(safetensors(header | {name: some | fields}, body))

    zeros = bytes(300 * 2**20)
    odd = {
        "zip-slip": zipped(both | {"../../escape.txt": b"out"}),
        "zip-slip-card": zipped({"../card.json": parts.card, "weights.safetensors": parts.weights}),
        "absolute": zipped({"/tmp/escape.txt": b"out"} | both),
        "pickle": zipped(both | {"archive/data.pkl": b"cos\nsystem\n(S'touch escape.txt'\ntR."}),
        "two-cards": _twice(both),
        "weights-bomb": zipped({"card.json": parts.card, "weights.safetensors": zeros}, zipfile.ZIP_DEFLATED),
        "card-bomb": zipped({"card.json": zeros, "weights.safetensors": parts.weights}, zipfile.ZIP_DEFLATED),
        "weights-lzma": zipped(both, zipfile.ZIP_LZMA),
        "wrong-hash": parts.of(
            parts.card.replace(b'"weights_sha256": "', b'"weights_sha256": "0'), parts.weights
        ),
        "deep-card": parts.of(b"[" * DEEP, parts.weights),
        "deep-tensors": parts.with_weights(safetensors(b"[" * DEEP)),
        "no-tensors": parts.with_weights(safetensors({})),
        "header-beyond-end": parts.with_weights(struct.pack("<Q", 2**40) + b"{}"),
        "huge-shape": changed(shape=[2**31, 2**31]),
        "negative-shape": changed(shape=[-1, 4]),
        "overflowing-shape": changed(shape=[2**63, 2**63, 2]),
        "offsets-beyond-end": changed(data_offsets=[0, 2**40]),
        "offsets-backwards": changed(data_offsets=[8, 0]),
        "unknown-dtype": changed(dtype="OBJECT"),
        "fp8": changed(dtype="F8_E4M3", shape=[some["data_offsets"][1]]),
        "bf16": changed(dtype="BF16"),
        "encoder-is-a-path": parts.with_weights(parts.weights, encoder="../../escape"),
        "encoder-is-code": parts.with_weights(parts.weights, encoder="os.system"),
        "wide": parts.with_weights(parts.weights, hidden=8192, classifier_hidden=8192, attention_width=8192),
    }
    huge = {
        "embed_dim": 8192,
        "depth": 128,
        "num_heads": 1,
        "mlp_ratio": 16.0,
        "patch_size": 4,
        "img_size": 1024,
    }
    for label, encoder, arguments in (
        ("timm-huge", "timm:vit_base_patch16_224", huge),
        ("timm-tokens", "timm:vit_base_patch16_224", {"patch_size": 4, "img_size": 1024}),
        ("timm-huge-rotary", "timm:eva02_base_patch14_224", huge),
        ("timm-huge-windows", "timm:swin_base_patch4_window7_224", {"embed_dim": 8192}),
        ("timm-hub", "timm:hf-hub:some/where", {}),
        ("timm-local", "timm:local-dir:/tmp", {}),
        ("timm-odd", "timm:vit_base_patch16_224", {"embed_dim": 9, "num_heads": 128}),
        ("timm-giant", "timm:vit_giant_patch14_dinov2", {}),
    ):
        timm = {"version": "1.0", "features": 8192, "arguments": arguments}
        side = {"input_px": arguments.get("img_size", 224)}
        odd[label] = parts.with_weights(parts.weights, encoder=encoder, pool="token", timm=timm, **side)
    yield from (
        Hostile(label, "bundle", {"m.alnmodel": content}, "m.alnmodel") for label, content in odd.items()
    )
    yield Hostile("folder-for-card", "bundle", {"m/card.json/x": b"", "m/weights.safetensors": b""}, "m")


def _twice(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in [*members.items(), ("other.json", b"{}")]:
            archive.writestr(name, content)
    return out.getvalue().replace(b"other.json", b"card.json\0")


def damaged_bundle(parts: BundleParts, rng: np.random.Generator) -> Hostile:
    kind = rng.integers(3)
    if kind == 0:
        whole = damaged(parts.of(parts.card, parts.weights), rng, 3000)
    elif kind == 1:
        whole = parts.of(odd_json(parts.card, rng), parts.weights)
    else:
        length = struct.unpack("<Q", parts.weights[:8])[0]
        header = odd_json(parts.weights[8 : 8 + length], rng)
        whole = parts.with_weights(safetensors(header, parts.weights[8 + length :]))
    return Hostile("bundle", "bundle", {"m.alnmodel": whole}, "m.alnmodel")
