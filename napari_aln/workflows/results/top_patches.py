"""Patches read from the slide as they are: those of highest value for the report, any for the gallery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_aln.geometry import Rect
from napari_aln.records import Progress
from napari_aln.workflows.slide.maps import from_the_top

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.records import PatchScores
    from napari_aln.slides import Slide

TOP_N = 8
MAX_SIDE_PX = 512
"""Larger patches are reduced to this: sixteen of them still make a document that can be sent by mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchRead(Progress):
    """One patch more was read.

    Attributes
    ----------
    l0_rect
        Where it lies.
    rgb
        (H, W, 3) pixels of level 0.
    """

    l0_rect: Rect
    rgb: NDArray[np.uint8]


def read_patch(slide: Slide, l0_rect: Rect) -> NDArray[np.uint8]:
    """Return the (H, W, 3) level-0 pixels of a patch, from the pixel that lies nearest to its corner.

    Raises
    ------
    SlideError
        The slide cannot be read.
    """
    size_px = max(1, round(l0_rect.width)), max(1, round(l0_rect.height))
    return slide.read_region((l0_rect.x, l0_rect.y), 0, size_px)


def read_patches(slide: Slide, l0_rects: Sequence[Rect]) -> Generator[PatchRead, None, None]:
    """Yield patches in the order in which they are asked for, at full resolution.

    Raises
    ------
    SlideError
        The slide cannot be read.
    """
    for done, l0_rect in enumerate(l0_rects, 1):
        rgb = read_patch(slide, l0_rect)
        yield PatchRead("read patches", done, len(l0_rects), l0_rect=l0_rect, rgb=rgb)


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
    step_l0 = scores.table.grid.step_l0
    at_top = from_the_top(values, n)
    rects = [Rect(float(x), float(y), *step_l0) for x, y in scores.table.l0_xy[at_top]]
    found = []
    for at, read in zip(at_top, read_patches(slide, rects), strict=True):
        x, y, *_ = read.l0_rect
        picture = Image.fromarray(read.rgb)
        picture.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
        found.append(
            TopPatch(
                rgb=np.asarray(picture),
                l0_xy=(x, y),
                corner_um=(x * mpp.x, y * mpp.y),
                side_um=(step_l0[0] * mpp.x, step_l0[1] * mpp.y),
                shown_mpp=mpp.x * read.rgb.shape[1] / picture.width,
                attention=float(values[at]),
                contribution=float(scores.contribution[at]),
                probability=float(scores.probability[at]),
            )
        )
    return tuple(found)
