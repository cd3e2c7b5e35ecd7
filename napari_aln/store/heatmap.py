"""Heatmaps on disk: OME-TIFF, one float32 channel a map, one pixel a grid cell, with its size in µm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tifffile

from napari_aln.patches.raster import pixel_l0, raster

if TYPE_CHECKING:
    from pathlib import Path

    from napari_aln.geometry import Mpp
    from napari_aln.records import PatchScores

MAPS = ("attention_slide", "attention_bag", "attention_logit", "contribution", "probability", "entropy")


def write_heatmap(scores: PatchScores, mpp: Mpp, path: Path, description: str) -> None:
    """Write all maps of a run. Its origin is the slide's level-0 corner.

    Parameters
    ----------
    scores
        The per-patch values.
    mpp
        µm/px of level 0.
    path
        Where to write; ends in ``.tif``.
    description
        What made it: slide and model.
    """
    pictures = np.stack([raster(scores.table, getattr(scores, name)) for name in MAPS])
    pixel_x, pixel_y = pixel_l0(scores.table)
    metadata = {
        "axes": "CYX",
        "Description": description,
        "Channel": {"Name": list(MAPS)},
        "PhysicalSizeX": pixel_x * mpp.x,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": pixel_y * mpp.y,
        "PhysicalSizeYUnit": "µm",
    }
    tifffile.imwrite(
        path, pictures, ome=True, metadata=metadata, compression="zlib", photometric="minisblack"
    )
