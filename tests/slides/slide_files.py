"""Pictures with known pixels, and how to write them as slides."""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter


def textured(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Smooth colour noise: survives JPEG, differs everywhere."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    return np.clip(gaussian_filter(noise, (3, 3, 0)) * 700 + 160, 0, 255).astype(np.uint8)


def resized(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.HAMMING))


def write_pyramid(path: Path, levels: list[np.ndarray], mpp: float | None = 0.25, **keywords) -> Path:
    """Write a tiled pyramid of pictures, as generic tiled TIFF."""
    keywords = {"tile": (128, 128), "compression": "jpeg", "photometric": "rgb", **keywords}
    width = levels[0].shape[1]
    with tifffile.TiffWriter(path) as tiff:
        for index, pixels in enumerate(levels):
            resolution = {}
            if mpp is not None:
                per_cm = 10_000 / mpp / (width / pixels.shape[1])
                resolution = {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
            tiff.write(pixels, subfiletype=int(index > 0), metadata=None, **resolution, **keywords)
    return path
