"""What-if against new runs of the same question, on a small drawn slide with random weights."""

from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest
import shapely
from scipy.special import softmax
from tests_shared import collect, drain

from napari_aln import open_slide
from napari_aln.errors import ClinicalError, RegionError, TissueError, UsageError
from napari_aln.mil.bundle import open_bundle
from napari_aln.records import Clinical, Features, Region
from napari_aln.settings.patches import PatchSettings
from napari_aln.settings.prediction import BagSettings, PredictSettings
from napari_aln.store.features import FeatureCache
from napari_aln.workflows.predict import Request, predict_slide
from napari_aln.workflows.review import whatif as whatif_module
from napari_aln.workflows.review.whatif import Extracted, WhatIf, extract_pending, why_not
from napari_aln.workflows.slide import extract as extract_module
from napari_aln.workflows.slide import prepare as prepare_module
from napari_aln.workflows.slide import score as score_module
from napari_aln.workflows.slide.networks import Engine, ReadyNetworks
from napari_aln.workflows.slide.prepare import survey

PATIENT = Clinical(age_years=61, tumor_size_cm=2.4, er=True, pr=False, her2=False)
OTHER = Clinical(age_years=38, tumor_size_cm=5.1, er=False, pr=False, her2=True)
SMALL = [Region(shapely.box(768, 512, 1536, 1280))]  # nine patches
LARGE = [Region(shapely.box(768, 512, 2048, 1280))]  # six more
BOWTIE = [Region(shapely.Polygon([(700, 500), (2100, 1500), (2100, 500), (700, 1500)]))]  # crosses itself
OFF_SLIDE = [Region(shapely.box(2000, 600, 9000, 1500), "at the edge")]


@pytest.fixture(scope="module")
def slide(tissue_slide):
    with open_slide(tissue_slide) as opened:
        yield opened


@pytest.fixture(scope="module")
def seen(slide):
    return survey(slide)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Spares the tests reading patches twice; that cached numbers equal new ones is tested elsewhere."""
    return FeatureCache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def predicted(slide, seen, cache):
    def run(path, regions=None, clinical=PATIENT, **settings):
        bundles, settings = [open_bundle(path)], PredictSettings(**settings)
        request = Request(bundles, regions, clinical=clinical, settings=settings, cache=cache)
        return drain(predict_slide(slide, request, seen))

    return run


@pytest.fixture
def after_run(predicted, slide, seen):
    """Return a maker of the what-if of a run."""

    def make(path, regions=None, **settings):
        return WhatIf.of_result(predicted(path, regions, **settings), open_bundle(path), slide, seen)

    return make


def assert_same_run(run, result):
    """Compare all numbers to the last bit, and the record but for how long things took."""
    (expected,) = result.runs
    assert replace(run.record, seconds={}) == replace(expected, seconds={})
    for got, wanted in ((run.scores, result.scores), (run.bags, result.bags)):
        wanted = wanted[expected.run]
        for field in fields(got):
            a, b = getattr(got, field.name), getattr(wanted, field.name)
            if field.name == "table":
                np.testing.assert_array_equal(a.cell, b.cell)
            else:
                np.testing.assert_array_equal(a, b)


def read(slide, what_if, answer, cache):
    what_if.add(drain(extract_pending(slide, what_if, answer.pending, cache)))


@pytest.mark.parametrize("seed", [0, 7])
def test_a_smaller_region_and_other_values_equal_a_new_run(after_run, predicted, roi_bundle, seed):
    what_if = after_run(roi_bundle, LARGE, bags=BagSettings(seed=seed))
    for regions, clinical in ((SMALL, PATIENT), (SMALL, OTHER), (LARGE, OTHER), (LARGE, PATIENT)):
        answer = what_if.score(regions, clinical)
        assert len(answer.pending) == 0
        assert_same_run(answer.run, predicted(roi_bundle, regions, clinical, bags=BagSettings(seed=seed)))


def test_a_region_that_crosses_itself_or_leaves_the_slide_is_mended_as_in_a_run(
    after_run, predicted, slide, cache, roi_bundle
):
    what_if = after_run(roi_bundle, SMALL)
    for regions in (BOWTIE, OFF_SLIDE):
        read(slide, what_if, what_if.score(regions, PATIENT), cache)
        answer, result = what_if.score(regions, PATIENT), predicted(roi_bundle, regions)
        assert_same_run(answer.run, result)
        assert shapely.equals(answer.regions[0].geometry, result.regions[0].geometry)
        assert answer.warnings
        assert set(answer.warnings) <= set(result.warnings)


def test_patches_not_read_yet_are_pending_then_read_alone(
    after_run, predicted, slide, cache, roi_bundle, monkeypatch
):
    what_if = after_run(roi_bundle, SMALL)
    before = what_if.score(LARGE, PATIENT)
    assert before.pending.column.tolist() == [6, 7] * 3
    assert before.pending.row.tolist() == [2, 2, 3, 3, 4, 4]
    assert before.run.record.n_patches == 9
    assert "6 of 15 patches are pending" in before.run.record.warnings[-1]
    np.testing.assert_array_equal(
        before.run.scores.probability, what_if.score(SMALL, PATIENT).run.scores.probability
    )
    steps, found = collect(extract_pending(slide, what_if, before.pending))
    assert steps[0].total == 6
    monkeypatch.setattr(extract_module, "decoded", lambda *_, **__: pytest.fail("pixels were read"))
    what_if.add(found)
    after = what_if.score(LARGE, PATIENT)
    assert len(after.pending) == 0
    assert len(what_if) == 15
    monkeypatch.undo()
    assert_same_run(after.run, predicted(roi_bundle, LARGE))
    again = what_if.score(SMALL, PATIENT)
    assert_same_run(again.run, predicted(roi_bundle, SMALL))
    assert not any("pending" in warning for warning in again.run.record.warnings)


def test_pending_patches_go_through_the_network_of_the_run(slide, seen, roi_bundle, monkeypatch):
    bundle, networks = open_bundle(roi_bundle), ReadyNetworks()
    request = Request([bundle], SMALL, clinical=PATIENT, networks=networks)
    result = drain(predict_slide(slide, request, seen))
    monkeypatch.setattr(Engine, "compile", lambda *_: pytest.fail("made ready again"))
    what_if = WhatIf.of_result(result, bundle, slide, seen, networks)
    read(slide, what_if, what_if.score(LARGE, PATIENT), None)
    assert len(what_if) == 15


def test_pending_patches_may_come_in_any_order_and_twice(after_run, predicted, slide, cache, roi_bundle):
    what_if = after_run(roi_bundle, SMALL)
    pending = what_if.score(LARGE, PATIENT).pending
    late, early = (
        drain(extract_pending(slide, what_if, pending.take(part), cache))
        for part in (slice(3, 6), slice(0, 4))
    )
    what_if.add(late)
    assert what_if.score(LARGE, PATIENT).pending.cell.tolist() == pending.cell[:3].tolist()
    what_if.add(early)
    what_if.add(late)
    assert len(what_if) == 15
    assert_same_run(what_if.score(LARGE, PATIENT).run, predicted(roi_bundle, LARGE))


def test_a_slide_without_features_in_memory_starts_with_everything_pending(
    predicted, slide, seen, cache, roi_bundle, ws_bundle, monkeypatch
):
    for path, regions in ((roi_bundle, LARGE), (ws_bundle, ())):
        result = predicted(path, regions)
        what_if = WhatIf(open_bundle(path), slide, seen, PredictSettings())
        answer = what_if.score(regions, PATIENT)
        assert answer.run is None
        with monkeypatch.context() as patched:
            patched.setattr(extract_module, "decoded", lambda *_, **__: pytest.fail("pixels were read"))
            read(slide, what_if, answer, cache)
        assert_same_run(what_if.score(regions, PATIENT).run, result)


def test_whole_slide_patches_that_are_too_plain_are_read_once(predicted, slide, seen, cache, ws_bundle):
    bits = np.sort(predicted(ws_bundle).scores["dlcnbc-ws"].entropy)
    patches = PatchSettings(min_entropy_bits=float(bits[len(bits) // 2]))
    what_if = WhatIf(open_bundle(ws_bundle), slide, seen, PredictSettings(patches=patches))
    first = what_if.score((), PATIENT)
    read(slide, what_if, first, cache)
    answer = what_if.score((), PATIENT)
    assert len(answer.pending) == 0
    assert 0 < len(what_if) < len(first.pending)
    assert_same_run(answer.run, predicted(ws_bundle, patches=patches))


def test_a_whole_slide_run_keeps_its_numbers_when_the_region_moves(
    after_run, predicted, ws_bundle, monkeypatch
):
    what_if = after_run(ws_bundle)
    assert not what_if.score((), PATIENT).run.scores.in_roi.any()
    with monkeypatch.context() as patched:
        patched.setattr(score_module, "draw_bags", lambda *_: pytest.fail("scored again"))
        moved = [what_if.score(regions, PATIENT) for regions in (SMALL, LARGE)]
    assert [answer.run.scores.in_roi.sum() for answer in moved] == [9, 15]
    assert_same_run(moved[1].run, predicted(ws_bundle, LARGE))
    assert_same_run(what_if.score(LARGE, OTHER).run, predicted(ws_bundle, LARGE, OTHER))


def test_other_values_alone_look_for_no_patch_and_draw_no_bag(
    after_run, predicted, roi_bundle, ws_bundle, monkeypatch
):
    for path in (roi_bundle, ws_bundle):
        what_if = after_run(path, LARGE)
        what_if.score(SMALL, PATIENT)
        with monkeypatch.context() as patched:
            for module, name in (
                (score_module, "draw_bags"),
                (whatif_module, "patches_for"),
                (prepare_module, "usable_regions"),
            ):
                patched.setattr(module, name, lambda *_: pytest.fail("worked out again"))
            answers = [what_if.score(SMALL, clinical) for clinical in (OTHER, PATIENT)]
        assert_same_run(answers[0].run, predicted(path, SMALL, OTHER))
        assert_same_run(answers[1].run, predicted(path, SMALL, PATIENT))


def test_an_answer_is_what_the_paper_says_of_the_features(predicted, slide, seen, roi_bundle):
    """Each bag from h and e alone: attention, z = sum of a h, [z ; c x 10], two layers; then a moved ROI."""
    result, bundle = predicted(roi_bundle, LARGE), open_bundle(roi_bundle)
    features = result.features[bundle.card.mode]
    h, e = features.h.astype(float), features.e.astype(float)
    what_if = WhatIf.of_result(result, bundle, slide, seen)
    for regions, clinical in ((LARGE, PATIENT), (SMALL, PATIENT), (SMALL, OTHER)):
        run = what_if.score(regions, clinical).run
        at = np.searchsorted(features.table.cell, run.scores.table.cell)
        vector, _ = score_module.clinical_vector(bundle.card, clinical, PredictSettings())
        plain = partial(plain_probabilities, bundle.tensors, np.tile(vector, 10))
        bags = [plain(h[at[bag]], e[at[bag]]) for bag in run.bags.bags]
        np.testing.assert_allclose(run.bags.probabilities, bags, rtol=1e-9)
        np.testing.assert_allclose(list(run.record.probabilities.values()), np.mean(bags, axis=0), rtol=1e-9)
        alone = [1 - plain(h[[i]], e[[i]])[0] for i in at]
        np.testing.assert_allclose(run.scores.probability, alone, rtol=1e-9)
        odds = [log_odds_of(plain(h[some], e[some])) for some in (at, *(at[at != i] for i in at))]
        np.testing.assert_allclose(run.scores.contribution, odds[0] - np.array(odds[1:]), atol=1e-9)


def plain_probabilities(tensors, clinical, h, e):
    z = softmax(e) @ h
    first, bias, second, second_bias = (
        tensors[f"head.classifier.{name}"].astype(float)
        for name in ("0.weight", "0.bias", "2.weight", "2.bias")
    )
    return softmax(second @ np.maximum(first @ np.concatenate([z, clinical]) + bias, 0) + second_bias)


def log_odds_of(probabilities):
    return np.log(1 - probabilities[0]) - np.log(probabilities[0])


def test_bad_questions_are_refused_as_by_a_run_and_change_nothing(after_run, predicted, roi_bundle):
    what_if = after_run(roi_bundle, SMALL)
    nowhere = [Region(shapely.box(-500, -500, -100, -100))]
    tiny = [Region(shapely.box(800, 600, 850, 650))]
    for regions in ((), nowhere, tiny):
        with pytest.raises(RegionError):
            what_if.score(regions, PATIENT)
    with pytest.raises(ClinicalError, match="tumour size"):
        what_if.score(SMALL, Clinical(age_years=61, er=True, pr=False, her2=False))
    with pytest.raises(ClinicalError, match="0-120"):
        what_if.score(SMALL, replace(PATIENT, age_years=610))
    assert_same_run(what_if.score(SMALL, PATIENT).run, predicted(roi_bundle, SMALL))


def test_nothing_but_plain_patches_is_an_error_not_an_empty_answer(predicted, slide, seen, cache, ws_bundle):
    settings = PredictSettings(patches=PatchSettings(min_entropy_bits=8.0))
    what_if = WhatIf(open_bundle(ws_bundle), slide, seen, settings)
    read(slide, what_if, what_if.score((), PATIENT), cache)
    with pytest.raises(TissueError, match="No patch"):
        what_if.score((), PATIENT)


def test_why_not_says_why(make_bundle, roi_bundle, ws_bundle, slide, seen, predicted):
    running, bag = (
        open_bundle(roi_bundle).card,
        open_bundle(make_bundle(norm_statistics="bag", encoder="resnet18")),
    )
    reference = PredictSettings(patches=PatchSettings(roi_patching="reference"))
    assert why_not(running, PredictSettings()) is None
    assert why_not(open_bundle(ws_bundle).card, reference) is None
    assert "reference patching" in why_not(running, reference)
    assert "norm statistics of each bag" in why_not(bag.card, PredictSettings())
    with pytest.raises(UsageError, match="norm statistics"):
        WhatIf(bag, slide, seen, PredictSettings())
    with pytest.raises(UsageError, match="no features"):
        WhatIf.of_result(predicted(ws_bundle), open_bundle(roi_bundle), slide, seen)


def test_known_patches_are_not_replaced(after_run, roi_bundle):
    what_if = after_run(roi_bundle, SMALL)
    before = what_if.score(SMALL, PATIENT).run
    table = before.scores.table
    noise = Features(table, before.scores.entropy, np.ones((9, 256), np.float32), np.ones(9, np.float32))
    what_if.add(Extracted(table, noise))
    assert what_if.score(SMALL, OTHER).run.record.probabilities != before.record.probabilities
    np.testing.assert_array_equal(
        what_if.score(SMALL, PATIENT).run.scores.attention_logit, before.scores.attention_logit
    )
