"""What commands print as tables in a terminal of 80 columns: whole words, whole numbers, whole paths."""

import pytest

from napari_aln.cli import output
from napari_aln.evaluation.tables import PaperTable
from napari_aln.workflows.doctor import Finding

COLUMNS = (
    "Feature",
    "Unit",
    "N0 (n = 4), median (quartiles)",
    "N(+) (n = 4), median (quartiles)",
    "N(+) is",
    "p",
    "p, adjusted",
)
ROWS = (
    ("Rectangularity", "–", "0.759 (0.757–0.759)", "0.737 (0.737–0.738)", "lower", "0.0294", "0.0764"),
    ("Haematoxylin, mean", "OD", "0.227 (0.224–0.229)", "0.218 (0.206–0.235)", "–", "0.4857", "0.5740"),
)


@pytest.fixture(autouse=True)
def _terminal_of_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    output.start(quiet=False)


def test_no_number_and_no_word_of_a_wide_table_is_cut_in_two(capsys):
    output.remark_table(PaperTable("features", "Nucleus features", COLUMNS, ROWS))
    said = capsys.readouterr().out
    words = {word for row in (COLUMNS, *ROWS) for cell in row for word in cell.split()}
    assert words <= set(said.replace("│", " ").replace("┃", " ").split())
    assert max(map(len, said.splitlines())) <= 80


def test_a_table_that_fits_takes_no_more_room_than_it_needs(capsys):
    output.remark_table(PaperTable("auc", "AUC", ("Cohort", "n"), (("T", "218"),)))
    assert "│ T      │ 218 │" in capsys.readouterr().out


def test_words_that_cannot_fit_are_folded_and_none_is_lost(capsys):
    row = tuple(letter * 30 for letter in "abcdefg")
    output.remark_table(PaperTable("features", "Names", COLUMNS, (row,)))
    said = capsys.readouterr().out
    assert all(said.count(letter) >= 30 for letter in "abcdefg")
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= 80


def test_doctor_names_whole_paths(call, monkeypatch):
    path = "/home/somebody/.local/share/napari-aln/sessions-of-the-third-floor"
    monkeypatch.setattr(
        "napari_aln.workflows.doctor.examine", lambda: [Finding("autosave", ok=True, fact=path)]
    )
    code, out, _ = call("doctor")
    cells = [line.split("│")[3].strip() for line in out.splitlines() if line.startswith("│")]
    assert (code, "".join(cells)) == (0, path)
