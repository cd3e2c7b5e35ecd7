"""Aliases: one a patient, the same in all that is made of the same slides, and never twice."""

import csv
import json

from planted import N_PATIENTS, marked_folder, marked_table
from tests_shared import drain

from napari_aln import open_slide
from napari_aln.cohort.table import read_cohort
from napari_aln.store.result import patient_alias
from napari_aln.workflows.cohorts.aliases import patient_aliases


def test_patients_go_by_the_content_of_their_slides(tmp_path):
    rows = read_cohort(marked_table(marked_folder(tmp_path)), several_slides=True)
    aliases = drain(patient_aliases(rows))
    assert list(aliases) == list(dict.fromkeys(row.patient_id for row in rows))
    with open_slide(rows[0].slide) as slide:
        assert aliases[rows[0].patient_id] == patient_alias([slide.info.quick_hash])  # not of the damaged one
    assert len(set(aliases.values())) == len(aliases)
    assert aliases[rows[-1].patient_id] == f"patient-{N_PATIENTS + 1}"  # whose slide is another's, too
    nobody = rows[0].model_copy(update={"slide": None})
    assert drain(patient_aliases([nobody])) == {nobody.patient_id: "patient-1"}


def test_splits_and_scores_that_are_passed_on_fit_together(call, tmp_path):
    table, tables = marked_table(marked_folder(tmp_path)), []
    for command in ("split", "baseline"):
        tables.append(tmp_path / f"{command}.csv")
        assert call("cohort", command, table, tables[-1], "--private") == 0
    split, scores = (list(csv.DictReader(path.open(encoding="utf-8-sig"))) for path in tables)
    assert len(split) == N_PATIENTS + 1
    assert {line["slide"] + line["roi"] + line["site"] for line in split} == {""}
    labels = {line["patient_id"]: line["label"] for line in split}
    assert len(scores) == N_PATIENTS
    assert all(labels[line["patient_id"]] == line["label"] for line in scores)
    for path in tables:
        made_by = json.loads(path.with_name(f"{path.name}.json").read_bytes())
        assert made_by["input"]["name"] is None
        assert len(made_by["input"]["sha256"]) == 64
