"""Nuclei of a picture as labels, by a method chosen by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_aln.nuclei.classical import segment_classical

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def segment(rgb: NDArray[np.uint8], mpp: float | None, method: str = "classical") -> NDArray[np.int32]:
    """Label the nuclei of an (H, W, 3) picture, 0 = background."""
    return segment_classical(rgb, mpp or 0.25)
