"""What ships under sample_data: small, honest about itself, and good for the main job."""

import json
from pathlib import Path

import pytest
import shapely

import napari_aln
from napari_aln.annotations import read_regions
from napari_aln.cohort.table import find_patient, read_cohort
from napari_aln.mil.bundle import open_bundle
from napari_aln.nuclei.bundle import open_nucleus_bundle
from napari_aln.nuclei.network import MAX_PARAMETERS, parameter_count
from napari_aln.nuclei.segmentation import MODEL_NAME
from napari_aln.records import Clinical, Region
from napari_aln.workflows.demo import BUNDLES, CLINICAL, ROI, SLIDE, THREE_CLASS, sample_path
from napari_aln.workflows.training.find_tumour import NAMES


@pytest.mark.parametrize("name", [*BUNDLES, THREE_CLASS])
def test_a_demo_bundle_says_what_it_is(name):
    bundle = open_bundle(sample_path(name))
    bundle.network()
    card = bundle.card
    assert sample_path(name).stat().st_size <= 2_000_000
    assert "Demonstration model, trained on synthetic tissue, no clinical meaning" in card.description
    assert "trained on synthetic patch labels" in card.description
    assert card.intended_use.startswith("Research use only")
    assert card.weights_dtype == "fp16"
    assert card.precision_check.n_patches > 100
    assert card.training_cohort.stain is not None
    assert len(card.map_faithfulness) >= 3
    assert [c for c in card.classes if c != "N0"] == (
        ["N+(1-2)", "N+(>2)"] if name == THREE_CLASS else ["N(+)"]
    )
    of_test = {m.name: m for m in card.metrics if m.cohort == "test"}
    assert of_test["AUC"].n >= 60
    assert of_test["AUC"].low < of_test["AUC"].value < of_test["AUC"].high
    assert {"ACC", "BRIER", "ECE"} <= set(of_test)
    if name == THREE_CLASS:
        assert of_test["AUC"].value >= 0.7
    else:
        assert card.threshold.operating_point == "Youden"
        assert of_test["AUC"].value >= 0.85
    if card.mode == "dlcnbc-ws":
        attention, on_tumour, patches = (of_test[figure] for figure in NAMES)
        assert attention.value >= 0.8
        assert on_tumour.value > patches.value
    shown = sample_path("figures.md").read_text(encoding="utf-8")
    assert f"{of_test['AUC'].value:.3f} ({of_test['AUC'].low:.3f}–" in shown
    assert shown.strip() in sample_path("README.md").read_text(encoding="utf-8")


def test_the_nucleus_model_says_what_it_learned_from_and_how_well_it_does():
    bundle = open_nucleus_bundle(sample_path(MODEL_NAME))
    card = bundle.card
    assert sample_path(MODEL_NAME).stat().st_size <= 2_000_000
    assert parameter_count(bundle.network()) <= MAX_PARAMETERS
    assert card.licence == "CC0-1.0"
    assert {source.name for source in card.sources} == {"synthetic", "dsb", "self-labelled"}
    of = {figures.source.name: figures for figures in card.metrics}
    breast = of["monuseg_breast"]
    shown = sample_path("README.md").read_text(encoding="utf-8")
    assert f"| {breast.f1:.3f} / {breast.aji:.3f} / {breast.pq:.3f} |" in shown
    assert "learned from" in of["dsb"].remarks


def test_the_demo_slide_is_small_has_a_resolution_and_its_roi_lies_on_it():
    assert sample_path(SLIDE).stat().st_size <= 6_000_000
    with napari_aln.open_slide(sample_path(SLIDE)) as slide:
        assert slide.info.mpp == pytest.approx((0.5, 0.5))
        width, height = slide.info.size_px
    regions = read_regions(sample_path(ROI))
    assert regions
    union = shapely.union_all([region.geometry for region in regions])
    assert shapely.box(0, 0, width, height).contains(union)
    assert json.loads(sample_path(ROI).read_text(encoding="utf-8"))["type"] == "FeatureCollection"


def test_both_models_call_the_demo_slide_positive_and_see_the_tumour():
    row = find_patient(read_cohort(sample_path(CLINICAL)), "demo-slide")
    assert row.label == "N(+)"
    with napari_aln.open_slide(sample_path(SLIDE)) as slide:
        result = napari_aln.predict(
            slide, [sample_path(name) for name in BUNDLES], sample_path(ROI), row.clinical
        )
    assert [run.prediction for run in result.runs] == ["N(+)", "N(+)"]
    assert not result.warnings
    ws = result.scores["dlcnbc-ws"]
    assert ws.probability[ws.in_roi].mean() > 0.7
    assert ws.probability[~ws.in_roi].mean() < 0.5  # of patches that say nothing
    # It was told of no region, and looks at the tumour: a patch there gets over twice as much attention.
    assert ws.attention_slide[ws.in_roi].mean() > 2 * ws.attention_slide[~ws.in_roi].mean()


def test_the_same_real_slide_stored_twice_gets_the_same_answer():
    """An Aperio SVS and its recompressed DICOM twin; real tissue, of which the models know nothing."""
    slides = Path(__file__).parents[3] / "shared" / "data" / "slides"
    twins = slides / "CMU-1-Small-Region.svs", slides / "cmu-1-small-region-dicom"
    if not all(path.exists() for path in twins):
        pytest.skip(f"the real slides {slides} are not here")
    region = Region(shapely.box(200, 300, 2000, 2700))
    patient = Clinical(age_years=58, tumor_size_cm=2.1, er=True, pr=False, her2=False)
    found = []
    for path in twins:
        with napari_aln.open_slide(path) as slide:
            result = napari_aln.predict(slide, [sample_path(name) for name in BUNDLES], [region], patient)
        found.append([run.probabilities["N(+)"] for run in result.runs])
    assert found[0] == pytest.approx(found[1], abs=0.02)
