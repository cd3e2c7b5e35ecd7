"""What a trained head's card says of it, measured on stored features and as `predict` scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_aln.cohort.wording import counted
from napari_aln.evaluation.auc import auc_interval
from napari_aln.evaluation.cases import Scored
from napari_aln.evaluation.curves import calibration
from napari_aln.evaluation.multiclass import calibration_of_classes, overall
from napari_aln.evaluation.performance import judge, operating_points
from napari_aln.mil.card import Metric, Threshold
from napari_aln.mil.scoring import PatchScorer, reduce_bags
from napari_aln.patches.bags import draw_bags, partition_count
from napari_aln.records import Progress
from napari_aln.settings.evaluation import EvaluateSettings
from napari_aln.settings.prediction import BagSettings
from napari_aln.workflows.training.patients import clinical_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from napari_aln.evaluation.metrics import Estimate
    from napari_aln.evaluation.operating_points import OperatingPoint
    from napari_aln.mil.bundle import Bundle
    from napari_aln.mil.card import ModelCard
    from napari_aln.mil.network import AttentionHead
    from napari_aln.workflows.training.patients import TrainingPatient

    Embedded = tuple[NDArray[np.float32], NDArray[np.float32]]
    Embed = Callable[[TrainingPatient], Embedded]

FIXED_SENSITIVITY = 0.9
_JUDGED = EvaluateSettings()  # bootstraps and bins as `evaluate` has them
_COHORTS = {"val": "validation", "test": "test"}


def scored_patients(
    bundle: Bundle, patients: Sequence[TrainingPatient], embed: Embed
) -> Generator[Progress, None, Scored]:
    """Score patients with a saved bundle; yield after each.

    Of a patient with one slide the probabilities are those of `predict`; further slides' patches take part
    in the same bags.

    Parameters
    ----------
    bundle
        As saved.
    patients
        With labels.
    embed
        Returns h (n, hidden) and e (n,) of all patches of a patient, from what is stored of them.
    """
    head = bundle.network().head
    scores = []
    for done, patient in enumerate(patients, start=1):
        scores.append(_probabilities(bundle, head, patient, embed(patient)))
        yield Progress("measure", done, len(patients))
    return Scored(
        model=bundle.card.name,
        classes=bundle.card.classes,
        patients=tuple(patient.patient_id for patient in patients),
        labels=np.array([patient.label for patient in patients], np.int64),
        scores=np.array(scores).reshape(len(patients), len(bundle.card.classes)),
        cohort=np.array([str(patient.rows[0].split) for patient in patients]),
        columns=clinical_columns([patient.rows[0] for patient in patients]),
    )


@torch.no_grad()
def embedded(head: AttentionHead, patient: TrainingPatient) -> Embedded:
    """Return h and e of all of a patient's patches, from stored features."""
    h = head.embed(torch.from_numpy(patient.take(np.arange(len(patient)))))
    return h.numpy(), head.attention_logit(h).numpy()


@torch.no_grad()
def _probabilities(
    bundle: Bundle, head: AttentionHead, patient: TrainingPatient, embedded: Embedded
) -> NDArray[np.float64]:
    card, (h, e) = bundle.card, embedded
    partitions = partition_count(len(patient), card.bag_size)
    bags = draw_bags(patient.cells(), card.bag_size, partitions, BagSettings().seed)
    if card.pooling == "max":  # not a weighted mean, so not for the scorer
        clinical = torch.from_numpy(patient.clinical) if card.n_clinical else None
        logits = [head.classify(torch.from_numpy(h[bag].max(axis=0)), clinical) for bag in bags]
        return reduce_bags(torch.softmax(torch.stack(logits).double(), dim=1).numpy(), card.reduction)
    scorer = PatchScorer(bundle.head, h, e)
    vector = patient.clinical.astype(np.float64) if card.n_clinical else None
    return reduce_bags(scorer.score_bags(bags, vector), card.reduction)


def measured(card: ModelCard, scored: Scored) -> tuple[ModelCard, tuple[str, ...]]:
    """Return the card with thresholds and metrics, and which figures are not defined, and why.

    Thresholds come from the validation patients alone. A figure that is not defined stands nowhere: an AUC
    of patients of one class is not 0.
    """
    remarks = []
    for split, name in _COHORTS.items():
        n_of = np.bincount(scored.labels[scored.cohort == split], minlength=len(card.classes))
        missing = [c for c, n in zip(card.classes, n_of, strict=True) if not n]
        if missing:
            remarks.append(
                f"The AUC on {name} is not defined: of {counted(int(n_of.sum()), 'patient')} none is "
                f"{' or '.join(missing)}."
            )
    if not scored.is_binary:
        figures = [metric for split in ("test", "val") for metric in _of_three(scored, split)]
        return card.model_copy(update={"metrics": tuple(figures)}), tuple(remarks)
    half, youden, sensitive = operating_points(scored, None, FIXED_SENSITIVITY, None)
    figures = _of_two(scored, "test", youden) + _of_two(scored, "val", youden)[:1]
    thresholds = tuple(
        Threshold(value=float(point.threshold), operating_point=point.name, chosen_on=point.chosen_on)
        for point in (youden, half, sensitive)
    )
    return card.model_copy(update={"thresholds": thresholds, "metrics": tuple(figures)}), tuple(remarks)


def _of_two(scored: Scored, split: str, point: OperatingPoint) -> list[Metric]:
    here = scored.of(split)
    if not len(here):
        return []
    row = judge(here, split, [point])[0]
    figures = {"auc": row.auc, **row.metrics}
    if len(np.unique(here.labels)) == len(here.classes):
        label, score, rng = here.positive, here.positive_scores, np.random.default_rng(_JUDGED.seed)
        of_scores = calibration(label, score, _JUDGED.bins, _JUDGED.bootstraps, rng)
        figures |= {"brier": of_scores.brier, "ece": of_scores.ece}
    return _metrics(figures, row.n, split)


def _of_three(scored: Scored, split: str) -> list[Metric]:
    here = scored.of(split)
    if not len(here):
        return []
    if len(np.unique(here.labels)) < len(here.classes):
        return []
    rng = np.random.default_rng(_JUDGED.seed)
    figures = overall(here.labels, here.scores, _JUDGED.bootstraps, rng)
    figures |= calibration_of_classes(here.labels, here.scores, _JUDGED.bins, _JUDGED.bootstraps, rng)
    own = {name: (here.labels == k, here.scores[:, k]) for k, name in enumerate(here.classes)}
    single = {f"auc {name}": auc_interval(*of_class) for name, of_class in own.items()}
    return _metrics(figures | single, len(here), split)


def _metrics(figures: dict[str, Estimate], n: int, split: str) -> list[Metric]:
    def known(value: float) -> float | None:
        return None if math.isnan(value) else round(value, 4)

    return [
        Metric(
            name=name.upper() if name.islower() else f"AUC {name[4:]}",
            value=round(value, 4),
            n=n,
            cohort=_COHORTS[split],
            low=known(low),
            high=known(high),
        )
        for name, (value, low, high) in figures.items()
        if not math.isnan(value)
    ]
