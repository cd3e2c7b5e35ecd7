"""Filling a work list from folders, files and tables, and finding slides that moved."""

import shutil
from pathlib import Path

import pytest

from napari_aln.cohort.table import CohortRow, write_cohort
from napari_aln.errors import CohortError, SlideError, WorkListError
from napari_aln.records import BINARY, THREE_CLASSES
from napari_aln.store.result import RESULT_JSON
from napari_aln.store.worklist import WorkList
from napari_aln.workflows.folders import slides_below
from napari_aln.workflows.review.worklist import collect, find_moved, missing


def done(work):
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return end.value, steps


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_is_searched_for_slides_and_for_nothing_else(tmp_path):
    touch(
        tmp_path / "a.svs",
        tmp_path / "B.NDPI",
        tmp_path / "notes.txt",
        tmp_path / ".hidden.svs",
        tmp_path / "deep" / "1.jpg",
        tmp_path / "deep" / "1.json",
        tmp_path / "dicom" / "x.dcm",
        tmp_path / "dicom" / "y.dcm",
        tmp_path / "m.mrxs",
        tmp_path / "m" / "preview.jpg",
        tmp_path / "vms" / "s.vms",
        tmp_path / "vms" / "s-1.jpg",
        tmp_path / "case" / RESULT_JSON,
        tmp_path / "case" / "heatmap-dlcnb.tif",
    )
    found = [path.relative_to(tmp_path).as_posix() for path in slides_below(tmp_path)]
    assert found == ["B.NDPI", "a.svs", "deep/1.jpg", "dicom", "m.mrxs", "vms/s.vms"]
    with pytest.raises(SlideError, match="does not exist"):
        list(slides_below(tmp_path / "none"))


def test_slides_come_with_their_hash_and_broken_ones_without(tmp_path, tissue_slide):
    shutil.copy(tissue_slide, tmp_path / "good.tif")
    touch(tmp_path / "broken.svs")
    found, steps = done(collect([tmp_path], BINARY))
    assert [slide.path.name for slide in found.slides] == ["broken.svs", "good.tif"]
    assert [slide.quick_hash is None for slide in found.slides] == [True, False]
    assert [(step.done, step.total) for step in steps] == [(0, 2), (1, 2)]


def test_a_table_brings_slides_patients_and_the_reference(tmp_path):
    touch(tmp_path / "s" / "a.svs", tmp_path / "s" / "b.svs", tmp_path / "s" / "007.svs")
    table = tmp_path / "cohort.csv"
    table.write_text(
        "patient_id,slide,roi,age_years,n_positive_nodes\n"
        "p1,s/a.svs,a.geojson,61,3\np1,s/b.svs,,61,3\n007,,,50,0\n7,,,51,1\n"
    )
    found, _ = done(collect([tmp_path / "s", table], BINARY))
    with WorkList.create(tmp_path / "l.alnlist") as work_list:
        assert work_list.add(found.slides, found.patients) == 3
        by_name = {item.path.name: item for item in work_list.items()}
        assert by_name["a.svs"].patient_id == by_name["b.svs"].patient_id == "p1"
        assert by_name["a.svs"].roi == tmp_path / "a.geojson"
        assert by_name["007.svs"].patient_id == "007"  # and not 7
        assert work_list.clinical(by_name["007.svs"].item_id).age_years == 50
        assert work_list.reference(by_name["a.svs"].item_id, "r") == "N(+)"
        assert work_list.reference(by_name["007.svs"].item_id, "r") == "N0"
    three, _ = done(collect([table], THREE_CLASSES))
    assert [patient.reference for patient in three.patients] == ["N+(>2)", "N0", "N+(1-2)"]


def test_a_table_may_be_parquet(tmp_path):
    touch(tmp_path / "a.svs")
    write_cohort(
        tmp_path / "c.parquet", [CohortRow(patient_id="007", slide=Path("a.svs"), n_positive_nodes=1)]
    )
    found, _ = done(collect([tmp_path / "c.parquet"], BINARY))
    assert [(slide.path, slide.patient_id) for slide in found.slides] == [(tmp_path / "a.svs", "007")]
    assert [patient.reference for patient in found.patients] == ["N(+)"]


def test_a_table_given_later_joins_the_slides_already_there(tmp_path):
    touch(tmp_path / "s" / "1.jpg", tmp_path / "s" / "2.jpg")
    (tmp_path / "clinical.csv").write_text("Patient ID,Age(years),ALN status\n1,44,N+(1-2)\n")
    with WorkList.create(tmp_path / "l.alnlist") as work_list:
        found, _ = done(collect([tmp_path / "s"], BINARY))
        work_list.add(found.slides)
        found, _ = done(collect([tmp_path / "clinical.csv"], BINARY, work_list.items()))
        assert work_list.add(found.slides, found.patients) == 0
        assert [item.patient_id for item in work_list.items()] == ["1", None]
        assert work_list.clinical(1).age_years == 44


def test_nothing_and_bad_tables_are_refused(tmp_path):
    with pytest.raises(WorkListError, match="No slide was found"):
        done(collect([tmp_path], BINARY))
    (tmp_path / "c.csv").write_text("slide\na.svs\n")
    with pytest.raises(CohortError, match="no column patient_id"):
        done(collect([tmp_path / "c.csv"], BINARY))


def test_moved_slides_are_found_by_content_under_any_name(tmp_path, tissue_slide):
    old, new = tmp_path / "old", tmp_path / "new" / "deep"
    old.mkdir()
    new.mkdir(parents=True)
    shutil.copy(tissue_slide, old / "a.tif")
    touch(old / "never opened.svs", new / "a.svs", new / "unrelated.svs")
    with WorkList.create(tmp_path / "l.alnlist") as work_list:
        found, _ = done(collect([old], BINARY))
        work_list.add(found.slides)
        work_list.store_call(1, "r", "N0")
        assert missing(work_list.items()) == ()
        shutil.move(old / "a.tif", new / "renamed.tif")
        (gone,) = missing(work_list.items())
        places, _ = done(find_moved([gone], tmp_path / "new"))
        assert places == {gone.item_id: new / "renamed.tif"}
        work_list.move(gone.item_id, places[gone.item_id], gone.quick_hash)
        assert missing(work_list.items()) == ()
        assert len(work_list.calls(gone.item_id)) == 1
        unknown = work_list.items()[1]
        assert unknown.quick_hash is None
        assert done(find_moved([unknown], tmp_path / "new"))[0] == {}
