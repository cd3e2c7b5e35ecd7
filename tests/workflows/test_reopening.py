"""A review saved and reopened is the review it was: same question, same numbers, same view."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import shapely
from tests_shared import drain

from napari_aln import open_slide
from napari_aln.errors import SlideError, SlideMovedError, StoreError
from napari_aln.mil.bundle import open_bundle
from napari_aln.records import Clinical, Region
from napari_aln.settings.prediction import BagSettings, PredictSettings
from napari_aln.store.autosave import Autosave, claim
from napari_aln.store.features import FeatureCache
from napari_aln.store.session import SavedCamera, SavedMap, read_session, write_session
from napari_aln.workflows.predict import Request, predict_slide
from napari_aln.workflows.review.resume import open_session, unfinished
from napari_aln.workflows.review.session import Answered, Review, SessionMaker, reopen
from napari_aln.workflows.review.whatif import WhatIf
from napari_aln.workflows.slide.prepare import survey

PATIENT = Clinical(age_years=61, tumor_size_cm=2.4, er=True, pr=False, her2=False)
SETTINGS = PredictSettings(bags=BagSettings(seed=5))
ROI = (Region(shapely.box(700.3, 500.1, 2100.7, 1500 + 1 / 3), "core 1", "tumour ROI", (1, 2, 3)),)


@pytest.fixture
def place(tmp_path, tissue_slide, ws_bundle, roi_bundle):
    for source, name in ((tissue_slide, "a.tif"), (ws_bundle, "ws.alnmodel"), (roi_bundle, "roi.alnmodel")):
        shutil.copy(source, tmp_path / name)
    return tmp_path


@pytest.fixture
def review(place):
    ws, roi = open_bundle(place / "ws.alnmodel"), open_bundle(place / "roi.alnmodel")
    with open_slide(place / "a.tif") as slide:
        seen = survey(slide)
        (place / "study.alnlist").touch()
        first = Request([ws], clinical=PATIENT, regions=(), settings=SETTINGS)
        before = Answered(first, seen, drain(predict_slide(slide, first, seen)))
        tissue = seen.mask.tissue.copy()
        tissue[:, : tissue.shape[1] // 2] = False
        edited = seen.with_mask(tissue, seen.mask.pen)
        second = Request([roi], clinical=PATIENT, regions=ROI, settings=SETTINGS)
        after = Answered(second, edited, drain(predict_slide(slide, second, edited)))
        return Review(
            slide=slide.info,
            seen=edited,
            regions=ROI,
            clinical=PATIENT,
            settings=SETTINGS,
            bundles=(ws, roi),
            chosen=(roi, ws),
            answers=(before, after),
            shown=SavedMap(run="dlcnbc", name="contribution", opacity=0.3),
            camera=SavedCamera(centre_l0_xy=(1000.1, 900.2), zoom=0.7),
            work_list=place / "study.alnlist",
            window={"tab": "maps"},
        )


def saved_and_read(review, place):
    write_session(SessionMaker().make(review), place / "s.alnsession")
    return read_session(place / "s.alnsession")


def test_everything_comes_back(review, place):
    reopened = drain(reopen(saved_and_read(review, place)))
    again = reopened.review
    assert reopened.problems == ()
    assert again.slide == review.slide
    for name in ("regions", "clinical", "settings", "shown", "camera", "hide_names", "work_list", "window"):
        assert getattr(again, name) == getattr(review, name), name
    assert [b.sha256 for b in again.bundles] == [b.sha256 for b in review.bundles]
    assert [b.card.mode for b in again.chosen] == ["dlcnbc", "dlcnbc-ws"]
    assert again.seen.edited
    np.testing.assert_array_equal(again.seen.mask.tissue, review.seen.mask.tissue)
    for one, other in zip(again.answers, review.answers, strict=True):
        assert one.result.runs == other.result.runs
        assert (one.request.regions, one.request.clinical, one.request.settings) == (
            other.request.regions,
            other.request.clinical,
            other.request.settings,
        )
        for run, scores in other.result.scores.items():
            np.testing.assert_array_equal(one.result.scores[run].contribution, scores.contribution)
    assert again.seen.has_another_mask(again.answers[0].seen)
    assert again.answers[1].seen is again.seen
    reopened.slide.close()


def test_an_answer_of_a_mask_that_was_reset_is_known_as_such(review, place):
    found_anew = replace(review, seen=review.answers[0].seen)
    reopened = drain(reopen(saved_and_read(found_anew, place)))
    again = reopened.review
    assert not again.seen.edited
    assert [again.seen.has_another_mask(one.seen) for one in again.answers] == [False, True]
    reopened.slide.close()


def test_a_reopened_question_has_the_same_answer(review, place):
    reopened = drain(reopen(saved_and_read(review, place)))
    with reopened.slide as slide:
        answer = reopened.review.answers[1]
        fresh = drain(predict_slide(slide, answer.request, reopened.review.seen))
    assert fresh.runs[0].probabilities == answer.result.runs[0].probabilities


def test_a_lost_work_list_is_said_and_left_out(review, place):
    saved = saved_and_read(review, place)
    (place / "study.alnlist").unlink()
    reopened = drain(reopen(saved))
    reopened.slide.close()
    assert reopened.review.work_list is None
    assert len(reopened.problems) == 1
    assert "work list is no longer where it was" in reopened.problems[0]


def test_a_moved_slide_is_named_and_opened_where_it_lies_now(review, place):
    saved = saved_and_read(review, place)
    (place / "new").mkdir()
    shutil.move(place / "a.tif", place / "new" / "b.tif")
    with pytest.raises(SlideMovedError, match=r"a\.tif does not exist"):
        drain(reopen(saved))
    reopened = drain(reopen(saved, slide_path=place / "new" / "b.tif"))
    assert len(reopened.review.answers) == 2
    reopened.slide.close()


def test_another_slide_in_its_place_is_refused(review, place):
    saved = saved_and_read(review, place)
    session = saved.session
    other = session.model_copy(update={"slide": session.slide.model_copy(update={"quick_hash": "other"})})
    with pytest.raises(SlideMovedError, match="another slide than the one"):
        drain(reopen(type(saved)(other, saved.results)))


def test_a_missing_or_changed_model_costs_its_own_result_only(review, place):
    saved = saved_and_read(review, place)
    (place / "ws.alnmodel").unlink()
    shutil.copy(place / "roi.alnmodel", place / "ws.alnmodel")
    reopened = drain(reopen(saved))
    assert any("was changed since" in problem for problem in reopened.problems)
    (place / "roi.alnmodel").unlink()
    reopened.slide.close()
    reopened = drain(reopen(saved))
    assert reopened.review.answers == ()
    assert reopened.review.regions == ROI
    assert reopened.review.shown is None
    assert any("no longer where it was" in problem for problem in reopened.problems)
    reopened.slide.close()


def test_results_are_packed_once(review, monkeypatch):
    from napari_aln.workflows.review import session as module

    packed = []
    real = module.pack_result
    monkeypatch.setattr(module, "pack_result", lambda result: packed.append(result) or real(result))
    maker = SessionMaker()
    first = maker.make(review)
    assert maker.make(review).results == first.results
    assert len(packed) == 2


def test_live_answers_go_on_from_the_cache(review, place, tmp_path):
    cache = FeatureCache(tmp_path / "cache")
    with open_slide(place / "a.tif") as slide:
        request = replace(review.answers[1].request, cache=cache)
        answer = Answered(request, review.seen, drain(predict_slide(slide, request, review.seen)))
    saved = saved_and_read(replace(review, answers=(answer,)), place)
    for kept, expected in ((cache, {"dlcnbc"}), (FeatureCache(tmp_path / "empty"), set()), (None, set())):
        reopened = drain(reopen(saved, cache=kept))
        with reopened.slide as slide:
            (again,) = reopened.review.answers
            assert set(again.result.features) == expected
            if expected:
                np.testing.assert_array_equal(
                    again.result.features["dlcnbc"].h, answer.result.features["dlcnbc"].h
                )
                what_if = WhatIf.of_result(again.result, review.bundles[1], slide, reopened.review.seen)
                live = what_if.score(ROI, PATIENT)
                assert len(live.pending) == 0
                assert live.run.record.probabilities == answer.result.runs[0].probabilities


def test_slide_and_session_that_were_moved_together_find_each_other(review, place):
    saved_and_read(review, place)
    (place / "new").mkdir()
    shutil.move(place / "a.tif", place / "new" / "a.tif")
    with pytest.raises(SlideMovedError):
        drain(open_session(place / "s.alnsession"))
    shutil.move(place / "s.alnsession", place / "new")
    drain(open_session(place / "new" / "s.alnsession")).close()
    (place / "new" / "a.tif").write_bytes(b"no slide")
    with pytest.raises(SlideError):
        drain(open_session(place / "new" / "s.alnsession"))


def test_unfinished_reviews_are_listed_and_claimed_once(review, place):
    folder = place / "sessions"
    killed = folder / "open-1-1-abc.alnsession"
    write_session(SessionMaker().make(replace(review, hide_names=True)), killed, embed=False)
    (folder / "open-1-1-bad.alnsession").write_text("{")
    Autosave(folder, interval_s=0.0).changed("h", lambda: SessionMaker().make(review))  # a window that runs
    (found,), n_unreadable = drain(unfinished(folder))
    assert (found.path, found.slide_path, found.hide_names) == (killed, place / "a.tif", True)
    assert n_unreadable == 1
    own = claim(killed)
    assert drain(unfinished(folder))[0] == ()
    with pytest.raises(StoreError, match="another window"):
        claim(killed)
    drain(open_session(own)).close()
