"""The cohort check: each thing that would spoil a training is found, and nothing where all is well."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from bcnb_download import SIZE_PX, write_download
from tests_shared import collect, drain

from napari_aln.cohort.bags import bags_beside, read_bags, write_bags
from napari_aln.cohort.table import read_cohort, write_cohort
from napari_aln.errors import CohortError
from napari_aln.workflows.cohorts.check_cohort import check_cohort
from napari_aln.workflows.cohorts.import_bcnb import import_bcnb


@pytest.fixture
def table(tmp_path) -> Path:
    drain(import_bcnb(write_download(tmp_path / "bcnb"), tmp_path / "cohort.csv", 0.5))
    return tmp_path / "cohort.csv"


def rewritten(table: Path, change) -> Path:
    """Change rows, given by patient id as a dict of lists, and write the table anew."""
    rows = {row.patient_id: [row] for row in read_cohort(table)}
    change(rows)
    write_cohort(table, [row for mine in rows.values() for row in mine])
    return table


def set_cells(patient_id: str, /, **cells):
    def change(rows):
        rows[patient_id] = [row.model_copy(update=cells) for row in rows[patient_id]]

    return change


def found(table: Path) -> list[tuple[str, str, str]]:
    return [(f.severity, f.where, f.fact) for f in drain(check_cohort(table)).findings]


def test_a_good_cohort_has_no_finding_and_is_counted(table):
    seen, checked = collect(check_cohort(table))
    assert [(p.done, p.total) for p in seen if p.step == "check slides"] == [(i, 6) for i in range(6)]
    assert checked.findings == ()
    assert checked.n_errors == 0
    assert (checked.n_patients, checked.n_slides, checked.n_lines) == (6, 6, 6)
    assert checked.unused_columns == ()
    assert checked.patients == Counter(
        {
            ("train", "N0"): 1,
            ("train", "N+(1-2)"): 1,
            ("val", "N0"): 1,
            ("val", "N+(>2)"): 1,
            ("test", "N0"): 1,
            ("test", "N+(1-2)"): 1,
        }
    )


def test_a_patient_in_two_splits_is_an_error(table):
    def leak(rows):
        rows["1"].append(rows["1"][0].model_copy(update={"split": "test", "slide": rows["2"][0].slide}))
        rows["2"][0] = rows["2"][0].model_copy(update={"slide": None, "roi": None})

    checked = drain(check_cohort(rewritten(table, leak)))
    assert checked.n_errors == 1
    error = checked.findings[0]
    assert (error.severity, error.where, error.patient_ids) == ("error", "lines 2, 3", ("1",))
    assert "stands in train and test" in error.fact
    with pytest.raises(CohortError, match=r"patient 1 different values in different lines \(split\)"):
        read_cohort(table, several_slides=True)


def test_the_same_slide_under_two_patients_is_found_by_path_and_by_content(table):
    same_path = rewritten(table, lambda rows: set_cells("5", slide=rows["1"][0].slide)(rows))
    assert ("error", "lines 2, 6", "Patients 1, 5 have the same slide file.") in found(same_path)


def test_a_copied_slide_under_another_name_is_found_by_its_content(table):
    slides = table.parent / "bcnb" / "WSIs"
    shutil.copy(slides / "1.jpg", slides / "5.jpg")
    assert found(table) == [("error", "lines 2, 6", "Patients 1, 5 have slides of the same content.")]
    shutil.copy(slides / "2.jpg", slides / "2b.jpg")
    twice = rewritten(
        table,
        lambda rows: rows["2"].append(rows["2"][0].model_copy(update={"slide": slides / "2b.jpg"})),
    )
    assert ("warning", "lines 3, 4", "Patient 2 has several slides of the same content.") in found(twice)


@pytest.mark.parametrize("broken", ["gone", "empty", "text", "cut", "half"])
def test_a_slide_that_cannot_be_opened_is_an_error_with_its_line(table, broken):
    slide = table.parent / "bcnb" / "WSIs" / "3.jpg"
    if broken == "gone":
        slide.unlink()
    else:
        whole = slide.read_bytes()
        parts = {"empty": b"", "text": b"hello", "cut": whole[:300], "half": whole[: len(whole) // 2]}
        slide.write_bytes(parts[broken])
    checked = drain(check_cohort(table))
    assert checked.n_slides == 5
    assert [(f.severity, f.where, f.patient_ids) for f in checked.findings] == [("error", "line 4", ("3",))]
    assert "3.jpg" in checked.findings[0].fact
    assert checked.findings[0].next_step


def test_a_slide_without_resolution_is_an_error(table):
    (error,) = found(rewritten(table, set_cells("6", mpp=None)))
    assert error == ("error", "line 7", "6.jpg states no µm/px.")


@pytest.mark.parametrize(
    ("text", "severity", "told"),
    [
        ("{", "error", "neither JSON nor XML"),
        ('{"positive": [{"vertices": [[9000, 9000], [9100, 9000], [9100, 9100]]}]}', "error", "on the slide"),
        ('{"positive": [{"vertices": [[0, 0], [900, 0], [900, 400], [0, 400]]}]}', "warning", "outside"),
        ('{"positive": []}', "error", "holds no region"),
    ],
)
def test_outlines_that_do_not_parse_or_lie_off_the_slide(table, text, severity, told):
    (table.parent / "bcnb" / "WSIs" / "4.json").write_text(text)
    assert SIZE_PX == (640, 480)
    ((how, where, fact),) = found(table)
    assert (how, where) == (severity, "line 5")
    assert told in fact


def test_bad_cells_are_all_told_and_the_other_lines_still_checked(table):
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    lines[1] = lines[1].replace(",50.0,", ",500,")
    lines[4] = lines[4].replace(",5,N+(>2),", ",0,N+(>2),")
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (table.parent / "bcnb" / "WSIs" / "6.jpg").unlink()
    facts = {where: fact for severity, where, fact in found(table) if severity == "error"}
    assert "line 2, column age_years: '500'" in facts["line 2"]
    assert "line 5: 0 positive nodes contradict the status N(+)" in facts["line 5"]
    assert "6.jpg does not exist" in facts["line 7"]
    assert drain(check_cohort(table)).n_lines == 6


def no_nodes(label):
    return {"n_positive_nodes": None, "aln_class": None, "label": label}


@pytest.mark.parametrize(
    ("change", "severity", "where", "told"),
    [
        (set_cells("4", **no_nodes("N0")), "error", "column split", "split val holds N0 alone"),
        (
            set_cells("4", **no_nodes(None)),
            "warning",
            "column label",
            "1 of 6 patients have neither label nor",
        ),
        (set_cells("4", split=None), "warning", "column split", "1 of 6 labelled patients have no split: 4"),
        (set_cells("4", site="A"), "warning", "column site", "5 of 6 patients have no site"),
        (set_cells("4", tumor_size_cm=22.0), "warning", "line 5", "22 cm is unusual; mm, perhaps"),
        (set_cells("4", age_years=4.0), "warning", "line 5", "age of 4 years"),
        (set_cells("4", er="unknown", pr="unknown"), "warning", "columns er, pr", "Not known for 1 of 6"),
        (set_cells("4", roi=None), "warning", "column roi", "Not known for 1 of 6 patients: 4"),
        (
            set_cells("4", patient_id="05"),
            "warning",
            "lines 5, 6",
            "05, 5 differ in leading zeros or capitals",
        ),
    ],
)
def test_what_a_table_says_against_itself(table, change, severity, where, told):
    bags_beside(table).unlink()
    match = [f for f in found(rewritten(table, change)) if told in f[2]]
    assert [(how, place) for how, place, _ in match] == [(severity, where)]


def test_lines_are_named_in_their_order(tmp_path):
    path = tmp_path / "cohort.csv"
    path.write_text("patient_id,slide\n1,a.svs\n2,b.svs\n1,b.svs\n")
    assert ("error", "lines 3, 4", "Patients 1, 2 have the same slide file.") in found(path)


def test_an_equivocal_score_is_told_where_it_stands(tmp_path):
    path = tmp_path / "cohort.csv"
    path.write_text("patient_id,her2,label\n1,2+,N0\n2,unknown,N(+)\n3,2+,N(+)\n")
    match = [finding for finding in found(path) if "2+" in finding[2]]
    assert [(how, where) for how, where, _ in match] == [("warning", "lines 2, 4")]
    assert "counts as unknown: 2 patients" in match[0][2]


def test_one_class_alone_and_sites_of_one_class(table):
    bags_beside(table).unlink()

    def sites(rows):
        for patient_id, (row,) in rows.items():
            rows[patient_id] = [row.model_copy(update={"site": "A" if row.is_positive else "B"})]

    facts = [fact for _, _, fact in found(rewritten(table, sites))]
    assert facts == ["Sites with one class alone: A, B. A model may learn the site's stain instead."]
    assert drain(check_cohort(table)).sites == {"A": 3, "B": 3}

    def all_negative(rows):
        for patient_id in rows:
            set_cells(patient_id, **no_nodes("N0"), site=None)(rows)

    assert ("error", "column label", "All labelled patients are N0.") in found(rewritten(table, all_negative))


def test_a_table_without_any_split_is_told_once(table):
    def undivided(rows):
        for patient_id in rows:
            set_cells(patient_id, split=None)(rows)

    assert found(rewritten(table, undivided)) == [("warning", "column split", "No patient has a split.")]


def test_bags_are_held_against_the_table(table):
    rewritten(table, set_cells("2", **no_nodes("N0")))
    (table.parent / "bcnb" / "patches" / "5" / "5_0_0_0.jpg").unlink()
    bags = read_bags(table)
    train = next(bag for bag in bags if bag.split == "train")
    bags.append(train._replace(split="test"))
    here = table.parent / "bcnb"
    relative = [b._replace(patches=tuple(p.relative_to(here) for p in b.patches)) for b in bags]
    write_bags(bags_beside(table), relative, Path("bcnb"))
    errors = {(where, fact) for severity, where, fact in found(table) if severity == "error"}
    leak = f"Patient {train.patient_id} has bags in train and test: what was trained on would be tested on."
    assert ("bags type-0", leak) in errors
    assert ("bags type-0", "The bags of 1 patient have another label than the table: 2.") in errors
    assert ("bags", "The patches of 1 patient with bags are not there: 5.") in errors
    bags_beside(table).write_text("x")
    assert any("is no table of bags" in fact for _, _, fact in found(table))


def test_a_file_that_is_no_table_is_refused(tmp_path):
    with pytest.raises(CohortError, match="cannot be read"):
        drain(check_cohort(tmp_path / "none.csv"))
