"""``napari-aln cohort`` as a user meets it: what is printed, what is written, exit codes."""

import json

import numpy as np
import pytest
from bcnb_download import write_download
from tests_shared import draw_tissue, write_slide
from typer.testing import CliRunner

from napari_aln.cli.app import app
from napari_aln.cohort.table import read_cohort


@pytest.fixture
def call(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments, verb="cohort": call(verb, *arguments)


@pytest.fixture
def download(tmp_path):
    return write_download(tmp_path / "bcnb")


def test_import_check_and_split_follow_each_other(call, download, tmp_path):
    table = tmp_path / "cohort.csv"
    (download / "WSIs" / "3.json").unlink()
    code, out, err = call("import-bcnb", download, table, "--mpp", "0.5")
    assert code == 0
    assert "1 patient with a slide, but without outlines: 3" in err
    assert "6 patients, 6 slides at 0.5 µm/px, 5 with outlines, 6 reference bags, 60 reference patches" in out
    code, out, _ = call("check", table)
    assert code == 0
    assert "6 patients, 6 slides opened: 0 errors, 1 warning." in out
    code, out, _ = call("split", table, tmp_path / "divided.parquet", "--method", "holdout", "--seed", "3")
    assert code == 0
    rows = read_cohort(tmp_path / "divided.parquet")
    assert sorted((row.split, row.label) for row in rows) == [
        (split, label) for split in ("test", "train", "val") for label in ("N(+)", "N0")
    ]
    assert all(row.slide.exists() for row in rows)


def test_kfold_writes_a_table_a_fold(call, download, tmp_path):
    call("import-bcnb", download, tmp_path / "c.csv", "--mpp", "0.5")
    code, out, _ = call(
        "split", tmp_path / "c.csv", tmp_path / "k" / "c.csv", "--method", "kfold", "--folds", 3
    )
    assert code == 0
    tables = sorted(tmp_path.glob("k/*.csv"))
    assert [path.name for path in tables] == ["c-fold1.csv", "c-fold2.csv", "c-fold3.csv"]
    tested = [row.patient_id for path in tables for row in read_cohort(path) if row.split == "test"]
    assert sorted(tested) == ["1", "2", "3", "4", "5", "6"]
    assert read_cohort(tables[0])[0].slide.exists()
    assert out.count("c-fold") == 3


def test_columns_that_are_not_known_are_named(call, tmp_path):
    (tmp_path / "c.csv").write_text(
        "patient_id,label,Grade\n" + "".join(f"{n},{n % 2},2\n" for n in range(12))
    )
    _, out, _ = call("check", tmp_path / "c.csv")
    assert "Columns that are not known, and not used: Grade" in out
    code, out, _ = call("split", tmp_path / "c.csv", tmp_path / "s.csv")
    assert code == 0
    assert "Columns that are not taken over: Grade" in out
    assert out.index("N0") < out.index("N(+)")


def test_a_drive_that_is_gone_is_told_in_a_few_lines(call, tmp_path):
    lines = ["patient_id,label,slide", *(f"p{n},{n % 2},gone/{n}.svs" for n in range(40))]
    (tmp_path / "c.csv").write_text("\n".join(lines))
    code, out, _ = call("check", tmp_path / "c.csv")
    assert code == 2
    assert "32 more of this kind" in out
    assert "line 9" in out
    assert "line 10" not in out
    assert "40 errors" in out
    assert len(json.loads(call("check", tmp_path / "c.csv", "--json")[1])["findings"]) >= 40


def test_an_error_ends_with_code_2_and_json_says_the_same(call, download, tmp_path):
    table = tmp_path / "cohort.csv"
    call("import-bcnb", download, table, "--mpp", "0.5")
    (download / "WSIs" / "2.jpg").unlink()
    code, out, _ = call("check", table)
    assert code == 2
    assert "2.jpg does not exist" in out
    assert "1 error, 0 warnings" in out
    code, out, _ = call("check", table, "--json")
    assert code == 2
    told = json.loads(out)
    assert told["n_errors"] == 1
    assert told["findings"][0]["where"] == "line 3"
    assert {"split": "val", "class": "N+(>2)", "patients": 1} in told["patients"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("import-bcnb", "nowhere", "c.csv", "--mpp", "0.5"), "There is no folder nowhere"),
        (("import-bcnb", "bcnb", "c.csv", "--mpp", "500"), "500.0 µm/px is impossible"),
        (("import-bcnb", "bcnb", "c.ods", "--mpp", "0.5"), "c.ods names no format"),
        (("check", "none.csv"), "none.csv cannot be read"),
        (("split", "none.csv", "c.csv"), "none.csv cannot be read"),
        (("split", "none.csv", "c.csv", "--folds", "1"), "--folds 1"),
    ],
)
def test_bad_input_is_one_line_and_code_2(call, download, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(*arguments)
    assert code == 2
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert told in line


def test_without_a_resolution_nothing_is_imported(call, download, tmp_path):
    code, _, err = call("import-bcnb", download, tmp_path / "c.csv")
    assert code == 2
    assert "--mpp" in err
    assert not (tmp_path / "c.csv").exists()


def test_predict_takes_the_resolution_of_the_table_unless_one_is_given(call, ws_bundle, tmp_path):
    slide = write_slide(tmp_path / "case.tif", draw_tissue(np.random.default_rng(3)), mpp=None)
    table = tmp_path / "cohort.csv"
    header, cells = "patient_id,slide,age_years,tumor_size_cm,er,pr,her2,mpp\n", "case,case.tif,61,2.4,+,-,-,"
    arguments = (slide, "--model", ws_bundle, "--clinical", table, "--out", tmp_path / "o")
    table.write_text(f"{header}{cells}\n")
    code, _, err = call(*arguments, verb="predict")
    assert code == 2
    assert "does not state a usable µm/px" in err
    table.write_text(f"{header}{cells}0.5\n")
    code, _, _ = call(*arguments, verb="predict")
    assert code == 0
    result = json.loads((tmp_path / "o" / "case" / "result.json").read_text(encoding="utf-8"))
    assert result["slide"]["mpp"] == [0.5, 0.5]
    code, _, err = call(*arguments, "--mpp", "0", verb="predict")
    assert code == 2


def test_as_many_drawn_patients_are_asked_for_as_both_labels_need():
    said = CliRunner().invoke(app, ["cohort", "synthesize", "--help"], env={"COLUMNS": "80"}).output
    (line,) = [line for line in said.splitlines() if "--patients " in line and "[x" in line]
    assert "[x>=2]" in line
