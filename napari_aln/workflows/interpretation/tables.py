"""Tables and figures of an interpretation, in the form of Xu et al. 2021, section 3.6 and Figure 6."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.cohort.table import SPLITS
from napari_aln.evaluation import feature_plots, plots
from napari_aln.evaluation.curves import roc_curve
from napari_aln.evaluation.performance import cohort_name
from napari_aln.evaluation.published import XU_NUCLEI
from napari_aln.evaluation.tables import NOT_DEFINED, PaperTable, finite, fraction, p_text, plain
from napari_aln.nuclei.slide_features import (
    ORIENTATION_NOTE,
    PAPER_FEATURES,
    SLIDE_FEATURES,
)
from napari_aln.records import BINARY
from napari_aln.workflows.evaluation.folder import Evaluation
from napari_aln.workflows.interpretation.slide_weights import (
    WEIGHT_NOTE,
    compared,
    feature_differences,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_aln.evaluation.group_differences import Difference, Spread
    from napari_aln.settings.interpretation import InterpretSettings
    from napari_aln.workflows.interpretation.slide_weights import InterpretedSlide, Patients
    from napari_aln.workflows.training.epochs import Fitted
    from napari_aln.workflows.training.patients import LeftOut

_SIGNIFICANT = 0.05


@dataclass
class Interpretation(Evaluation):
    """What was found of a cohort, and the slides that could not be used."""

    slides: list[InterpretedSlide] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def describe(found: Interpretation, fitted: Fitted, settings: InterpretSettings) -> None:
    """Add tables and figures to an interpretation whose slides are known."""
    cohort = compared(found.slides)
    patients, differences = cohort.patients, cohort.differences
    found.tables.append(_features_table(differences, cohort.adjusted))
    found.tables.append(_performance_table(patients, fitted))
    found.tables.append(_weights_table(patients))
    _draw(found, patients, differences, settings)


def _features_table(differences: Mapping[str, Difference], corrected: Mapping[str, float]) -> PaperTable:
    first = next(iter(differences.values()))
    groups = [f"{label} (n = {n})" for label, n in zip(BINARY, (first.first.n, first.second.n), strict=True)]
    head: tuple[str, ...] = ("Feature", "Unit")
    head += tuple(f"{group}, mean ± SD" for group in groups)
    head += tuple(f"{group}, median (quartiles)" for group in groups)
    head += ("N(+) is", "P(N(+) > N0)", "p", "p, adjusted", "Xu et al. 2021")
    rows, numbers = [], []
    for feature in SLIDE_FEATURES:
        own, adjusted = differences[feature.name], corrected[feature.name]
        both = (own.first, own.second)
        published = XU_NUCLEI.get(feature.name)
        rows.append(
            (
                feature.title,
                feature.unit or NOT_DEFINED,
                *(_mean_text(one) for one in both),
                *(_median_text(one) for one in both),
                direction(own),
                _number(own.superiority),
                p_text(own.p),
                p_text(adjusted),
                NOT_DEFINED if published is None else f"{published.direction}, p = {published.p:.3f}",
            )
        )
        numbers.append(
            {
                "feature": feature.name,
                "unit": feature.unit,
                **{label: _finite(one) for label, one in zip(BINARY, both, strict=True)},
                "u": finite(own.u),
                "superiority": finite(own.superiority),
                "p": finite(own.p),
                "p_adjusted": finite(adjusted),
            }
        )
    notes = (
        "One value a patient: of density all nuclei over the tissue of the patches, of orientation the mean "
        "of the patches, of all others the median of the nuclei.",
        ORIENTATION_NOTE,
        "p: Mann-Whitney U, two-sided. Adjusted: Benjamini-Hochberg over all rows. N(+) is: – where p is not "
        "below 0.05.",
        "All patients of the table with a split, training, validation and test.",
    )
    title = "Nucleus features of N0 and N(+)"
    return PaperTable("features", title, head, tuple(rows), notes, tuple(numbers))


def _performance_table(patients: Patients, fitted: Fitted) -> PaperTable:
    rows, numbers = [], []
    for cohort in SPLITS:
        here = patients.split == cohort
        if not here.any():
            continue
        positive, area = patients.positive[here], patients.auc(cohort)
        rows.append((cohort_name(cohort), str(here.sum()), str(positive.sum()), fraction(area)))
        numbers.append(
            {"cohort": cohort, "n": int(here.sum()), "n_positive": int(positive.sum()), "auc": plain(area)}
        )
    notes = (
        "AUC [95 % exact binomial] of the attention network on feature bags. It alone says whether the "
        "weights mean anything: at 0.5 they do not.",
        f"Epoch {fitted.best_epoch} of {fitted.epochs} was kept, by the validation AUC, which is therefore "
        "too good.",
    )
    head = ("Cohort", "n", "N(+)", "AUC")
    title = "How well nucleus features alone tell N(+) from N0"
    return PaperTable("performance", title, head, tuple(rows), notes, tuple(numbers))


def _weights_table(patients: Patients) -> PaperTable:
    differences = feature_differences(patients.weight, patients.positive)
    everybody = {name: own.mean() for name, own in patients.weight.items()}
    order = sorted(PAPER_FEATURES, key=lambda feature: -everybody[feature.name])
    rows = [
        (
            feature.title,
            _number(everybody[feature.name]),
            _mean_text(differences[feature.name].first),
            _mean_text(differences[feature.name].second),
            p_text(differences[feature.name].p),
        )
        for feature in order
    ]
    numbers = [
        {
            "feature": feature.name,
            "mean": float(everybody[feature.name]),
            **{label: _finite(one) for label, one in zip(BINARY, differences[feature.name][:2], strict=True)},
            "p": finite(differences[feature.name].p),
        }
        for feature in order
    ]
    head = ("Feature", "Mean weight", *(f"{label}, mean ± SD" for label in BINARY), "p")
    notes = (
        WEIGHT_NOTE,
        f"Uniform: {1 / len(PAPER_FEATURES):.3f}. p: Mann-Whitney U of the weights, uncorrected.",
    )
    return PaperTable(
        "weights", "Attention weights of the features", head, tuple(rows), notes, tuple(numbers)
    )


def _draw(
    found: Interpretation,
    patients: Patients,
    differences: Mapping[str, Difference],
    settings: InterpretSettings,
) -> None:
    n = f"n = {len(patients.positive)}"
    titles = {feature.name: feature.title for feature in PAPER_FEATURES}
    weights = np.column_stack([patients.weight[name] for name in titles])
    names = list(titles.values())
    found.figures["weights"] = feature_plots.weight_bars(weights, patients.positive, names, BINARY, n)
    order = np.lexsort((patients.score, patients.positive))
    found.figures["weights-heatmap"] = feature_plots.weight_heatmap(
        weights[order], patients.positive[order], names, BINARY, n
    )
    boxes = []
    for feature in SLIDE_FEATURES:
        unit = f" ({feature.unit})" if feature.unit else ""
        p = differences[feature.name].p
        own = patients.value[feature.name]
        if np.isfinite(own).any():
            boxes.append(
                feature_plots.Box(f"{feature.title}{unit}", own, "" if np.isnan(p) else _p_equals(p))
            )
    found.figures["features"] = feature_plots.box_plots(boxes, patients.positive, BINARY, n)
    curves = {}
    for cohort in SPLITS:
        area, here = patients.auc(cohort), patients.split == cohort
        if np.isfinite(area.value):
            rng = np.random.default_rng(settings.seed)
            name = f"{cohort_name(cohort)}: AUC {fraction(area)}"
            curves[name] = roc_curve(patients.positive[here], patients.score[here], settings.bootstraps, rng)
    found.figures["roc"] = plots.roc_figure(curves, "nucleus features")


def direction(difference: Difference) -> str:
    """Return whether N(+) lies higher or lower where that is significant."""
    if not difference.p < _SIGNIFICANT:
        return NOT_DEFINED
    return "higher" if difference.superiority > 0.5 else "lower"


def _number(value: float) -> str:
    return NOT_DEFINED if np.isnan(value) else f"{value:.3f}"


def _shown(value: float, like: float) -> str:
    """Return a value with three decimals where it is about 1, fewer where it is larger."""
    decimals = 3 if abs(like) < 10 else 2 if abs(like) < 100 else 0
    return f"{value:.{decimals}f}"


def _mean_text(one: Spread) -> str:
    if not one.n:
        return NOT_DEFINED
    sd = NOT_DEFINED if np.isnan(one.sd) else _shown(one.sd, one.mean)
    return f"{_shown(one.mean, one.mean)} ± {sd}"


def _median_text(one: Spread) -> str:
    if not one.n:
        return NOT_DEFINED
    median, low, high = (_shown(value, one.median) for value in (one.median, one.low, one.high))
    return f"{median} ({low}–{high})"


def _finite(one: Spread) -> dict[str, float | None]:
    return {name: finite(value) for name, value in one._asdict().items()}


def _p_equals(p: float) -> str:
    text = p_text(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
