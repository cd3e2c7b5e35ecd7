"""Colours as the scanner meant them: from the slide's own ICC profile to sRGB. For display only."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def to_srgb(profile: bytes | None) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None:
    """Return what converts (height, width, 3) RGB by a profile, with the intent the profile names.

    None where there is no profile, or one that is damaged or does not describe RGB: a picture is then shown
    as stored. The function may be called from several threads.
    """
    if profile is None:
        return None
    try:
        source = ImageCms.getOpenProfile(BytesIO(profile))
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(source))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB", intent)
    except (ImageCms.PyCMSError, ValueError):
        return None

    def convert(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        picture = Image.fromarray(rgb)
        ImageCms.applyTransform(picture, transform, inPlace=True)
        return np.asarray(picture)

    return convert
