"""Every printed row of Xu et al., Table 2, follows from its counts: our measures and intervals are theirs."""

import math

import pytest

from napari_aln.evaluation.metrics import binomial_interval, confusion_metrics
from napari_aln.evaluation.published import XU, published_binary, published_classes

ROWS = [row for cohort in ("T", "V", "I-T") for row in published_binary(cohort)]


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.source == XU], ids=lambda r: f"{r.model} {r.cohort}"
)
def test_a_row_of_xu_et_al_follows_from_its_counts(row):
    n_negative = row.n - row.n_positive
    tp = round(row.measures["sens"].value * row.n_positive)
    tn = round(row.measures["spec"].value * n_negative)
    found = confusion_metrics(tp, n_negative - tn, row.n_positive - tp, tn)
    for name in ("acc", "sens", "spec", "ppv", "npv"):
        assert found[name] == pytest.approx(row.measures[name], abs=1.01e-4), name
    area = row.measures["auc"]
    if not math.isnan(area.low):
        assert binomial_interval(area.value * row.n, row.n)[1:] == pytest.approx(area[1:], abs=1.1e-3)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.source != XU and row.n], ids=lambda r: f"{r.model} {r.cohort}"
)
def test_a_row_of_shkembi_et_al_follows_from_its_counts(row):
    n_negative = row.n - row.n_positive
    tp = round(row.measures["sens"].value * row.n_positive)
    tn = round(row.measures["spec"].value * n_negative)
    found = confusion_metrics(tp, n_negative - tn, row.n_positive - tp, tn)
    for name in ("acc", "ppv", "npv", "f1"):
        assert found[name].value == pytest.approx(row.measures[name].value, abs=1.1e-3), name


def test_the_classes_of_shkembi_et_al_follow_from_sizes_of_131_50_and_37():
    sizes = {"N0": 131, "N+(1-2)": 50, "N+(>2)": 37}
    for row in published_classes():
        positive = sizes[row.group]
        tp = round(row.measures["sens"].value * positive)
        tn = round(row.measures["spec"].value * (row.n - positive))
        found = confusion_metrics(tp, row.n - positive - tn, positive - tp, tn)
        assert found["npv"].value == pytest.approx(row.measures["npv"].value, abs=1.1e-3)
        assert found["acc"].value == pytest.approx(row.measures["acc"].value, abs=1.1e-3)
