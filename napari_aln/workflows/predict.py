"""The main job: one slide, one bundle a mode; probabilities and maps out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from napari_aln.errors import TissueError, UsageError
from napari_aln.mil.bundle import Bundle, open_bundle
from napari_aln.records import Progress, SlideResult
from napari_aln.settings.prediction import BagSettings, PredictSettings
from napari_aln.store.result import alias_of
from napari_aln.workflows.results.deliver import deliver, place_for
from napari_aln.workflows.slide.bagwise import score_bagwise
from napari_aln.workflows.slide.check import check_slide
from napari_aln.workflows.slide.extract import Want, extract
from napari_aln.workflows.slide.networks import JPEG_ON_CPU, ReadyNetworks, engine_for
from napari_aln.workflows.slide.prepare import patches_for, pen_note, require_patches, survey, usable_roi
from napari_aln.workflows.slide.score import Case, Execution, Run, clinical_vector, score, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from napari_aln.annotations import Origin
    from napari_aln.mil.card import ModelCard
    from napari_aln.records import Clinical, Features, Mode, PatchTable, Region
    from napari_aln.runtimes.base import CompiledNetwork
    from napari_aln.slides import Slide
    from napari_aln.store.features import FeatureCache, FeatureEntry
    from napari_aln.workflows.slide.networks import Engine
    from napari_aln.workflows.slide.prepare import Overview


@dataclass(frozen=True)
class Request:
    """What is asked of one slide.

    Parameters
    ----------
    bundles
        One model for each mode.
    regions
        Tumour ROI in level-0 pixels, or the annotation file that holds it.
    origin
        What that file's coordinates start at, unless it says so itself.
    clinical
        The five clinical values.
    case_id
        Names the slide in private mode.
    settings
        Everything else the numbers depend on.
    cache
        Where features are kept between runs, if anywhere.
    networks
        Kept from slide to slide, where one is handed on.
    sha256
        Stands for all of this and the slide, see `slide_tasks.request_sha256`; the result folder keeps it.
    """

    bundles: Sequence[Bundle]
    regions: Sequence[Region] | Path | str | None = None
    origin: Origin | None = None
    clinical: Clinical | None = None
    case_id: str | None = None
    settings: PredictSettings = field(default_factory=PredictSettings)
    cache: FeatureCache | None = None
    networks: ReadyNetworks = field(default_factory=ReadyNetworks)
    sha256: str | None = None


def predict(
    slide: Slide,
    bundle: Bundle | Path | str | Sequence[Bundle | Path | str],
    regions: Sequence[Region] | Path | str | None = None,
    clinical: Clinical | None = None,
    seed: int = 0,
) -> SlideResult:
    """Estimate the lymph node status of one slide. Research use only.

    Parameters
    ----------
    slide
        From `open_slide`; its µm/px must be known.
    bundle
        One model bundle, or several of different modes.
    regions
        Tumour ROI in level-0 pixels, or the annotation file that holds it. Needed by modes inside the ROI.
    clinical
        The five clinical values. Needed by modes with clinical data.
    seed
        Draws the bags.

    Returns
    -------
    SlideResult
        One run for each bundle, with probabilities in 0..1 and one value a patch and map.

    Raises
    ------
    AlnError
        One of its kinds, saying what is wrong with slide, bundle, region or clinical value.

    Examples
    --------
    >>> with napari_aln.open_slide("slide.svs") as slide:  # doctest: +SKIP
    ...     result = napari_aln.predict(slide, "model.alnmodel", "roi.geojson")
    """
    given = [bundle] if isinstance(bundle, Bundle | Path | str) else list(bundle)
    bundles = [b if isinstance(b, Bundle) else open_bundle(Path(b)) for b in given]
    settings = PredictSettings(bags=BagSettings(seed=seed))
    request = Request(bundles, regions=regions, clinical=clinical, settings=settings)
    work = predict_slide(slide, request, survey(slide))
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: SlideResult = end.value
            return result


def predict_to_folder(
    slide: Slide, request: Request, out: Path, *, private: bool = False, keep: bool = False
) -> Generator[Progress, None, tuple[SlideResult, Path]]:
    """Yield progress, return the result and the folder it was written to; see `predict_slide`, `deliver`."""
    place_for(slide, alias_of(slide.info, request.case_id), out, private=private)
    yield Progress("survey", 0, 1)
    result = yield from predict_slide(slide, request, survey(slide))
    yield Progress("write", 0, 1)
    cards: dict[str, ModelCard] = {bundle.card.mode: bundle.card for bundle in request.bundles}
    place = deliver(
        slide, result, out, cards=cards, private=private, request_sha256=request.sha256, keep=keep
    )
    if request.cache:
        request.cache.prune(request.settings.cache.limit_gb * 1e9)
    return result, place


def predict_slide(slide: Slide, request: Request, seen: Overview) -> Generator[Progress, None, SlideResult]:
    """Yield progress, return the result of all bundles; closing the generator cancels.

    Everything that can be refused is refused before a pixel of a patch is read.

    Raises
    ------
    UsageError
        No bundle, or two of one mode.
    MppError, RegionError, AnnotationError, ClinicalError, TissueError
        The slide, its regions or its clinical values do not suffice for a mode.
    SlideError, DeviceError
        Reading or computing failed.
    """
    bundles = request.bundles
    check_modes(bundles)
    usable, region_warnings = usable_roi(slide, request.regions, request.origin)
    own = {b.card.mode: settings_for(b.card, request.settings) for b in bundles}
    job = _Job(slide, seen, Case(usable, request.clinical), own, request.cache, request.networks)
    for bundle in bundles:
        clinical_vector(bundle.card, request.clinical, request.settings)
    warnings = [*region_warnings, *check_slide(slide, seen, [b.card for b in bundles])]
    if seen.edited:
        warnings.append("tissue: The tissue mask was edited by hand; the slide alone does not repeat this.")
    for bundle in bundles:
        warnings += pen_note(bundle.card, slide, seen, usable, own[bundle.card.mode].patches)
    runs: dict[str, Run] = {}
    features: dict[str, Features] = {}
    whole_bags = [b for b in bundles if needs_whole_bags(b.card, own[b.card.mode])]
    by_patch = sorted((b for b in bundles if b not in whole_bags), key=_pixels_of)
    try:
        for _, alike in groupby(by_patch, key=_pixels_of):
            for bundle, found, run in (yield from _predict_by_patch(job, list(alike), warnings)):
                runs[bundle.card.mode], features[run.record.run] = run, found
    except TissueError as error:  # what made the slide doubtful is then the likely reason
        raise TissueError(" ".join([error.fact, *warnings]), error.next_step) from error
    for bundle in whole_bags:
        runs[bundle.card.mode] = yield from score_bagwise(
            slide, bundle, seen, job.case, own[bundle.card.mode]
        )
    ordered = [runs[bundle.card.mode] for bundle in bundles]
    return SlideResult(
        slide=slide.info,
        alias=alias_of(slide.info, request.case_id),
        runs=tuple(run.record for run in ordered),
        scores={run.record.run: run.scores for run in ordered},
        bags={run.record.run: run.bags for run in ordered},
        regions=usable,
        warnings=tuple(dict.fromkeys(warnings)),
        features=features,
    )


@dataclass(frozen=True)
class _Job:
    """What all models of one prediction share."""

    slide: Slide
    seen: Overview
    case: Case
    settings: dict[Mode, PredictSettings]  # each mode's own, see `settings_for`
    cache: FeatureCache | None
    networks: ReadyNetworks


def check_modes(bundles: Sequence[Bundle]) -> None:
    """Refuse models that cannot be run together on a slide.

    Raises
    ------
    UsageError
        No bundle, two of one mode, or one that has no weights to show.
    """
    modes = [bundle.card.mode for bundle in bundles]
    if not modes:
        raise UsageError("No model bundle was given.", "Add one in the window, or name one with --model.")
    unscorable = next((bundle.card for bundle in bundles if bundle.card.pooling == "max"), None)
    if unscorable is not None:
        raise UsageError(
            f"{unscorable.name} pools by the maximum: a baseline, whose patches have no weights to show.",
            "Compare its scores.csv with `napari-aln evaluate`, or choose a model with attention.",
        )
    if len(set(modes)) < len(modes):
        raise UsageError(
            f"Two bundles of one mode were given ({', '.join(modes)}).", "Run them one after the other."
        )


def needs_whole_bags(card: ModelCard, settings: PredictSettings) -> bool:
    """Whether a patch's features depend on more than the patch, so that they cannot be kept."""
    cut_out = settings.patches.roi_patching == "reference" and card.mode != "dlcnbc-ws"
    return cut_out or card.norm_statistics == "bag"


def _pixels_of(bundle: Bundle) -> tuple[int, float, int]:
    """Return what decides which pixels a model sees: models that agree share one pass over the slide."""
    return bundle.card.patch_px, bundle.card.mpp, bundle.card.input_px


def _predict_by_patch(
    job: _Job, bundles: list[Bundle], warnings: list[str]
) -> Generator[Progress, None, list[tuple[Bundle, Features, Run]]]:
    """Extract for all bundles in one pass, then score each; what is worth knowing is added to `warnings`."""
    engine_settings = job.settings[bundles[0].card.mode].engine
    engines = [engine_for(bundle, engine_settings) for bundle in bundles]
    on_device = engines[0].device_patches(job.slide, bundles[0].card)
    jpeg_decoder = on_device.decoder_name if on_device else JPEG_ON_CPU
    wants = [
        _want(job, bundle, engine, jpeg_decoder) for bundle, engine in zip(bundles, engines, strict=True)
    ]
    started = time.perf_counter()
    extraction = yield from extract(job.slide, wants, engines[0].decode_to_px, engine_settings, on_device)
    warnings += extraction.warnings
    seconds = {"extract": round(time.perf_counter() - started, 3)}
    runs = []
    for bundle, engine, found in zip(bundles, engines, extraction.features, strict=True):
        settings = job.settings[bundle.card.mode]
        require_patches(job.slide, len(found), settings)
        execution = Execution(**engine.choice._asdict(), seconds=seconds, jpeg_decoder=jpeg_decoder)
        runs.append((bundle, found, score(bundle, found, job.case, execution, settings)))
    return runs


def _want(job: _Job, bundle: Bundle, engine: Engine, jpeg_decoder: str) -> Want:
    settings = job.settings[bundle.card.mode]
    table = patches_for(bundle.card, job.slide, job.seen, job.case.regions, settings.patches)
    entry = job.cache.entry(engine.key(bundle, job.slide.info, jpeg_decoder)) if job.cache else None
    return want_for(bundle, table, partial(job.networks.of, engine, bundle), settings, entry)


def want_for(
    bundle: Bundle,
    table: PatchTable,
    network: Callable[[], CompiledNetwork],
    settings: PredictSettings,
    entry: FeatureEntry | None,
) -> Want:
    """Return what a model wants of these patches of a slide; see `Want`."""
    is_ws = bundle.card.mode == "dlcnbc-ws"
    return Want(
        network=network,
        table=table,
        width=bundle.card.hidden,
        min_entropy_bits=settings.patches.min_entropy_bits if is_ws else None,
        entry=entry,
    )
