"""Encoder, models and figures of the demonstration, end to end on a tiny synthetic cohort."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tests_shared import collect, drain

import napari_aln
from napari_aln.cohort.table import find_patient, read_cohort, write_cohort
from napari_aln.errors import CohortError, StoreError
from napari_aln.evaluation.auc import roc_auc
from napari_aln.mil.bundle import open_bundle
from napari_aln.settings.cohorts import SplitSettings, SynthesizeSettings
from napari_aln.settings.training import PretrainSettings, RecipeSettings
from napari_aln.workflows.demo import CLINICAL, ROI, SLIDE
from napari_aln.workflows.training import train_demo as workflow
from napari_aln.workflows.training.encoder_weights import trained_encoder
from napari_aln.workflows.training.find_tumour import NAMES
from napari_aln.workflows.training.measure_model import Checked
from napari_aln.workflows.training.pretrain_encoder import pretrain_encoder
from napari_aln.workflows.training.train_demo import COHORT_NAME, MODELS, DemoSettings, train_demo

TINY = SynthesizeSettings(core_width_um=(400, 450), core_length_um=(700, 800))
SPLIT = SplitSettings(test_share=0.3, val_share=0.4, stratify_by="aln_class")
QUICK = PretrainSettings(patches_per_slide=4, steps=3, whole_steps=1, batch=8)
SETTINGS = DemoSettings(TINY, SPLIT, TINY, QUICK, RecipeSettings(epochs=2, bags_per_epoch=1))
PATIENTS, SEED = 14, 7


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_aln.workflows.training.bundle.checked_on", _unchecked)
        seen, figures = collect(train_demo(folder, PATIENTS, SEED, settings=SETTINGS))
    return folder, seen, figures


def _unchecked(bundle, rows):
    yield from ()
    return Checked(bundle.card.precision_check, "attention_slide", ())


@pytest.mark.slow
def test_one_call_makes_slide_encoder_models_and_figures(made):
    folder, seen, figures = made
    for name, model in MODELS.items():
        card = open_bundle(folder / name).card
        assert (card.name, card.mode, len(card.classes)) == model
        assert card.weights_dtype == "fp16"
        assert card.licence == "CC0-1.0"
        assert "Demonstration model, trained on synthetic tissue, no clinical meaning" in card.description
        assert "trained on synthetic patch labels" in card.description
        of_test = {m.name: m for m in card.metrics if m.cohort == "test"}
        assert {"AUC", "ACC", "BRIER", "ECE"} <= set(of_test)
        if model.mode == "dlcnbc-ws":
            attention, on_tumour, patches = (of_test[name] for name in NAMES)
            assert 0 <= attention.value <= 1
            assert 0 < patches.value < 1
            assert attention.low <= attention.value <= attention.high
            assert on_tumour.n == patches.n
        else:
            assert not set(NAMES) & set(of_test)
    row = find_patient(read_cohort(folder / CLINICAL), "demo-slide")
    assert (row.slide, row.roi) == (folder / SLIDE, folder / ROI)
    assert row.slide.is_file()
    assert row.roi.is_file()
    text = figures.read_text("utf-8")
    auc = next(m for m in open_bundle(folder / "dlcnbc-demo.alnmodel").card.metrics if m.name == "AUC")
    assert f"| AUC | {auc.value:.3f} ({auc.low:.3f}–{auc.high:.3f}) |" in text
    assert {"draw slides", "read patches"} <= {p.step for p in seen}


@pytest.mark.slow
def test_attention_on_tumour_is_that_of_predict(made):
    folder, _, _ = made
    bundle = open_bundle(folder / "dlcnbc-ws-demo.alnmodel")
    found = []
    for row in read_cohort(folder / "cohort" / COHORT_NAME):
        if row.split == "test":
            with napari_aln.open_slide(row.slide) as slide:
                scores = napari_aln.predict(slide, bundle, row.roi, row.clinical).scores["dlcnbc-ws"]
            if scores.in_roi.any() and not scores.in_roi.all():
                mass = scores.attention_slide[scores.in_roi].sum() / scores.attention_slide.sum()
                found.append((roc_auc(scores.in_roi, scores.attention_slide), mass, scores.in_roi.mean()))
    measured = {m.name: m for m in bundle.card.metrics}
    for name, value in zip(NAMES, np.mean(found, axis=0), strict=True):
        assert measured[name].value == pytest.approx(value, abs=1e-3)
        assert measured[name].n == len(found)


@pytest.mark.slow
def test_what_is_there_is_not_made_again(made, monkeypatch):
    folder, _, figures = made
    for name in ("synthesize", "pretrain_encoder", "train_frozen"):
        monkeypatch.setattr(workflow, name, None)
    before = figures.read_text("utf-8")
    assert drain(train_demo(folder, PATIENTS, SEED, settings=SETTINGS)).read_text("utf-8") == before


@pytest.mark.slow
def test_the_models_hold_the_encoder_that_was_pretrained(made):
    folder, _, _ = made
    with safe_open(folder / "encoder.safetensors", "np") as file:
        assert f"6 training patients of {COHORT_NAME}" in file.metadata()["trained_on"]
        assert json.loads(file.metadata()["made_by"])["settings"]["seed"] is not None
        for name in MODELS:
            tensors = open_bundle(folder / name).tensors
            for key in file.keys():  # noqa: SIM118 - it is no mapping
                np.testing.assert_array_equal(tensors[f"encoder.{key}"], file.get_tensor(key))
    weights = trained_encoder(RecipeSettings(encoder_weights=folder / "encoder.safetensors"), "gap")
    assert all(torch.isfinite(p).all() for p in weights.encoder.parameters())


@pytest.fixture(scope="module")
def table(tiny_cohort):
    return tiny_cohort


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"slide": None}, "no slide of patient"),
        ({"roi": None}, "no truth of the nuclei of patient"),
        ({"split": "test"}, "has no training patient"),
    ],
)
def test_an_encoder_needs_slides_with_their_truth(table, tmp_path, change, told):
    write_cohort(tmp_path / "cohort.csv", [row.model_copy(update=change) for row in read_cohort(table)])
    with pytest.raises(CohortError, match=told):
        next(pretrain_encoder(tmp_path / "cohort.csv", tmp_path / "e.safetensors", QUICK))


def test_a_place_that_cannot_be_written_is_refused_before_the_work(table, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="could not be written"):
        next(pretrain_encoder(table, tmp_path / "file" / "e.safetensors", QUICK))


def test_closing_the_generator_leaves_no_weights(table, tmp_path):
    steps = pretrain_encoder(table, tmp_path / "e.safetensors", QUICK)
    next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []


def test_progress_names_misfit_and_sameness(table, tmp_path):
    seen, _ = collect(pretrain_encoder(table, tmp_path / "e.safetensors", QUICK))
    last = dataclasses.asdict(seen[-1])
    assert (last["done"], last["total"]) == (4, 4)
    assert "misfit" in last["step"]
    assert "renditions apart" in last["step"]
