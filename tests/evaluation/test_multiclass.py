"""Three classes against a matrix counted by hand, and Xu et al., Figure 5 and Table 1."""

import math

import numpy as np
import pytest

from napari_aln.errors import CohortError
from napari_aln.evaluation.metrics import confusion_metrics
from napari_aln.evaluation.multiclass import (
    calibration_of_classes,
    confusion_matrix,
    macro_auc,
    one_vs_rest,
    overall,
)
from napari_aln.evaluation.subgroups import Grouping, characteristics, chi_square_p, groupings

CLASSES = ("N0", "N+(1-2)", "N+(>2)")
LABELS = np.array([0, 0, 0, 1, 1, 2])
SCORES = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.6, 0.3, 0.1],
        [0.3, 0.5, 0.2],
        [0.2, 0.7, 0.1],
        [0.5, 0.2, 0.3],
        [0.1, 0.2, 0.7],
    ]
)


def test_one_against_the_others_of_a_counted_case():
    assert confusion_matrix(LABELS, SCORES.argmax(axis=1), 3).tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    found = {own.name: own for own in one_vs_rest(CLASSES, LABELS, SCORES)}
    assert found["N0"].counts == (2, 1, 1, 2)
    assert found["N+(1-2)"].counts == (1, 1, 1, 3)
    assert found["N+(>2)"].counts == (1, 0, 0, 5)
    assert found["N0"].auc.value == pytest.approx(8 / 9)  # only 0.3 lies below 0.5
    assert found["N0"].metrics == confusion_metrics(2, 1, 1, 2)
    areas = [own.auc.value for own in found.values()]
    assert macro_auc(LABELS, SCORES) == pytest.approx(np.mean(areas))


def test_overall_measures_of_a_counted_case():
    found = overall(LABELS, SCORES, 200, np.random.default_rng(0))
    assert found["acc"].value == pytest.approx(4 / 6)
    assert found["f1"].value == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    by_chance = (3 * 3 + 2 * 2 + 1 * 1) / 36
    assert found["kappa"].value == pytest.approx((4 / 6 - by_chance) / (1 - by_chance))
    assert all(own.low <= own.value <= own.high for own in found.values())


def test_p_of_xu_et_al_table_1_is_chi_square_without_correction():
    printed = {
        0.333: [[665, 166], [175, 52]],  # ER
        0.312: [[633, 157], [207, 61]],  # PR
        0.613: [[217, 60], [623, 158]],  # HER2
        0.327: [[435, 121], [405, 97]],  # T stage
        0.880: [[521, 134], [319, 84]],  # lymph node metastasis
    }  # that of the tumour type, 0.812, does not follow from its counts
    for p, counts in printed.items():
        assert chi_square_p(np.array(counts)) == pytest.approx(p, abs=6e-4)
    assert math.isnan(chi_square_p(np.array([[3, 4], [0, 0]])))


def test_groups_as_in_xu_et_al():
    columns = {
        "age_years": ("50", "51", "", "30"),
        "tumor_size_cm": ("2", "2.1", "5.1", "5"),
        "er": ("+", "-", "", "+"),
        "site": ("A", "B", "B", "A"),
    }
    found = {
        g.title: {name: own.tolist() for name, own in g.groups.items()} for g in groupings(columns, ["site"])
    }
    assert found["Age ≤ 50"] == {"Yes": [True, False, False, True], "No": [False, True, False, False]}
    assert found["T stage (by size)"] == {
        "T1": [True, False, False, False],
        "T2": [False, True, False, True],
        "T3": [False, False, True, False],
    }
    assert found["ER"] == {"Positive": [True, False, False, True], "Negative": [False, True, False, False]}
    assert found["site"] == {"A": [True, False, False, True], "B": [False, True, True, False]}


def test_groups_that_cannot_be_made_are_refused():
    with pytest.raises(CohortError, match="no column ki67"):
        groupings({"site": ("A",)}, ["ki67"])
    with pytest.raises(CohortError, match="11 different values"):
        groupings({"weight": tuple(map(str, range(11)))}, ["weight"])


def test_characteristics_are_counted_and_tested():
    columns = {"age_years": ("40", "50", "60", "70", "", "45"), "er": ("+", "+", "-", "+", "-", "")}
    own = np.array([True, True, True, False, False, False])
    labels = Grouping(
        "Label", {"N0": np.array([1, 0, 1, 0, 1, 0]) > 0, "N(+)": np.array([0, 1, 0, 1, 0, 1]) > 0}
    )
    age, er, label = characteristics(columns, labels, {"Training": own, "Test": ~own})
    assert age.values["mean ± SD"] == ("53.00 ± 12.04", "50.00 ± 10.00", "57.50 ± 17.68")
    assert age.test == "Mann-Whitney U"
    assert er.values["Positive"] == ("3 (60.0%)", "2 (66.7%)", "1 (50.0%)")
    assert label.values["N0"] == ("3 (50.0%)", "2 (66.7%)", "1 (33.3%)")
    assert label.p == pytest.approx(chi_square_p(np.array([[2, 1], [1, 2]])))


def test_calibration_of_classes_counted_by_hand():
    labels = np.array([0, 1, 2, 2])
    scores = np.array([[1.0, 0, 0], [0, 1.0, 0], [0.5, 0.25, 0.25], [0, 0.25, 0.75]])
    found = calibration_of_classes(labels, scores, 10, 100, np.random.default_rng(0))
    # Squares: 0; 0; 0.25 + 0.0625 + 0.5625; 0.0625 + 0.0625.
    assert found["brier"].value == pytest.approx((0.875 + 0.125) / 4)
    # Called with 1, 1, 0.5 and 0.75, of which the third is wrong.
    assert found["ece"].value == pytest.approx((0.5 + 0.25) / 4)
    assert found["brier"].low <= found["brier"].value <= found["brier"].high
