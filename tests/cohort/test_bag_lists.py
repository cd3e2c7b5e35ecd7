"""The reference's bag lists: read, kept beside the table, and refused where they are none."""

import json
from pathlib import Path

import pytest

from napari_aln.cohort.bags import ReferenceBag, bags_beside, patches_in, read_bag_list, read_bags, write_bags
from napari_aln.errors import CohortError

PATHS = [f"patches/71/71_0_{256 * i}_512.jpg" for i in range(10)]


def bag_list(folder: Path, name: str = "train-type-2.json", **change) -> Path:
    path = folder / name
    path.write_text(json.dumps([{"id": "71", "label": "2", "patch_paths": PATHS} | change]))
    return path


def test_a_list_is_read_as_the_reference_wrote_it(tmp_path):
    (bag,) = read_bag_list(bag_list(tmp_path))
    assert (bag.task, bag.split, bag.number, bag.patient_id, bag.label) == ("type-2", "train", 0, "71", 2)
    assert bag.patches[3] == Path("71/71_0_768_512.jpg")
    assert len(bag.patches) == 10
    assert bag.class_name == "N+(>2)"


@pytest.mark.parametrize(
    ("task", "label", "name"),
    [
        ("type-0", 1, "N(+)"),
        ("type-1", 0, "N+(1-2)"),
        ("type-3", 1, "N+(1-2)"),
        ("type-4", 1, "N+(>2)"),
        ("type-0", 2, None),
        ("N0 vs. N(+)", 0, None),
    ],
)
def test_a_label_is_told_by_the_task(task, label, name):
    assert ReferenceBag(task, "val", 0, "1", label, ()).class_name == name


def test_a_list_without_a_task_in_its_name_is_named_by_its_folder(tmp_path):
    (bag,) = read_bag_list(bag_list(tmp_path, "val.json"))
    assert (bag.task, bag.split) == (tmp_path.name, "val")


@pytest.mark.parametrize(
    "change",
    [
        {"label": "N0"},
        {"patch_paths": None},
        {"patch_paths": ["/etc/passwd"]},
        {"patch_paths": ["patches/../../secret.jpg"]},
        {"patch_paths": [7]},
    ],
)
def test_a_damaged_list_is_refused_by_name(tmp_path, change):
    with pytest.raises(CohortError, match=r"train-type-2\.json is no list of bags \(.*\w") as caught:
        read_bag_list(bag_list(tmp_path, **change))
    assert caught.value.next_step


def test_a_list_of_no_split_and_a_file_that_is_no_json_are_refused(tmp_path):
    with pytest.raises(CohortError, match="does not say whether it is of train, val or test"):
        read_bag_list(bag_list(tmp_path, "all.json"))
    (tmp_path / "test.json").write_text("{")
    with pytest.raises(CohortError, match="no list of bags"):
        read_bag_list(tmp_path / "test.json")


def test_bags_beside_a_table_come_back_as_paths_that_open(tmp_path):
    table = tmp_path / "cohort.csv"
    write_bags(bags_beside(table), read_bag_list(bag_list(tmp_path)), Path("patches"))
    (bag,) = read_bags(table, "type-2")
    assert bag.patches[0] == tmp_path / "patches" / "71" / "71_0_0_512.jpg"
    assert bag.label == 2
    with pytest.raises(CohortError, match="no usable bag of the task type-0") as caught:
        read_bags(table, "type-0")
    assert "type-2" in caught.value.next_step
    with pytest.raises(CohortError, match=r"has no bags of the reference beside it"):
        read_bags(tmp_path / "other.csv")
    bags_beside(table).write_text("x")
    with pytest.raises(CohortError, match="is no table of bags"):
        read_bags(table)


def test_patches_say_their_place_in_the_outlines_box(tmp_path):
    for name in ("71_12_256_768.jpg", "71_12.jpg", "71_0_0_0.png"):
        (tmp_path / name).touch()
    (patch,) = patches_in(tmp_path)
    assert (patch.patient_id, patch.region, patch.box_xy_px) == ("71", 12, (256, 768))
