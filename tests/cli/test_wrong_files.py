"""Wrong files, as a newcomer gives them: one line that says what is wrong and what to do, nothing written."""

import re

import pytest

from napari_aln.shipped import sample_path
from napari_aln.workflows.demo import BUNDLES, SLIDE

HEADER = "patient_id,slide,age_years,tumor_size_cm,er,pr,her2,label,split\n"
ROWS = "".join(
    f"P{n},s.svs,{60 + n},{2.4 + n},{'+-'[n % 2]},-,{'-+'[n % 3 == 0]},{('N0', 'N(+)')[n % 2]},{split}\n"
    for n, split in enumerate(["train"] * 12 + ["val"] * 4 + ["test"] * 4)
)
MODEL = ("--model", sample_path(BUNDLES[0]))
TRAIN = ("train", "ok.csv", "--mode", "dlcnbc-ws", "--frozen")
WRONG = {
    "no slide": (("predict", "gone.svs", *MODEL), "does not exist"),
    "a folder for a slide": (("predict", "folder", *MODEL), "holds no slide"),
    "an empty slide": (("predict", "empty.svs", *MODEL), "is empty"),
    "a text for a slide": (("predict", "text.svs", *MODEL), "not a slide of a known type"),
    "no model": (("predict", sample_path(SLIDE), "--model", "gone.alnmodel"), "no model bundle"),
    "a text for a model": (("predict", sample_path(SLIDE), "--model", "text.alnmodel"), "no readable"),
    "a folder for a table": (("predict", "folder.csv", *MODEL), "is a folder, no table"),
    "a table of other columns": (("evaluate-maps", "wrong.csv", *MODEL), "no column patient_id"),
    "a table in UTF-16": (("interpret", "utf16.csv"), "save it as XLSX or CSV UTF-8"),
    "a table in UTF-16 without its mark": (("interpret", "nul.csv"), "save it as XLSX or CSV UTF-8"),
    "a name longer than file systems take": (
        ("model", "show", "x" * 300),
        "cannot be reached|no model bundle",
    ),
    "no result": (("nuclei", "contrast", "gone"), "There is no folder"),
    "a file for a result": (("nuclei", "contrast", "ok.csv"), "There is no folder"),
    "no folder of nuclei": (("interpret", "ok.csv", "--nuclei", "gone"), "There is no folder"),
    "no weights": ((*TRAIN, "--encoder-weights", "gone.safetensors"), "There is no file"),
    "a folder for weights": ((*TRAIN, "--encoder-weights", "folder"), "is a folder"),
    "a file below which to write": (
        ("evaluate", "scores.csv", "--out", "ok.csv/sub"),
        "could not be written",
    ),
    "a result that is none": (("evaluate", "scores.csv", "--out", "foreign"), "not a result of this program"),
    "a bundle over other files": ((*TRAIN, "--out", "foreign"), "other files than a bundle's"),
    "a bundle over a slide": ((*TRAIN, "--out", "text.svs"), "that is a file"),
    "scores over their table": (("cohort", "baseline", "ok.csv", "ok.csv"), "is the table that is read"),
    "no download": (("cohort", "import-bcnb", "gone", "t.csv", "--mpp", "0.5"), "There is no folder"),
}
NO_OUT = ("cohort", "model")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("folder", "folder.csv", "foreign"):
        (tmp_path / folder).mkdir()
    (tmp_path / "foreign" / "precious.txt").write_text("x")
    (tmp_path / "empty.svs").touch()
    for name in ("text.svs", "text.alnmodel"):
        (tmp_path / name).write_text("a text\n")
    (tmp_path / "ok.csv").write_text(HEADER + ROWS)
    (tmp_path / "wrong.csv").write_text((HEADER + ROWS).replace("patient_id", "who"))
    (tmp_path / "utf16.csv").write_text(HEADER + ROWS, encoding="utf-16")
    (tmp_path / "nul.csv").write_text(HEADER + ROWS, encoding="utf-16-be")
    (tmp_path / "scores.csv").write_text("patient,label,score\n1,0,0.2\n2,1,0.7\n")
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", WRONG)
def test_one_line_says_what_is_wrong_and_what_to_do(call, place, case):
    command, said = WRONG[case]
    if "--out" not in command and command[0] not in NO_OUT:
        command = (*command, "--out", "m.alnmodel" if command[0] == "train" else "out")
    before = contents(place)
    code, out, err = call(*command)
    (line,) = err.splitlines()
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"Error: .*({said}).*\. ?.*", line), line
    assert line.count(". ") >= 1, line  # a fact, and a step to take
    assert contents(place) == before


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace(",", ";").replace("2.4;", "2,4;").encode(),
        lambda text: text.replace(",", "\t").encode(),
    ],
    ids=["Windows lines", "a byte order mark", "semicolons", "decimal commas", "tabs"],
)
def test_tables_as_spreadsheet_programs_save_them_are_read(call, place, written):
    (place / "t.csv").write_bytes(written(HEADER + ROWS))
    assert call("cohort", "split", "t.csv", "out.csv", "-q") == (0, "out.csv\n", "")
    first = (place / "out.csv").read_text(encoding="utf-8-sig").splitlines()[1]
    assert {"P0", "60.0", "2.4", "+", "-", "N0"} <= set(first.split(","))
