"""A review to a session and back: the same slide, outlines, models, values, results and view."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from napari_aln.errors import BundleError, SlideMovedError
from napari_aln.geometry import Mpp
from napari_aln.mil.bundle import open_bundle
from napari_aln.records import Clinical, Progress
from napari_aln.settings.prediction import PredictSettings
from napari_aln.slides import open_slide
from napari_aln.slides.first_open import first_opening
from napari_aln.store.packed_result import SavedRegion, pack_result, unpack_result
from napari_aln.store.session import (
    SavedAnswer,
    SavedBundle,
    SavedCase,
    SavedMask,
    SavedReview,
    SavedSlide,
    Session,
)
from napari_aln.versions import package_versions
from napari_aln.workflows.predict import Request
from napari_aln.workflows.review.kept_features import with_kept_features
from napari_aln.workflows.slide.prepare import survey

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from pydantic import JsonValue

    from napari_aln.mil.bundle import Bundle
    from napari_aln.records import Region, SlideInfo, SlideResult
    from napari_aln.slides import Slide
    from napari_aln.store.features import FeatureCache
    from napari_aln.store.session import SavedCamera, SavedMap
    from napari_aln.workflows.slide.prepare import Overview


@dataclass(frozen=True)
class Answered:
    """A result, the question it answers and the overview it was made with."""

    request: Request
    seen: Overview | None
    result: SlideResult


@dataclass(frozen=True)
class Review:
    """Everything a review is made of, as the window holds it."""

    slide: SlideInfo
    seen: Overview | None = None
    regions: tuple[Region, ...] = ()
    clinical: Clinical = Clinical()  # noqa: RUF009 - frozen
    settings: PredictSettings = PredictSettings()  # noqa: RUF009 - frozen
    bundles: tuple[Bundle, ...] = ()
    chosen: tuple[Bundle, ...] = ()  # one for each mode, out of `bundles`
    answers: tuple[Answered, ...] = ()
    shown: SavedMap | None = None
    camera: SavedCamera | None = None
    hide_names: bool = False
    work_list: Path | None = None
    window: Mapping[str, JsonValue] = field(default_factory=dict)


class SessionMaker:
    """Makes sessions of a review. Results and masks are packed once, however often a session is made."""

    def __init__(self) -> None:
        self._packed: dict[int, tuple[SlideResult, str, bytes]] = {}  # by identity; the result is held too
        self._mask: tuple[Overview, SavedMask] | None = None

    def make(self, review: Review) -> SavedReview:
        """Return the review as it can be written by `write_session`."""
        bundles = list(review.bundles)
        for answer in review.answers:  # a model may have been unloaded since
            bundles += [b for b in answer.request.bundles if not any(b is other for other in bundles)]
        places = {id(bundle): place for place, bundle in enumerate(bundles)}
        self._packed = {id(a.result): self._pack(a.result) for a in review.answers}
        seen = review.seen
        session = Session(
            saved_at=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=package_versions(),
            slide=SavedSlide(
                path=review.slide.path,
                quick_hash=review.slide.quick_hash,
                mpp=review.slide.mpp,
                mpp_origin=review.slide.mpp_origin,
            ),
            case=_case(review.regions, review.clinical, review.settings),
            bundles=tuple(_bundle(bundle) for bundle in bundles),
            chosen=tuple(places[id(bundle)] for bundle in review.chosen),
            answers=tuple(self._answer(a, places, seen) for a in review.answers),
            shown=review.shown,
            camera=review.camera,
            mask=self._mask_of(seen) if seen is not None and seen.edited else None,
            hide_names=review.hide_names,
            work_list=review.work_list,
            window=dict(review.window),
        )
        return SavedReview(session, {sha256: content for _, sha256, content in self._packed.values()})

    def _mask_of(self, seen: Overview) -> SavedMask:
        if self._mask is None or self._mask[0] is not seen:
            self._mask = seen, SavedMask.of(seen.mask.tissue, seen.mask.pen)
        return self._mask[1]

    def _pack(self, result: SlideResult) -> tuple[SlideResult, str, bytes]:
        known = self._packed.get(id(result))
        if known is not None:
            return known
        content = pack_result(result)
        return result, hashlib.sha256(content).hexdigest(), content

    def _answer(self, answer: Answered, places: Mapping[int, int], seen: Overview | None) -> SavedAnswer:
        request = answer.request
        regions = request.regions
        if regions is not None and not isinstance(regions, tuple | list):
            regions = answer.result.regions  # they came from a file: what was made of them
        return SavedAnswer(
            result_sha256=self._packed[id(answer.result)][1],
            asked=_case(tuple(regions or ()), request.clinical or Clinical(), request.settings),
            bundles=tuple(places[id(bundle)] for bundle in request.bundles),
            mask_is_current=seen is None or not seen.has_another_mask(answer.seen),
        )


def _case(regions: Sequence[Region], clinical: Clinical, settings: PredictSettings) -> SavedCase:
    saved = tuple(SavedRegion.of(region) for region in regions)
    return SavedCase(regions=saved, clinical=clinical, settings=settings)


def _bundle(bundle: Bundle) -> SavedBundle:
    return SavedBundle(
        path=bundle.path.absolute(),
        sha256=bundle.sha256,
        card_sha256=bundle.card_sha256,
        mode=bundle.card.mode,
        name=bundle.card.name,
    )


@dataclass(frozen=True)
class Reopened:
    """A review read back, with its slide open."""

    slide: Slide
    review: Review
    problems: tuple[str, ...]  # what could not be had again, one sentence each

    def close(self) -> None:
        """Close the slide: nobody wants the review any more."""
        self.slide.close()


def reopen(
    saved: SavedReview, *, slide_path: Path | None = None, cache: FeatureCache | None = None
) -> Generator[Progress, None, Reopened]:
    """Yield progress, return the review of a session.

    Parameters
    ----------
    saved
        From `read_session`.
    slide_path
        Where the slide lies now, if it was moved.
    cache
        Where features are kept: goes into the requests, as in a review that was not interrupted.

    Raises
    ------
    SlideMovedError
        The slide is missing, or another one lies there now.
    SlideError
        The slide cannot be read.
    StoreError
        A result is damaged.
    """
    session = saved.session
    steps = len(session.bundles) + 3
    yield Progress("open", 0, steps)
    mpp = session.slide.mpp if session.slide.mpp_origin == "user" else None
    path = slide_path or session.slide.path
    if not path.exists():
        raise SlideMovedError(
            path,
            f"{path} does not exist: the session's slide was moved or renamed.",
            "Put the slide back, or say where it lies now.",
        )
    for _ in first_opening(path):
        yield Progress("open", 0, steps)
    slide = open_slide(path, Mpp(*mpp) if mpp else None)
    try:
        if slide.info.quick_hash != session.slide.quick_hash:
            raise SlideMovedError(
                slide.info.path,
                f"{slide.info.path} is another slide than the one this session was saved of.",
                "Put the slide back, or say where it lies now.",
            )
        problems: list[str] = []
        bundles: list[Bundle | None] = []
        for done, bundle in enumerate(session.bundles, start=1):
            yield Progress("load models", done, steps)
            bundles.append(_reopened_bundle(bundle, problems))
        yield Progress("find tissue", steps - 2, steps)
        seen = _overview(slide, session.mask, problems)
        yield Progress("read results", steps - 1, steps)
        answers = _answers(saved, slide.info, bundles, seen, cache, problems)
        loaded = tuple(b for b in bundles if b is not None)
        chosen = tuple(b for place in session.chosen if (b := bundles[place]) is not None)
        runs = {record.run for answer in answers for record in answer.result.runs}
        review = Review(
            slide=slide.info,
            seen=seen,
            regions=tuple(region.region() for region in session.case.regions),
            clinical=session.case.clinical,
            settings=session.case.settings,
            bundles=loaded,
            chosen=chosen,
            answers=answers,
            shown=session.shown if session.shown and session.shown.run in runs else None,
            camera=session.camera,
            hide_names=session.hide_names,
            work_list=_reopened_list(session.work_list, problems),
            window=session.window,
        )
    except BaseException:
        slide.close()
        raise
    return Reopened(slide, review, tuple(problems))


def _reopened_list(path: Path | None, problems: list[str]) -> Path | None:
    if path is not None and not path.exists():
        problems.append("The work list is no longer where it was: open it from where it lies now.")
        return None
    return path


def _reopened_bundle(saved: SavedBundle, problems: list[str]) -> Bundle | None:
    try:
        bundle = open_bundle(saved.path)
    except BundleError:
        problems.append(f"The model {saved.name} is no longer where it was, or is damaged: load it again.")
        return None
    if (bundle.sha256, bundle.card_sha256) != (saved.sha256, saved.card_sha256):
        problems.append(f"The model {saved.name} was changed since the session was saved.")
        return None
    return bundle


def _overview(slide: Slide, mask: SavedMask | None, problems: list[str]) -> Overview | None:
    if slide.info.mpp is None:
        return None
    seen = survey(slide)
    if mask is None:
        return seen
    tissue, pen = mask.masks()
    if tissue.shape != seen.mask.tissue.shape:
        problems.append("The edited tissue mask does not fit this version's overview: edit it again.")
        return seen
    return seen.with_mask(tissue, pen)


def _answers(
    saved: SavedReview,
    info: SlideInfo,
    bundles: Sequence[Bundle | None],
    seen: Overview | None,
    cache: FeatureCache | None,
    problems: list[str],
) -> tuple[Answered, ...]:
    answers = []
    for answer in saved.session.answers:
        own = [b for place in answer.bundles if (b := bundles[place]) is not None]
        if len(own) < len(answer.bundles):
            problems.append("A result is not shown because its model is missing; the session still holds it.")
            continue
        asked = answer.asked
        request = Request(
            own,
            regions=tuple(region.region() for region in asked.regions),
            clinical=asked.clinical,
            settings=asked.settings,
            cache=cache if asked.settings.cache.enabled else None,
        )
        result = unpack_result(saved.results[answer.result_sha256], info)
        if request.cache is not None:
            result = with_kept_features(result, own, info, request.cache)
        # A mask that was drawn and is kept no more differs from any: an edited overview of its own does, too.
        kept = seen if seen is None or answer.mask_is_current else replace(seen, edited=True)
        answers.append(Answered(request, kept, result))
    return tuple(answers)
