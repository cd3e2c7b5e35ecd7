"""The clinical-only baseline: the published figures on real patients, and what a table may lack."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from tests_shared import drain

from napari_aln.cohort.table import CohortRow, write_cohort
from napari_aln.errors import ClinicalError, CohortError, UsageError
from napari_aln.evaluation.auc import roc_auc
from napari_aln.evaluation.logistic import fit_logistic
from napari_aln.settings.evaluation import EvaluateSettings
from napari_aln.workflows.evaluation.evaluate import evaluate
from napari_aln.workflows.evaluation.score_table import read_scores
from napari_aln.workflows.training.baseline import clinical_baseline

BCNB = Path(__file__).parents[2].parent / "shared" / "data" / "bcnb" / "clinical"
VALUES = ("age", "tumor_size", "is_er_negative", "is_pr_negative", "is_her2_negative")
FIGURES = {0: (0.661, 0.704, 0.603), 3: (0.638, 0.680, 0.628), 4: (0.679, 0.748, 0.631)}


@pytest.mark.skipif(not BCNB.is_dir(), reason="the BCNB clinical tables may not be redistributed")
@pytest.mark.parametrize("task", FIGURES)
def test_the_figures_on_the_bcnb_patients(task):
    """N0 against N(+), N+(1-2) and N+(>2): AUC of training, validation and independent test."""
    with (BCNB / f"type-{task}.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    values = np.array([[float(row[name]) for name in VALUES] for row in rows])
    positive = np.array([row["label"] != "0" for row in rows])
    split = np.array([row["split"] for row in rows])
    own = split == "train"
    found = fit_logistic(values[own], positive[own]).probability(values)
    areas = [roc_auc(positive[split == s], found[split == s]) for s in ("train", "val", "test")]
    assert areas == pytest.approx(FIGURES[task], abs=0.002)


def patient(number, **changes):
    nodes = (0, 0, 1, 5)[number % 4]
    values = {
        "patient_id": f"{number:03d}",
        "age_years": 40 + number % 30 + 3 * nodes,
        "tumor_size_cm": round(1 + 0.02 * number + 0.2 * nodes, 2),
        "er": "+-"[number % 3 == 0],
        "pr": "+-"[number % 5 == 0],
        "her2": "-+"[number % 7 == 0],
        "n_positive_nodes": nodes,
        "split": ("train", "train", "val", "test")[number // 4 % 4],
    }
    return CohortRow(**(values | changes))


@pytest.fixture
def cohort(tmp_path):
    path = tmp_path / "cohort.csv"
    write_cohort(path, [patient(number) for number in range(96)])
    return path


def test_scores_are_as_evaluate_reads_them(cohort, tmp_path):
    done = clinical_baseline(cohort, tmp_path / "clinical.csv")
    assert (done.n_patients, done.n_train, done.n_filled) == (96, 48, 0)
    made_by = json.loads((tmp_path / "clinical.csv.json").read_text(encoding="utf-8"))
    assert made_by["input"]["sha256"] == hashlib.sha256(cohort.read_bytes()).hexdigest()
    assert made_by["settings"]["against"] == "N(+)"
    assert made_by["regression"]["weights"] == done.regression.weights.tolist()
    assert "Research use only" in made_by["notice"]
    scored = read_scores(tmp_path / "clinical.csv", "clinical")
    assert scored.patients[7] == "007"
    assert scored.classes == ("N0", "N(+)")
    assert set(scored.columns) == {"age_years", "tumor_size_cm", "er", "pr", "her2"}
    found = drain(evaluate(tmp_path / "clinical.csv", tmp_path / "out", EvaluateSettings(bootstraps=100)))
    names = {table.name for table in found.tables}
    assert names == {"performance", "subgroups", "calibration", "characteristics"}


@pytest.mark.parametrize(("against", "n"), [("N+(1-2)", 72), ("N+(>2)", 72)])
def test_one_class_may_be_told_from_n0_alone(cohort, tmp_path, against, n):
    assert clinical_baseline(cohort, tmp_path / "s.csv", against).n_patients == n
    assert read_scores(tmp_path / "s.csv", "s").classes == ("N0", against)


def test_the_test_patients_change_nothing_that_is_fitted(cohort, tmp_path):
    changed = tmp_path / "changed.csv"
    rows = [patient(n) for n in range(96)]
    older = [row.model_copy(update={"age_years": 90.0}) if row.split == "test" else row for row in rows]
    write_cohort(changed, older)
    first = clinical_baseline(cohort, tmp_path / "a.csv").regression
    second = clinical_baseline(changed, tmp_path / "b.csv").regression
    assert first.weights.tolist() == second.weights.tolist()


def test_missing_values_are_filled_only_where_that_is_allowed(tmp_path):
    path = tmp_path / "cohort.csv"
    write_cohort(path, [patient(n, **({"her2": "unknown"} if n in (3, 9) else {})) for n in range(96)])
    with pytest.raises(ClinicalError, match=r"clinical values are missing of 2 patients \(003, 009\)"):
        clinical_baseline(path, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()
    assert clinical_baseline(path, tmp_path / "s.csv", fill_clinical=True).n_filled == 2


def test_a_table_without_splits_or_training_patients_is_refused(cohort, tmp_path):
    path = tmp_path / "bare.csv"
    write_cohort(path, [patient(n, split=None) for n in range(8)])
    with pytest.raises(CohortError, match="no patient with a split"):
        clinical_baseline(path, tmp_path / "s.csv")
    write_cohort(path, [patient(n, split="test") for n in range(8)])
    with pytest.raises(CohortError, match="no labelled training patient"):
        clinical_baseline(path, tmp_path / "s.csv")
    write_cohort(path, [patient(n) for n in range(0, 8, 4)])
    with pytest.raises(UsageError, match="both classes"):
        clinical_baseline(path, tmp_path / "s.csv")
    with pytest.raises(UsageError, match="names no format"):
        clinical_baseline(cohort, tmp_path / "s.txt")
