"""What ships under sample_data: small, honest about itself, and good for the main job."""

import json

import pytest
import shapely

import napari_aln
from napari_aln.annotations import read_regions
from napari_aln.cohort.table import find_patient, read_cohort
from napari_aln.mil.bundle import verify
from napari_aln.workflows.demo import BUNDLES, CLINICAL, ROI, SLIDE, sample_path


@pytest.mark.parametrize("name", BUNDLES)
def test_a_demo_bundle_says_what_it_is(name):
    bundle = verify(sample_path(name))
    card = bundle.card
    assert sample_path(name).stat().st_size <= 5_000_000
    assert "Demonstration model, trained on synthetic tissue, no clinical meaning" in card.description
    assert "trained on synthetic patch labels" in card.description
    assert card.intended_use.startswith("Research use only")
    assert card.weights_dtype == "fp16"
    assert card.precision_check.n_patches > 100
    assert card.training_cohort.stain is not None
    assert card.threshold.operating_point == "Youden"
    (auc,) = (m for m in card.metrics if m.name == "AUC" and m.cohort == "test")
    assert auc.n >= 60
    assert auc.value >= 0.85


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
    assert ws.probability[~ws.in_roi].mean() < 0.3
    # It was told of no region, and looks at the tumour: a patch there gets over twice as much attention.
    assert ws.attention_slide[ws.in_roi].mean() > 2 * ws.attention_slide[~ws.in_roi].mean()
