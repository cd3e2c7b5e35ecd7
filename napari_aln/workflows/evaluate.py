"""Evaluate: scores in, tables and figures of the papers out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.errors import CohortError
from napari_aln.evaluation import multiclass, performance, plots
from napari_aln.evaluation.auc import auc_interval
from napari_aln.evaluation.cases import WHOLE
from napari_aln.evaluation.curves import (
    average_precision,
    calibration,
    decision_curve,
    pr_curve,
    roc_curve,
)
from napari_aln.evaluation.subgroups import Grouping, characteristics, groupings
from napari_aln.evaluation.tables import PaperTable, finite, fraction, plain
from napari_aln.records import Progress
from napari_aln.workflows.evaluation_folder import write_evaluation
from napari_aln.workflows.score_table import read_scores

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from napari_aln.evaluation.cases import Scored
    from napari_aln.evaluation.operating_points import OperatingPoint
    from napari_aln.settings import EvaluateSettings

_NAMED = 5
"""Patients that an error names before it counts the rest."""
_DECISION_THRESHOLDS = np.arange(1, 100) / 100


@dataclass
class Evaluation:
    """What an evaluation found, before and after it is written."""

    tables: list[PaperTable] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)  # stem of its files -> figure
    notes: list[str] = field(default_factory=list)
    inputs: list[dict[str, str]] = field(default_factory=list)  # role, name and SHA-256 of each file


def evaluate(
    scores: Path,
    out: Path,
    settings: EvaluateSettings,
    compare: Sequence[Path] = (),
    validation: Path | None = None,
) -> Generator[Progress, None, Evaluation]:
    """Judge scores and write the result folder; yield after each step.

    Parameters
    ----------
    scores
        Table of scores, see `read_scores`. Models are named by their files' stems.
    out
        Folder to write; an earlier evaluation there is replaced.
    settings
        How.
    compare
        Scores of other models on the same patients, for DeLong's test.
    validation
        Scores of the first model on validation patients, where `scores` has no split: thresholds come from
        there.

    Raises
    ------
    CohortError
        A table cannot be used, or the models' patients or labels differ; patients are named.
    UsageError
        A class has no patient in a cohort, so that its AUC is not defined.
    StoreError
        The folder cannot be written or is not ours.
    """
    found = Evaluation()
    models: list[Scored] = []
    total = 6 + len(compare)
    for place, path in enumerate((scores, *compare)):
        yield Progress(f"read {path.name}", place, total)
        own = _read(path, "scores" if place == 0 else "compare", settings, found)
        models.append(own if not models else _matched(models[0], own))
    models = _distinct(models)
    for scored in models:
        performance.refuse_one_class(scored)
    held_out = None if validation is None else _validation(validation, models[0], settings, found)
    rng = np.random.default_rng(settings.seed)
    steps = _binary_steps if models[0].is_binary else _class_steps
    for done, name in enumerate(steps(models, held_out, settings, rng, found), start=1 + len(compare)):
        yield Progress(name, done, total)
    if len(models) > 1:
        found.tables.append(performance.comparison_table(models))
    _describe(models[0], found)
    yield Progress("write", total - 1, total)
    write_evaluation(found, out, settings)
    yield Progress("write", total, total)
    return found


def _read(path: Path, role: str, settings: EvaluateSettings, found: Evaluation) -> Scored:
    scored = read_scores(path, path.stem, settings.positive)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    found.inputs.append({"role": role, "name": path.name, "sha256": digest})
    return scored


def _matched(first: Scored, other: Scored) -> Scored:
    """Return the other model's scores in the first one's order; patients, labels and splits must agree."""
    place_of = {patient: place for place, patient in enumerate(other.patients)}
    missing = [patient for patient in first.patients if patient not in place_of]
    extra = sorted(set(other.patients) - set(first.patients))
    if missing or extra:
        facts = [f"{other.model} lacks {_listed(missing)}"] if missing else []
        facts += [f"{first.model} lacks {_listed(extra)}"] if extra else []
        raise CohortError(
            f"The models were not scored on the same patients: {'; '.join(facts)}.",
            "Give both the same patients; ids are text, so 007 is not 7.",
        )
    if set(first.classes) != set(other.classes):
        raise CohortError(
            f"{first.model} has the classes {', '.join(first.classes)}, {other.model} "
            f"{', '.join(other.classes)}.",
            "Compare models of the same classes.",
        )
    sorted_other = other.take(np.array([place_of[patient] for patient in first.patients]))
    order = [other.classes.index(name) for name in first.classes]
    renumbered = np.array([first.classes.index(other.classes[k]) for k in sorted_other.labels])
    mine = replace(
        sorted_other, classes=first.classes, labels=renumbered, scores=sorted_other.scores[:, order]
    )
    unlike = [p for p, a, b in zip(first.patients, first.labels, mine.labels, strict=True) if a != b]
    if unlike:
        raise CohortError(
            f"{first.model} and {other.model} give different labels to {_listed(unlike)}.", "Correct them."
        )
    if WHOLE in (*first.cohorts, *mine.cohorts):  # one without splits takes those of the other
        return replace(mine, cohort=first.cohort)
    moved = [p for p, a, b in zip(first.patients, first.cohort, mine.cohort, strict=True) if a != b]
    if moved:
        raise CohortError(
            f"{first.model} and {other.model} put {_listed(moved)} into different splits.", "Correct them."
        )
    return mine


def _listed(patients: Sequence[str]) -> str:
    rest = f" and {len(patients) - _NAMED} more" if len(patients) > _NAMED else ""
    return f"patient {', '.join(patients[:_NAMED])}{rest}"


def _distinct(models: Sequence[Scored]) -> list[Scored]:
    """Return the models, numbered where their files are named alike."""
    names = [scored.model for scored in models]
    return [
        replace(scored, model=f"{scored.model} ({place})") if names.count(scored.model) > 1 else scored
        for place, scored in enumerate(models, start=1)
    ]


def _validation(path: Path, first: Scored, settings: EvaluateSettings, found: Evaluation) -> Scored:
    """Read the validation patients of the first model; none of them may be among those it is judged by."""
    if not first.is_binary:
        raise CohortError(
            f"{path}: a validation table chooses thresholds, and three classes have none.", "Leave it out."
        )
    held_out = _read(path, "validation", settings, found)
    if held_out.classes != first.classes:
        raise CohortError(
            f"{path} has the classes {', '.join(held_out.classes)}, not {', '.join(first.classes)}.",
            "Give validation scores of the same model.",
        )
    performance.refuse_one_class(held_out)
    if "val" in held_out.cohorts:
        held_out = held_out.of("val")
    judged = set(first.patients) if first.judged == WHOLE else set(first.of(first.judged).patients)
    both = [patient for patient in held_out.patients if patient in judged]
    if both:
        raise CohortError(
            f"{path} holds {_listed(both)}, on whom the model is judged.",
            "Choose thresholds on other patients than those.",
        )
    return held_out


def _binary_steps(
    models: Sequence[Scored],
    held_out: Scored | None,
    settings: EvaluateSettings,
    rng: np.random.Generator,
    found: Evaluation,
) -> Generator[str, None, None]:
    """Judge two classes: performance, subgroups, curves."""
    yield "performance"
    first = models[0]
    negative, positive = first.classes
    points = {
        scored.model: performance.operating_points(
            scored, held_out if scored is first else None, settings.sensitivity, settings.threshold
        )
        for scored in models
    }
    rows = [
        row
        for scored in models
        for cohort in first.cohorts
        for row in performance.judge(scored.of(cohort), cohort, points[scored.model])
    ]
    validated = any(p.chosen_on == "validation" for own in points.values() for p in own)
    found.tables.append(
        performance.performance_table(
            rows, positive, negative, with_published=settings.published, validated=validated
        )
    )
    if not validated:
        found.notes.append(performance.NO_VALIDATION)
    judged = [scored.of(first.judged) for scored in models]
    main = next((p for p in points[first.model] if p.name == "Youden"), points[first.model][0])
    grouped = groupings(judged[0].columns, settings.subgroups)
    if grouped:
        found.tables.append(performance.subgroup_table(judged[0], grouped, main))
    for scored in judged:
        for point in points[scored.model]:
            if point.name in ("0.5", "Youden"):
                _confusion_at(scored, point, found)
    yield "curves"
    _curves([(s.model, s.positive, s.positive_scores) for s in judged], _where(first), settings, rng, found)
    yield "calibration"
    _calibration(judged, settings, rng, found)


def _confusion_at(scored: Scored, point: OperatingPoint, found: Evaluation) -> None:
    called = (scored.positive_scores >= point.threshold).astype(np.int64)
    matrix = multiclass.confusion_matrix(scored.labels, called, 2)
    stem = f"confusion-{point.name.replace('.', '').lower()}-{_stem(scored.model)}"
    note = f"{scored.classes[1]} from {point.threshold:.3f} ({point.name})."
    title = f"{scored.model}, {_where(scored)}"
    found.figures[stem] = plots.confusion_figure(matrix, scored.classes, title, note)


def _class_steps(
    models: Sequence[Scored],
    _: Scored | None,
    settings: EvaluateSettings,
    rng: np.random.Generator,
    found: Evaluation,
) -> Generator[str, None, None]:
    """Judge three classes: overall, one against the others, confusion matrix, curves."""
    yield "performance"
    first = models[0]
    overall = {}
    for scored in models:
        for cohort in first.cohorts:
            part = scored.of(cohort)
            numbers = multiclass.overall(part.labels, part.scores, settings.bootstraps, rng)
            overall[scored.model, cohort, len(part)] = numbers
    found.tables.append(performance.overall_table(overall))
    found.tables.append(performance.class_table(models, first.cohorts, with_published=settings.published))
    yield "curves"
    for scored in models:
        part = scored.of(first.judged)
        matrix = multiclass.confusion_matrix(
            part.labels, multiclass.called_class(part.scores), len(part.classes)
        )
        title = f"{part.model}, {_where(first)}"
        note = "Called: the most probable class."
        figure = plots.confusion_figure(matrix, part.classes, title, note)
        found.figures[f"confusion-{_stem(part.model)}"] = figure
        curves = [(f"{name}", part.labels == k, part.scores[:, k]) for k, name in enumerate(part.classes)]
        _curves(curves, f"{part.model}, {_where(first)}", settings, rng, found, f"-{_stem(part.model)}")
    yield "notes"
    off = [s.model for s in models if np.abs(s.scores.sum(axis=1) - 1.0).max() > 0.01]
    if off:
        found.notes.append(f"The scores of a patient do not add up to 1 in: {', '.join(off)}.")


def _curves(
    named: Sequence[tuple[str, np.ndarray, np.ndarray]],
    where: str,
    settings: EvaluateSettings,
    rng: np.random.Generator,
    found: Evaluation,
    suffix: str = "",
) -> None:
    """Add the ROC and the precision-recall figure of some scores."""
    rocs, precision, prevalence = {}, {}, {}
    for name, label, score in named:
        area = fraction(auc_interval(label, score))
        rocs[f"{name}: AUC {area}"] = roc_curve(label, score, settings.bootstraps, rng)
        key = f"{name}: average precision {average_precision(label, score):.3f}"
        precision[key] = pr_curve(label, score, settings.bootstraps, rng)
        prevalence[name] = float(label.mean())
    found.figures[f"roc{suffix}"] = plots.roc_figure(rocs, where)
    found.figures[f"precision-recall{suffix}"] = plots.pr_figure(precision, prevalence, where)


def _calibration(
    judged: Sequence[Scored], settings: EvaluateSettings, rng: np.random.Generator, found: Evaluation
) -> None:
    """Add calibration and decision curve, as table and figures."""
    drawn, rows, numbers, decisions = {}, [], [], {}
    for scored in judged:
        label, score = scored.positive, scored.positive_scores
        own = calibration(label, score, settings.bins, settings.bootstraps, rng)
        drawn[f"{scored.model}: Brier {own.brier.value:.3f}, ECE {own.ece.value:.3f}"] = own
        line = [("–" if np.isnan(x) else f"{x:.2f}".replace("-", "−")) for x in (own.intercept, own.slope)]
        rows.append(
            (
                scored.model,
                performance.cohort_name(scored.judged),
                str(len(scored)),
                fraction(own.brier),
                fraction(own.ece),
                *line,
            )
        )
        decisions[scored.model] = decision_curve(label, score, _DECISION_THRESHOLDS)
        numbers.append(
            {
                "model": scored.model,
                "cohort": scored.judged,
                "n": len(scored),
                "brier": plain(own.brier),
                "ece": plain(own.ece),
                "intercept": finite(own.intercept),
                "slope": finite(own.slope),
                "bins": [one._asdict() | {"observed": plain(one.observed)} for one in own.bins],
                "decision_curve": {k: v.tolist() for k, v in decisions[scored.model]._asdict().items()},
            }
        )
    head = ("Method", "Cohort", "n", "Brier", "ECE", "Calibration intercept", "Calibration slope")
    notes = (
        f"ECE: {settings.bins} bins of equal width. Brackets: 95 % bootstrap interval; that of ECE lies "
        "high, as resampling adds error.",
        "Intercept 0 and slope 1 of the logistic line through the log-odds are perfect.",
    )
    found.tables.append(PaperTable("calibration", "Calibration", head, tuple(rows), notes, tuple(numbers)))
    where = _where(judged[0])
    found.figures["calibration"] = plots.calibration_figure(drawn, where)
    found.figures["decision-curve"] = plots.decision_figure(decisions, where)


def _describe(scored: Scored, found: Evaluation) -> None:
    """Add the patients' characteristics, development against test, where both are there."""
    test = scored.cohort == "test"
    if not test.any() or test.all():
        return
    labels = Grouping("Label", {name: scored.labels == k for k, name in enumerate(scored.classes)})
    own = characteristics(scored.columns, labels, {"Training": ~test, "Test": test})
    names = [f"Training and validation (n = {(~test).sum()})", f"Test (n = {test.sum()})"]
    found.tables.append(performance.characteristics_table(own, names))


def _where(scored: Scored) -> str:
    cohort, n = scored.judged, int((scored.cohort == scored.judged).sum())
    named = {"test": "independent test", "val": "validation", "train": "training", WHOLE: "all patients"}
    return f"{named[cohort]} (n = {n})"


def _stem(model: str) -> str:
    """Return a model's name as part of a file name."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in model)[:60]
