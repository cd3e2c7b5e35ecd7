"""Writing a slide: a tiled JPEG TIFF whose levels and µm/px every reader finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TILE_PX = 256
_SMALLEST_LEVEL_PX = 512


def write_pyramid(path: Path, rgb: NDArray[np.uint8], mpp_um: float, jpeg_quality: int) -> None:
    """Write (height, width, 3) RGB as a pyramid of halved levels, each a page of its own.

    Plain reduced-image pages, not SubIFDs: OpenSlide's generic TIFF reader follows only those. The size
    should be a multiple of a power of two, so that downsamples are exact.
    """
    with tifffile.TiffWriter(path) as writer:
        level, downsample = rgb, 1
        while True:
            per_cm = 1e4 / (mpp_um * downsample)
            writer.write(
                level,
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                subfiletype=0 if downsample == 1 else 1,
                software="napari-aln synthetic slide",
                tile=(TILE_PX, TILE_PX),
                photometric="rgb",
                subsampling=(2, 2),  # stored as YCbCr 4:2:0
                compression="jpeg",
                compressionargs={"level": jpeg_quality},
                metadata=None,
                maxworkers=1,
            )
            if max(level.shape) <= _SMALLEST_LEVEL_PX:
                return
            level = np.asarray(Image.fromarray(level).reduce(2))
            downsample *= 2
