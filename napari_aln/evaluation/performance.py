"""How well models do: rows and tables of two classes and of three."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_aln.errors import UsageError
from napari_aln.evaluation import multiclass, published
from napari_aln.evaluation.auc import auc_interval, auc_standard_error, paired_difference, unpaired_p
from napari_aln.evaluation.cases import COHORTS, Scored
from napari_aln.evaluation.metrics import UNDEFINED, confusion_metrics
from napari_aln.evaluation.operating_points import (
    CARD,
    OperatingPoint,
    counts_at,
    sensitivity_threshold,
    youden_threshold,
)
from napari_aln.evaluation.tables import (
    NOT_DEFINED,
    PaperTable,
    finite,
    fraction,
    measure_cells,
    measure_titles,
    p_text,
    percent,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_aln.evaluation.metrics import Estimate
    from napari_aln.evaluation.operating_points import Counts
    from napari_aln.evaluation.published import PublishedRow
    from napari_aln.evaluation.subgroups import Characteristic, Grouping

AUC_TITLE, DELONG_TITLE = "AUC", "AUC (DeLong)"
INTERVALS = (
    "95 % intervals in brackets: AUC exact binomial as MedCalc and, beside it, DeLong; ACC, SENS, SPEC exact "
    "binomial (Clopper-Pearson); PPV, NPV logit (Mercaldo); F1 bootstrap; kappa asymptotic."
)
ABBREVIATIONS = (
    "AUC area under the ROC curve, ACC accuracy, SENS sensitivity, SPEC specificity, PPV / NPV positive / "
    "negative predictive value."
)
COHORT_NOTE = "T training, V validation, I-T independent test cohort."


class Row(NamedTuple):
    """One model on one set of patients at one operating point."""

    model: str
    cohort: str
    point: OperatingPoint
    n: int
    n_positive: int
    auc: Estimate
    auc_delong: Estimate
    counts: Counts
    metrics: dict[str, Estimate]


def no_validation(models: Sequence[str], n_models: int) -> str:
    """Say why operating points are missing, and for which models where not for all."""
    whose = "" if len(models) == n_models else f" for {', '.join(models)}"
    return (
        f"Youden's point and the point of fixed sensitivity are left out{whose}: there are no validation "
        "patients to choose them on, and they are never chosen on the patients a model is judged by."
    )


def cohort_name(cohort: str) -> str:
    """Return a cohort as the papers name it."""
    return COHORTS.get(cohort, cohort)


def refuse_one_class(scored: Scored) -> None:
    """Refuse cohorts in which a class has no patient, so that its AUC is not defined.

    Raises
    ------
    UsageError
        With the cohort and the class.
    """
    for cohort in scored.cohorts:
        n_of = np.bincount(scored.labels[scored.cohort == cohort], minlength=len(scored.classes))
        if (n_of == 0).any():
            missing = ", ".join(np.array(scored.classes)[n_of == 0])
            raise UsageError(
                f"{scored.model}, cohort {cohort_name(cohort)}: no patient is {missing}, so the AUC is not "
                f"defined (n = {int(n_of.sum())}).",
                "Give patients of every class in each cohort.",
            )


def operating_points(
    scored: Scored,
    validation: Scored | None,
    sensitivity: float,
    fixed: float | None,
    brought: Sequence[OperatingPoint] | None = None,
) -> list[OperatingPoint]:
    """Return the points two classes are judged at: 0.5, and those chosen on validation where there is one.

    A model that brings its own points, in its card, is judged at these: none is chosen anew.
    """
    points = [OperatingPoint("0.5", 0.5, "convention")]
    if fixed is not None:
        points.append(OperatingPoint(f"{fixed:g} (given)", fixed, "given"))
    if brought is not None:
        return [*points, *brought]
    if validation is None and (scored.cohort == "val").any():
        validation = scored.of("val")
    if validation is not None:
        label, score = validation.positive, validation.positive_scores
        points.append(OperatingPoint("Youden", youden_threshold(label, score), "validation"))
        threshold = sensitivity_threshold(label, score, sensitivity)
        points.append(OperatingPoint(f"SENS ≥ {sensitivity:g}", threshold, "validation"))
    return points


def judge(scored: Scored, cohort: str, points: Sequence[OperatingPoint]) -> list[Row]:
    """Judge two classes on one cohort at each point. A group of one class has no AUC, the rest it has."""
    label, score = scored.positive, scored.positive_scores
    areas = UNDEFINED, UNDEFINED
    if label.any() and not label.all():
        areas = auc_interval(label, score), auc_interval(label, score, "delong")
    rows = []
    for point in points:
        counts = counts_at(label, score, point.threshold)
        n_positive = int(label.sum())
        metrics = confusion_metrics(*counts)
        rows.append(Row(scored.model, cohort, point, len(scored), n_positive, *areas, counts, metrics))
    return rows


def performance_table(
    rows: Sequence[Row], positive: str, negative: str, *, with_published: bool, notes: Sequence[str]
) -> PaperTable:
    """Return the table of Xu et al., Table 2, with F1 and kappa; published rows last."""
    head = ("Method", "Cohort", "n", f"n of {positive}", "Operating point", AUC_TITLE, DELONG_TITLE)
    cells = [
        (
            row.model,
            cohort_name(row.cohort),
            str(row.n),
            str(row.n_positive),
            _point_text(row.point),
            fraction(row.auc),
            fraction(row.auc_delong),
            *measure_cells(row.metrics),
        )
        for row in rows
    ]
    numbers = [_row_numbers(row) for row in rows]
    if with_published:
        shown = {cohort_name(row.cohort) for row in rows} & set(COHORTS.values()) or {"I-T"}
        for cohort in (name for name in COHORTS.values() if name in shown):
            for row in published.published_binary(cohort):
                cells.append(_published_cells(row))
                numbers.append(_published_numbers(row))
    chosen_here = any(r.cohort == "val" and r.point.chosen_on == "validation" for r in rows)
    own_notes = [
        f"Positive is {positive}, called from the threshold on.",
        INTERVALS,
        ABBREVIATIONS,
        *([COHORT_NOTE] if any(row.cohort in COHORTS for row in rows) or with_published else []),
        *notes,
        *(["On V itself, points chosen on V look better than they are."] if chosen_here else []),
        *(
            ["Published values in the form of this table; their cohorts are those of the BCNB data set."]
            if with_published
            else []
        ),
    ]
    return PaperTable(
        "performance",
        f"Performance in prediction of ALN status ({negative} vs. {positive})",
        (*head, *measure_titles()),
        tuple(cells),
        tuple(own_notes),
        tuple(numbers),
    )


def comparison_table(models: Sequence[Scored]) -> PaperTable:
    """Compare every two models on the same patients by DeLong's test, on every cohort."""
    rows, numbers = [], []
    for place, first in enumerate(models):
        for second in models[place + 1 :]:
            for cohort in first.cohorts:
                a, b = first.of(cohort), second.of(cohort)
                for index, name in _areas_of(first):
                    own = a.labels == index
                    found = paired_difference(own, a.scores[:, index], b.scores[:, index])
                    areas = [auc_interval(own, s.scores[:, index], "delong") for s in (a, b)]
                    pair = f"{first.model} vs. {second.model}"
                    rows.append(
                        (
                            pair,
                            cohort_name(cohort),
                            str(len(a)),
                            name,
                            *(fraction(area) for area in areas),
                            fraction(found.estimate),
                            _signed(found.z),
                            p_text(found.p),
                        )
                    )
                    numbers.append(
                        {
                            "models": [first.model, second.model],
                            "cohort": cohort,
                            "class": name,
                            "n": len(a),
                            "auc": [plain(area) for area in areas],
                            "difference": plain(found.estimate),
                            "z": finite(found.z),
                            "p": finite(found.p),
                        }
                    )
    head = ("Models", "Cohort", "n", "Class", "AUC, first", "AUC, second", "Difference", "z", "p")
    notes = (
        "Two-sided DeLong test of paired AUCs; intervals by DeLong.",
        "p is not corrected for many tests.",
    )
    return PaperTable("comparison", "Models on the same patients", head, tuple(rows), notes, tuple(numbers))


def subgroup_table(
    scored: Scored, groupings: Sequence[Grouping], point: OperatingPoint, name: str
) -> PaperTable:
    """Return the table of Xu et al., supplementary Table 5: one model, two classes, one operating point."""
    rows, numbers = [], []
    for grouping in groupings:
        parts = {value: scored.take(own) for value, own in grouping.groups.items() if own.any()}
        judged = {value: judge(part, scored.judged, [point])[0] for value, part in parts.items()}
        p = _heterogeneity(parts)
        for place, (value, row) in enumerate(judged.items()):
            size = str(row.n), str(row.n_positive)
            cells = grouping.title, value, *size, fraction(row.auc), *measure_cells(row.metrics)
            rows.append((*cells, p_text(p) if place == 0 else ""))
            numbers.append(
                {"characteristic": grouping.title, "value": value, **_row_numbers(row), "p": finite(p)}
            )
    head = ("Characteristic", "Value", "n", f"n of {scored.classes[1]}", AUC_TITLE, *measure_titles(), "p")
    notes = (
        f"{scored.model}, cohort {cohort_name(scored.judged)}, operating point {_point_text(point)}.",
        INTERVALS.replace(" and, beside it, DeLong", ""),
        "p: AUCs of different patients compared (z test with DeLong's errors; with more than two groups "
        "chi-square); not corrected for many tests.",
        "Patients whose value is unknown are in no group. T stage by size: T1 up to 2 cm, T2 up to 5 cm.",
    )
    title = f"Subgroups: {scored.model}"
    return PaperTable(name, title, head, tuple(rows), notes, tuple(numbers))


def class_table(models: Sequence[Scored], cohorts: Sequence[str], *, with_published: bool) -> PaperTable:
    """Return the table of Shkembi et al., Table 5: each class against the others."""
    rows, numbers = [], []
    for scored in models:
        for cohort in cohorts:
            part = scored.of(cohort)
            for own in multiclass.one_vs_rest(part.classes, part.labels, part.scores):
                size = str(len(part)), str(own.n)
                where = scored.model, cohort_name(cohort), own.name, *size
                rows.append(
                    (*where, fraction(own.auc), fraction(own.auc_delong), *measure_cells(own.metrics))
                )
                numbers.append(
                    {
                        "model": scored.model,
                        "cohort": cohort,
                        "class": own.name,
                        "n": len(part),
                        "n_class": own.n,
                        "auc": plain(own.auc),
                        "auc_delong": plain(own.auc_delong),
                        "counts": own.counts._asdict(),
                        **{key: plain(estimate) for key, estimate in own.metrics.items()},
                    }
                )
    if with_published:
        for row in published.published_classes():
            who = f"{row.model} ({row.source})", row.cohort, row.group, str(row.n), NOT_DEFINED
            rows.append((*who, fraction(row.measures["auc"]), NOT_DEFINED, *measure_cells(row.measures)))
            numbers.append(_published_numbers(row))
    head = ("Method", "Cohort", "Class", "n", "n of class", AUC_TITLE, DELONG_TITLE, *measure_titles())
    notes = ("Each class against the others; called is the most probable class.", INTERVALS, ABBREVIATIONS)
    title = "Performance for each class (one vs. rest)"
    return PaperTable("classes", title, head, tuple(rows), notes, tuple(numbers))


def overall_table(found: Mapping[tuple[str, str, int], Mapping[str, Estimate]]) -> PaperTable:
    """Return macro AUC, accuracy, macro F1 and kappa of three classes, by model, cohort and n."""
    rows = [
        (
            model,
            cohort_name(cohort),
            str(n),
            fraction(own["auc"]),
            percent(own["acc"]),
            fraction(own["f1"]),
            fraction(own["kappa"]),
        )
        for (model, cohort, n), own in found.items()
    ]
    numbers = [
        {"model": model, "cohort": cohort, "n": n, **{key: plain(e) for key, e in own.items()}}
        for (model, cohort, n), own in found.items()
    ]
    head = ("Method", "Cohort", "n", "Macro AUC", "ACC (%)", "Macro F1", "Kappa")
    notes = (
        "Macro: mean over the classes, each against the others.",
        "Intervals: ACC exact, others bootstrap.",
    )
    return PaperTable("overall", "Performance over all classes", head, tuple(rows), notes, tuple(numbers))


def characteristics_table(found: Sequence[Characteristic], cohorts: Sequence[str]) -> PaperTable:
    """Return the table of Xu et al., Table 1."""
    rows, numbers = [], []
    for own in found:
        for place, (value, texts) in enumerate(own.values.items()):
            rows.append((own.title, value, *texts, p_text(own.p) if place == 0 else ""))
        numbers.append({"characteristic": own.title, "test": own.test, "p": finite(own.p)})
    head = ("Characteristic", "Value", "All patients", *cohorts, "p")
    notes = ("p: quantities Mann-Whitney U, groups chi-square, two-sided.", "Unknown values are left out.")
    return PaperTable("characteristics", "Patient characteristics", head, tuple(rows), notes, tuple(numbers))


def _areas_of(scored: Scored) -> list[tuple[int, str]]:
    if scored.is_binary:
        return [(1, scored.classes[1])]
    return list(enumerate(scored.classes))


def _heterogeneity(parts: Mapping[str, Scored]) -> float:
    usable = [p for p in parts.values() if min(p.positive.sum(), (~p.positive).sum()) >= 2]
    if len(usable) < len(parts):
        return float("nan")
    areas = [auc_interval(p.positive, p.positive_scores).value for p in usable]
    return unpaired_p(areas, [auc_standard_error(p.positive, p.positive_scores) for p in usable])


def _point_text(point: OperatingPoint) -> str:
    where = {"validation": "V", CARD: CARD}.get(point.chosen_on)
    return point.name if where is None else f"{point.name} ({where}: {point.threshold:.3f})"


def _signed(value: float) -> str:
    return NOT_DEFINED if np.isnan(value) else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _row_numbers(row: Row) -> dict[str, Any]:
    return {
        "model": row.model,
        "cohort": row.cohort,
        "n": row.n,
        "n_positive": row.n_positive,
        "operating_point": row.point._asdict(),
        "auc": plain(row.auc),
        "auc_delong": plain(row.auc_delong),
        "counts": row.counts._asdict(),
        **{key: plain(estimate) for key, estimate in row.metrics.items()},
    }


def _published_cells(row: PublishedRow) -> tuple[str, ...]:
    size = str(row.n or NOT_DEFINED), str(row.n_positive or NOT_DEFINED)
    who = f"{row.model} ({row.source})", row.cohort, *size, "as published"
    return (*who, fraction(row.measures["auc"]), NOT_DEFINED, *measure_cells(row.measures))


def _published_numbers(row: PublishedRow) -> dict[str, Any]:
    facts = {
        "published": row.source,
        "model": row.model,
        "cohort": row.cohort,
        "class": row.group,
        "n": row.n,
    }
    return facts | {key: plain(estimate) for key, estimate in row.measures.items()}
