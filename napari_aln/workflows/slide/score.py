"""From features to a run: bags, probabilities, maps and the record of it all. Touches no pixels."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from napari_aln.mil.attribution import attention_bag, attention_slide, effects
from napari_aln.mil.clinical import encode
from napari_aln.mil.scoring import PatchScorer, bag_attention, bag_spread, predicted_class, reduce_bags
from napari_aln.patches.bags import draw_bags, partition_count
from napari_aln.patches.membership import belongs
from napari_aln.records import BagPrediction, PatchScores, RunRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from napari_aln.mil.bundle import Bundle
    from napari_aln.mil.card import ModelCard
    from napari_aln.records import Clinical, Features, PatchTable, Region
    from napari_aln.settings.prediction import PredictSettings


@dataclass(frozen=True)
class Case:
    """What is known of the patient and the slide besides its pixels."""

    regions: Sequence[Region] = ()
    clinical: Clinical | None = None


@dataclass(frozen=True)
class Execution:
    """How the features came about: kept in the record, never computed with."""

    runtime: str
    device: str
    precision: str
    seconds: dict[str, float] = field(default_factory=dict)
    jpeg_decoder: str = "cpu"


@dataclass(frozen=True)
class Projected:
    """Patches that are ready to be scored, in any choice and with any clinical values."""

    table: PatchTable
    entropy: NDArray[np.float32]  # (n,) bits
    scorer: PatchScorer

    @classmethod
    def of(cls, bundle: Bundle, features: Features, *, hold: bool | None = None) -> Projected:
        """Send features through the classifier's first layer, now or when asked; see `PatchScorer`."""
        scorer = PatchScorer(bundle.head, features.h, features.e, hold=hold)
        return cls(features.table, features.entropy, scorer)


@dataclass(frozen=True)
class Drawn:
    """What a run makes of its patches before any clinical value counts."""

    partitions: int
    bags: tuple[NDArray[np.int64], ...]  # indices into the run's patches
    attention_slide: NDArray[np.float64]  # (n,)
    attention_bag: NDArray[np.float64]  # (n,)

    @classmethod
    def of(cls, card: ModelCard, patches: Projected, settings: PredictSettings) -> Drawn:
        """Draw the bags, and weigh each patch within its bags and over the slide."""
        e = patches.scorer.e
        partitions, bags = draw(card, patches.table, settings)
        return cls(partitions, bags, attention_slide(e), attention_bag(bag_attention(e, bags)))


@dataclass(frozen=True)
class Run:
    """One model's answer."""

    record: RunRecord
    scores: PatchScores
    bags: BagPrediction


def clinical_vector(
    card: ModelCard, clinical: Clinical | None, settings: PredictSettings
) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Return the model's clinical vector (None for an image-only model) and the values that were filled.

    Raises
    ------
    ClinicalError
        A value is missing and may not be filled, or is out of range.
    """
    if card.clinical is None:
        return None, ()
    return encode(clinical, card.clinical, fill=settings.fill_clinical)


def draw(
    card: ModelCard, table: PatchTable, settings: PredictSettings
) -> tuple[int, tuple[NDArray[np.int64], ...]]:
    """Return how many partitions there are, and the bags as indices into the patches."""
    partitions = settings.bags.partitions
    if partitions is None:
        # Statistics of the bag read each bag's pixels anew: one partition there, as in the reference.
        once = card.norm_statistics == "bag"
        partitions = 1 if once else partition_count(len(table), card.bag_size)
    if len(table) <= card.bag_size:
        partitions = 1  # every draw gives the same one bag
    return partitions, draw_bags(table.cell, card.bag_size, partitions, settings.bags.seed)


def score(
    bundle: Bundle, features: Features, case: Case, execution: Execution, settings: PredictSettings
) -> Run:
    """Score a slide from its cached features; see `score_projected`."""
    patches = Projected.of(bundle, features)
    drawn = Drawn.of(bundle.card, patches, settings)
    return score_projected(bundle, patches, drawn, case, execution, settings)


def score_projected(
    bundle: Bundle,
    patches: Projected,
    drawn: Drawn,
    case: Case,
    execution: Execution,
    settings: PredictSettings,
) -> Run:
    """Score a slide from its patches.

    Parameters
    ----------
    bundle
        The model, with running norm statistics.
    patches
        Those that take part, at least one.
    drawn
        The same patches in bags: `Drawn.of` them and these settings.
    case
        Regions and clinical values.
    execution
        How the features came about.
    settings
        Seed, partitions, reduction.
    """
    scorer, table = patches.scorer, patches.table
    vector, _ = clinical_vector(bundle.card, case.clinical, settings)
    prediction = BagPrediction(drawn.bags, drawn.partitions, scorer.score_bags(drawn.bags, vector))
    in_roi = belongs(table, case.regions, settings.patches.min_roi_share)
    contribution, probability = effects(scorer, vector)
    scores = PatchScores(
        table=table,
        in_roi=in_roi,
        entropy=patches.entropy,
        attention_logit=scorer.e,
        attention_slide=drawn.attention_slide,
        attention_bag=drawn.attention_bag,
        contribution=contribution,
        probability=probability,
    )
    return Run(record(bundle, scores, prediction, case, execution, settings), scores, prediction)


def record(
    bundle: Bundle,
    scores: PatchScores,
    prediction: BagPrediction,
    case: Case,
    execution: Execution,
    settings: PredictSettings,
) -> RunRecord:
    """Write down one run."""
    card = bundle.card
    filled = _filled_values(card, case.clinical, settings)
    probabilities = reduce_bags(prediction.probabilities, settings.bags.reduction)
    spread = bag_spread(prediction.probabilities)
    threshold = card.threshold
    binary = len(card.classes) == 2
    point = f"{threshold.operating_point}, N(+) from {threshold.value:.3f}, chosen on {threshold.chosen_on}"
    return RunRecord(
        run=card.mode,
        mode=card.mode,
        model_name=card.name,
        model_sha256=bundle.sha256,
        card_sha256=bundle.card_sha256,
        classes=card.classes,
        probabilities=dict(zip(card.classes, probabilities.tolist(), strict=True)),
        bag_spread=dict(zip(card.classes, spread.tolist(), strict=True)),
        prediction=card.classes[predicted_class(probabilities, threshold.value)],
        threshold=threshold.value if binary else None,
        operating_point=point if binary else "the most probable class",
        default_map=default_map(card),
        n_patches=len(scores.table),
        n_bags=len(prediction.bags),
        n_partitions=prediction.partitions,
        bag_probabilities=tuple(zip(*prediction.probabilities.T.tolist(), strict=True)),
        seed=settings.bags.seed,
        mpp_used=card.mpp,
        patch_px=card.patch_px,
        clinical=None if card.clinical is None else _clinical_facts(case.clinical),
        clinical_filled=filled,
        settings=settings.model_dump(mode="json"),
        runtime=execution.runtime,
        device=execution.device,
        precision=execution.precision,
        norm_statistics=card.norm_statistics,
        seconds=execution.seconds,
        jpeg_decoder=execution.jpeg_decoder,
        warnings=tuple(_warnings(card, len(scores.table), filled, settings)),
    )


def default_map(card: ModelCard) -> str:
    """Return the map to open first; with statistics of the bag there is one only within bags."""
    return "attention_bag" if card.norm_statistics == "bag" else card.default_map


def _clinical_facts(clinical: Clinical | None) -> dict[str, Any]:
    return asdict(clinical) if clinical else {}


def _filled_values(
    card: ModelCard, clinical: Clinical | None, settings: PredictSettings
) -> dict[str, float | bool]:
    """Return the value that stood in for each missing one, read back from the vector the model got."""
    vector, filled = clinical_vector(card, clinical, settings)
    if vector is None or card.clinical is None or not filled:
        return {}
    age, size = card.clinical.age_years, card.clinical.tumor_size_cm
    used: dict[str, float | bool] = {
        "age_years": float(vector[0] * age.std + age.mean),
        "tumor_size_cm": float(vector[1] * size.std + size.mean),
        "er": not vector[2],
        "pr": not vector[3],
        "her2": not vector[4],
    }
    return {name: used[name] for name in filled}


def _unlike_training(card: ModelCard, settings: PredictSettings) -> list[str]:
    """Return the settings under which the card's threshold was not chosen."""
    trained = card.patch_filters.model_dump(exclude_none=True)
    names = [name for name, value in trained.items() if getattr(settings.patches, name) != value]
    if settings.bags.reduction != card.reduction:
        names.append("reduction")
    if settings.patches.roi_patching != "grid" and card.mode != "dlcnbc-ws":
        names.append("roi_patching")
    return names


def filled_words(filled: Mapping[str, float | bool]) -> str:
    """Return the values that took the place of missing ones, receptors as a user writes them."""
    signs = {name: "+" if value else "-" for name, value in filled.items() if isinstance(value, bool)}
    return ", ".join(f"{name} = {value}" for name, value in {**filled, **signs}.items())


def _warnings(
    card: ModelCard, n_patches: int, filled: dict[str, float | bool], settings: PredictSettings
) -> list[str]:
    warnings = []
    unlike = _unlike_training(card, settings)
    if unlike and card.thresholds:
        warnings.append(f"The threshold was chosen under other settings than these: {', '.join(unlike)}.")
    if n_patches < card.bag_size:
        warnings.append(
            f"Only {n_patches} of the {card.bag_size} patches that fill a bag: this rests on one small bag."
        )
    if filled:
        warnings.append(f"Filled from the training cohort, because missing: {filled_words(filled)}.")
    if card.norm_statistics == "bag":
        warnings.append("Scored with the norm statistics of each bag: no slide-level maps, nothing cached.")
    return warnings


def settings_for(card: ModelCard, settings: PredictSettings) -> PredictSettings:
    """Return a model's own settings: as the user set them, else as its card says, else the defaults."""
    patches, bags = settings.patches, settings.bags
    trained = card.patch_filters.model_dump(exclude_none=True)
    unset = {name: value for name, value in trained.items() if name not in patches.model_fields_set}
    reduction = bags.reduction if "reduction" in bags.model_fields_set else card.reduction
    return settings.model_copy(
        update={
            "patches": patches.model_copy(update=unset),
            "bags": bags.model_copy(update={"reduction": reduction}),
        }
    )
