"""Results that bear names, judged by a table that bears them: in private mode the evaluation says none."""

import pytest
from made_results import Made, write_results
from marked_slides import MARK
from planted import marked_folder, marked_table
from written import leaks

from napari_aln.cli.exit_codes import SOME_FAILED
from napari_aln.cohort.table import read_cohort


@pytest.mark.slow
def test_an_evaluation_on_a_cohort_names_nobody(call, tmp_path):
    folder = marked_folder(tmp_path)
    table = marked_table(folder)
    patients = list(dict.fromkeys(row.patient_id for row in read_cohort(table, several_slides=True)))
    slides = [Made(f"{MARK} {n}.svs", one, 0.1 + 0.08 * n) for n, one in enumerate(patients[1:])]
    strange = [
        Made(f"{MARK} strange.svs", f"{MARK} of elsewhere", 0.5),
        Made(f"{MARK}.svs", patients[0], None),
    ]
    results = write_results(folder / f"{MARK} results", [*slides, *strange])
    asked = ["evaluate", results, "--cohort", table, "--compare", results]
    asked += ["--bootstraps", 100, "--out"]
    assert call(*asked, tmp_path / "private", "--private") == SOME_FAILED
    assert leaks(tmp_path / "private") == []
    assert call(*asked, tmp_path / "named") == SOME_FAILED
    assert leaks(tmp_path / "named") != []
