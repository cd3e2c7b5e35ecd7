"""The BCNB download becomes a cohort table; what it lacks is named and counted."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from bcnb_download import clinical_row, write_download, write_slide_and_outline, write_workbook
from tests_shared import collect, drain

from napari_aln.cohort.bags import read_bags
from napari_aln.cohort.table import read_cohort
from napari_aln.errors import CohortError, MppError, StoreError
from napari_aln.slides import open_slide
from napari_aln.workflows.cohorts.check_cohort import check_cohort
from napari_aln.workflows.cohorts.import_bcnb import import_bcnb

REAL = Path(__file__).parents[3] / "shared/data/bcnb"


@pytest.fixture
def download(tmp_path):
    return write_download(tmp_path / "bcnb")


def gaps(imported):
    return {gap.fact: gap.patient_ids for gap in imported.gaps}


def test_a_whole_download_becomes_a_table_beside_its_bags(download, tmp_path):
    seen, imported = collect(import_bcnb(download, tmp_path / "out" / "cohort.csv", 0.5))
    assert {step.step for step in seen} == {"look at the download", "look at patches", "read bag lists"}
    assert (imported.n_patients, imported.n_slides, imported.n_outlines) == (6, 6, 6)
    assert (imported.n_bags, imported.n_patches) == (6, 60)
    assert imported.gaps == ()
    assert imported.absent == ()
    rows = read_cohort(imported.table)
    assert [row.patient_id for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row.split for row in rows] == ["train", "train", "val", "val", "test", "test"]
    assert [row.aln_class for row in rows] == ["N0", "N+(1-2)", "N0", "N+(>2)", "N0", "N+(1-2)"]
    fourth = rows[3]
    assert (fourth.age_years, fourth.tumor_size_cm, fourth.er, fourth.her2) == (55.0, 1.5, "-", "-")
    assert fourth.mpp == 0.5
    with open_slide(fourth.slide, mpp=fourth.mpp) as slide:
        assert slide.info.mpp == (0.5, 0.5)
    assert "../bcnb/WSIs/4.jpg" in imported.table.read_text(encoding="utf-8-sig")
    bags = read_bags(imported.table, "type-0")
    assert [(bag.patient_id, bag.split, bag.class_name) for bag in bags if bag.split == "val"] == [
        ("3", "val", "N0"),
        ("4", "val", "N(+)"),
    ]
    assert all(patch.is_file() for bag in bags for patch in bag.patches)
    patches = pd.read_parquet(tmp_path / "out" / "cohort-patches.parquet")
    assert patches.loc[3, ["patient_id", "region", "box_x_px", "box_y_px"]].tolist() == ["1", 0, 768, 0]
    assert drain(check_cohort(imported.table)).findings == ()


def test_who_lacks_something_is_named_and_stays_in_the_table(download, tmp_path):
    (download / "WSIs" / "2.jpg").unlink()
    (download / "WSIs" / "3.json").unlink()
    write_slide_and_outline(download / "WSIs", "70")
    (download / "dataset-splitting" / "test_id.txt").write_text("5, 6, 80")
    (download / "patches" / "6" / "6_0_0_0.jpg").unlink()
    imported = drain(import_bcnb(download, tmp_path / "c.csv", 0.5))
    assert gaps(imported) == {
        "in patient-clinical-data.xlsx, but without a slide in WSIs": ("2",),
        "with a slide, but not in patient-clinical-data.xlsx: no clinical values, no label": ("70",),
        "with a slide, but without outlines": ("3",),
        "with outlines, but without a slide": ("2",),
        "in a split list, but neither in WSIs nor in patient-clinical-data.xlsx": ("80",),
        "in no split list": ("70",),
        "whose bags name patches that are not there": ("6",),
    }
    rows = {row.patient_id: row for row in read_cohort(tmp_path / "c.csv")}
    assert list(rows) == ["1", "2", "3", "4", "5", "6", "70"]
    assert (rows["2"].slide, rows["2"].roi, rows["2"].mpp) == (None, None, None)
    assert (rows["70"].label, rows["70"].mpp) == (None, 0.5)
    record = json.loads((tmp_path / "c-import.json").read_text(encoding="utf-8"))
    assert record["mpp"] == 0.5
    assert record["versions"]["napari-aln"]
    assert {"fact": "in no split list", "patient_ids": ["70"]} in record["gaps"]


def test_only_complete_patients_by_request_and_the_others_named(download, tmp_path):
    (download / "WSIs" / "2.jpg").unlink()
    write_slide_and_outline(download / "WSIs", "70")
    imported = drain(import_bcnb(download, tmp_path / "c.csv", 0.5, complete_only=True))
    assert [row.patient_id for row in read_cohort(tmp_path / "c.csv")] == ["1", "3", "4", "5", "6"]
    assert {"2", "70"} <= {patient for ids in gaps(imported).values() for patient in ids}


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("WSIs", "No slide"),
        (
            "patient-clinical-data.xlsx",
            "No patient-clinical-data.xlsx: clinical values and labels stay empty",
        ),
        ("dataset-splitting/val_id.txt", "No dataset-splitting/val_id.txt"),
    ],
)
def test_a_part_that_is_not_there_is_said_once(download, tmp_path, part, told):
    path = download / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    imported = drain(import_bcnb(download, tmp_path / "c.csv", 0.5))
    assert [told in sentence for sentence in imported.absent] == [True]
    assert imported.n_patients == 6


def test_slides_in_several_archives_belong_together(download, tmp_path):
    (download / "WSIs_2").mkdir()
    for name in ("6.jpg", "6.json"):
        (download / "WSIs" / name).rename(download / "WSIs_2" / name)
    assert drain(import_bcnb(download, tmp_path / "c.csv", 0.5)).n_slides == 6
    shutil.copy(download / "WSIs" / "5.jpg", download / "WSIs_2" / "5.jpg")
    with pytest.raises(CohortError, match="Patient 5 has two files"):
        drain(import_bcnb(download, tmp_path / "c.csv", 0.5))


def test_packed_patches_are_asked_for_and_bags_of_an_earlier_import_go(download, tmp_path):
    drain(import_bcnb(download, tmp_path / "c.csv", 0.5))
    shutil.rmtree(download / "patches")
    shutil.rmtree(download / "json")
    (download / "paper_patches.zip").touch()
    imported = drain(import_bcnb(download, tmp_path / "c.csv", 0.5))
    assert "paper_patches.zip is not unpacked" in imported.absent[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bcnb", "c-import.json", "c.csv"]


def test_a_patient_in_two_split_lists_is_an_error(download, tmp_path):
    (download / "dataset-splitting" / "test_id.txt").write_text("5\n1\n")
    with pytest.raises(CohortError, match=r"test_id\.txt names patient 1, who stands in train_id\.txt too"):
        drain(import_bcnb(download, tmp_path / "c.csv", 0.5))
    assert not (tmp_path / "c.csv").exists()


def test_an_impossible_value_is_named_by_line_and_column(download, tmp_path):
    bad = clinical_row("2", 1)
    write_workbook(download / "patient-clinical-data.xlsx", clinical_row("1", 0), (2, 510, *bad[2:]))
    with pytest.raises(CohortError, match=r"line 3, column Age\(years\): '510'"):
        drain(import_bcnb(download, tmp_path / "c.csv", 0.5))


@pytest.mark.parametrize("mpp", [0.0, -1.0, 500.0, float("nan")])
def test_an_impossible_resolution_is_refused_before_anything_is_read(tmp_path, mpp):
    with pytest.raises(MppError):
        drain(import_bcnb(tmp_path / "none", tmp_path / "c.csv", mpp))


def test_a_folder_of_something_else_and_a_place_that_cannot_be_written(download, tmp_path):
    with pytest.raises(CohortError, match="There is no folder"):
        drain(import_bcnb(tmp_path / "none", tmp_path / "c.csv", 0.5))
    (tmp_path / "else").mkdir()
    with pytest.raises(CohortError, match="holds neither WSIs"):
        drain(import_bcnb(tmp_path / "else", tmp_path / "c.csv", 0.5))
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="could not be written"):
        drain(import_bcnb(download, tmp_path / "file" / "c.csv", 0.5))


@pytest.mark.skipif(not REAL.exists(), reason=f"the BCNB samples are not at {REAL}")
def test_the_real_samples_are_imported_as_far_as_they_are_there(tmp_path):
    slides = tmp_path / "bcnb" / "WSIs"
    slides.mkdir(parents=True)
    for name in ("351899", "389510"):
        (slides / f"{name}.jpg").symlink_to(REAL / "slides" / f"{name}.jpg")
    patients = pd.read_csv(REAL / "clinical" / "type-0.csv", dtype=str)
    lists = tmp_path / "bcnb" / "dataset-splitting"
    lists.mkdir()
    for split, ids in patients.groupby("split").p_id:
        (lists / f"{split}_id.txt").write_text("\n".join(ids))
    imported = drain(import_bcnb(tmp_path / "bcnb", tmp_path / "c.parquet", 1.0))
    assert (imported.n_patients, imported.n_slides, imported.n_outlines) == (2, 2, 0)
    strangers = gaps(imported)["in a split list, but neither in WSIs nor in patient-clinical-data.xlsx"]
    assert len(strangers) == 1058
    with open_slide(read_cohort(tmp_path / "c.parquet")[0].slide, mpp=1.0) as slide:
        assert slide.info.size_px == (2630, 2912)
