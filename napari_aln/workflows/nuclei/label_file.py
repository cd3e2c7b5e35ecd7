"""A label image of nuclei that another program made, from its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image

from napari_aln.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TIFF_SUFFIXES = (".tif", ".tiff")


def read_label_image(path: Path) -> NDArray[Any]:
    """Read labels from a PNG or TIFF of 8, 16 or 32 bits.

    Raises
    ------
    UsageError
        It cannot be read, or is a coloured picture.
    """
    try:
        if path.suffix.lower() in TIFF_SUFFIXES:
            labels = np.squeeze(tifffile.imread(path))
        else:
            with Image.open(path) as picture:
                labels = np.asarray(picture)
    except (OSError, ValueError, tifffile.TiffFileError, Image.DecompressionBombError) as error:
        raise UsageError(
            f"{path.name} cannot be read as a label image: {error}.", "Give a PNG or TIFF, or try a TIFF."
        ) from error
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(
            f"{path.name} is no label image: {labels.shape} of {labels.dtype}.",
            "Give one channel of integers: nuclei 1, 2, …, 0 is background.",
        )
    return labels
