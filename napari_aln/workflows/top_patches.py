"""The patches that a model looked at most, read from the slide as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_aln.workflows.maps import from_the_top

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.records import PatchScores
    from napari_aln.slides import Slide

TOP_N = 8
MAX_SIDE_PX = 512
"""Larger patches are reduced to this: sixteen of them still make a document that can be sent by mail."""


@dataclass(frozen=True)
class TopPatch:
    """One patch with its place and what was said of it.

    Attributes
    ----------
    rgb
        (H, W, 3) pixels of level 0, reduced where the patch spans more than `MAX_SIDE_PX` of them.
    l0_xy
        Upper left corner in level-0 pixels.
    corner_um
        The same corner in µm from the slide's level-0 corner.
    side_um
        Width and height on the tissue.
    shown_mpp
        µm/px of `rgb` along x.
    attention
        In x uniform, by the map that ranked it.
    contribution, probability
        As in `PatchScores`; NaN where the run has none.
    """

    rgb: NDArray[np.uint8]
    l0_xy: tuple[float, float]
    corner_um: tuple[float, float]
    side_um: tuple[float, float]
    shown_mpp: float
    attention: float
    contribution: float
    probability: float


def top_patches(
    slide: Slide, mpp: Mpp, scores: PatchScores, map_name: str, n: int = TOP_N
) -> tuple[TopPatch, ...]:
    """Read up to n patches of highest value from an open slide.

    Parameters
    ----------
    slide
        The slide that the run was made on.
    mpp
        Its µm/px at level 0.
    scores
        Of the run.
    map_name
        "attention_slide" or "attention_bag".
    n
        How many are wanted; patches without a value are left out.

    Raises
    ------
    SlideError
        The slide cannot be read.
    """
    values = getattr(scores, map_name)
    step_l0 = np.asarray(scores.table.grid.step_l0)
    width, height = (max(1, round(side)) for side in step_l0)
    found = []
    for at in from_the_top(values)[:n]:
        x, y = scores.table.l0_xy[at]
        rgb = slide.read_region((float(x), float(y)), 0, (width, height))
        picture = Image.fromarray(rgb)
        picture.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
        found.append(
            TopPatch(
                rgb=np.asarray(picture),
                l0_xy=(float(x), float(y)),
                corner_um=(float(x) * mpp.x, float(y) * mpp.y),
                side_um=(float(step_l0[0]) * mpp.x, float(step_l0[1]) * mpp.y),
                shown_mpp=mpp.x * width / picture.width,
                attention=float(values[at]),
                contribution=float(scores.contribution[at]),
                probability=float(scores.probability[at]),
            )
        )
    return tuple(found)
