"""What every reader works out in the same way: µm/px and its origin, the content hash, the background."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_aln.errors import MppError
from napari_aln.geometry import MPP_LIMITS_UM, Mpp, plausible_mpp

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MppOrigin = Literal["file", "user", "missing"]
UserMpp = float | tuple[float, float] | None

WHITE = (255, 255, 255)

_HEADER_BYTES = 65_536
_BLOCK_BYTES = 16_384
_BLOCKS = 16
_TELLING_DIFFERENCE = (
    0.02  # share by which the user's µm/px may differ from the file's before it is worth a word
)


def user_mpp(mpp: UserMpp) -> Mpp | None:
    """Return the µm/px the user gave, as a pair.

    Raises
    ------
    MppError
        The value lies outside `MPP_LIMITS_UM` or is no number.
    """
    if mpp is None:
        return None
    x, y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    checked = plausible_mpp(x, y)
    if checked is None:
        low, high = MPP_LIMITS_UM
        raise MppError(
            f"The given resolution of {mpp} µm/px is impossible for a slide.",
            f"Give micrometres per pixel, between {low} and {high}; a slide scanned at 40x has about 0.25.",
        )
    return checked


def settle_mpp(
    given: Mpp | None, in_file: tuple[float | None, float | None]
) -> tuple[Mpp | None, MppOrigin, tuple[str, ...]]:
    """Decide between the µm/px the user gave (it wins) and the file's (only when possible).

    Parameters
    ----------
    given
        What the user said, already checked by `user_mpp`.
    in_file
        µm/px along x and y as the file states them; None where it states none.

    Returns
    -------
    mpp, origin, warnings
        `warnings` names a value of the file that was not used.
    """
    x, y = in_file
    found = plausible_mpp(x, y)
    warnings: tuple[str, ...] = ()
    if x is not None and y is not None and found is None:
        low, high = MPP_LIMITS_UM
        warnings = (f"The file states {x:g} x {y:g} µm/px, which is impossible ({low}-{high}): not used.",)
    if given is None:
        return found, "file" if found else "missing", warnings
    if found and max(abs(given.x / found.x - 1), abs(given.y / found.y - 1)) > _TELLING_DIFFERENCE:
        stated = f"The file states {found.x:g} x {found.y:g} µm/px"
        warnings = (f"{stated}; {given.x:g} x {given.y:g} was given and is used.",)
    return given, "user", warnings


def sampled_hash(path: Path) -> str:
    """Return a fast content hash: SHA-256 over the size, the first 64 KiB and 16 blocks spread to the end.

    It depends on the content alone, never on the path. Two files that differ only between the blocks hash
    the same: `verify` has a full hash for that.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(f"napari-aln quick hash 1\n{size}\n".encode())
        digest.update(file.read(_HEADER_BYTES))
        last = max(0, size - _BLOCK_BYTES)
        for block in range(_BLOCKS):
            file.seek(last * (block + 1) // _BLOCKS)
            digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


def hex_rgb(text: str | None) -> tuple[int, int, int]:
    """Return the colour of a property such as ``"F4F4F4"``; white when there is none."""
    if text is None or not re.fullmatch(r"[0-9A-Fa-f]{6}", text):
        return WHITE
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def on_background(
    pixels: NDArray[np.uint8], background_rgb: tuple[int, int, int], premultiplied: bool = False
) -> NDArray[np.uint8]:
    """Lay (h, w, c) pixels on the background: c = 1 grey, 2 grey + alpha, 3 RGB, 4 RGB + alpha.

    `premultiplied` says that the colour has been multiplied by its alpha already.
    """
    channels = pixels.shape[-1]
    if channels == 3:
        return pixels
    if channels == 1:
        return np.repeat(pixels, 3, axis=-1)
    color, alpha = pixels[..., :-1], pixels[..., -1:]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(np.broadcast_to(color, (*color.shape[:-1], 3)))
    color, weight = color.astype(np.uint32), alpha.astype(np.uint32)
    mixed = color * (255 if premultiplied else weight) + np.asarray(background_rgb, np.uint32) * (
        255 - weight
    )
    laid: NDArray[np.uint8] = np.minimum((mixed + 127) // 255, 255).astype(np.uint8)
    return laid
