"""Evaluate: scores in, tables and figures of the papers out."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.errors import UsageError
from napari_aln.evaluation import multiclass, performance, plots
from napari_aln.evaluation.auc import auc_interval
from napari_aln.evaluation.cases import WHOLE, file_stem
from napari_aln.evaluation.curves import (
    average_precision,
    calibration,
    decision_curve,
    pr_curve,
    roc_curve,
)
from napari_aln.evaluation.operating_points import CARD
from napari_aln.evaluation.subgroups import Grouping, characteristics, groupings
from napari_aln.evaluation.tables import PaperTable, finite, fraction, plain
from napari_aln.records import Progress
from napari_aln.store.result import HIDDEN
from napari_aln.workflows.evaluation.folder import Evaluation, write_evaluation
from napari_aln.workflows.evaluation.folds import folds_table, joined_folds
from napari_aln.workflows.evaluation.same_patients import held_out, same_patients, shared_cohorts
from napari_aln.workflows.evaluation.score_table import read_scores
from napari_aln.workflows.training.curves import FOLDER_SUFFIX, SCORES_NAME

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.evaluation.cases import Scored
    from napari_aln.evaluation.operating_points import OperatingPoint
    from napari_aln.settings.evaluation import EvaluateSettings

_DECISION_THRESHOLDS = np.arange(1, 100) / 100


def evaluate(
    scores: Path,
    out: Path,
    settings: EvaluateSettings,
    compare: Sequence[Path] = (),
    validation: Path | None = None,
    *,
    folds: Sequence[Path] = (),
    private: bool = False,
) -> Generator[Progress, None, Evaluation]:
    """Judge scores and write the result folder; yield after each step.

    Parameters
    ----------
    scores
        Table of scores, see `read_scores`. Models are named by their files' stems, those of a training by its
        folder.
    out
        Folder to write; an earlier evaluation there is replaced.
    settings
        How.
    compare
        Scores of other models on the same patients, for DeLong's test; training or validation patients that
        one of them did not score are left out, and it is said.
    validation
        Scores of the first model on validation patients, where `scores` has no split: thresholds come from
        there.
    folds
        Scores of the other folds of a cross-validation, `scores` being one: the test patients of all are
        judged together, each by the model that never saw them.
    private
        Name no file in what is written: models go by their number.

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
    paths = [scores, *compare]
    _refuse_folders([*paths, *folds])
    read: list[Scored] = []
    for place, path in enumerate(paths):
        yield Progress(f"read {path.name}", place, len(paths))
        model = f"model {place + 1}" if private else _model_of(path)
        read.append(_read(path, "compare" if place else "scores", model, settings, found))
    parts: list[Scored] = []
    if folds:
        parts = read[:1] + [_read(path, "scores", _model_of(path), settings, found) for path in folds]
        read[0] = joined_folds(parts, read[0].model if private else None)
    read, found.notes = shared_cohorts(read)
    models = same_patients(read)
    for scored in models:
        performance.refuse_one_class(scored)
    reserved = None if validation is None else _reserved(validation, models[0], settings, found)
    if private:
        found.inputs = [one | {"name": HIDDEN} for one in found.inputs]
    points = {
        scored.model: performance.operating_points(
            scored, reserved if scored is models[0] else None, settings.sensitivity, settings.threshold
        )
        for scored in models
        if scored.is_binary
    }
    without = [name for name, own in points.items() if all(p.chosen_on != "validation" for p in own)]
    if without:
        found.notes.append(performance.no_validation(without, len(models)))
    yield from judge(models, points, settings, found, len(paths))
    if folds:
        found.tables.append(folds_table(parts))
    yield from write(models, found, out, settings)
    return found


def judge(
    models: Sequence[Scored],
    points: Mapping[str, Sequence[OperatingPoint]],
    settings: EvaluateSettings,
    found: Evaluation,
    done: int,
) -> Generator[Progress, None, None]:
    """Add tables and figures of models on the same patients; yield after each step.

    Parameters
    ----------
    models
        In one order of patients, see `same_patients`.
    points
        Model's name -> where it calls N(+); none with three classes.
    settings
        How.
    found
        Is added to.
    done
        Steps before.
    """
    rng = np.random.default_rng(settings.seed)
    first = models[0]
    if first.is_binary:
        total = done + 2 + 2 * len(models)
        steps = _binary_steps(models, points, settings, rng, found)
    else:
        total = done + 2 + len(models) * (len(first.cohorts) + len(first.classes))
        steps = _class_steps(models, settings, rng, found)
    for place, name in enumerate(steps, start=done):
        yield Progress(name, place, total)


def write(
    models: Sequence[Scored], found: Evaluation, out: Path, settings: EvaluateSettings
) -> Generator[Progress, None, None]:
    """Add what compares models and describes patients, and write the folder; yield before and after.

    Raises
    ------
    StoreError
        The folder cannot be written or is not ours.
    """
    if len(models) > 1:
        found.tables.append(performance.comparison_table(models))
    _describe(models[0], found)
    yield Progress("write", 0, 1)
    write_evaluation(found, out, settings)
    yield Progress("write", 1, 1)


def _refuse_folders(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            step = "To judge results of predict in it, name the table that has the labels: --cohort TABLE."
            if (path / SCORES_NAME).is_file():  # of a training
                step = f"Name the table in it: {path / SCORES_NAME}."
            raise UsageError(f"{path} is a folder, no table of scores.", step)


def _model_of(path: Path) -> str:
    """Return what the model of a table of scores is called."""
    folder = path.parent.name
    return folder.removesuffix(FOLDER_SUFFIX) if folder.endswith(FOLDER_SUFFIX) else path.stem


def _read(path: Path, role: str, model: str, settings: EvaluateSettings, found: Evaluation) -> Scored:
    scored = read_scores(path, model, settings.positive)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    found.inputs.append({"role": role, "name": path.name, "sha256": digest})
    return scored


def _reserved(path: Path, first: Scored, settings: EvaluateSettings, found: Evaluation) -> Scored:
    """Read the validation patients of the first model."""
    if not first.is_binary:
        raise UsageError(
            f"{path.name} is to choose a threshold, which {len(first.classes)} classes do not have.",
            "Leave --validation out.",
        )
    validation = _read(path, "validation", first.model, settings, found)
    performance.refuse_one_class(validation)
    return held_out(path, validation, first)


def _binary_steps(
    models: Sequence[Scored],
    points: Mapping[str, Sequence[OperatingPoint]],
    settings: EvaluateSettings,
    rng: np.random.Generator,
    found: Evaluation,
) -> Generator[str, None, None]:
    """Judge two classes: performance, subgroups, curves."""
    yield "performance"
    first = models[0]
    negative, positive = first.classes
    rows = [
        row
        for scored in models
        for cohort in first.cohorts
        for row in performance.judge(scored.of(cohort), cohort, points[scored.model])
    ]
    found.tables.append(
        performance.performance_table(
            rows, positive, negative, with_published=settings.published, notes=found.notes
        )
    )
    judged = [scored.of(first.judged) for scored in models]
    grouped = groupings(judged[0].columns, settings.subgroups)
    for scored in judged:
        own = points[scored.model]
        main = next((p for p in own if p.name == "Youden" or p.chosen_on == CARD), own[0])
        if grouped:
            name = "subgroups" if len(judged) == 1 else f"subgroups-{file_stem(scored.model)}"
            found.tables.append(performance.subgroup_table(scored, grouped, main, name))
        for point in own:
            if point.name in ("0.5", "Youden"):
                _confusion_at(scored, point, found)
    curves = [(s.model, s.positive, s.positive_scores) for s in judged]
    yield from _curves(curves, _where(first), settings, rng, found)
    yield from _calibration(judged, settings, rng, found)


def _confusion_at(scored: Scored, point: OperatingPoint, found: Evaluation) -> None:
    called = (scored.positive_scores >= point.threshold).astype(np.int64)
    matrix = multiclass.confusion_matrix(scored.labels, called, 2)
    stem = f"confusion-{point.name.replace('.', '').lower()}-{file_stem(scored.model)}"
    note = f"{scored.classes[1]} from {point.threshold:.3f} ({point.name})."
    title = f"{scored.model}, {_where(scored)}"
    found.figures[stem] = plots.confusion_figure(matrix, scored.classes, title, note)


def _class_steps(
    models: Sequence[Scored],
    settings: EvaluateSettings,
    rng: np.random.Generator,
    found: Evaluation,
) -> Generator[str, None, None]:
    """Judge three classes: overall, one against the others, confusion matrix, curves."""
    first = models[0]
    overall = {}
    for scored in models:
        for cohort in first.cohorts:
            yield f"performance of {scored.model}"
            part = scored.of(cohort)
            numbers = multiclass.overall(part.labels, part.scores, settings.bootstraps, rng)
            overall[scored.model, cohort, len(part)] = numbers
    found.tables.append(performance.overall_table(overall))
    found.tables.append(performance.class_table(models, first.cohorts, with_published=settings.published))
    for scored in models:
        part = scored.of(first.judged)
        matrix = multiclass.confusion_matrix(
            part.labels, multiclass.called_class(part.scores), len(part.classes)
        )
        title = f"{part.model}, {_where(first)}"
        note = "Called: the most probable class."
        figure = plots.confusion_figure(matrix, part.classes, title, note)
        found.figures[f"confusion-{file_stem(part.model)}"] = figure
        curves = [(f"{name}", part.labels == k, part.scores[:, k]) for k, name in enumerate(part.classes)]
        where, suffix = f"{part.model}, {_where(first)}", f"-{file_stem(part.model)}"
        yield from _curves(curves, where, settings, rng, found, suffix)
    off = [s.model for s in models if np.abs(s.scores.sum(axis=1) - 1.0).max() > 0.01]
    if off:
        found.notes.append(f"The scores of a patient do not add up to 1 in: {', '.join(off)}.")


def _curves(
    named: Sequence[tuple[str, NDArray[np.bool_], NDArray[np.float64]]],
    where: str,
    settings: EvaluateSettings,
    rng: np.random.Generator,
    found: Evaluation,
    suffix: str = "",
) -> Generator[str, None, None]:
    """Add the ROC and the precision-recall figure of some scores."""
    rocs, precision, prevalence = {}, {}, {}
    for name, label, score in named:
        yield f"curves of {name}"
        area = fraction(auc_interval(label, score))
        rocs[f"{name}: AUC {area}"] = roc_curve(label, score, settings.bootstraps, rng)
        key = f"{name}: average precision {average_precision(label, score):.3f}"
        precision[key] = pr_curve(label, score, settings.bootstraps, rng)
        prevalence[name] = float(label.mean())
    found.figures[f"roc{suffix}"] = plots.roc_figure(rocs, where)
    found.figures[f"precision-recall{suffix}"] = plots.pr_figure(precision, prevalence, where)


def _calibration(
    judged: Sequence[Scored], settings: EvaluateSettings, rng: np.random.Generator, found: Evaluation
) -> Generator[str, None, None]:
    """Add calibration and decision curve, as table and figures."""
    drawn, rows, numbers, decisions = {}, [], [], {}
    for scored in judged:
        yield f"calibration of {scored.model}"
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
