"""A cohort table divided: paths kept, slides of a patient together, tasks as the reference has them."""

import hashlib
import json
from pathlib import Path

import pytest
from bcnb_download import write_download
from tests_shared import drain

from napari_aln.cohort.bags import bags_beside, read_bags, write_bags
from napari_aln.cohort.table import CohortRow, read_cohort, write_cohort
from napari_aln.errors import CohortError, StoreError, UsageError
from napari_aln.settings.cohorts import SplitSettings
from napari_aln.workflows.cohorts.import_bcnb import import_bcnb
from napari_aln.workflows.cohorts.split_cohort import split_cohort


@pytest.fixture
def table(tmp_path):
    """Twelve patients, two slides each, and one without a label."""
    rows = [
        CohortRow(patient_id=f"P{i}", slide=Path(f"slides/{i}{end}.svs"), label="N(+)" if i % 2 else "N0")
        for i in range(12)
        for end in "ab"
    ]
    write_cohort(tmp_path / "cohort.csv", [*rows, CohortRow(patient_id="X")])
    return tmp_path / "cohort.csv"


def test_both_slides_of_a_patient_are_in_one_split(table, tmp_path):
    divided = split_cohort(table, tmp_path / "out" / "s.csv", SplitSettings(seed=5))
    rows = read_cohort(tmp_path / "out" / "s.csv", several_slides=True)  # refuses a patient in two splits
    assert len(rows) == 25
    assert divided.without_class == ("X",)
    assert rows[-1].split is None
    assert divided.counts[0] == {
        (split, label): n for split, n in (("train", 4), ("val", 1), ("test", 1)) for label in ("N0", "N(+)")
    }
    assert rows[0].slide.resolve() == tmp_path / "slides" / "0a.svs"


def test_a_table_may_be_divided_in_place_and_comes_out_the_same_again(table):
    before = hashlib.sha256(table.read_bytes()).hexdigest()
    split_cohort(table, table, SplitSettings(seed=5))
    made_by = json.loads(table.with_name("cohort.csv.json").read_text(encoding="utf-8"))
    assert made_by["input"] == {"name": "cohort.csv", "sha256": before}
    assert made_by["settings"]["seed"] == 5
    assert made_by["versions"]["napari-aln"]
    once = table.read_bytes()
    split_cohort(table, table, SplitSettings(seed=5))
    assert table.read_bytes() == once


def test_columns_of_ones_own_are_named_and_never_lost(table):
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    own = [f"{line},{'grade' if number == 0 else number % 3}" for number, line in enumerate(lines)]
    table.write_text("\n".join(own), encoding="utf-8")
    with pytest.raises(UsageError, match=r"would lose columns that are not the program's own: grade\."):
        split_cohort(table, table, SplitSettings())
    assert "grade" in table.read_text(encoding="utf-8")
    assert split_cohort(table, table.with_name("s.csv"), SplitSettings()).left_out == ("grade",)


def test_a_table_is_not_replaced_by_its_private_one_under_any_name(table):
    before = table.read_bytes()
    aliases = {row.patient_id: row.patient_id for row in read_cohort(table, several_slides=True)}
    elsewhere = table.parent / "elsewhere"
    elsewhere.mkdir()
    for own in (table, elsewhere / ".." / table.name):
        with pytest.raises(UsageError, match="would lose its patients' ids, slides") as caught:
            split_cohort(table, own, SplitSettings(), aliases)
        assert "another table" in caught.value.next_step
    assert table.read_bytes() == before


def test_a_task_has_the_split_of_its_bag_lists(tmp_path):
    table = tmp_path / "c.csv"
    drain(import_bcnb(write_download(tmp_path / "bcnb"), table, 0.5))
    moved = {"1": "test", "2": "train", "5": "val"}
    bags = [
        bag._replace(task="type-1", split=moved[bag.patient_id], patches=(Path("a.jpg"),))
        for bag in read_bags(table)
        if bag.patient_id in moved
    ]
    write_bags(bags_beside(table), bags, Path("patches"))
    of_task = SplitSettings(method="official", task="type-1")
    divided = split_cohort(table, tmp_path / "t.csv", of_task)
    rows = read_cohort(tmp_path / "t.csv")
    assert {row.patient_id: row.split for row in rows if row.split} == moved
    assert divided.without_class == ("3", "4", "6")
    write_bags(bags_beside(table), [*bags, bags[0]._replace(split="train")], Path("patches"))
    with pytest.raises(CohortError, match=r"name patient . in .* what was trained on would be tested on"):
        split_cohort(table, tmp_path / "t.csv", of_task)


def test_what_cannot_be_done_is_refused(table, tmp_path):
    with pytest.raises(UsageError, match="holdout draws one"):
        split_cohort(table, tmp_path / "t.csv", SplitSettings(task="type-1"))
    with pytest.raises(CohortError, match="no bags of the reference beside it"):
        split_cohort(table, tmp_path / "t.csv", SplitSettings(method="official", task="type-1"))
    with pytest.raises(UsageError, match="names no format"):
        split_cohort(table, tmp_path / "t.txt", SplitSettings())
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="could not be written"):
        split_cohort(table, tmp_path / "file" / "t.csv", SplitSettings())


def test_a_private_table_has_no_id_under_any_name(tmp_path):
    lines = [f"Doe {number},{'N0' if number % 2 else 'N(+)'}" for number in range(12)]
    table = tmp_path / "cohort.csv"
    table.write_text("\n".join(["case_id,label", *lines]) + "\n", encoding="utf-8")
    aliases = {f"Doe {number}": f"patient-{number}" for number in range(12)}
    split_cohort(table, tmp_path / "out.csv", SplitSettings(), aliases)
    assert "Doe" not in (tmp_path / "out.csv").read_text(encoding="utf-8")
    assert {row.patient_id for row in read_cohort(tmp_path / "out.csv")} == set(aliases.values())
