"""What a bundle's card says of bf16 and of its maps, measured as `predict` scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, get_args

import numpy as np

from napari_aln.errors import DeviceError
from napari_aln.evaluation.map_measures import areas_of, faithfulness
from napari_aln.mil.attribution import effects
from napari_aln.mil.card import MapFaithfulness, MapName, PrecisionCheck
from napari_aln.mil.faithfulness import ranked_maps, slide_faithfulness
from napari_aln.mil.scoring import PatchScorer
from napari_aln.records import Progress
from napari_aln.settings.engine import EngineSettings
from napari_aln.settings.prediction import PredictSettings
from napari_aln.slides.first_open import open_untried
from napari_aln.workflows.slide.extract import Extraction, Want, extract
from napari_aln.workflows.slide.networks import engine_for
from napari_aln.workflows.slide.prepare import patches_for, survey, usable_roi
from napari_aln.workflows.slide.score import Case, Execution, clinical_vector, score, settings_for

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_aln.cohort.table import CohortRow
    from napari_aln.mil.bundle import Bundle
    from napari_aln.mil.faithfulness import SlideFaithfulness
    from napari_aln.records import Features

_CHECK_SLIDES = 12
_BOOTSTRAPS, _SEED = 2000, 0


class Checked(NamedTuple):
    """Fields of a card that are measured on some training slides."""

    precision_check: PrecisionCheck
    default_map: MapName
    map_faithfulness: tuple[MapFaithfulness, ...]


def checked_on(bundle: Bundle, rows: Sequence[CohortRow]) -> Generator[Progress, None, Checked]:
    """Check bf16 and measure the maps on some of these slides; yield after each.

    The map that opens first is the one that gains most over random orders (see `mil.faithfulness`).
    """
    exact, lossy = _Scorer(bundle, "fp32"), _lossy(bundle)
    checked = rows[:: max(len(rows) // _CHECK_SLIDES, 1)][:_CHECK_SLIDES]
    change, n_patches, slides = 0.0, 0, []
    rng = np.random.default_rng(_SEED)
    for done, row in enumerate(checked, start=1):
        features = exact.features(row)
        slides.append(exact.faithfulness(row, features, rng))
        if lossy is not None:
            change = max(change, exact.largest_change(row, features, lossy.features(row)))
            n_patches += len(features)
        yield Progress("measure", done, len(checked))
    maps = _on_card(slides) if slides else ()
    check = PrecisionCheck()
    if lossy is not None and n_patches:
        choice = lossy.choice
        check = PrecisionCheck(
            bf16_max_change=change, n_patches=n_patches, runtime=choice.runtime, device=choice.device
        )
    return Checked(check, maps[0].name if maps else bundle.card.default_map, maps)


def _on_card(slides: Sequence[SlideFaithfulness]) -> tuple[MapFaithfulness, ...]:
    """Return the maps that a card can name, the most faithful first."""
    known: dict[str, MapName] = {name: name for name in get_args(MapName)}
    found = faithfulness(areas_of([one.areas() for one in slides]), _BOOTSTRAPS, _SEED)
    return tuple(
        MapFaithfulness(
            name=known[one.name],
            n=one.n,
            deletion_area=round(one.deletion.value, 4),
            insertion_area=round(one.insertion.value, 4),
            gain=round(one.gain.value, 4),
            low=None if math.isnan(one.gain.low) else round(one.gain.low, 4),
            high=None if math.isnan(one.gain.high) else round(one.gain.high, 4),
        )
        for one in found
        if one.name in known
    )


class _Scorer:
    """Scores slides of a cohort with one bundle at one precision, as `predict` does."""

    def __init__(self, bundle: Bundle, precision: str) -> None:
        settings = EngineSettings.model_validate({"device": "cpu", "precision": precision})
        self._bundle = bundle
        self._engine = engine_for(bundle, settings)
        self.choice = self._engine.choice
        self._network = self._engine.compile(bundle)
        self._settings = settings_for(bundle.card, PredictSettings(engine=settings, fill_clinical=True))

    def features(self, row: CohortRow) -> Features:
        """Return the features of the patches the model takes from a patient's slide."""
        assert row.slide is not None  # checked when the table was read
        card, patches = self._bundle.card, self._settings.patches
        is_ws = card.mode == "dlcnbc-ws"
        with open_untried(row.slide, row.mpp) as slide:
            regions, _ = usable_roi(slide, None if is_ws else row.roi)
            want = Want(
                network=lambda: self._network,
                table=patches_for(card, slide, survey(slide), regions, patches),
                width=card.hidden,
                min_entropy_bits=patches.min_entropy_bits if is_ws else None,
            )
            steps = extract(slide, [want], self._engine.decode_to_px, self._settings.engine)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    found: Extraction = end.value
                    return found.features[0]

    def _parts(self, row: CohortRow, features: Features) -> tuple[PatchScorer, NDArray[np.float64] | None]:
        vector, _ = clinical_vector(self._bundle.card, row.clinical, self._settings)
        return PatchScorer(self._bundle.head, features.h, features.e), vector

    def largest_change(self, row: CohortRow, features: Features, lossy: Features) -> float:
        """Return by how much any probability of the slide changes, of single patches or of all of them."""
        exact, vector = self._parts(row, features)
        other, _ = self._parts(row, lossy)
        by_patch = np.abs(effects(exact, vector).probability - effects(other, vector).probability).max()
        return float(max(by_patch, np.abs(exact.score_all(vector) - other.score_all(vector)).max()))

    def faithfulness(self, row: CohortRow, features: Features, rng: np.random.Generator) -> SlideFaithfulness:
        """Return the deletion and insertion curves of a slide's maps."""
        case, execution = Case((), row.clinical), Execution(**self._engine.choice._asdict())
        scores = score(self._bundle, features, case, execution, self._settings).scores
        return slide_faithfulness(*self._parts(row, features), ranked_maps(scores), rng)


def _lossy(bundle: Bundle) -> _Scorer | None:
    """Return the bf16 scorer, or None where this machine has no bf16 to check."""
    try:
        return _Scorer(bundle, "bf16")
    except DeviceError:
        return None
