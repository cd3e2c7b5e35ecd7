"""Maps of small random models over a tiny synthetic cohort: tables, figure, what is left out and refused."""

import json

import numpy as np
import pytest
from tests_shared import collect, drain

import napari_aln
from napari_aln.cohort.table import read_cohort, write_cohort
from napari_aln.errors import CohortError, StoreError, UsageError
from napari_aln.evaluation.auc import roc_auc
from napari_aln.mil.bundle import open_bundle
from napari_aln.mil.faithfulness import importance_order
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.settings.evaluation import MapSettings
from napari_aln.settings.prediction import PredictSettings
from napari_aln.store.features import FeatureCache
from napari_aln.workflows.evaluation.evaluate_maps import evaluate_maps
from napari_aln.workflows.predict import Request, predict_slide
from napari_aln.workflows.slide.networks import Engine
from napari_aln.workflows.slide.prepare import survey

SETTINGS = MapSettings(split="all", bootstraps=200, random_orders=5)
PREDICTING = PredictSettings.model_validate({"engine": {"device": "cpu", "precision": "fp32"}})


@pytest.fixture(scope="module")
def table(tiny_cohort, tmp_path_factory):
    """Return the table of four of the synthetic patients."""
    path = tmp_path_factory.mktemp("maps") / "cohort.csv"
    write_cohort(path, read_cohort(tiny_cohort)[:4])
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return FeatureCache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def judged(table, cache, ws_bundle, roi_bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("judged") / "out"
    bundles = [open_bundle(ws_bundle), open_bundle(roi_bundle)]
    return (*collect(evaluate_maps(table, bundles, out, SETTINGS, PREDICTING, cache)), out)


def test_each_model_gets_its_tables_and_figure(judged):
    seen, found, out = judged
    assert {step.total for step in seen if step.step.startswith("maps of")} == {8}
    names = [one.name for one in found.tables]
    assert names == ["maps-random-dlcnbc-ws", "tumour-random-dlcnbc-ws", "maps-random-dlcnbc"]
    written = {path.name for path in out.iterdir()}
    for stem in (*names, "deletion-insertion-random-dlcnbc-ws", "deletion-insertion-random-dlcnbc"):
        kinds = ("svg", "png") if stem.startswith("deletion") else ("csv", "md")
        assert {f"{stem}.{kind}" for kind in kinds} <= written
    page = (out / "evaluation.html").read_text(encoding="utf-8")
    assert "<h1>Maps</h1>" in page
    assert RESEARCH_NOTICE in page
    maps = [row[0] for row in found.tables[0].rows]
    assert set(maps[:-1]) == {
        "attention (slide)",
        "attention (bag)",
        "contribution",
        "patch probability",
        "entropy",
    }
    assert maps[-1] == "random orders"
    assert not found.left_out
    record = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert [one["role"] for one in record["inputs"]] == ["cohort", "model", "model"]
    models = {one["sha256"] for one in record["inputs"][1:]}
    assert {one["model_sha256"] for one in record["slides"]} == models
    for one in record["slides"]:
        assert (one["mpp_origin"], one["device"], one["seed"]) == ("file", "cpu", record["settings"]["seed"])
        assert one["slide_quick_hash"]
        assert one["n_bags"] > 0
    assert record["predict_settings"]["engine"]["precision"]
    assert record["versions"]["torch"]
    assert record["machine"]["processor"]


def test_the_figures_are_those_of_predict_scored_bag_by_bag(judged, table, cache, ws_bundle):
    _, found, _ = judged
    bundle = open_bundle(ws_bundle)
    deleted, areas, aucs = [], [], []
    for row in read_cohort(table):
        request = Request([bundle], row.roi, clinical=row.clinical, settings=PREDICTING, cache=cache)
        with napari_aln.open_slide(row.slide) as slide:
            result = drain(predict_slide(slide, request, survey(slide)))
        scores, p_of = result.scores["dlcnbc-ws"], _pooled(bundle, result, row)
        toward = 1 if p_of(np.arange(len(scores.table))) >= 0.5 else -1
        order = importance_order("contribution", scores.contribution, toward)
        p = np.array([p_of(order[k:]) for k in range(len(order))])
        deleted.append((p if toward == 1 else 1 - p).mean())
        areas.append(scores.in_roi.mean())
        aucs.append(roc_auc(scores.in_roi, scores.attention_slide))
    numbers = {one["map"]: one for one in found.tables[0].numbers}
    assert numbers["contribution"]["deletion_area"]["value"] == pytest.approx(np.mean(deleted), abs=1e-6)
    tumour = {one["map"]: one for one in found.tables[1].numbers}["attention_slide"]
    assert 0 < np.mean(areas) < 1
    assert tumour["area_share"]["value"] == pytest.approx(np.mean(areas))
    assert tumour["auc"]["value"] == pytest.approx(np.mean(aucs), abs=1e-6)


def _pooled(bundle, result, row):
    """Return what scores some patches as one bag: the probability of N(+)."""
    from napari_aln.mil.clinical import encode
    from napari_aln.mil.scoring import PatchScorer

    features = result.features["dlcnbc-ws"]
    scorer = PatchScorer(bundle.head, features.h, features.e)
    vector, _ = encode(row.clinical, bundle.card.clinical)
    return lambda where: scorer.score_bags([where], vector)[0, 1]


def test_contribution_is_more_faithful_than_chance_in_a_random_model(judged):
    numbers = {one["map"]: one for one in judged[1].tables[0].numbers}
    assert numbers["contribution"]["gain"]["low"] > 0
    assert numbers["contribution"]["deletion_area"]["value"] < numbers["random"]["deletion_area"]
    assert numbers["contribution"]["insertion_area"]["value"] > numbers["random"]["insertion_area"]


def test_the_same_seed_gives_the_same_figures_from_the_cache(judged, table, cache, ws_bundle, tmp_path):
    bundles = [open_bundle(ws_bundle)]
    again = drain(evaluate_maps(table, bundles, tmp_path / "out", SETTINGS, PREDICTING, cache))
    assert [one.name for one in again.tables] == ["maps", "tumour"]  # one model: no suffix
    assert again.tables[0].numbers == judged[1].tables[0].numbers
    assert again.tables[1].numbers == judged[1].tables[1].numbers


def test_the_test_patients_are_judged_unless_others_are_named(table, cache, ws_bundle, tmp_path):
    bundles = [open_bundle(ws_bundle)]
    rows = read_cohort(table)
    write_cohort(
        tmp_path / "cohort.csv",
        [row.model_copy(update={"split": "test" if k == 1 else "train"}) for k, row in enumerate(rows)],
    )
    own = SETTINGS.model_copy(update={"split": None})
    found = drain(evaluate_maps(tmp_path / "cohort.csv", bundles, tmp_path / "out", own, PREDICTING, cache))
    assert {one["n"] for one in found.tables[0].numbers} == {1}
    assert "[" not in found.tables[0].rows[0][2]  # one patient has no interval
    none = SETTINGS.model_copy(update={"split": "val"})
    with pytest.raises(CohortError, match="no patient in the split val"):
        drain(evaluate_maps(tmp_path / "cohort.csv", bundles, tmp_path / "o", none, PREDICTING, cache))


def test_slides_of_one_patient_count_once_and_one_network_serves_all(table, ws_bundle, tmp_path, monkeypatch):
    made = []
    compile_network = Engine.compile
    monkeypatch.setattr(
        Engine, "compile", lambda self, bundle: made.append(bundle) or compile_network(self, bundle)
    )
    rows = read_cohort(table)
    twin = {"slide": rows[1].slide, "roi": rows[1].roi}
    write_cohort(tmp_path / "cohort.csv", [rows[0], rows[0].model_copy(update=twin), rows[2]])
    bundles = [open_bundle(ws_bundle)]
    found = drain(evaluate_maps(tmp_path / "cohort.csv", bundles, tmp_path / "out", SETTINGS, PREDICTING))
    assert {one["n"] for one in found.tables[0].numbers} == {2}
    assert any("3 slides of 2 patients" in note for note in found.tables[0].notes)
    assert len(made) == 1


def test_a_slide_that_fails_is_named_and_the_report_says_only_how_many(table, cache, ws_bundle, tmp_path):
    rows = read_cohort(table)
    broken = tmp_path / "broken slide.tif"
    broken.write_bytes(b"no slide")
    write_cohort(tmp_path / "cohort.csv", [*rows[:2], rows[2].model_copy(update={"slide": broken})])
    bundles = [open_bundle(ws_bundle)]
    out = tmp_path / "out"
    found = drain(evaluate_maps(tmp_path / "cohort.csv", bundles, out, SETTINGS, PREDICTING, cache))
    assert [lost.slide for lost in found.left_out] == ["broken slide.tif"]
    page = (out / "evaluation.html").read_text(encoding="utf-8")
    assert "1 slide could not be used" in page
    assert "broken slide" not in page
    assert rows[0].patient_id not in page
    write_cohort(tmp_path / "none.csv", [rows[2].model_copy(update={"slide": broken})])
    with pytest.raises(CohortError, match=r"No slide of .* could be used .*broken slide\.tif"):
        drain(evaluate_maps(tmp_path / "none.csv", bundles, tmp_path / "o", SETTINGS, PREDICTING, cache))


def test_models_without_maps_and_foreign_folders_are_refused(table, ws_bundle, make_bundle, tmp_path):
    for fields in ({"norm_statistics": "bag"}, {"pooling": "max"}):
        bundle = open_bundle(make_bundle("dlcnbc-ws", **fields))
        with pytest.raises(UsageError, match="no patch of it has a weight"):
            next(evaluate_maps(table, [bundle], tmp_path / "out", SETTINGS, PREDICTING))
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(StoreError, match="not a result of this program"):
        next(evaluate_maps(table, [open_bundle(ws_bundle)], tmp_path, SETTINGS, PREDICTING))
