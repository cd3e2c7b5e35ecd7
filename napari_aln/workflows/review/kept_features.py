"""A reopened result gets back the features it was made of, where the cache still holds every one of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_aln.errors import DeviceError
from napari_aln.records import Features
from napari_aln.settings.prediction import PredictSettings
from napari_aln.workflows.predict import needs_whole_bags
from napari_aln.workflows.slide.networks import engine_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.mil.bundle import Bundle
    from napari_aln.records import RunRecord, SlideInfo, SlideResult
    from napari_aln.store.features import FeatureCache


def with_kept_features(
    result: SlideResult, bundles: Sequence[Bundle], info: SlideInfo, cache: FeatureCache
) -> SlideResult:
    """Return a result with the features of its runs; a run of which one is missing stays without.

    Features made on another device or in another precision than this machine chooses are not the same.
    """
    by_mode = {bundle.card.mode: bundle for bundle in bundles}
    features = {}
    for record in result.runs:
        found = _features(result, record, by_mode[record.mode], info, cache)
        if found is not None:
            features[record.run] = found
    return replace(result, features=features)


def _features(
    result: SlideResult, record: RunRecord, bundle: Bundle, info: SlideInfo, cache: FeatureCache
) -> Features | None:
    settings = PredictSettings.model_validate(record.settings)
    if needs_whole_bags(bundle.card, settings):
        return None
    try:
        engine = engine_for(bundle, settings.engine)
    except DeviceError:
        return None
    made = record.runtime, record.device, record.precision
    if made != (engine.choice.runtime, engine.choice.device, engine.choice.precision):
        return None
    kept = cache.entry(engine.key(bundle, info, record.jpeg_decoder)).load(bundle.card.hidden)
    table = result.scores[record.run].table
    at, here = kept.rows_of(table.cell)
    if not len(table) or not here.all() or not kept.scored[at].all():
        return None
    return Features(table, kept.entropy[at], kept.h[at], kept.e[at])
