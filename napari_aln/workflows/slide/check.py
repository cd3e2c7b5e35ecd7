"""The input check: what makes a slide doubtful, said before its prediction is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_aln.geometry import Rect
from napari_aln.patches.grid import patch_grid, tissue_share
from napari_aln.patches.quality import StainStats, check_input
from napari_aln.slides import read_patch
from napari_aln.workflows.slide.prepare import require_mpp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_aln.mil.card import ModelCard
    from napari_aln.slides import Slide
    from napari_aln.workflows.slide.prepare import Overview

N_PATCHES_LOOKED_AT = 12
COARSER_BY = 1.1


def check_slide(slide: Slide, seen: Overview, cards: Sequence[ModelCard]) -> tuple[str, ...]:
    """Return what is doubtful about a slide as input of these models: name, colon, sentence.

    Parameters
    ----------
    slide
        An open slide with known µm/px.
    seen
        Its overview.
    cards
        The models; sharpness is judged at each µm/px, stain against each cohort that states one.
    """
    messages = list(slide.info.warnings)
    mpp = require_mpp(slide.info).mean
    looked_at: dict[tuple[int, float], NDArray[np.uint8] | None] = {}
    for card in cards:
        stain = card.training_cohort.stain
        cohort = StainStats(stain.od_mean, stain.od_sd) if stain else None
        pixels = card.patch_px, card.mpp
        if pixels not in looked_at:
            looked_at[pixels] = _some_patches(slide, seen, card)
        coarse = mpp > card.mpp * COARSER_BY
        # Enlarged patches are never sharp; that they are enlarged is what there is to say.
        found = check_input(seen.rgb, seen.mask, None if coarse else looked_at[pixels], cohort)
        messages += [f"{warning.code}: {warning.message}" for warning in found]
        if coarse:
            messages.append(
                f"coarse: The slide has {mpp:.3g} µm/px, the model was trained at {card.mpp:g}: patches are "
                "enlarged and lack the detail the model learned from."
            )
    return tuple(dict.fromkeys(messages))


def _some_patches(slide: Slide, seen: Overview, card: ModelCard) -> NDArray[np.uint8] | None:
    """Return up to a dozen patches of the tissue-richest cells, spread over the slide."""
    grid = patch_grid(slide.info.size_px, require_mpp(slide.info), card.patch_px, card.mpp)
    row, column = np.nonzero(tissue_share(grid, seen.mask.tissue, seen.downsample) > 0.9)
    if not len(row):
        return None
    chosen = np.unique(np.linspace(0, len(row) - 1, N_PATCHES_LOOKED_AT).astype(int))
    step_x, step_y = grid.step_l0
    places = (Rect(column[k] * step_x, row[k] * step_y, step_x, step_y) for k in chosen)
    return np.stack([read_patch(slide, place, grid.patch_px) for place in places])
