"""Splits: by patient, stratified, the same at a seed on any machine."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from napari_aln.cohort.splits import holdout, k_folds, split_patients
from napari_aln.cohort.table import CohortRow
from napari_aln.errors import CohortError
from napari_aln.settings.cohorts import SplitSettings

CLASSES = {f"P{i}": "N(+)" if i % 3 == 0 else "N0" for i in range(60)}  # 20 N(+), 40 N0
BCNB = Path(__file__).parents[3] / "shared/data/bcnb/clinical/type-0.csv"


def counts(splits, classes=CLASSES):
    return Counter((split, classes[patient]) for patient, split in splits.items())


def test_shares_are_those_of_the_papers_within_each_class():
    splits = holdout(CLASSES, 0.2, 0.25, seed=0)
    assert list(splits) == list(CLASSES)
    assert counts(splits) == {
        ("test", "N0"): 8,
        ("val", "N0"): 8,
        ("train", "N0"): 24,
        ("test", "N(+)"): 4,
        ("val", "N(+)"): 4,
        ("train", "N(+)"): 12,
    }


def test_a_seed_divides_the_same_way_on_any_machine():
    splits = holdout({str(i): "N0" for i in range(10)}, 0.2, 0.25, seed=1)
    order = sorted(splits, key=lambda patient: ("test", "val", "train").index(splits[patient]))
    # printf '1\ntest\n3' | sha256sum, and so on: 3, 5, 6, 7, 8, 4, 9, 1, 2, 0
    assert {*order[:2]} == {"3", "5"}
    assert {*order[2:4]} == {"6", "7"}
    reordered = dict(reversed(CLASSES.items()))
    assert holdout(reordered, 0.2, 0.25, seed=0) == holdout(CLASSES, 0.2, 0.25, seed=0)
    assert holdout(CLASSES, 0.2, 0.25, seed=0) != holdout(CLASSES, 0.2, 0.25, seed=1)


def test_each_patient_is_tested_once_and_folds_are_even():
    folds = k_folds(CLASSES, 7, 0.25, seed=3)
    tested = [patient for splits in folds for patient, split in splits.items() if split == "test"]
    assert sorted(tested) == sorted(CLASSES)
    assert {sum(split == "test" for split in splits.values()) for splits in folds} == {8, 9}
    for splits in folds:
        found = counts(splits)
        assert found["test", "N(+)"] in (2, 3)
        assert found["test", "N0"] in (5, 6)
        assert {split for split, _ in found} == {"train", "val", "test"}


def test_a_class_too_small_to_be_in_all_parts_is_refused():
    few = CLASSES | {"Q1": "N+(>2)", "Q2": "N+(>2)"}
    with pytest.raises(CohortError, match=r"\(>2\) has too few patients \(2\) for 3 parts") as caught:
        holdout(few, 0.2, 0.25, seed=0)
    assert caught.value.next_step == "Add patients of it, or stratify by label."
    with pytest.raises(CohortError, match=r"N\(\+\) has too few patients \(20\) for 21 parts") as caught:
        k_folds(CLASSES, 21, 0.25, seed=0)
    assert caught.value.next_step == "Add patients of it, or ask for fewer folds."
    with pytest.raises(CohortError, match="class N0") as caught:
        holdout({"1": "N0", "2": "N(+)"}, 0.2, 0.25, seed=0)
    assert caught.value.next_step == "Add patients of it."


def test_extreme_shares_leave_every_part_a_patient_of_each_class():
    for share in (0.01, 0.99):
        splits = holdout({f"{c}{i}": c for c in "ab" for i in range(3)}, share, share, seed=0)
        assert Counter(splits.values()) == {"train": 2, "val": 2, "test": 2}


def rows(**update):
    return [CohortRow(patient_id=p, label=c, **update) for p, c in CLASSES.items()]


def test_all_slides_of_a_patient_go_together_and_the_unlabelled_nowhere():
    several = [*rows(slide=Path("a.svs")), *rows(slide=Path("b.svs")), CohortRow(patient_id="X")]
    (splits,) = split_patients(several, SplitSettings())
    assert splits.keys() == CLASSES.keys()
    assert splits == holdout(CLASSES, 0.2, 0.25, 0)


def test_the_official_split_is_kept_or_refused_where_it_has_holes():
    official = SplitSettings(method="official")
    given = rows(split="train")
    assert split_patients(given, official) == [dict.fromkeys(CLASSES, "train")]
    given[4] = given[4].model_copy(update={"split": None})
    with pytest.raises(CohortError, match="1 of 60 patients have no split, P4 among them"):
        split_patients(given, official)


def test_three_classes_need_nodes_or_the_class():
    with pytest.raises(CohortError, match="No patient has a aln_class"):
        split_patients([CohortRow(patient_id="1", label="N(+)")], SplitSettings(stratify_by="aln_class"))
    nodes = [CohortRow(patient_id=str(i), n_positive_nodes=i % 4) for i in range(40)]
    (splits,) = split_patients(nodes, SplitSettings(stratify_by="aln_class"))
    assert counts(splits, {row.patient_id: row.aln_class for row in nodes})["test", "N+(1-2)"] == 4


@pytest.mark.skipif(not BCNB.exists(), reason=f"the BCNB patients are not at {BCNB}")
def test_the_real_cohort_divides_as_the_papers_say():
    frame = pd.read_csv(BCNB, dtype={"p_id": str})
    classes = {p: "N(+)" if label else "N0" for p, label in zip(frame.p_id, frame.label, strict=True)}
    found = counts(holdout(classes, 0.2, 0.25, seed=0), classes)
    assert found == {  # 655 N0 and 403 N(+)
        ("test", "N0"): 131,
        ("val", "N0"): 131,
        ("train", "N0"): 393,
        ("test", "N(+)"): 81,
        ("val", "N(+)"): 80,
        ("train", "N(+)"): 242,
    }
