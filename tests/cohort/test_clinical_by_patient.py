"""Clinical values by patient: ids are text, good lines are read beside bad ones, nothing is guessed."""

import pytest

from napari_aln.cohort.clinical_table import read_clinical_table
from napari_aln.errors import CohortError
from napari_aln.records import Clinical

TABLE = """patient_id,slide,age_years,tumor_size_cm,er,pr,her2
007,,61,2.4,+,-,unknown
7,slides/case 9.svs,44,,,,
8,a.svs,570,2,+,+,-
9,a.svs,50,1,+,+,-
9,b.svs,51,1,+,+,-
10,shared.svs,30,1,+,+,-
11,shared.svs,31,1,+,+,-
"""


@pytest.fixture
def table(tmp_path):
    (tmp_path / "cohort.csv").write_text(TABLE, encoding="utf-8")
    return read_clinical_table(tmp_path / "cohort.csv")


def test_ids_are_text_and_empty_cells_unknown(table):
    assert table.clinical["007"] == Clinical(61.0, 2.4, er=True, pr=False, her2=None)
    assert table.clinical["7"] == Clinical(44.0)
    assert table.find("007") == "007"
    assert table.find("7") == "7"
    assert table.find("0007") is None


def test_a_slide_that_the_table_names_leads_to_its_patient(table):
    assert table.find("case 9") == "7"
    assert table.find("shared") is None  # of two patients: nothing is guessed
    assert table.find("slides/case 9") is None


def test_lines_that_cannot_be_used_are_left_out_and_named(table):
    assert {"8", "9"}.isdisjoint(table.clinical)
    bad_age, contradiction = table.problems
    assert bad_age.startswith("line 4, column age_years: '570' is not usable")
    assert contradiction == "lines 5, 6: patient 9 has different values."
    assert table.find("8") is None


def test_what_is_no_table_of_patients_is_refused(tmp_path):
    path = tmp_path / "no.csv"
    with pytest.raises(CohortError, match="cannot be read"):
        read_clinical_table(path)
    path.write_text("name,age\nx,4\n")
    with pytest.raises(CohortError, match="no column patient_id"):
        read_clinical_table(path)
    path.write_text("patient_id,age\nx,4\n")
    with pytest.raises(CohortError, match="column age states no unit"):
        read_clinical_table(path)
