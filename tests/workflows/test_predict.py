"""The main job, end to end, on a small drawn slide with random weights."""

import numpy as np
import pytest
import shapely
from tests_shared import drain, draw_tissue, write_slide

from napari_aln import open_slide, predict
from napari_aln.errors import AlnError, ClinicalError, MppError, RegionError, TissueError, UsageError
from napari_aln.mil.bundle import open_bundle
from napari_aln.records import Clinical, Region
from napari_aln.settings.engine import EngineSettings
from napari_aln.settings.patches import PatchSettings
from napari_aln.settings.prediction import BagSettings, PredictSettings
from napari_aln.store.features import FeatureCache
from napari_aln.workflows.predict import Request, predict_slide
from napari_aln.workflows.slide import extract as extract_module
from napari_aln.workflows.slide.prepare import survey

PATIENT = Clinical(age_years=61, tumor_size_cm=2.4, er=True, pr=False, her2=False)


@pytest.fixture
def slide(tissue_slide):
    with open_slide(tissue_slide) as opened:
        yield opened


def start(slide, *bundles, regions=None, clinical=PATIENT, cache=None, **settings):
    request = Request(
        [open_bundle(path) for path in bundles],
        regions=regions,
        clinical=clinical,
        settings=PredictSettings(**settings),
        cache=cache,
    )
    return predict_slide(slide, request, survey(slide))


def run(slide, *bundles, **asked):
    return drain(start(slide, *bundles, **asked))


def test_both_modes_share_grid_and_patches(slide, roi_bundle, ws_bundle, roi_file):
    result = predict(slide, [roi_bundle, ws_bundle], roi_file, PATIENT)
    roi, ws = (result.scores[mode] for mode in ("dlcnbc", "dlcnbc-ws"))
    assert roi.table.grid == ws.table.grid
    for record in result.runs:
        assert sum(record.probabilities.values()) == pytest.approx(1)
        assert all(0 <= p <= 1 for p in record.probabilities.values())
        assert list(record.probabilities) == ["N0", "N(+)"]
        assert record.n_bags >= 100
        assert record.precision == "fp32"  # the card records no check of bf16
    # Whole-slide patches lie on tissue, ROI patches lie inside by at least 0.7.
    x, y = ws.table.l0_xy.T + 128
    assert ((x > 500) & (x < 2500) & (y > 400) & (y < 1700)).all()
    assert ws.in_roi[np.isin(ws.table.cell, roi.table.cell)].all()
    assert not ws.in_roi[~np.isin(ws.table.cell, roi.table.cell)].any()
    for scores in (roi, ws):
        assert scores.attention_slide.mean() == pytest.approx(1)
        assert ((scores.probability >= 0) & (scores.probability <= 1)).all()


def test_the_seed_draws_the_bags_and_nothing_else(slide, ws_bundle):
    first, again, other = (predict(slide, ws_bundle, clinical=PATIENT, seed=seed) for seed in (0, 0, 1))
    assert first.runs[0].probabilities == again.runs[0].probabilities
    assert first.runs[0].probabilities != other.runs[0].probabilities
    np.testing.assert_array_equal(
        first.scores["dlcnbc-ws"].contribution, other.scores["dlcnbc-ws"].contribution
    )


def test_the_cache_gives_the_same_numbers_without_touching_pixels(slide, ws_bundle, tmp_path, monkeypatch):
    cache = FeatureCache(tmp_path)
    fresh = run(slide, ws_bundle, cache=cache)
    monkeypatch.setattr(extract_module, "decoded", lambda *_, **__: pytest.fail("pixels were read"))
    cached = run(slide, ws_bundle, cache=cache)
    assert cached.runs[0].probabilities == fresh.runs[0].probabilities
    np.testing.assert_array_equal(
        cached.scores["dlcnbc-ws"].attention_slide, fresh.scores["dlcnbc-ws"].attention_slide
    )


def test_a_run_that_was_cut_off_goes_on_where_it_stopped(slide, ws_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(extract_module, "SECONDS_BETWEEN_PARTS", 0.0)
    cache = FeatureCache(tmp_path)
    engine = EngineSettings(batch=4)
    work = start(slide, ws_bundle, cache=cache, engine=engine)
    total = next(step.total for step in work if step.done >= 8)
    work.close()
    resumed = start(slide, ws_bundle, cache=cache, engine=engine)
    left = next(resumed).total
    assert 0 < left <= total - 8
    assert drain(resumed).runs[0].probabilities == run(slide, ws_bundle, engine=engine).runs[0].probabilities


def test_a_grown_region_reads_only_the_new_patches(slide, roi_bundle, tmp_path):
    cache = FeatureCache(tmp_path)
    small = [Region(shapely.box(768, 512, 1536, 1280))]
    large = [Region(shapely.box(768, 512, 2048, 1280))]
    assert run(slide, roi_bundle, regions=small, cache=cache).runs[0].n_patches == 9
    work = start(slide, roi_bundle, regions=large, cache=cache)
    assert next(work).total == 6
    assert drain(work).runs[0].n_patches == 15


def test_the_result_does_not_depend_on_batch_or_threads(slide, ws_bundle):
    one = run(slide, ws_bundle, engine=EngineSettings(batch=1))
    many = run(slide, ws_bundle, engine=EngineSettings(batch=13, decode_threads=3))
    assert one.runs[0].probabilities == many.runs[0].probabilities


def test_reference_patching_cuts_regions_out(slide, roi_bundle):
    region = [Region(shapely.box(700, 500, 1500, 1300))]
    result = run(slide, roi_bundle, regions=region, patches=PatchSettings(roi_patching="reference"))
    table = result.scores["dlcnbc"].table
    # 800 px are three whole patches and a fourth of which 0.875 is white padding.
    np.testing.assert_allclose(table.l0_xy.min(axis=0), [700, 500])
    assert len(table) == 9
    assert result.scores["dlcnbc"].in_roi.all()


def test_statistics_of_the_bag_give_one_partition_and_no_slide_map(slide, make_bundle):
    bundle = make_bundle("dlcnbc-ws", encoder="resnet18", norm_statistics="bag")
    result = run(slide, bundle)
    (record,) = result.runs
    scores = result.scores["dlcnbc-ws"]
    assert record.n_partitions == 1
    assert record.n_bags == record.n_patches // 10
    assert record.default_map == "attention_bag"
    assert np.isnan(scores.attention_slide).all()
    in_bags = np.concatenate(result.bags["dlcnbc-ws"].bags)
    assert np.isfinite(scores.attention_bag[in_bags]).all()
    running = run(slide, make_bundle("dlcnbc-ws", encoder="resnet18"), bags=BagSettings(partitions=1))
    assert running.runs[0].probabilities != record.probabilities


def test_three_classes_and_an_image_only_model(slide, make_bundle):
    bundle = make_bundle("dlcnb", classes=("N0", "N+(1-2)", "N+(>2)"))
    result = run(slide, bundle, regions=[Region(shapely.box(600, 500, 2300, 1500))], clinical=None)
    (record,) = result.runs
    assert list(record.probabilities) == ["N0", "N+(1-2)", "N+(>2)"]
    assert record.threshold is None
    assert record.prediction == max(record.probabilities, key=record.probabilities.get)


def test_few_patches_make_one_small_bag_and_a_warning(slide, roi_bundle):
    result = run(slide, roi_bundle, regions=[Region(shapely.box(760, 500, 1300, 780))])
    assert result.runs[0].n_patches == 2
    assert result.runs[0].n_bags == 1
    assert "one small bag" in " ".join(result.runs[0].warnings)


def test_missing_clinical_values_are_filled_only_on_request(slide, ws_bundle):
    unknown = Clinical(age_years=50)
    with pytest.raises(ClinicalError, match="tumour size, ER, PR, HER2"):
        run(slide, ws_bundle, clinical=unknown)
    (record,) = run(slide, ws_bundle, clinical=unknown, fill_clinical=True).runs
    assert record.clinical_filled == {
        "tumor_size_cm": pytest.approx(2.2),
        "er": True,
        "pr": True,
        "her2": False,
    }
    (told,) = [text for text in record.warnings if "Filled from the training cohort" in text]
    assert "er = +" in told
    assert "True" not in told


def test_a_models_own_reduction_holds_unless_the_user_sets_another(slide, make_bundle):
    surest = make_bundle("dlcnbc-ws", reduction="max")
    result = run(slide, surest)
    bags = result.bags["dlcnbc-ws"].probabilities
    assert result.runs[0].probabilities["N(+)"] == bags[:, 1].max()
    asked = run(slide, surest, bags=BagSettings(reduction="mean"))
    assert asked.runs[0].probabilities["N(+)"] == pytest.approx(bags[:, 1].mean())


def test_a_models_own_filters_hold_unless_the_user_sets_others(slide, make_bundle):
    from napari_aln.mil.card import PatchFilters

    strict = make_bundle("dlcnbc-ws", patch_filters=PatchFilters(min_tissue_share=0.99))
    own = run(slide, strict).runs[0]
    asked = run(slide, strict, patches=PatchSettings(min_tissue_share=0.1)).runs[0]
    assert own.n_patches < asked.n_patches
    assert own.settings["patches"]["min_tissue_share"] == 0.99


def test_another_normalisation_is_another_entry_and_another_card(slide, make_bundle, tmp_path):
    cache = FeatureCache(tmp_path)
    plain, shifted = make_bundle("dlcnbc-ws"), make_bundle("dlcnbc-ws", mean=(0.6, 0.6, 0.6))
    assert open_bundle(plain).sha256 == open_bundle(shifted).sha256
    first, second = (run(slide, path, cache=cache).runs[0] for path in (plain, shifted))
    assert second.probabilities != first.probabilities
    assert second.probabilities == run(slide, shifted).runs[0].probabilities
    assert second.card_sha256 != first.card_sha256


def test_pen_enters_no_patch_of_either_mode(tmp_path, roi_bundle, ws_bundle):
    rgb = draw_tissue(np.random.default_rng(5))
    rgb[800:824, 500:2500] = (20, 40, 230)  # a blue line across the tissue, in grid row 3
    regions = [Region(shapely.box(600, 500, 2400, 1600))]
    with open_slide(write_slide(tmp_path / "penned.tif", rgb)) as slide:
        result = run(slide, roi_bundle, ws_bundle, regions=regions)
    for scores in result.scores.values():
        assert len(scores.table)
        assert 3 not in scores.table.row
    assert any(text.startswith("pen: ") for text in result.warnings)


def test_a_region_drawn_on_another_slide_is_named(slide, roi_bundle, tmp_path):
    from napari_aln.annotations import write_geojson

    regions = [Region(shapely.box(600, 500, 2300, 1500))]
    for slide_hash, expected in ((slide.info.quick_hash, False), ("0" * 64, True)):
        path = tmp_path / f"{slide_hash}.geojson"
        write_geojson(regions, path, mpp=slide.info.mpp, slide_hash=slide_hash)
        result = run(slide, roi_bundle, regions=path)
        assert any("drawn on another slide" in text for text in result.warnings) is expected


def test_a_slide_coarser_than_the_model_is_named(tmp_path, ws_bundle):
    path = write_slide(tmp_path / "coarse.tif", draw_tissue(np.random.default_rng(5)), mpp=1.0)
    with open_slide(path) as slide:
        result = run(slide, ws_bundle)
    assert any(text.startswith("coarse: The slide has 1 µm/px") for text in result.warnings)


def test_a_threshold_is_doubted_under_other_settings(slide, make_bundle):
    from napari_aln.mil.card import Threshold

    youden = Threshold(value=0.4, operating_point="Youden", chosen_on="validation")
    bundle = make_bundle("dlcnbc-ws", thresholds=(youden,))
    assert "other settings" not in " ".join(run(slide, bundle).runs[0].warnings)
    other = run(slide, bundle, bags=BagSettings(reduction="max")).runs[0]
    assert "other settings than these: reduction" in " ".join(other.warnings)


def test_a_full_cache_disk_costs_a_warning_not_the_result(slide, ws_bundle, tmp_path, monkeypatch):
    from napari_aln.errors import StoreError
    from napari_aln.store.features import FeatureEntry

    def full(*_):
        raise StoreError("The disk is full: the cache could not be written.", "Free some space.")

    monkeypatch.setattr(FeatureEntry, "append", full)
    result = run(slide, ws_bundle, cache=FeatureCache(tmp_path))
    assert any("Features are not kept" in text for text in result.warnings)
    assert result.runs[0].probabilities == run(slide, ws_bundle).runs[0].probabilities


class TestRefusals:
    """Each names the fact and the next step, before any patch is read."""

    @pytest.fixture(autouse=True)
    def _no_pixels(self, monkeypatch):
        monkeypatch.setattr(extract_module, "decoded", lambda *_, **__: pytest.fail("pixels were read"))

    def check(self, error: type[AlnError], words: str, work):
        with pytest.raises(error, match=words) as caught:
            work()
        assert caught.value.next_step

    def test_no_mpp(self, tmp_path, ws_bundle):
        path = tmp_path / "plain.png"
        from PIL import Image

        Image.fromarray(np.full((600, 600, 3), 200, np.uint8)).save(path)
        with open_slide(path) as slide:
            self.check(
                MppError, "plain.png does not state", lambda: predict(slide, ws_bundle, clinical=PATIENT)
            )

    def test_no_tissue(self, tmp_path, ws_bundle):
        glass = np.full((1500, 1500, 3), 190, np.uint8)
        with open_slide(write_slide(tmp_path / "glass.tif", glass)) as slide:
            self.check(TissueError, "No tissue", lambda: predict(slide, ws_bundle, clinical=PATIENT))

    def test_no_region(self, slide, roi_bundle):
        self.check(RegionError, "none was given", lambda: predict(slide, roi_bundle, clinical=PATIENT))

    def test_region_outside(self, slide, roi_bundle):
        regions = [Region(shapely.box(9000, 9000, 9900, 9900))]
        self.check(RegionError, "drawn ROI", lambda: predict(slide, roi_bundle, regions, PATIENT))

    def test_region_smaller_than_a_patch(self, slide, roi_bundle):
        regions = [Region(shapely.box(800, 800, 850, 850))]
        self.check(RegionError, "holds no patch", lambda: predict(slide, roi_bundle, regions, PATIENT))

    def test_two_bundles_of_one_mode(self, slide, ws_bundle, make_bundle):
        other = make_bundle("dlcnbc-ws", seed=5)
        self.check(UsageError, "one mode", lambda: predict(slide, [ws_bundle, other], clinical=PATIENT))

    def test_clinical_out_of_range(self, slide, ws_bundle):
        clinical = Clinical(age_years=610, tumor_size_cm=2, er=True, pr=True, her2=False)
        self.check(ClinicalError, "age is 610", lambda: predict(slide, ws_bundle, clinical=clinical))


def test_cancelling_stops_the_reading_threads(slide, ws_bundle):
    import threading

    work = start(slide, ws_bundle, engine=EngineSettings(batch=1, decode_threads=2))
    for step in work:
        if step.done >= 2:
            break
    work.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_a_slide_that_fails_while_being_read_says_so(slide, ws_bundle, monkeypatch):
    from napari_aln.errors import SlideError
    from napari_aln.workflows.slide import decode

    def broken(*_):
        raise SlideError("case 1.tif cannot be read at (512, 512).", "Copy it again.")

    monkeypatch.setattr(decode, "read_patch", broken)
    with pytest.raises(SlideError, match="cannot be read at"):
        run(slide, ws_bundle)
