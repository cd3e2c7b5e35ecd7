"""The patches that encoders learn from: those that `predict` would take, resized as there, on disk."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_aln.errors import CohortError
from napari_aln.patches.quality import StainStats, stain_stats
from napari_aln.records import Progress
from napari_aln.slides.first_open import opening_untried
from napari_aln.store.atomic import storing
from napari_aln.store.result import slide_made_by
from napari_aln.store.training_patches import new_patches, stored_patches
from napari_aln.workflows.slide.bagwise import cut_out_patches
from napari_aln.workflows.slide.decode import RESIZE_KERNEL, decoded
from napari_aln.workflows.slide.prepare import patches_for, require_mpp, survey, usable_roi
from napari_aln.workflows.training.patients import TrainingSlide

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.cohort.table import CohortRow
    from napari_aln.mil.card import ModelCard
    from napari_aln.settings.patches import PatchSettings
    from napari_aln.slides import Slide
    from napari_aln.store.training_patches import PatchStore, StoredPatches

    Add = Callable[[NDArray[np.int64], NDArray[np.uint8]], None]

_CHUNK = 16


def stored_pixels(
    row: CohortRow, card: ModelCard, patches: PatchSettings, threads: int, store: PatchStore
) -> Generator[Progress, None, TrainingSlide]:
    """Return the patches of a slide, decoded only where the store has not got them; yield progress.

    Parameters
    ----------
    row
        Slide, and ROI for the modes that work inside one.
    card
        Mode, patch size, µm/px and input size are read from it.
    patches
        Which patches are taken.
    threads
        How many read.
    store
        Where they are kept.

    Raises
    ------
    AlnError
        The slide or its ROI cannot be used.
    StoreError
        The disk is full.
    """
    assert row.slide is not None  # see `labelled_rows`
    with (yield from opening_untried(row.slide, row.mpp)) as slide:
        made_of = slide_made_by(slide.info)
        folder = store.folder(_key(slide, row, card, patches))
        found = stored_patches(folder, card.input_px)
        if found is None:
            yield from _decode(slide, row, card, patches, threads, folder)
            found = stored_patches(folder, card.input_px)
    if found is None or not len(found):
        raise CohortError("It has no patch to train on.", "Lower the patch filters, or take it out.")
    return TrainingSlide(found.cell, found, _stain(found), made_of)


def _key(slide: Slide, row: CohortRow, card: ModelCard, patches: PatchSettings) -> dict[str, Any]:
    """Return all that the patches of a slide depend on; cheap, so that a second training begins at once."""
    roi = ""
    if card.mode != "dlcnbc-ws" and row.roi is not None:
        with storing(row.roi):
            roi = hashlib.sha256(row.roi.read_bytes()).hexdigest()
    return {
        "slide": slide.info.quick_hash,
        "reader": slide.info.reader,
        "mpp": tuple(require_mpp(slide.info)),
        "roi": roi,
        "patches": patches.model_dump(mode="json"),
        "patch_px": card.patch_px,
        "patch_mpp": card.mpp,
        "input_px": card.input_px,
        "resize": RESIZE_KERNEL,
    }


def _decode(
    slide: Slide, row: CohortRow, card: ModelCard, patches: PatchSettings, threads: int, folder: Path
) -> Generator[Progress, None, None]:
    is_ws = card.mode == "dlcnbc-ws"
    seen = survey(slide)
    regions, _ = usable_roi(slide, None if is_ws else row.roi)
    stain = stain_stats(seen.rgb, seen.mask)
    facts = {"stain": None if stain is None else asdict(stain)}
    if patches.roi_patching == "reference" and not is_ws:
        cut = cut_out_patches(slide, card, regions)
        index = np.arange(len(cut.table))
        with new_patches(folder, card.input_px, facts) as add:
            add(cut.table.cell, cut.pixels_of(index))
        return
    table = patches_for(card, slide, seen, regions, patches)
    cell = table.cell
    with new_patches(folder, card.input_px, facts) as add:
        for chunk in decoded(slide, table, card.input_px, threads=threads, chunk=_CHUNK):
            rich = np.ones(len(chunk.rows), bool)
            if is_ws and chunk.entropy is not None:
                rich = chunk.entropy >= patches.min_entropy_bits
            add(cell[chunk.rows[rich]], np.asarray(chunk.pixels)[rich])
            yield Progress("decode", int(chunk.rows[-1]) + 1, len(table))


def _stain(found: StoredPatches) -> StainStats | None:
    stain = found.facts.get("stain")
    return None if stain is None else StainStats(tuple(stain["od_mean"]), tuple(stain["od_sd"]))
