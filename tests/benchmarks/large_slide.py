"""A slide as large as a scanner's, written in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TILE_PX = 256
TEXTURE_PX = 2048


def write_slide(path: Path, side: int) -> None:
    """Write a tiled JPEG TIFF with levels 1/4/16 of a repeated texture, encoding each distinct tile once."""
    import tifffile
    from imagecodecs import jpeg8_encode
    from PIL import Image

    rng = np.random.default_rng(0)
    coarse = rng.integers(90, 250, (TEXTURE_PX // 32, TEXTURE_PX // 32, 3), dtype=np.uint8)
    texture = np.asarray(Image.fromarray(coarse).resize((TEXTURE_PX, TEXTURE_PX), Image.Resampling.BICUBIC))
    texture = texture + rng.integers(-12, 13, (TEXTURE_PX, TEXTURE_PX, 1), dtype=np.int16)
    texture = texture.clip(0, 255).astype(np.uint8)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for level, factor in enumerate((1, 4, 16)):
            pixels = np.asarray(Image.fromarray(texture).reduce(factor))
            repeats = max(1, TILE_PX // pixels.shape[0])
            pixels = np.tile(pixels, (repeats, repeats, 1))
            period = pixels.shape[0] // TILE_PX
            encoded = {
                (row, column): jpeg8_encode(
                    np.ascontiguousarray(
                        pixels[row * TILE_PX : (row + 1) * TILE_PX, column * TILE_PX : (column + 1) * TILE_PX]
                    ),
                    level=80,
                    subsampling="420",
                )
                for row in range(period)
                for column in range(period)
            }
            size = side // factor
            count = -(-size // TILE_PX)
            tiff.write(
                (encoded[row % period, column % period] for row in range(count) for column in range(count)),
                shape=(size, size, 3),
                dtype=np.uint8,
                tile=(TILE_PX, TILE_PX),
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                subfiletype=int(level > 0),
                resolution=(40_000 / factor, 40_000 / factor),
                resolutionunit="CENTIMETER",
                metadata=None,
            )
