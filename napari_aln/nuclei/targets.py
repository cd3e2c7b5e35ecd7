"""What the network shall say of a labelled picture: nucleus or not, and how deep inside its nucleus."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]

BETWEEN_WEIGHT = 3.0
"""How much more a pixel between two nuclei counts: few there are, and they alone keep nuclei apart."""
_BETWEEN_UM = 0.75


class Targets(NamedTuple):
    """Of a picture, (H, W) each."""

    foreground: Float32  # 0 or 1
    depth: Float32  # 0 outside, then up to 1 at the innermost point of each nucleus
    weight: Float32  # of a pixel in the loss


def targets_of(labels: NDArray[np.integer], mpp: float) -> Targets:
    """Return the targets of (H, W) labels at a resolution, µm/px.

    Depth is the distance to what is not the nucleus as a share of the nucleus's largest: it does not change
    with rotation or scale.
    """
    depth = np.zeros(labels.shape, np.float32)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        inside = np.pad(labels[box] == label, 1)
        distance = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
        depth[box] = np.maximum(depth[box], distance / distance.max())
    foreground = (labels > 0).astype(np.float32)
    side = 2 * max(1, round(_BETWEEN_UM / mpp)) + 1
    highest = ndimage.maximum_filter(labels, size=side)
    lowest = ndimage.minimum_filter(np.where(labels > 0, labels, np.iinfo(labels.dtype).max), size=side)
    between = (highest > 0) & (lowest < highest)
    weight = np.where(between, np.float32(BETWEEN_WEIGHT), np.float32(1.0))
    return Targets(foreground, depth, weight)
