"""The cohort table: good rows are read, bad ones named by file, line and column."""

from pathlib import Path

import pytest

from napari_aln.cohort.table import find_patient, read_cohort, write_cohort
from napari_aln.errors import ClinicalError, CohortError
from napari_aln.records import Clinical

HEADER = "patient_id,slide,roi,age_years,tumor_size_cm,er,pr,her2,n_positive_nodes,label,split\n"
GOOD = "7,slides/a b.svs,truth/7.geojson,61,2.4,+,-,unknown,0,N0,train\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_a_row_with_paths_relative_to_the_table(tmp_path):
    (row,) = read_cohort(write(tmp_path / "cohort.csv", HEADER + GOOD))
    assert row.patient_id == "7"
    assert row.slide == tmp_path / "slides" / "a b.svs"
    assert row.roi == tmp_path / "truth" / "7.geojson"
    assert row.clinical == Clinical(61.0, 2.4, er=True, pr=False, her2=None)
    assert row.is_positive is False


def test_empty_cells_are_unknown_and_a_byte_order_mark_is_no_part_of_the_header(tmp_path):
    (row,) = read_cohort(write(tmp_path / "c.csv", "\ufeff" + HEADER + "7,,,,,,,,,,\n"))
    assert row.slide is None
    assert row.clinical == Clinical()
    with pytest.raises(CohortError, match="Patient 7 has no label"):
        _ = row.is_positive


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("61", "610", "line 3, column age_years: '610'"),
        ("61", "0", "line 3, column age_years: '0'"),
        ("2.4", "nought", "line 3, column tumor_size_cm: 'nought'"),
        ("2.4", "nan", "line 3, column tumor_size_cm: 'nan'"),
        (",+,", ",yes,", "line 3, column er: 'yes'"),
        ("N0", "benign", "line 3, column label: 'benign'"),
        ("train", "holdout", "line 3, column split: 'holdout'"),
        ("train", "train,more", "line 3, has more or fewer cells"),
        (",N0,train", "", "line 3, has more or fewer cells"),
        ("7,", ",", "line 3, column patient_id"),
    ],
)
def test_a_bad_cell_is_named_beside_a_good_row(tmp_path, old, new, told):
    good = GOOD.replace("7,", "6,", 1)
    table = write(tmp_path / "cohort.csv", HEADER + good + GOOD.replace(old, new, 1))
    with pytest.raises(CohortError, match=r"cohort\.csv") as caught:
        read_cohort(table)
    assert told in caught.value.fact
    assert caught.value.next_step


def test_several_bad_lines_are_counted(tmp_path):
    bad = GOOD.replace("61", "610")
    table = write(
        tmp_path / "cohort.csv", HEADER + bad + GOOD.replace("7,", "8,", 1) + bad.replace("7", "9", 1)
    )
    with pytest.raises(CohortError, match=r"line 2, column .* Not usable either: 1 more line") as caught:
        read_cohort(table)
    assert "cohort check" in caught.value.next_step


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("name,age\nx,4\n", "no column patient_id"),
        (HEADER, "no patient"),
        (HEADER + GOOD + GOOD, "names patient 7 twice"),
    ],
)
def test_a_table_without_usable_rows_is_refused(tmp_path, text, told):
    with pytest.raises(CohortError, match=told):
        read_cohort(write(tmp_path / "cohort.csv", text))


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(CohortError, match="cannot be read"):
        read_cohort(tmp_path / "none.csv")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"patient_id\n\xff\xfe\x00\x81\n")
    with pytest.raises(CohortError, match="no CSV table"):
        read_cohort(binary)


def test_writing_and_reading_gives_the_same_rows(tmp_path):
    rows = read_cohort(write(tmp_path / "cohort.csv", HEADER + GOOD))
    write_cohort(tmp_path / "copy.csv", rows)
    assert read_cohort(tmp_path / "copy.csv") == rows


def test_clinical_values_are_found_by_patient_id_and_by_slide_stem(tmp_path):
    other = GOOD.replace("7,slides/a b", "8,slides/c").replace("61", "44")
    rows = read_cohort(write(tmp_path / "cohort.csv", HEADER + GOOD + other))
    assert find_patient(rows, "8").clinical.age_years == 44
    assert find_patient(rows, "a b").clinical.age_years == 61
    with pytest.raises(ClinicalError, match="no rows for unheard-of"):
        find_patient(rows, "unheard-of")


def test_two_rows_of_one_slide_are_no_answer(tmp_path):
    rows = read_cohort(write(tmp_path / "cohort.csv", HEADER + GOOD + GOOD.replace("7,", "8,", 1)))
    with pytest.raises(ClinicalError, match=r"2 rows for a b\. Keep one"):
        find_patient(rows, "a b")


def test_a_folder_is_told_to_be_no_table(tmp_path):
    with pytest.raises(CohortError, match=r"is a folder, no table") as caught:
        read_cohort(tmp_path)
    assert "the CSV, XLSX or Parquet file" in caught.value.next_step
