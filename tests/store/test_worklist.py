"""The work list: slides, calls and results are kept, and nothing is handed out too early."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from worklist_samples import A, B, C, D, run

from napari_aln.errors import SlideError, WorkListError
from napari_aln.records import Clinical
from napari_aln.store.worklist import WorkList
from napari_aln.store.worklist_records import NewSlide, Patient


def test_slides_are_kept_in_order_with_patient_and_clinical_values(tmp_path, blinded):
    assert [item.path.name for item in blinded.items()] == ["a.svs", "b.svs", "c.svs", "d.svs"]
    assert [item.patient_id for item in blinded.items()] == ["007", "007", "008", None]
    assert blinded.clinical(A) == Clinical(age_years=61.0)
    assert blinded.clinical(D) == Clinical()
    assert blinded.slides_of_patient(B) == (A, B)
    assert blinded.slides_of_patient(D) == (D,)
    assert blinded.add([NewSlide(tmp_path / "a.svs"), NewSlide(tmp_path / "d.svs", "009")]) == 0
    assert [item.patient_id for item in blinded.items()] == ["007", "007", "008", "009"]
    blinded.add([], [Patient("007", Clinical(age_years=62.0))])  # a table without the reference
    assert blinded.clinical(A).age_years == 62.0
    blinded.store_call(A, "r1", "N0")
    blinded.store_call(B, "r1", "N0")
    assert blinded.reference(A, "r1") == "N(+)"


def test_states_follow_what_happens_to_a_slide(blinded):
    assert blinded.item(A).state == "new"
    blinded.mark_open(A, "hash a")
    assert (blinded.item(A).state, blinded.item(A).quick_hash) == ("open", "hash a")
    blinded.store_call(A, "r1", "N0")
    assert blinded.item(A).state == "read"
    blinded.mark_open(A, "hash a")
    assert blinded.item(A).state == "read"
    blinded.mark_failed(A, SlideError("a.svs is truncated.", "Copy it again."))
    assert blinded.item(A).state == "failed"
    assert (blinded.item(A).failure, blinded.item(A).next_step) == ("a.svs is truncated.", "Copy it again.")
    assert len(blinded.calls(A)) == 1
    blinded.mark_open(A, "hash a")
    assert (blinded.item(A).state, blinded.item(A).failure) == ("read", None)


def test_another_slide_under_the_same_name_is_refused(blinded):
    blinded.mark_open(A, "hash a")
    with pytest.raises(WorkListError, match="another slide than when it was first opened"):
        blinded.mark_open(A, "other")
    assert blinded.item(A).quick_hash == "hash a"


def test_numbers_of_a_patient_wait_for_the_readers_own_call(blinded):
    blinded.record_runs(A, [run(0.9)])
    blinded.record_runs(B, [run(0.2)])
    for ask in (blinded.results, blinded.reference, blinded.note_shown):
        with pytest.raises(WorkListError, match="wait for the call of r1"):
            ask(A, "r1")
    blinded.store_call(A, "r1", "N(+)", 0.8, "dense")
    with pytest.raises(WorkListError, match="on all slides of the patient"):
        blinded.results(A, "r1")  # it would tell about B, which is still to be read
    assert not blinded.may_see(A, "r1")
    blinded.store_call(B, "r1", "N0")
    assert blinded.may_see(A, "r1")
    assert blinded.results(A, "r1")[0].probabilities["N(+)"] == 0.9
    assert not blinded.may_see(A, "r2")  # a call belongs to its reader
    with pytest.raises(WorkListError, match="wait for the call of r2"):
        blinded.results(A, "r2")


def test_a_slide_that_cannot_be_read_does_not_hold_the_others_up(blinded):
    blinded.record_runs(A, [run()])
    blinded.store_call(A, "r1", "N0")
    blinded.mark_failed(B, SlideError("b.svs is empty.", "Copy it again."))
    assert blinded.results(A, "r1")


def test_the_first_call_stays_and_says_whether_it_was_blind(blinded):
    blinded.record_runs(C, [run()])
    first = blinded.store_call(C, "r1", "N0", 0.6)
    assert blinded.store_call(C, "r1", "N0", 0.6) == first
    blinded.results(C, "r1")
    second = blinded.store_call(C, "r1", "N(+)", 0.7, "changed my mind")
    assert blinded.calls(C, "r1") == (first, second)
    assert first.model_seen_at is None
    assert first.made_at < second.model_seen_at < second.made_at


def test_a_slide_added_after_the_patients_numbers_were_seen_is_not_read_blind(tmp_path, blinded):
    blinded.record_runs(C, [run()])
    blinded.store_call(C, "r1", "N0")
    blinded.results(C, "r1")
    blinded.add([NewSlide(tmp_path / "e.svs", "008")])
    assert blinded.store_call(5, "r1", "N0").model_seen_at is not None


def test_an_open_list_hands_numbers_out_and_notes_it(tmp_path):
    with WorkList.create(tmp_path / "l.alnlist") as work_list:
        work_list.add([NewSlide(tmp_path / "a.svs")])
        assert work_list.results(1, "r1") == ()
        assert work_list.store_call(1, "r1", "N0").model_seen_at is None  # there was nothing to see
        work_list.record_runs(1, [run(0.1)])
        work_list.record_runs(1, [run(0.7), run(0.4, sha="b" * 64)], folder=tmp_path / "results" / "a")
        found = work_list.results(1, "r1")
        assert [r.probabilities["N(+)"] for r in found] == [0.7, 0.4]  # the newest of each model
        assert found[0].folder == tmp_path / "results" / "a"
        assert work_list.store_call(1, "r1", "N(+)").model_seen_at is not None


def test_a_scale_for_all_slides_counts_what_the_reader_may_see(blinded):
    model = run().model
    for item, ends in ((A, (0.0, 4.0)), (B, (-1.0, 3.0)), (C, (0.0, 9.0))):
        blinded.record_runs(item, [replace(run(), map_limits={"attention_slide": (0.0, 99.0)})])
        blinded.record_runs(item, [replace(run(), map_limits={"attention_slide": ends})])  # the newest counts
    blinded.record_runs(D, [replace(run(sha="b" * 64), map_limits={"attention_slide": (0.0, 50.0)})])
    assert blinded.map_limits("attention_slide", {model}, "r1") == ()
    blinded.store_call(A, "r1", "N0")
    assert blinded.map_limits("attention_slide", {model}, "r1") == ()  # the patient has another slide
    blinded.store_call(B, "r1", "N0")
    assert blinded.map_limits("attention_slide", {model}, "r1") == ((0.0, 4.0), (-1.0, 3.0))
    assert blinded.map_limits("attention_slide", {model}, "r2") == ()
    assert blinded.map_limits("entropy", {model}, "r1") == ()


def test_time_never_runs_backwards_in_the_list(tmp_path, blinded):
    blinded.store_call(A, "r1", "N0")
    blinded.close()
    past = datetime.now(UTC) - timedelta(days=400)
    with WorkList(tmp_path / "study.alnlist", clock=lambda: past) as late:
        call = late.store_call(B, "r1", "N0")
        assert call.made_at > late.calls(A, "r1")[0].made_at
        assert call.made_at.tzinfo is not None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (("", "N0", None), "names no reader"),
        (("r1", "N1", None), "'N1' is no class"),
        (("r1", "N0", 1.5), "not in 0 to 1"),
        (("r1", "N0", float("nan")), "not in 0 to 1"),
    ],
)
def test_impossible_calls_are_refused(blinded, values, told):
    with pytest.raises(WorkListError, match=told):
        blinded.store_call(A, *values)
    assert blinded.calls(A) == ()
    with pytest.raises(WorkListError, match="no slide number 99"):
        blinded.store_call(99, "r1", "N0")


def test_readers_and_what_each_has_to_read(blinded):
    blinded.store_call(B, "r2", "N0")
    blinded.store_call(A, "r1", "N0")
    blinded.mark_failed(D, SlideError("d.svs is empty.", "Copy it again."))
    assert blinded.readers() == ("r2", "r1")
    assert blinded.unread("r1") == (B, C)


def test_a_slide_found_elsewhere_must_be_the_same(tmp_path, blinded):
    blinded.mark_open(A, "hash a")
    blinded.store_call(A, "r1", "N0")
    blinded.mark_failed(A, SlideError("a.svs does not exist.", "Check the drive."))
    with pytest.raises(WorkListError, match="another slide"):
        blinded.move(A, tmp_path / "moved" / "a.svs", "other")
    with pytest.raises(WorkListError, match="in the list already"):
        blinded.move(A, tmp_path / "b.svs", "hash a")
    blinded.move(A, tmp_path / "moved" / "a.svs", "hash a")
    item = blinded.item(A)
    assert (item.path, item.state, item.failure) == (tmp_path / "moved" / "a.svs", "read", None)
    assert len(blinded.calls(A)) == 1


def test_only_a_slide_nobody_read_can_be_taken_out(blinded):
    blinded.record_runs(D, [run()])
    blinded.remove(D)
    assert [item.item_id for item in blinded.items()] == [A, B, C]
    blinded.store_call(C, "r1", "N0")
    with pytest.raises(WorkListError, match="has been read"):
        blinded.remove(C)
    assert len(blinded.items()) == 3
