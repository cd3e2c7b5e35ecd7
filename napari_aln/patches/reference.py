"""ROI patching as the published reference does it, for parity and for repeating the papers.

From BALNMP's ``cut_tumor_regions.py`` and ``cut_patches.py``: bounding box, white outside the polygon, white
padding to the right and below, patches from the box's upper-left corner. The reference stores both steps as
JPEG of quality 100; that rounding is not repeated here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHITE = 255

MAX_WHITE_SHARE = 0.3
"""A patch with at least this share of white is dropped (BALNMP)."""


def reference_patches(
    box_rgb: NDArray[np.uint8],
    polygon_xy: NDArray[np.float64],
    patch_px: int = 256,
    max_white_share: float = MAX_WHITE_SHARE,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Cut one region as the reference does.

    Parameters
    ----------
    box_rgb
        (H, W, 3) uint8, the bounding box of the region: ``ceil(max) - floor(min)`` pixels a side.
    polygon_xy
        (k, 2) vertices in pixels of the box. Holes do not exist in the reference.
    patch_px
        Side of a patch.
    max_white_share
        A patch with at least this share of white is dropped. As in the reference the share is that of
        channel values at 255, so that a pixel white in one channel counts a third.

    Returns
    -------
    patches
        (n, patch_px, patch_px, 3) uint8, row by row.
    xy
        (n, 2) int64, the patches' upper-left corners in pixels of the box.
    """
    height, width = box_rgb.shape[:2]
    polygon = Image.new("1", (width, height), 0)
    # Pillow's fill includes the boundary pixels, as does OpenCV's in the reference.
    vertices = [(float(x), float(y)) for x, y in np.round(polygon_xy)]
    ImageDraw.Draw(polygon).polygon(vertices, fill=1, outline=1)
    rows, columns = -(-height // patch_px), -(-width // patch_px)
    padded = np.full((rows * patch_px, columns * patch_px, 3), WHITE, dtype=np.uint8)
    padded[:height, :width] = np.where(np.asarray(polygon)[..., None], box_rgb, np.uint8(WHITE))
    cells = padded.reshape(rows, patch_px, columns, patch_px, 3).swapaxes(1, 2)
    white_share = (cells == WHITE).mean(axis=(2, 3, 4))
    row, column = np.nonzero(white_share < max_white_share)
    return cells[row, column], np.column_stack([column, row]).astype(np.int64) * patch_px
