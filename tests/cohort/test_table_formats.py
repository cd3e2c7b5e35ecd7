"""Cohort tables there and back through CSV, XLSX and Parquet; label and class from what the table says."""

from pathlib import Path

import pandas as pd
import pytest
from openpyxl import load_workbook

from napari_aln.cohort.table import CohortRow, placed_beside, read_cohort, write_cohort
from napari_aln.cohort.writing import as_meant, harmless
from napari_aln.errors import CohortError, UsageError

ROWS = [
    CohortRow(
        patient_id="007",
        slide=Path("slides/mä 7.jpg"),
        roi=Path("-roi.json"),
        mpp=0.4991,
        site="=HYPERLINK(1)",
        age_years=61.5,
        tumor_size_cm=2.0,
        er="+",
        pr="-",
        n_positive_nodes=3,
        split="train",
    ),
    CohortRow(patient_id="+8"),
]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
def test_every_format_gives_back_what_was_written(tmp_path, suffix):
    table = tmp_path / f"cohort{suffix}"
    write_cohort(table, ROWS)
    read = read_cohort(table)
    assert read == [
        ROWS[0].model_copy(
            update={"slide": tmp_path / "slides" / "mä 7.jpg", "roi": tmp_path / "-roi.json", "label": "N(+)"}
        ),
        ROWS[1],
    ]
    assert (read[0].label, read[0].aln_class) == ("N(+)", "N+(>2)")


def test_a_spreadsheet_computes_nothing_and_keeps_ids(tmp_path):
    write_cohort(tmp_path / "a.csv", ROWS)
    text = (tmp_path / "a.csv").read_bytes()
    assert text.startswith(b"\xef\xbb\xbf")  # how spreadsheet programs know UTF-8
    assert ",'=HYPERLINK(1)," in text.decode("utf-8-sig")
    assert ",+,-,unknown," in text.decode("utf-8-sig")  # a lone sign is no formula
    write_cohort(tmp_path / "a.xlsx", ROWS)
    sheet = load_workbook(tmp_path / "a.xlsx").active
    assert (sheet["A2"].value, sheet["A2"].data_type, sheet["A2"].number_format) == ("007", "s", "@")
    assert (sheet["E2"].value, sheet["E2"].data_type) == ("=HYPERLINK(1)", "s")


@pytest.mark.parametrize(
    "text", ["=1+1", "@x", "+8", "-roi", " =1", "a;=b", "plain", "it's", "+", "-", "1-2"]
)
def test_what_was_made_harmless_is_read_as_it_was_meant(text):
    assert as_meant(harmless(text)) == text
    assert harmless(7.5) == 7.5


def test_the_folder_of_a_table_decides_how_its_paths_are_written(tmp_path):
    (row,) = placed_beside(
        [CohortRow(patient_id="1", slide=tmp_path / "slides" / "a.svs")], tmp_path / "out" / "c.csv"
    )
    assert row.slide == Path("..") / "slides" / "a.svs"
    assert row.roi is None


def test_a_table_of_no_known_format_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"\.csv, \.xlsx, \.parquet"):
        write_cohort(tmp_path / "cohort.ods", ROWS)


def test_a_parquet_table_of_other_programs(tmp_path):
    frame = pd.DataFrame({"patient_id": [7, 8], "Age(years)": [61.0, None], "label": ["N0", "N+(1-2)"]})
    frame.to_parquet(tmp_path / "a.parquet")
    rows = read_cohort(tmp_path / "a.parquet")
    assert [row.patient_id for row in rows] == ["7", "8"]
    assert [row.age_years for row in rows] == [61.0, None]
    frame.assign(**{"Age(years)": [61.0, 610.0]}).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(CohortError, match=r"line 3, column Age\(years\): '610'"):
        read_cohort(tmp_path / "bad.parquet")


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_text("patient_id\n1\n")
    with pytest.raises(CohortError, match="no usable Parquet"):
        read_cohort(tmp_path / "a.parquet")
    with pytest.raises(CohortError, match="cannot be read"):
        read_cohort(tmp_path / "none.parquet")


@pytest.mark.parametrize(
    ("header", "cells", "label", "aln_class"),
    [
        ("n_positive_nodes", "0", "N0", "N0"),
        ("n_positive_nodes", "2", "N(+)", "N+(1-2)"),
        ("n_positive_nodes", "3", "N(+)", "N+(>2)"),
        ("label", "N(+)", "N(+)", None),
        ("label", "N0", "N0", "N0"),
        ("ALN status", "N+(1-2)", "N(+)", "N+(1-2)"),
        ("aln_class", "N+ (＞2)", "N(+)", "N+(>2)"),
        ("aln_class,label", "N+(1~2),N(+)", "N(+)", "N+(1-2)"),
        ("label", "", None, None),
    ],
)
def test_label_and_class_follow_from_what_is_known(tmp_path, header, cells, label, aln_class):
    (tmp_path / "a.csv").write_text(f"patient_id,{header}\n1,{cells}\n", encoding="utf-8")
    (row,) = read_cohort(tmp_path / "a.csv")
    assert (row.label, row.aln_class) == (label, aln_class)


@pytest.mark.parametrize(
    ("header", "cells", "told"),
    [
        ("n_positive_nodes,label", "0,N(+)", "0 positive nodes contradict the status N(+)"),
        ("n_positive_nodes,label", "4,N0", "4 positive nodes contradict the status N0"),
        ("n_positive_nodes,ALN status", "4,N+(1-2)", "4 positive nodes contradict the status N+(1-2)"),
        ("aln_class,label", "N+(1-2),N0", "the class N+(1-2) contradicts the label N0"),
        ("mpp", "0.001", "column mpp: '0.001'"),
        ("mpp", "50", "column mpp: '50'"),
        ("aln_class", "N(+)", "column aln_class: 'N(+)'"),
    ],
)
def test_contradictions_are_refused_with_their_line(tmp_path, header, cells, told):
    (tmp_path / "a.csv").write_text(f"patient_id,{header}\n1{',' * (header.count(',') + 1)}\n2,{cells}\n")
    with pytest.raises(CohortError, match=r"a\.csv, line 3") as caught:
        read_cohort(tmp_path / "a.csv")
    assert told in caught.value.fact
