"""``evaluate`` and ``cohort baseline`` as a user meets them."""

import json
import re
import subprocess
import sys

import pytest
from made_results import Made, write_results
from refusals import refused

from napari_aln.records import RESEARCH_NOTICE


@pytest.fixture
def scores(tmp_path):
    lines = [
        f"{n:02d},{n % 2},{0.3 + 0.3 * (n % 2) + 0.01 * n % 0.25:.3f},{'ab'[n % 4 < 2]}" for n in range(40)
    ]
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(["patient,label,score,site", *lines]))
    return path


def test_scores_become_a_folder(call, scores, tmp_path):
    out = tmp_path / "out"
    code, said, err = call(
        "evaluate",
        scores,
        "--compare",
        scores,
        "--subgroup",
        "site",
        "--published",
        "--bootstraps",
        100,
        "--out",
        out,
    )
    assert code == 0
    assert RESEARCH_NOTICE in said
    assert "Performance in prediction of ALN status" in said  # the figures, too
    assert "left out" in err  # no validation patients, so no Youden
    assert {"evaluation.html", "performance.csv", "subgroups-scores--1-.csv", "roc.svg"} <= {
        p.name for p in out.iterdir()
    }
    comparison = (out / "comparison.csv").read_text(encoding="utf-8-sig")
    assert "scores (1) vs. scores (2),all,40,1" in comparison
    assert "Xu et al." in (out / "performance.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bins", 1), "--bins 1"),
        (("--sensitivity", 0), "--sensitivity 0"),
        (("--subgroup", "ki67"), "no column ki67"),
        (("--positive", "yes"), "no class yes"),
        (("--compare", "gone.csv"), "gone.csv cannot be read"),
        (("--validation", "gone.csv"), "gone.csv cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_code_2(call, scores, tmp_path, arguments, message):
    code, _, error = call("evaluate", scores, *arguments, "--out", tmp_path / "out")
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_one_class_alone_is_refused(call, tmp_path):
    path = tmp_path / "n0.csv"
    path.write_text("patient,label,score\n1,N0,0.2\n2,N0,0.4\n")
    code, _, error = call("evaluate", path, "--out", tmp_path / "out")
    assert code == 2
    assert "no patient is N(+), so the AUC is not defined" in error


@pytest.fixture
def results(tmp_path):
    """Return what predict left of six patients, of whom one failed, and the table beside it."""
    lines = [f"P{n},{('N0', 'N(+)')[n % 2]}" for n in range(6)]
    (tmp_path / "cohort.csv").write_text("\n".join(["patient_id,label", *lines]))
    slides = [Made(f"{n}.svs", f"P{n}", (0.2 + 0.1 * n) if n else None) for n in range(6)]
    return write_results(tmp_path / "results", slides)


def test_results_are_judged_by_the_labels_of_their_cohort(call, results, tmp_path):
    out = tmp_path / "out"
    asked = ("--cohort", tmp_path / "cohort.csv", "--bootstraps", 100, "--out", out)
    code, said, err = call("evaluate", results, *asked, "--json")
    assert code == 1
    document = json.loads(said)
    assert (document["patients"]["judged"], document["patients"]["without_result"]) == (5, 1)
    assert document["tables"]["performance"][1]["operating_point"]["threshold"] == 0.4
    assert "1 patient (P0) left out: no result" in err
    assert RESEARCH_NOTICE in (out / "evaluation.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "results is a folder, no table of scores. .*--cohort TABLE"),
        (("--cohort", "gone.csv"), "gone.csv cannot be read"),
        (("--cohort", "cohort.csv", "--validation", "v.csv"), "are for tables of scores.*--threshold X"),
        (("--cohort", "cohort.csv", "--positive", "N0"), "are for tables of scores"),
        (("--cohort", "cohort.csv", "--sensitivity", "0.95"), "are for tables of scores"),
        (("results", "--cohort", "cohort.csv"), "2 folders of results were given to be judged as one"),
        (("--cohort", "cohort.csv", "--compare", "gone"), "gone holds no summary of a cohort"),
        (("--cohort", "cohort.csv", "--model", "gone.alnmodel"), "There is no model bundle"),
        (("--model", "m.alnmodel"), "--cohort TABLE"),
        (("--cohort", "cohort.csv", "--subgroup", "ki67"), "no column ki67"),
    ],
)
def test_what_does_not_go_with_a_cohort_is_one_line(call, results, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, error = call("evaluate", "results", *arguments, "--out", "out")
    assert code == 2
    assert len(error.strip().splitlines()) == 1
    assert re.search(message, error)
    assert not (tmp_path / "out").exists()


def test_the_folder_of_a_training_names_the_scores_in_it(call, tmp_path):
    folder = tmp_path / "m.training"
    folder.mkdir()
    (folder / "scores.csv").write_text("patient,label,score\n1,0,0.2\n2,1,0.7\n")
    refused(call("evaluate", folder, "--out", tmp_path / "out"), f"in it: {folder / 'scores.csv'}")


def test_the_clinical_baseline_feeds_the_evaluation(call, tmp_path):
    lines = ["patient_id,age_years,tumor_size_cm,er,pr,her2,label,split"]
    for n in range(48):
        label = ("N0", "N(+)")[n % 2]
        split = ("train", "val", "test")[n // 2 % 3]
        lines.append(f"{n:02d},{40 + n % 17},{1 + n % 7 * 0.3:.1f},+,-,{'+-'[n % 3 == 0]},{label},{split}")
    cohort = tmp_path / "cohort.csv"
    cohort.write_text("\n".join(lines))
    code, said, _ = call("cohort", "baseline", cohort, tmp_path / "clinical.csv")
    assert code == 0
    assert "48 patients, fitted on 16" in said
    assert RESEARCH_NOTICE in said
    code, _, _ = call("evaluate", tmp_path / "clinical.csv", "--bootstraps", 100, "--out", tmp_path / "out")
    assert code == 0


def test_the_public_functions_are_found_and_the_import_is_light():
    program = (
        "import sys, napari_aln\n"
        "e = napari_aln.evaluation\n"
        "heavy = {'numpy', 'scipy', 'pandas', 'torch', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert e.confusion_metrics(68, 39, 16, 95)['sens'].value > 0.8\n"
        "assert e.auc_interval([0, 1, 1], [0.1, 0.2, 0.3]).value == 1.0\n"
        "assert e.delong_test([0, 0, 1, 1], [0, 2, 1, 3], [0, 2, 1, 3]) == 1.0\n"
        "assert not {'pandas', 'torch', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
