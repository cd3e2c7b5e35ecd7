"""What a trained bundle's card says of it, measured with the bundle as saved and as `predict` scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_aln.errors import DeviceError
from napari_aln.evaluation.operating_points import youden_threshold
from napari_aln.mil.attribution import attention_slide, contribution, log_odds, patch_probability
from napari_aln.mil.card import Metric, PrecisionCheck, Threshold
from napari_aln.mil.scoring import PatchScorer
from napari_aln.mil.training import roc_auc
from napari_aln.records import Progress
from napari_aln.settings import EngineSettings, PredictSettings
from napari_aln.slides import open_slide
from napari_aln.workflows.extract import Extraction, Want, extract
from napari_aln.workflows.networks import engine_for
from napari_aln.workflows.prepare import patches_for, survey, usable_roi
from napari_aln.workflows.score import Case, Execution, clinical_vector, score, settings_for

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_aln.cohort.table import CohortRow
    from napari_aln.mil.bundle import Bundle
    from napari_aln.mil.card import MapName, ModelCard
    from napari_aln.records import Features

_DELETED_SHARE = 0.2
_CHECK_SLIDES = 12


def measured_card(bundle: Bundle, rows: Sequence[CohortRow]) -> Generator[Progress, None, ModelCard]:
    """Complete the card of a saved bundle; yield after each slide.

    Thresholds come from the validation patients; the test patients are scored here and nowhere before;
    precision check and first map come from some training patients.
    """
    exact = _Scorer(bundle, "fp32")
    card = bundle.card
    by_split = {split: [row for row in rows if row.split == split] for split in ("train", "val", "test")}
    scored: dict[str, NDArray[np.float64]] = {}
    total = len(by_split["val"]) + len(by_split["test"])
    done = 0
    for split in ("val", "test"):
        p = []
        for row in by_split[split]:
            p.append(exact.probability(row))
            done += 1
            yield Progress("measure", done, total)
        scored[split] = np.array(p)
    label = {split: np.array([row.is_positive for row in by_split[split]]) for split in scored}
    threshold = youden_threshold(label["val"], scored["val"])
    check, first_map = yield from checked_on(bundle, by_split["train"])
    return card.model_copy(
        update={
            "thresholds": (
                Threshold(value=threshold, operating_point="Youden", chosen_on="validation"),
                Threshold(value=0.5, operating_point="0.5", chosen_on="convention"),
            ),
            "metrics": (
                *_metrics("test", label["test"], scored["test"], threshold),
                *_metrics("validation", label["val"], scored["val"], threshold)[:1],
            ),
            "precision_check": check,
            "default_map": first_map,
        }
    )


def checked_on(
    bundle: Bundle, rows: Sequence[CohortRow]
) -> Generator[Progress, None, tuple[PrecisionCheck, MapName]]:
    """Check bf16 and choose the first map on some of these slides; yield after each."""
    exact, lossy = _Scorer(bundle, "fp32"), _lossy(bundle)
    checked = rows[:: max(len(rows) // _CHECK_SLIDES, 1)][:_CHECK_SLIDES]
    change, n_patches, faith = 0.0, 0, []
    for done, row in enumerate(checked, start=1):
        features = exact.features(row)
        faith.append(exact.faithfulness(row, features))
        if lossy is not None:
            change = max(change, exact.largest_change(row, features, lossy.features(row)))
            n_patches += len(features)
        yield Progress("measure", done, len(checked))
    maps: tuple[MapName, ...] = ("attention_slide", "contribution", "probability")
    first_map = maps[int(np.argmax(np.mean(faith, axis=0)))] if faith else bundle.card.default_map
    if lossy is None or not n_patches:
        return PrecisionCheck(), first_map
    choice = lossy.choice
    check = PrecisionCheck(
        bf16_max_change=change, n_patches=n_patches, runtime=choice.runtime, device=choice.device
    )
    return check, first_map


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
        with open_slide(row.slide, mpp=row.mpp) as slide:
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

    def probability(self, row: CohortRow) -> float:
        """Return a patient's probability of N(+)."""
        case, execution = Case((), row.clinical), Execution(**self._engine.choice._asdict())
        run = score(self._bundle, self.features(row), case, execution, self._settings)
        return run.record.probabilities[self._bundle.card.classes[1]]

    def _parts(self, row: CohortRow, features: Features) -> tuple[PatchScorer, NDArray[np.float64] | None]:
        vector, _ = clinical_vector(self._bundle.card, row.clinical, self._settings)
        return PatchScorer(self._bundle.head, features.h, features.e), vector

    def largest_change(self, row: CohortRow, features: Features, lossy: Features) -> float:
        """Return by how much any probability of the slide changes, of single patches or of all of them."""
        exact, vector = self._parts(row, features)
        other, _ = self._parts(row, lossy)
        by_patch = np.abs(patch_probability(exact, vector) - patch_probability(other, vector)).max()
        return float(max(by_patch, np.abs(exact.score_all(vector) - other.score_all(vector)).max()))

    def faithfulness(self, row: CohortRow, features: Features) -> tuple[float, float, float]:
        """Return how far the log-odds move when the top fifth of the patches of each map is taken away.

        Of `attention_slide`, `contribution` and `probability`; the signed ones by their distance from
        neutral.
        """
        scorer, vector = self._parts(row, features)
        maps = (
            attention_slide(features.e),
            np.abs(contribution(scorer, vector)),
            np.abs(patch_probability(scorer, vector) - 0.5),
        )
        whole = _log_odds(scorer, vector)
        n_left = len(features) - int(_DELETED_SHARE * len(features))
        moved = [abs(whole - _log_odds(scorer.take(np.argsort(m)[:n_left]), vector)) for m in maps]
        return moved[0], moved[1], moved[2]


def _log_odds(scorer: PatchScorer, vector: NDArray[np.float64] | None) -> float:
    return float(log_odds(np.log(np.maximum(scorer.score_all(vector), 1e-12))))


def _lossy(bundle: Bundle) -> _Scorer | None:
    """Return the bf16 scorer, or None where this machine has no bf16 to check."""
    try:
        return _Scorer(bundle, "bf16")
    except DeviceError:
        return None


def _metrics(
    cohort: str, positive: NDArray[np.bool_], p: NDArray[np.float64], threshold: float
) -> list[Metric]:
    called, n = p >= threshold, len(p)
    values = {
        "AUC": roc_auc(positive, p),
        "ACC": float(np.mean(called == positive)),
        "SENS": float(np.mean(called[positive])),
        "SPEC": float(np.mean(~called[~positive])),
    }
    return [Metric(name=name, value=round(v, 4), n=n, cohort=cohort) for name, v in values.items()]
