"""The evaluation from a table of scores to a folder of tables and figures."""

import csv
import json
import random

import numpy as np
import pytest
from openpyxl import Workbook
from score_files import CLASSES, binary_rows, class_rows, write_rows
from tests_shared import collect

from napari_aln.errors import CohortError, StoreError, UsageError
from napari_aln.evaluation import auc_interval, confusion_metrics, delong_test, plots
from napari_aln.records import RESEARCH_NOTICE, Progress
from napari_aln.settings.evaluation import EvaluateSettings
from napari_aln.workflows.evaluation.evaluate import evaluate
from napari_aln.workflows.evaluation.score_table import read_scores

QUICK = {"bootstraps": 100}


def run(scores, out, *, compare=(), validation=None, folds=(), dpi=30, **settings):
    """Evaluate and return what was found and the record; figures are drawn coarsely."""
    work = evaluate(scores, out, EvaluateSettings(**(QUICK | settings)), compare, validation, folds=folds)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plots, "DPI", dpi)
        steps, found = collect(work)
    assert all(isinstance(step, Progress) and step.done <= step.total for step in steps)
    return found, json.loads((out / "evaluation.json").read_text(encoding="utf-8"))


def cells_of(path):
    with path.open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def scores(tmp_path):
    return write_rows(tmp_path / "model a.csv", binary_rows())


@pytest.fixture
def other(tmp_path):
    """The same patients in another order, scored by a weaker model."""
    rows = [
        {key: row[key] for key in ("patient", "label", "score")} for row in binary_rows(seed=5, strength=0.3)
    ]
    random.Random(0).shuffle(rows)
    return write_rows(tmp_path / "model b.csv", rows)


def test_two_classes_are_judged_in_each_cohort_and_at_each_point(scores, tmp_path):
    _, record = run(scores, tmp_path / "out")
    rows = record["tables"]["performance"]
    assert [(row["cohort"], row["operating_point"]["name"]) for row in rows] == [
        (cohort, point) for cohort in ("train", "val", "test") for point in ("0.5", "Youden", "SENS ≥ 0.9")
    ]
    test = [row for row in binary_rows() if row["split"] == "test"]
    label = np.array([row["label"] == "N(+)" for row in test])
    score = np.array([row["score"] for row in test])
    last = rows[-3]
    assert last["n"] == 30
    assert tuple(last["auc"].values()) == pytest.approx(auc_interval(label, score))
    assert tuple(last["auc_delong"].values()) == pytest.approx(auc_interval(label, score, "delong"))
    called = score >= 0.5
    counts = [int(x.sum()) for x in (label & called, ~label & called, label & ~called, ~label & ~called)]
    assert list(last["counts"].values()) == counts
    for name, expected in confusion_metrics(*counts).items():
        assert tuple(last[name].values()) == pytest.approx(expected), name


def test_thresholds_come_from_validation_whatever_the_test_says(scores, tmp_path):
    rows = binary_rows()
    for row in rows:
        if row["split"] == "test":
            row["score"] = round(row["score"] / 3, 4)  # a threshold chosen here would be another
    shifted = write_rows(tmp_path / "shifted.csv", rows)
    chosen = []
    for path in (scores, shifted):
        _, record = run(path, tmp_path / path.stem)
        points = [
            row["operating_point"] for row in record["tables"]["performance"] if row["cohort"] == "test"
        ]
        chosen.append([point["threshold"] for point in points])
        assert {point["chosen_on"] for point in points[1:]} == {"validation"}
    assert chosen[0] == chosen[1]


def test_the_scores_of_trainings_are_named_by_their_models(tmp_path):
    paths = [tmp_path / f"{name}.training" / "scores.csv" for name in ("dlcnbc", "dlcnbc-ws")]
    for path in paths:
        path.parent.mkdir()
        write_rows(path, binary_rows())
    _, record = run(paths[0], tmp_path / "out", compare=[paths[1]])
    assert {row["model"] for row in record["tables"]["performance"]} == {"dlcnbc", "dlcnbc-ws"}


def test_without_validation_there_is_no_youden_and_that_is_said(tmp_path):
    rows = [{key: row[key] for key in ("patient", "label", "score")} for row in binary_rows()]
    plain = write_rows(tmp_path / "plain.csv", rows)
    found, record = run(plain, tmp_path / "out", threshold=0.4)
    names = [row["operating_point"]["name"] for row in record["tables"]["performance"]]
    assert names == ["0.5", "0.4 (given)"]
    assert "left out" in found.notes[0]
    assert "left out" in (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")

    held_out = [{**row, "patient": f"v{row['patient']}"} for row in rows[:40]]
    validation = write_rows(tmp_path / "validation.csv", held_out)
    _, record = run(plain, tmp_path / "out", validation=validation)  # replaces the earlier one
    names = [row["operating_point"]["name"] for row in record["tables"]["performance"]]
    assert names == ["0.5", "Youden", "SENS ≥ 0.9"]
    assert [own["role"] for own in record["inputs"]] == ["scores", "validation"]


def test_validation_patients_are_not_those_a_model_is_judged_by(scores, tmp_path):
    rows = [{key: row[key] for key in ("patient", "label", "score")} for row in binary_rows()]
    plain = write_rows(tmp_path / "plain.csv", rows)
    with pytest.raises(CohortError, match=r"patient 000, 001, 002, 003, 004 and 85 more, on whom"):
        run(plain, tmp_path / "out", validation=plain)


def test_models_are_compared_on_the_same_patients(scores, other, tmp_path):
    _, record = run(scores, tmp_path / "out", compare=[other])
    found = record["tables"]["comparison"]
    assert [row["cohort"] for row in found] == ["train", "val", "test"]  # the other has no split of its own
    a = {row["patient"]: row for row in binary_rows() if row["split"] == "test"}
    b = {row["patient"]: row["score"] for row in binary_rows(seed=5, strength=0.3)}
    label = [row["label"] == "N(+)" for row in a.values()]
    expected = delong_test(label, [row["score"] for row in a.values()], [b[patient] for patient in a])
    assert found[-1]["p"] == pytest.approx(expected)
    assert found[-1]["models"] == ["model a", "model b"]
    assert {row["model"] for row in record["tables"]["performance"]} == {"model a", "model b"}


def test_a_training_is_compared_with_a_baseline_that_scored_the_training_patients_too(scores, tmp_path):
    rows = [row for row in binary_rows(seed=5) if row["split"] != "train"]
    trained = write_rows(tmp_path / "trained.csv", rows)
    found, record = run(trained, tmp_path / "out", compare=[scores])
    assert [row["cohort"] for row in record["tables"]["comparison"]] == ["val", "test"]
    assert found.notes == ["30 training patients left out: not scored by trained."]

    rows = [row for row in rows if row["patient"] != rows[-1]["patient"]]  # a test patient is not left out
    assert rows[-1]["split"] == "test"
    with pytest.raises(CohortError, match="not scored on the same patients: fewer lacks patient 089"):
        run(write_rows(tmp_path / "fewer.csv", rows), tmp_path / "out", compare=[scores])
    only_test = write_rows(tmp_path / "test.csv", [row for row in rows if row["split"] == "test"])
    other_half = write_rows(tmp_path / "val.csv", [row for row in rows if row["split"] == "val"])
    with pytest.raises(CohortError, match="not scored on the same patients"):
        run(only_test, tmp_path / "out", compare=[other_half])


def test_folds_are_judged_together_on_the_patients_each_never_saw(tmp_path):
    rows = binary_rows()
    paths = []
    for fold in range(3):
        own = [
            {**row, "split": ("test", "val", "train")[(number // 5 + fold) % 3]}
            for number, row in enumerate(rows)
        ]
        paths.append(write_rows(tmp_path / f"fold{fold + 1}.csv", [r for r in own if r["split"] != "train"]))
    first, *others = paths
    _, record = run(first, tmp_path / "out", folds=others)
    pooled = record["tables"]["performance"][0]
    label = np.array([row["label"] == "N(+)" for row in rows])
    score = np.array([row["score"] for row in rows])
    assert (pooled["model"], pooled["cohort"], pooled["n"]) == ("fold", "test", 90)
    assert tuple(pooled["auc"].values()) == pytest.approx(auc_interval(label, score))
    *each, mean = record["tables"]["folds"]
    members = [np.arange(90) // 5 % 3 == (-fold) % 3 for fold in range(3)]
    areas = [auc_interval(label[own], score[own]).value for own in members]
    assert [(row["fold"], row["n"]) for row in each] == [(1, 30), (2, 30), (3, 30)]
    assert [row["auc"] for row in each] == pytest.approx(areas)
    assert mean["auc"] == pytest.approx(np.mean(areas))
    assert mean["auc_sd"] == pytest.approx(np.std(areas, ddof=1))
    assert [own["role"] for own in record["inputs"]] == ["scores"] * 3
    with pytest.raises(CohortError, match="both tested patient 000"):
        run(first, tmp_path / "out", folds=[*others, first])
    only_val = write_rows(tmp_path / "v.csv", [{**row, "split": "val"} for row in rows])
    with pytest.raises(CohortError, match="v has no test patients"):
        run(first, tmp_path / "out", folds=[only_val])


def test_splits_and_clinical_columns_of_one_table_hold_for_all(scores, other, tmp_path):
    _, record = run(other, tmp_path / "out", compare=[scores])
    rows = record["tables"]["performance"]
    assert [(row["model"], row["cohort"]) for row in rows[::3]] == [
        (model, cohort) for model in ("model b", "model a") for cohort in ("train", "val", "test")
    ]
    assert {"subgroups-model-a", "subgroups-model-b"} <= set(record["tables"])


def test_classes_in_another_order_are_matched_by_name(tmp_path):
    first = write_rows(tmp_path / "first.csv", class_rows())
    turned = [dict(reversed(row.items())) for row in class_rows()]
    second = write_rows(tmp_path / "second.csv", turned)
    _, record = run(first, tmp_path / "out", compare=[second])
    assert {row["p"] for row in record["tables"]["comparison"]} == {1.0}
    numeric = [{**row, "label": CLASSES.index(row["label"])} for row in class_rows()]
    numeric = [{k.replace("score_N0", "score_0"): v for k, v in row.items()} for row in numeric]
    numeric = [
        {k.replace("N+(1-2)", "1").replace("N+(>2)", "2"): v for k, v in row.items()} for row in numeric
    ]
    with pytest.raises(CohortError, match="numeric 0, 1, 2"):
        run(first, tmp_path / "out", compare=[write_rows(tmp_path / "numeric.csv", numeric)])


def test_subgroups_and_characteristics_have_rows(scores, tmp_path):
    found, record = run(scores, tmp_path / "out", subgroups=["site"])
    titles = {row["characteristic"] for row in record["tables"]["subgroups"]}
    assert titles == {"Age ≤ 50", "T stage (by size)", "ER", "PR", "HER2", "site"}
    er = [row for row in record["tables"]["subgroups"] if row["characteristic"] == "ER"]
    assert sum(row["n"] for row in er) == 30
    assert {row["operating_point"]["name"] for row in er} == {"Youden"}
    assert "characteristics" in {table.name for table in found.tables}


def test_a_subgroup_of_one_class_has_no_auc_and_no_zero(tmp_path):
    rows = binary_rows()
    for row in rows:
        row["site"] = "a" if row["label"] == "N0" else "b"
    run(write_rows(tmp_path / "s.csv", rows), tmp_path / "out", subgroups=["site"])
    by_site = [row for row in cells_of(tmp_path / "out" / "subgroups.csv") if row["Characteristic"] == "site"]
    assert [(row["AUC"], row["p"]) for row in by_site] == [("–", "–"), ("–", "")]
    assert by_site[0]["SENS (%)"] == "–"


def test_three_classes(tmp_path):
    path = write_rows(tmp_path / "three.csv", class_rows())
    found, record = run(path, tmp_path / "out", published=True)
    classes = [row for row in record["tables"]["classes"] if row["cohort"] == "test"]
    assert [row["class"] for row in classes] == list(CLASSES)
    test = [row for row in class_rows() if row["split"] == "test"]
    label = [row["label"] == "N0" for row in test]
    assert tuple(classes[0]["auc"].values()) == pytest.approx(
        auc_interval(label, [row["score_N0"] for row in test])
    )
    assert "confusion-three" in found.figures
    assert len(record["tables"]["overall"]) == 3
    assert any(row["Method"].startswith("VGG-13 BN") for row in cells_of(tmp_path / "out" / "classes.csv"))


def test_everything_says_research_use_only_and_can_be_read(scores, tmp_path):
    out = tmp_path / "out"
    found, record = run(scores, out, published=True, dpi=plots.DPI)
    for table in found.tables:
        assert RESEARCH_NOTICE in (out / f"{table.name}.csv").read_text(encoding="utf-8-sig")
        assert RESEARCH_NOTICE in (out / f"{table.name}.md").read_text(encoding="utf-8")
    for stem in found.figures:
        assert (out / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (out / f"{stem}.svg").read_text(encoding="utf-8")
    page = (out / "evaluation.html").read_text(encoding="utf-8")
    assert page.count(RESEARCH_NOTICE) >= len(found.tables) + 1
    assert "DL-CNB+C (Xu et al. 2021, Table 2)" in page
    assert record["settings"]["seed"] == 0
    assert set(record["versions"]) >= {"python", "napari-aln", "numpy", "scipy"}
    assert len(record["inputs"][0]["sha256"]) == 64
    assert str(tmp_path) not in page + json.dumps(record)


def test_the_same_seed_gives_the_same_numbers(scores, tmp_path):
    _, first = run(scores, tmp_path / "one")
    _, again = run(scores, tmp_path / "two")
    _, other = run(scores, tmp_path / "three", seed=1)
    assert first["tables"] == again["tables"]
    assert first["tables"] != other["tables"]


def test_text_from_a_table_stays_text_in_page_and_spreadsheet(tmp_path):
    rows = binary_rows()
    for number, row in enumerate(rows):
        row["site"] = "=1+1" if number % 2 else "<script>alert(1)</script>"
    path = write_rows(tmp_path / "x.csv", rows)
    run(path, tmp_path / "out", subgroups=["site"])
    assert "<script>alert" not in (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert ",'=1+1," in (tmp_path / "out" / "subgroups.csv").read_text(encoding="utf-8-sig")


def test_a_folder_of_something_else_is_left_alone(scores, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="not a result"):
        run(scores, out)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


# How tables are read


def test_other_names_spellings_and_formats_are_understood(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Patient ID;label;p(N0);p(N+)\n007;N+;0.3;0.7\n8;N0;0.6;0.4\n", encoding="utf-8")
    found = read_scores(path, "a")
    assert found.patients == ("007", "8")
    assert found.classes == ("N0", "N(+)")
    assert found.positive_scores.tolist() == [0.7, 0.4]
    book = Workbook()
    for row in (["patient", "label", "N+(1-2)", "N0", "N+(≥3)"], ["1", "N+(>=3)", 0.2, 0.3, 0.5]):
        book.active.append(row)
    book.save(tmp_path / "b.xlsx")
    three = read_scores(tmp_path / "b.xlsx", "b")
    assert three.classes == CLASSES
    assert three.scores.tolist() == [[0.3, 0.2, 0.5]]
    assert three.labels.tolist() == [2]


def test_the_positive_label_may_be_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("patient,label,score\n1,benign,0.2\n2,malignant,0.7\n")
    with pytest.raises(CohortError, match=r"benign, malignant the score stands for\. Say so with --positive"):
        read_scores(path, "a")
    assert read_scores(path, "a", "malignant").positive.tolist() == [False, True]
    with pytest.raises(CohortError, match="no class cancer"):
        read_scores(path, "a", "cancer")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("patient,label,score\n", "has a header but no patient"),
        ("patient|label|score\n1|N0|0.5\n", "no column patient"),
        ("patient,score\n1,0.5\n", "no column label"),
        ("patient,label\n1,N0\n", "no score columns"),
        ("patient,label,score,p(N0),p(N(+))\n1,N0,0.5,0.5,0.5\n", "unclear set of score columns"),
        ("patient,label,score\n1,N0,0.5\n1,N(+),0.6\n", "names patient 1 twice"),
        ("patient,label,score\n1,N0,0.5\n,N(+),0.6\n", "line 3, names no patient"),
        ("patient,label,score\n1,N0,0.5\n2,,0.6\n", "line 3, has no label"),
        ("patient,label,score\n1,N0,1.5\n2,N(+),0.6\n", r"line 2, column score: 1\.5 lies outside 0 to 1"),
        ("patient,label,score\n1,N0,-0.1\n2,N(+),0.6\n", "outside 0 to 1"),
        ("patient,label,score\n1,N0,nan\n2,N(+),0.6\n", "nan is no score"),
        ("patient,label,score\n1,N0,\n2,N(+),0.6\n", "an empty cell is no score"),
        ('patient,label,score\n1,N0,"0,5"\n2,N(+),0.6\n', "0,5 is no score"),
        ("patient,label,score\n1,N0,0.5\n2,N+(1-2),0.6\n3,N+(>2),0.7\n", "one score but 3 labels"),
        ("patient,label,N0,N(+)\n1,N0,0.5,0.5\n2,maybe,0.6,0.4\n", "line 3: the label maybe is none of"),
        ("patient,label,score,split\n1,N0,0.5,holdout\n", "the split holdout is not known"),
        ("patient,label,score,age\n1,N0,0.5,50\n", "age states no unit"),
        ("patient,label,score,er\n1,N0,0.5,maybe\n2,N(+),0.5,+\n", "column er: maybe is not"),
        ("patient,label,score\n1,N0,0.5,7\n", "more or fewer cells"),
        ("patient,label,score,score\n1,N0,0.5,7\n", "two columns of one name"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_name(text, message, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CohortError, match=message) as error:
        read_scores(path, "bad")
    assert str(path) in str(error.value)


def test_another_encoding_is_refused(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("patient,label,score,müde\n1,N0,0.5,x\n".encode("latin-1"))
    with pytest.raises(CohortError, match="no CSV table in UTF-8"):
        read_scores(path, "latin")


def test_a_cohort_of_one_class_has_no_auc(tmp_path):
    rows = [row for row in binary_rows() if row["split"] != "test" or row["label"] == "N0"]
    with pytest.raises(
        UsageError, match=r"cohort I-T: no patient is N\(\+\), so the AUC is not defined \(n = 18\)"
    ):
        run(write_rows(tmp_path / "s.csv", rows), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_models_of_different_patients_are_refused_by_name(scores, tmp_path):
    def changed(name, change):
        rows = binary_rows(seed=5)
        return write_rows(tmp_path / f"{name}.csv", change(rows))

    def relabelled(rows):
        rows[3]["label"] = "N(+)"
        return rows

    def moved(rows):
        rows[4]["split"] = "test"
        return rows

    for name, change, message in (
        ("fewer", lambda rows: rows[7:], "fewer lacks patient 000, 001, 002, 003, 004 and 2 more"),
        (
            "padded",
            lambda rows: [{**r, "patient": r["patient"].lstrip("0") or "0"} for r in rows],
            "lacks patient 0",
        ),
        ("labels", relabelled, "different labels to patient 003"),
        ("splits", moved, "patient 004 into different splits"),
    ):
        with pytest.raises(CohortError, match=message):
            run(scores, tmp_path / "out", compare=[changed(name, change)])
    three = write_rows(tmp_path / "three.csv", class_rows())
    with pytest.raises(CohortError, match="has the classes N0"):
        run(scores, tmp_path / "out", compare=[three])
