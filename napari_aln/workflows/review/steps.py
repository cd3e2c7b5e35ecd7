"""What the window asks for while a slide is under review: the same opening and predicting as everywhere else.

Each step opens the slide for itself, so that the picture on the screen, the tissue search and a run can end,
be cancelled or fail one without the other. What a step needs is imported by the step, on the thread that runs
it: the window opens sooner.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from napari_aln.errors import AlnError
from napari_aln.records import Progress
from napari_aln.slides import open_slide
from napari_aln.slides.first_open import opening_untried
from napari_aln.slides.first_open import warm_up as start_first_opening

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_aln.annotations.statement import Origin
    from napari_aln.geometry import Mpp, Rect
    from napari_aln.mil.bundle import Bundle
    from napari_aln.mil.card import ModelCard
    from napari_aln.records import PatchTable, Region, SlideInfo, SlideResult
    from napari_aln.settings.nuclei import NucleiSettings
    from napari_aln.slides import Slide
    from napari_aln.store.features import FeatureCache
    from napari_aln.store.remembered import Remembered
    from napari_aln.workflows.nuclei.work import MeasuredNuclei
    from napari_aln.workflows.predict import Request
    from napari_aln.workflows.results.gallery import RankedPatch, Ranking
    from napari_aln.workflows.results.top_patches import PatchRead
    from napari_aln.workflows.review.whatif import Extracted, WhatIf
    from napari_aln.workflows.slide.prepare import Overview
    from napari_aln.workflows.slide.roi_file import RoiFile


def open_for_review(path: Path, mpp: Mpp | None, remembered: Remembered) -> Generator[Progress, None, Slide]:
    """Yield until it is open, return the slide with the µm/px given now or once before for the same one."""
    yield Progress("open", 0, 1)
    slide = yield from opening_untried(path, mpp)
    known = remembered.mpp(slide.info.quick_hash) if mpp is None else None
    if known is None:
        return slide
    slide.close()
    return open_slide(path, known)


def survey_file(info: SlideInfo) -> Generator[Progress, None, Overview]:
    """Yield once, return the overview and tissue of a slide whose µm/px is known."""
    from napari_aln.workflows.slide.prepare import survey

    yield Progress("find tissue", 0, 1)
    with _reopened(info) as slide:
        return survey(slide)


def predict_file(
    info: SlideInfo, request: Request, seen: Overview | None
) -> Generator[Progress, None, SlideResult]:
    """Yield progress, return what `predict_slide` returns; without an overview one is made first."""
    from napari_aln.workflows.predict import predict_slide
    from napari_aln.workflows.slide.prepare import survey

    yield Progress("open", 0, 1)
    with _reopened(info) as slide:
        if seen is None:
            yield Progress("find tissue", 0, 1)
            seen = survey(slide)
        return (yield from predict_slide(slide, request, seen))


def extract_for(
    info: SlideInfo, what_if: WhatIf, pending: PatchTable, cache: FeatureCache | None
) -> Generator[Progress, None, Extracted]:
    """Yield progress, return the features of patches that a what-if still misses."""
    from napari_aln.workflows.review.whatif import extract_pending

    with _reopened(info) as slide:
        return (yield from extract_pending(slide, what_if, pending, cache))


def find_nuclei(
    info: SlideInfo,
    settings: NucleiSettings,
    seen: Overview | None,
    regions: Sequence[Region] | None = None,
    patches: PatchTable | None = None,
) -> Generator[Progress, None, MeasuredNuclei]:
    """Yield each tile's nuclei, return what `measure_nuclei` returns; `regions` as a person drew them."""
    from napari_aln.workflows.nuclei.measure import measure_nuclei
    from napari_aln.workflows.slide.prepare import usable_roi

    yield Progress("open", 0, 1)
    with _reopened(info) as slide:
        usable = None if regions is None else usable_roi(slide, regions)[0]
        return (yield from measure_nuclei(slide, settings, usable, patches, seen=seen))


def load_bundles(paths: Sequence[Path]) -> Generator[Progress, None, tuple[list[Bundle], list[AlnError]]]:
    """Yield for each file, return the bundles that can be used, and what is wrong with the others."""
    from napari_aln.mil.bundle import open_bundle

    bundles, errors = [], []
    for done, path in enumerate(paths):
        yield Progress("load models", done, len(paths))
        try:
            bundles.append(open_bundle(path))
        except AlnError as error:
            errors.append(error)
    return bundles, errors


def load_regions(
    info: SlideInfo, path: Path, origin: Origin | None = None
) -> Generator[Progress, None, RoiFile]:
    """Yield once, return what `read_roi` gives."""
    from napari_aln.workflows.slide.roi_file import read_roi

    yield Progress("load regions", 0, 1)
    with _reopened(info) as slide:
        return read_roi(slide, path, origin)


def associated_images(info: SlideInfo) -> Generator[Progress, None, dict[str, NDArray[np.uint8]]]:
    """Yield for each, return label, macro and thumbnail. They may show patient data: on request only."""
    images = {}
    with _reopened(info) as slide:
        for done, name in enumerate(info.associated):
            yield Progress("read", done, len(info.associated))
            images[name] = slide.associated_image(name)
    return images


def save_review(
    info: SlideInfo,
    results: Sequence[SlideResult],
    cards: Mapping[str, ModelCard],
    out: Path,
    *,
    private: bool = True,
) -> Generator[Progress, None, Path]:
    """Yield once, return the result folder that the results of one slide were written to as one.

    See `deliver` and `joined` for what is written and what cannot be; `cards`: run -> its model's card.
    """
    from napari_aln.workflows.results.deliver import deliver, joined

    yield Progress("write", 0, 1)
    with _reopened(info) as slide:
        return deliver(slide, joined(results), out, cards=cards, private=private)


def read_patches(info: SlideInfo, l0_rects: Sequence[Rect]) -> Generator[PatchRead, None, None]:
    """Yield patches of a slide one by one, at full resolution."""
    from napari_aln.workflows.results import top_patches

    with _reopened(info) as slide:
        yield from top_patches.read_patches(slide, l0_rects)


def save_patches(
    info: SlideInfo, patches: Sequence[RankedPatch], ranking: Ranking, out: Path
) -> Generator[Progress, None, Path]:
    """Yield for each patch, return the folder that pictures and table were written to."""
    from napari_aln.workflows.results.gallery import export_patches
    from napari_aln.workflows.slide.prepare import require_mpp

    with _reopened(info) as slide:
        return (yield from export_patches(slide, require_mpp(info), patches, ranking, out))


def _reopened(info: SlideInfo) -> Slide:
    return open_slide(info.path, info.mpp if info.mpp_origin == "user" else None)


def warm_up() -> Generator[Progress, None, None]:
    """Yield before each; load what the first run, map and outline need, while nobody waits for it."""
    start_first_opening()
    modules = (
        "napari_aln.slides.openslide_reader",
        "napari_aln.workflows.predict",
        "matplotlib.colors",
        "pandas",  # half a second of the first outline, in napari's layers
    )
    for done, module in enumerate(modules):
        yield Progress("load", done, len(modules))
        import_module(module)
