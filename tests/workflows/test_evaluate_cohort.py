"""Results on another cohort and the labels of its table: whose is what, who is left out, which thresholds."""

import json
import shutil

import numpy as np
import pytest
from made_results import Made, hash_of, write_results, write_training
from tests_shared import collect, drain, write_slide

from napari_aln.errors import CohortError, StoreError, UsageError
from napari_aln.evaluation import auc_interval
from napari_aln.mil.bundle import open_bundle
from napari_aln.settings.evaluation import EvaluateSettings
from napari_aln.slides import open_slide
from napari_aln.workflows.evaluation.cohort_scores import score_cohort
from napari_aln.workflows.evaluation.evaluate_cohort import evaluate_on_cohort
from napari_aln.workflows.review.worklist import PATIENT_RULE

SCORES = {"01": 0.1, "02": 0.9, "03": 0.3, "04": 0.35, "05": 0.6, "06": 0.8}
UNKNOWN = "It is not known what"


def table(path, rows, columns="patient_id,label"):
    path.write_text("\n".join([columns, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


@pytest.fixture
def cohort(tmp_path):
    """Return a table of six patients; those of even number are N(+)."""
    return table(tmp_path / "cohort.csv", [(one, ("N0", "N(+)")[int(one) % 2 == 0]) for one in SCORES])


def results(tmp_path, made=None, **how):
    slides = made or [Made(f"s{one}.svs", one, score) for one, score in SCORES.items()]
    return write_results(tmp_path / how.pop("name", "results"), slides, **how)


def notes_of(found):
    return [note for note in found.found.notes if not note.startswith(UNKNOWN)]


def test_results_meet_the_labels_of_their_patients(cohort, tmp_path):
    found = drain(score_cohort([results(tmp_path)], cohort))
    (scored,) = found.models
    assert scored.patients == tuple(SCORES)
    assert scored.positive_scores == pytest.approx(list(SCORES.values()))
    assert scored.positive.tolist() == [int(one) % 2 == 0 for one in SCORES]
    assert [(p.name, p.threshold, p.chosen_on) for p in found.points["their model"]] == [
        ("Youden", 0.4, "card")
    ]
    assert notes_of(found) == []
    made = found.found.made_by
    assert made["patients"] == {
        "in_table": 6,
        "unlabelled": 0,
        "without_result": 0,
        "learned_from": 0,
        "judged": 6,
    }
    assert (made["models"][0]["model_sha256"], len(made["models"][0]["made_with"])) == ("a" * 64, 1)
    assert len(made["slides"]) == 6
    assert [one["role"] for one in found.found.inputs] == ["results", "cohort", "model"]


def test_a_cohort_is_judged_as_a_training_is_and_at_the_points_of_the_card(tmp_path):
    """Also where the table has a validation split: it is not what thresholds were chosen on."""
    rows = [
        (one, ("N0", "N(+)")[int(one) % 2 == 0], split, 40 + int(one), "ab"[int(one) > 3])
        for split, names in (("val", ("11", "12")), ("test", SCORES))
        for one in names
    ]
    cohort = table(tmp_path / "cohort.csv", rows, "patient_id,label,split,age (years),scanner")
    scores = SCORES | {"11": 0.7, "12": 0.75}
    folder = results(tmp_path, [Made(f"s{one}.svs", one, score) for one, score in scores.items()])
    settings = EvaluateSettings(bootstraps=100, threshold=0.25, subgroups=["scanner"])
    steps, found = collect(evaluate_on_cohort([folder], cohort, tmp_path / "out", settings))
    assert all(step.done <= step.total for step in steps)
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    performance = record["tables"]["performance"]
    assert [(row["cohort"], row["operating_point"]["name"]) for row in performance] == [
        (cohort, point) for cohort in ("val", "test") for point in ("0.5", "0.25 (given)", "Youden")
    ]
    test = performance[-1]
    label = [int(one) % 2 == 0 for one in SCORES]
    assert test["auc"]["value"] == auc_interval(label, list(SCORES.values())).value
    assert (test["operating_point"]["threshold"], test["counts"]) == (
        0.4,
        {"tp": 2, "fp": 1, "fn": 1, "tn": 2},
    )
    assert {row["value"] for row in record["tables"]["subgroups"]} >= {"a", "b"}
    assert not any("left out" in note for note in found.notes)
    page = (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert "Youden (card: 0.400)" in page
    assert "Research use only" in page


def test_a_patient_of_several_slides_has_their_mean(cohort, tmp_path):
    made = [Made(f"s{one}.svs", one, score) for one, score in SCORES.items()]
    folder = results(tmp_path, [*made, Made("more.svs", "01", 0.5), Made("damaged.svs", "02", None)])
    found = drain(score_cohort([folder], cohort))
    assert found.models[0].positive_scores[:2] == pytest.approx([0.3, 0.9])
    assert notes_of(found) == [
        "1 patient (02) judged without those of their slides that have no result.",
        PATIENT_RULE,
    ]


def test_who_is_left_out_is_counted_and_named(tmp_path):
    rows = [("01", "N0"), ("02", "N(+)"), ("03", ""), ("04", "N(+)"), ("05", "N0"), ("06", "N(+)")]
    cohort = table(tmp_path / "cohort.csv", rows)
    made = [Made(f"s{one}.svs", one, SCORES[one]) for one in ("01", "02", "03", "05")]
    folder = results(tmp_path, [*made, Made("s04.svs", "04", None), Made("other.svs", "7", 0.2)])
    shutil.rmtree(folder / "result-4")
    found = drain(score_cohort([folder], cohort))
    assert found.models[0].patients == ("01", "02")
    assert notes_of(found) == [
        "1 patient (03) left out: no label of N0, N(+).",
        "3 patients (04, 05, 06) left out: no result; cohort.html of the results says why.",
        "1 result (other.svs) not used: of no patient known.",
    ]
    assert [row["n"] for row in found.found.tables[0].numbers] == [6, 1, 3, 0, 2]


def test_private_results_are_told_by_case_id_or_by_content(tmp_path):
    rng = np.random.default_rng(0)
    slides = [
        write_slide(tmp_path / f"Doe {n}.tif", rng.integers(0, 255, (300, 300, 3)).astype(np.uint8))
        for n in range(2)
    ]
    rows = [
        ("Doe 1", "N0", "c 1", "gone.tif"),
        ("Doe 2", "N(+)", "c2", "gone2.tif"),
        ("Doe 2", "N(+)", "c2", "gone3.tif"),
        ("Doe 3", "N0", "", slides[0].name),
        ("Doe 4", "N(+)", "", slides[1].name),
        ("Doe 5", "", "", ""),
    ]
    cohort = table(tmp_path / "cohort.csv", rows, "patient_id,label,case_id,slide")
    hashes = []
    for path in slides:
        with open_slide(path) as slide:
            hashes.append(slide.info.quick_hash)
    made = [
        Made("c_1", "", 0.1),
        Made("c2-1", "", 0.7),
        Made("c2-2", "", 0.9),
        Made("", "", 0.3, hashes[0]),
        Made("", "", 0.6, hashes[1]),
        Made("", "", 0.6, "f" * 64),
        Made("slide 7", "", None),
    ]
    folder = results(tmp_path, made, private=True)
    found = drain(score_cohort([folder], cohort, private=True))
    (scored,) = found.models
    assert dict(zip(scored.patients, scored.positive_scores, strict=True)) == pytest.approx(
        {"Doe 1": 0.1, "Doe 2": 0.8, "Doe 3": 0.3, "Doe 4": 0.6}
    )
    assert scored.model == "model 1"
    assert notes_of(found) == [
        "1 patient left out: no label of N0, N(+).",
        "1 result not used: of no patient known.",
        PATIENT_RULE,
    ]
    assert "Doe" not in json.dumps(found.found.made_by)


def test_slides_of_a_folder_are_told_by_their_files_and_two_of_one_name_by_nothing(tmp_path):
    rows = [
        ("01", "N0", "a/s1.svs"),
        ("02", "N(+)", "b/s2.svs"),
        ("s3", "N(+)", ""),
        ("04", "N0", "c/s2.svs"),
    ]
    cohort = table(tmp_path / "cohort.csv", rows, "patient_id,label,slide")
    folder = results(tmp_path, [Made(f"s{n}.svs", "", n / 10) for n in (1, 2, 3)])
    found = drain(score_cohort([folder], cohort))
    assert found.models[0].patients == ("01", "s3")
    assert "1 result (s2.svs) not used: of no patient known." in found.found.notes


def test_ids_are_text_and_a_table_of_others_is_refused(tmp_path):
    cohort = table(tmp_path / "cohort.csv", [("1", "N0"), ("2", "N(+)")])
    with pytest.raises(
        CohortError, match=r"0 can be judged; .*, 2 without result.* known: 6 \(s01.svs.*1 more"
    ):
        drain(score_cohort([results(tmp_path)], cohort))


def test_patients_whom_a_model_learned_from_are_left_out(cohort, tmp_path, ws_bundle):
    """Those of its own test stay; a record of a time before splits stood in it counts whole."""
    path = shutil.copy(ws_bundle, tmp_path / "theirs.alnmodel")
    bundle = open_bundle(path)
    model = {"model_sha256": bundle.sha256, "card_sha256": bundle.card_sha256}
    folder = results(tmp_path, **model)
    split_of = {"01": "train", "02": "val", "03": "test", "04": None}
    hashes = {hash_of(f"s{one}.svs"): split for one, split in split_of.items()}
    write_training(path, bundle.sha256, hashes)
    found = drain(score_cohort([folder], cohort))  # it lies beside the results
    assert found.models[0].patients == ("03", "05", "06")
    assert found.found.notes == ["3 patients (01, 02, 04) left out: a model learned from their slides."]
    assert [p.threshold for p in found.points["their model"]] == [
        one.value for one in bundle.card.thresholds if one.value != 0.5
    ] or [0.4]
    training = path.with_name("theirs.training") / "training.json"
    training.write_text(training.read_text().replace(bundle.sha256, "0" * 64))
    again = drain(score_cohort([folder], cohort))
    assert len(again.models[0]) == 6
    assert again.found.notes[0].startswith(UNKNOWN)


def test_a_model_that_is_named_is_judged_alone(cohort, tmp_path, ws_bundle):
    bundle = open_bundle(ws_bundle)
    theirs = {"model_sha256": bundle.sha256, "card_sha256": bundle.card_sha256, "model_name": "second"}
    folders = [results(tmp_path), results(tmp_path, name="more", **theirs)]
    both = drain(score_cohort(folders, cohort))
    assert [scored.model for scored in both.models] == ["their model", "second"]
    (alone,) = drain(score_cohort(folders, cohort, [ws_bundle])).models
    assert alone.model == "second"
    with pytest.raises(UsageError, match=r"None of the models given made the results, .* their model \(aaaa"):
        drain(score_cohort(folders[:1], cohort, [ws_bundle]))


def test_several_models_are_judged_on_the_patients_of_all(cohort, tmp_path):
    few = [Made(f"s{one}.svs", one, 0.5) for one in list(SCORES)[:4]]
    folders = [results(tmp_path, modes=("dlcnbc", "dlcnbc-ws")), results(tmp_path, few, name="few")]
    found = drain(score_cohort(folders, cohort))
    assert [len(scored) for scored in found.models] == [4, 4, 4]
    assert [scored.model for scored in found.models] == [f"their model ({n})" for n in (1, 2, 3)]
    assert set(found.points) == {scored.model for scored in found.models}


def test_results_of_different_models_are_refused_and_of_different_settings_told(cohort, tmp_path):
    made = [Made(f"s{one}.svs", one, score) for one, score in SCORES.items()]
    made[0] = made[0]._replace(changes={"seed": 7, "clinical_filled": {"er": True}, "device": "cuda"})
    found = drain(score_cohort([results(tmp_path, made)], cohort))
    assert notes_of(found) == [
        "their model: its results were made with different seed (0, 7).",
        "their model: missing clinical values were filled in on 1 slide.",
    ]
    made[0] = made[0]._replace(changes={"card_sha256": "0" * 64})
    with pytest.raises(StoreError, match=r"results of dlcnbc-ws in .* were made by different models"):
        drain(score_cohort([results(tmp_path, made, name="mixed")], cohort))


def test_three_classes_take_theirs(tmp_path):
    classes = ("N0", "N+(1-2)", "N+(>2)")
    rows = [(f"{n}", classes[n % 3]) for n in range(6)]
    cohort = table(tmp_path / "cohort.csv", [*rows, ("6", "N(+)")])
    made = [Made(f"s{n}.svs", f"{n}", (0.2, 0.3, 0.5)) for n in range(7)]
    found = drain(score_cohort([results(tmp_path, made, classes=classes)], cohort))
    assert found.models[0].labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert found.points["their model"] == []
    assert notes_of(found) == ["1 patient (6) left out: no label of N0, N+(1-2), N+(>2)."]
    work = evaluate_on_cohort(
        [tmp_path / "results"], cohort, tmp_path / "out", EvaluateSettings(bootstraps=100)
    )
    assert {table.name for table in drain(work).tables} == {"patients", "models", "overall", "classes"}
    assert "the most probable class" in (tmp_path / "out" / "models.csv").read_text(encoding="utf-8-sig")


def test_one_class_alone_is_refused(cohort, tmp_path):
    folder = results(tmp_path, [Made(f"s{one}.svs", one, 0.5) for one in ("01", "03")])
    work = evaluate_on_cohort([folder], cohort, tmp_path / "out", EvaluateSettings())
    with pytest.raises(
        CohortError, match=r"2 can be judged, and none of them is N\(\+\); .* 4 without result"
    ):
        drain(work)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, "patient_id,label\n01,N0\n"])
def test_a_folder_that_predict_did_not_write_is_refused(cohort, tmp_path, content):
    folder = tmp_path / "other"
    folder.mkdir()
    if content:
        (folder / "cohort.csv").write_text(content)
    with pytest.raises(StoreError, match="holds no summary of a cohort"):
        drain(score_cohort([folder], cohort))


def test_a_place_that_leads_out_of_the_folder_is_not_read(cohort, tmp_path):
    folder = results(tmp_path)
    (folder / "result-1").rename(tmp_path / "elsewhere")
    summary = folder / "cohort.csv"
    summary.write_text(summary.read_text(encoding="utf-8-sig").replace("result-1", "../elsewhere"))
    assert "01" not in drain(score_cohort([folder], cohort)).models[0].patients
