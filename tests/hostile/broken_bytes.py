"""Damage that any file may have: cut, flipped, overwritten, repeated; and bytes that unfold to many more."""

import zlib

import numpy as np

_EXTREMES = (0, 1, 2, 3, 7, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)


def deflated_zeros(n: int) -> bytes:
    """Return `zlib.compress(bytes(n))`, or nearly: a mebibyte deflated once, and said again and again."""
    at_once = 2**20

    def raw(n: int, end: int) -> bytes:
        packer = zlib.compressobj(9, wbits=-15)
        return packer.compress(bytes(n)) + packer.flush(end)

    blocks = raw(at_once, zlib.Z_FULL_FLUSH) * (n // at_once) + raw(n % at_once, zlib.Z_FINISH)
    adler32 = n % 65521 << 16 | 1
    return b"\x78\xda" + blocks + adler32.to_bytes(4, "big")


def damaged(content: bytes, rng: np.random.Generator, head: int = 4096) -> bytes:
    """Return bytes with one to three kinds of damage, half of it in the first `head` bytes."""
    for _ in range(rng.integers(1, 4)):
        content = _KINDS[rng.integers(len(_KINDS))](content, rng, head)
    return content


def _place(content: bytes, rng: np.random.Generator, head: int, size: int = 1) -> int:
    end = max(1, min(head if rng.random() < 0.5 else len(content), len(content)) - size)
    return int(rng.integers(end))


def _cut(content, rng, head):
    return content[: int(rng.integers(len(content) + 1))]


def _flipped(content, rng, head):
    changed = bytearray(content)
    for _ in range(int(rng.choice((1, 4, 32))) if changed else 0):
        changed[_place(content, rng, head)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwritten(content, rng, head):
    size = int(rng.choice((1, 2, 4, 8)))
    at = _place(content, rng, head, size)
    value = int(rng.choice(_EXTREMES)) if rng.random() < 0.7 else len(content) + int(rng.integers(-9, 9))
    order = "little" if rng.random() < 0.7 else "big"
    return content[:at] + (value % 256**size).to_bytes(size, order) + content[at + size :]


def _blanked(content, rng, head):
    size = int(rng.choice((4, 64, 1024)))
    at = _place(content, rng, head, size)
    return content[:at] + bytes([int(rng.choice((0, 255)))]) * size + content[at + size :]


def _repeated(content, rng, head):
    start, at = _place(content, rng, head), _place(content, rng, head)
    return content[:at] + content[start : start + int(rng.choice((8, 200, 5000)))] + content[at:]


def _noise(content, rng, head):
    at = _place(content, rng, head)
    return content[:at] + rng.bytes(int(rng.choice((4, 64, 512)))) + content[at + 64 :]


_KINDS = (_cut, _flipped, _flipped, _overwritten, _overwritten, _blanked, _repeated, _noise)
