"""Clinical values from other people's tables: XLSX, the BCNB workbook's columns, units, ids as text."""

import zipfile
from datetime import date
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook

from napari_aln.cohort import spreadsheet
from napari_aln.cohort.columns import Column
from napari_aln.cohort.table import clinical_of, find_patient, read_cohort
from napari_aln.errors import ClinicalError, CohortError
from napari_aln.records import Clinical

BCNB = (
    "Patient ID",
    "Age(years)",
    "Tumour Size(cm)",
    "Tumour Type",
    "ER",
    "PR",
    "HER2",
    "HER2 Expression",
    "Histological grading",
    "Surgical",
    "Ki67",
    "Molecular subtype",
    "Number of lymph node metastases",
    "ALN status",
)
ROW_1 = (1, 77, 2.1, "Invasive ductal carcinoma", "Positive", "Positive", "1+", "Negative", 2, "BCS", "15%")
ROW_2 = (2, 38, 3.5, "Invasive ductal carcinoma", "Negative", "Negative", "2+", "Positive", 3, "Mast", "30%")


def workbook(path: Path, *rows: tuple, title: str = "Sheet1") -> Path:
    book = Workbook()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def test_the_bcnb_workbook_is_read_as_it_is(tmp_path):
    rows = read_cohort(
        workbook(
            tmp_path / "patient-clinical-data.xlsx",
            BCNB,
            (*ROW_1, "Luminal A", 0, "N0"),
            (*ROW_2, "HER2(+)", 2, "N+(1-2)"),
        )
    )
    assert rows[0].clinical == Clinical(77.0, 2.1, er=True, pr=True, her2=False)
    assert rows[1].clinical == Clinical(38.0, 3.5, er=False, pr=False, her2=True)  # status, not the score
    assert [row.label for row in rows] == ["N0", "N(+)"]
    assert [row.aln_class for row in rows] == ["N0", "N+(1-2)"]
    assert find_patient(rows, "2") is rows[1]


def test_ids_are_text_with_their_leading_zeros(tmp_path):
    path = workbook(tmp_path / "a.xlsx", ("patient_id", "er"), ("007", "+"), (8, "-"), (9.0, "-"))
    book = load_workbook(path)
    book.active["A3"].number_format = "0000"  # shown as 0008
    book.save(path)
    rows = read_cohort(path)
    assert [row.patient_id for row in rows] == ["007", "0008", "9"]
    assert find_patient(rows, "007").clinical.er is True
    with pytest.raises(ClinicalError, match="It has 007, but ids are text"):
        find_patient(rows, "7")
    (tmp_path / "a.csv").write_text("patient_id\n007\n7\n")
    assert [row.patient_id for row in read_cohort(tmp_path / "a.csv")] == ["007", "7"]


@pytest.mark.parametrize(
    ("header", "cell", "size_cm"),
    [("Tumour size (mm)", "24", 2.4), ("tumor_size_cm", "2.4", 2.4), ("Tumor Size [cm]", '"2,4"', 2.4)],
)
def test_stated_units_are_converted(tmp_path, header, cell, size_cm):
    (tmp_path / "a.csv").write_text(f"Patient ID,{header}\n1,{cell}\n")
    assert read_cohort(tmp_path / "a.csv")[0].clinical.tumor_size_cm == size_cm


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("age", "column age states no unit"),
        ("Tumour size", "column Tumour size states no unit"),
        ("Age (months)", "gives the unit months, not years"),
        ("tumor_size", "column tumor_size states no unit"),
        ("er,ER status", "two columns for er"),
        ("tumor_size_cm,Tumour Size(mm)", "two columns for tumor_size_cm"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(tmp_path, header, told):
    cells = ",1" * (header.count(",") + 1)
    (tmp_path / "a.csv").write_text(f"patient_id,{header}\n1{cells}\n")
    with pytest.raises(CohortError) as caught:
        read_cohort(tmp_path / "a.csv")
    assert told in caught.value.fact
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("score", "her2"), [("0", False), ("1+", False), ("2+", None), ("3+", True), ("+", True), ("", None)]
)
def test_a_her2_score_alone_says_what_it_can(tmp_path, score, her2):
    (tmp_path / "a.csv").write_text(f"patient_id,HER2\n1,{score}\n")
    assert read_cohort(tmp_path / "a.csv")[0].clinical.her2 is her2


@pytest.mark.parametrize(
    "words",
    [
        ("61", "2,4", "positive", "NEG", "3+"),
        ("n/a", "unknown", "Unknown", "", "2+"),
        (" 58.5 ", "", "+", "\N{MINUS SIGN}", "Negative"),
    ],
)
def test_words_given_one_by_one_are_read_as_a_table_s(tmp_path, words):
    fields = ("age_years", "tumor_size_cm", "er", "pr", "her2")
    cells = ",".join(f'"{word}"' for word in words)
    (tmp_path / "a.csv").write_text(f"patient_id,{','.join(fields)}\na,{cells}\n", encoding="utf-8")
    named = {Column(0, f"--{field}", field): word for field, word in zip(fields, words, strict=True)}
    assert clinical_of(named) == read_cohort(tmp_path / "a.csv")[0].clinical


def test_a_word_of_no_meaning_is_told_by_its_name():
    words = {Column(0, "--age", "age_years"): "61", Column(0, "--er", "er"): "maybe"}
    with pytest.raises(ClinicalError, match=r"--er: 'maybe' is not usable \(input should be '\+', '-' or"):
        clinical_of(words)


def test_what_other_programs_write_is_understood(tmp_path):
    text = "case_id,label,split,age_years,tumor_size_cm\na,0,Training,NA,2.1\nb,1,validation,unknown,n/a\n"
    (tmp_path / "a.csv").write_text(text)
    first, second = read_cohort(tmp_path / "a.csv")
    assert (first.patient_id, first.case_id, first.label, first.split) == ("a", "a", "N0", "train")
    assert (second.label, second.aln_class, second.split) == ("N(+)", None, "val")
    assert (first.age_years, first.tumor_size_cm) == (None, 2.1)
    assert (second.age_years, second.tumor_size_cm) == (None, None)


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ("2,,", "column label: '2' is not usable (input should be 'N0' or 'N(+)')"),
        ("N0,later,", "column split: 'later' is not usable (input should be 'train', 'val' or 'test')"),
        ("N0,,NaN", "column age_years: 'NaN' is not usable (no number)"),
    ],
)
def test_a_cell_that_is_not_understood_is_told_what_it_may_be(tmp_path, cells, told):
    (tmp_path / "a.csv").write_text(f"patient_id,label,split,age_years\na,{cells}\n")
    with pytest.raises(CohortError) as caught:
        read_cohort(tmp_path / "a.csv")
    assert told in caught.value.fact


@pytest.mark.parametrize(
    ("column", "cell"),
    [("HER2", "1"), ("ER", "1"), ("ER", "0"), ("Age(years)", "61 y"), ("Tumour size (mm)", "large")],
)
def test_an_ambiguous_cell_is_named_with_the_columns_own_name(tmp_path, column, cell):
    (tmp_path / "a.csv").write_text(f"patient_id,{column}\n0,\n1,{cell}\n")
    with pytest.raises(CohortError) as caught:
        read_cohort(tmp_path / "a.csv")
    assert f"line 3, column {column}: {cell!r} is not usable" in caught.value.fact


def test_nodes_that_contradict_the_status_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("patient_id,n_positive_nodes,ALN status\n1,0,N0\n2,0,N+(1-2)\n")
    with pytest.raises(CohortError, match=r"line 3: 0 positive nodes contradict the status N\(\+\)"):
        read_cohort(tmp_path / "a.csv")


def test_semicolons_and_tabs_separate_too(tmp_path):
    for i, sign in enumerate(";\t"):
        path = tmp_path / f"{i}.csv"
        path.write_text(sign.join(("patient_id", "Age(years)", "er")) + "\n" + sign.join(("1", "61,5", "+")))
        assert read_cohort(path)[0].clinical == Clinical(age_years=61.5, er=True)


def test_other_sheets_are_passed_over_and_two_tables_of_patients_refused(tmp_path):
    path = workbook(tmp_path / "a.xlsx", (), ("patient_id", "er"), ("1", "+"), (), ("2", None))
    book = load_workbook(path)
    book.create_sheet("notes").append(("age", "free text"))
    book.create_sheet("empty")
    book.save(path)
    assert [row.patient_id for row in read_cohort(path)] == ["1", "2"]
    book.create_sheet("more").append(("Patient ID", "er"))
    book.save(path)
    with pytest.raises(CohortError, match="several sheets: Sheet1, more"):
        read_cohort(path)


def test_a_date_is_no_id_and_no_number(tmp_path):
    with pytest.raises(CohortError, match="sheet Sheet1, cell A2, holds the date 2020-03-01"):
        read_cohort(workbook(tmp_path / "a.xlsx", ("patient_id",), (date(2020, 3, 1),)))


def test_several_slides_of_a_patient_are_read_where_they_agree(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("patient_id,slide,er\n1,a.svs,+\n1,b.svs,+\n2,c.svs,-\n")
    with pytest.raises(CohortError, match="names patient 1 twice"):
        read_cohort(path)
    assert len(read_cohort(path, several_slides=True)) == 3
    path.write_text("patient_id,slide,er\n1,a.svs,+\n1,b.svs,-\n")
    with pytest.raises(CohortError, match="patient 1 different values"):
        read_cohort(path, several_slides=True)
    path.write_text("patient_id,slide,er\n1,a.svs,+\n1,a.svs,+\n")
    with pytest.raises(CohortError, match=r"a\.svs of 1 twice. Keep one line a slide"):
        read_cohort(path, several_slides=True)


def test_damaged_and_hostile_workbooks_are_refused(tmp_path, monkeypatch):
    good = workbook(tmp_path / "good.xlsx", ("patient_id", "er"), ("1", "+"))
    (tmp_path / "cut.xlsx").write_bytes(good.read_bytes()[:900])
    (tmp_path / "text.xlsx").write_text("patient_id\n1\n")
    bomb = tmp_path / "bomb.xlsx"
    entities = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bomb, "w") as target:
        for name in source.namelist():
            text = source.read(name).decode()
            if name.endswith("sheet1.xml"):
                text = entities + text.replace("<v>0</v>", "<v>&b;</v>")
            target.writestr(name, text)
    (tmp_path / "locked.xlsx").write_bytes(_said_to_be_encrypted(good.read_bytes()))
    for name in ("cut.xlsx", "text.xlsx", "bomb.xlsx", "locked.xlsx"):
        with pytest.raises(CohortError, match=f"{name} is no usable XLSX") as caught:
            read_cohort(tmp_path / name)
        assert caught.value.next_step
    assert read_cohort(good)
    monkeypatch.setattr(spreadsheet, "MAX_XLSX_BYTES", 1000)
    with pytest.raises(CohortError, match="too much for a table"):
        read_cohort(good)


def _said_to_be_encrypted(content: bytes) -> bytes:
    """Set the flag of a ZIP's parts, in its directory."""
    found = bytearray(content)
    at = found.find(b"PK\x01\x02")
    while at >= 0:
        found[at + 8] |= 1
        at = found.find(b"PK\x01\x02", at + 4)
    return bytes(found)


def test_a_workbook_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CohortError, match=r"none\.xlsx cannot be read"):
        read_cohort(tmp_path / "none.xlsx")


def test_standardised_values_of_the_reference_are_not_taken_for_years(tmp_path):
    """Its CSV has a column age in standard deviations, and receptors where 1 means negative."""
    (tmp_path / "a.csv").write_text("patient_id,age,tumor_size,is_er_negative\n1,1.54,0.91,0\n")
    with pytest.raises(CohortError, match="states no unit"):
        read_cohort(tmp_path / "a.csv")
