"""The work list: nothing is lost, nothing is handed out too early, and a file in trouble is left alone."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from napari_aln.errors import SlideError, StoreError, WorkListError
from napari_aln.records import Clinical
from napari_aln.store.worklist import WorkList
from napari_aln.store.worklist_file import backup_of
from napari_aln.store.worklist_records import THREE_CLASSES, NewSlide, Patient, RunSummary


def run(probability=0.7, mode="dlcnbc-ws", sha="a" * 64):
    return RunSummary(
        run=mode,
        mode=mode,
        model_name="model",
        model_sha256=sha,
        card_sha256="c" * 64,
        classes=("N0", "N(+)"),
        probabilities={"N0": 1 - probability, "N(+)": probability},
        bag_spread={"N0": 0.1, "N(+)": 0.1},
        prediction="N(+)" if probability >= 0.5 else "N0",
        threshold=0.5,
        operating_point="argmax",
        seed=0,
    )


@pytest.fixture
def blinded(tmp_path):
    with WorkList.create(tmp_path / "study.alnlist", blinded=True) as work_list:
        slides = [NewSlide(tmp_path / f"{name}.svs", patient) for name, patient in SLIDES]
        work_list.add(slides, [Patient("007", Clinical(age_years=61.0), "N(+)")])
        yield work_list


SLIDES = (("a", "007"), ("b", "007"), ("c", "008"), ("d", None))
A, B, C, D = 1, 2, 3, 4


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


def test_a_list_of_the_first_schema_is_read_and_goes_on(tmp_path, blinded):
    blinded.record_runs(C, [run(0.8)])
    blinded.close()
    with sqlite3.connect(tmp_path / "study.alnlist") as db:
        (summary,) = db.execute("SELECT summary FROM run").fetchone()
        old = {name: value for name, value in json.loads(summary).items() if name != "map_limits"}
        db.execute("UPDATE run SET summary = ?", (json.dumps(old),))
        db.execute("PRAGMA user_version = 1")
    db.close()
    with WorkList(tmp_path / "study.alnlist") as again:
        again.store_call(C, "r1", "N0")
        assert again.results(C, "r1")[0].map_limits == {}
        assert again.map_limits("entropy", {run().model}, "r1") == ()
        again.record_runs(C, [replace(run(0.8), map_limits={"entropy": (0.0, 7.0)})])
        assert again.map_limits("entropy", {run().model}, "r1") == ((0.0, 7.0),)
    with sqlite3.connect(tmp_path / "study.alnlist") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
    db.close()


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


def test_all_survives_reopening_and_moving_list_and_slides_together(tmp_path):
    home = tmp_path / "drive"
    home.mkdir()
    odd = os.fsdecode("sl\u00fcde \u5207\u7247.svs".encode())
    with WorkList.create(home / "l.alnlist", classes=THREE_CLASSES) as work_list:
        work_list.add([NewSlide(home / "slides" / odd, "1", roi=home / "roi.geojson")])
        work_list.add([NewSlide(tmp_path / "elsewhere.svs")])
        work_list.store_call(1, "r1", "N+(>2)", 0.9, "µm and 切片\nsecond line")
    shutil.move(home, tmp_path / "stick")
    with WorkList(tmp_path / "stick" / "l.alnlist") as work_list:
        first, second = work_list.items()
        assert first.path == tmp_path / "stick" / "slides" / odd
        assert first.roi == tmp_path / "stick" / "roi.geojson"
        assert second.path == tmp_path / "elsewhere.svs"
        assert work_list.calls(1)[0].comment == "µm and 切片\nsecond line"
        assert work_list.classes == THREE_CLASSES


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text there")
def test_a_file_name_that_is_no_text_is_kept(tmp_path):
    odd = tmp_path / os.fsdecode(b"slide-\xff.svs")
    with WorkList.create(tmp_path / "l.alnlist") as work_list:
        work_list.add([NewSlide(odd)])
        assert work_list.items()[0].path == odd


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


def bytes_of(path):
    return path.read_bytes() if path.exists() else None


def test_a_newer_list_is_left_as_it_is(tmp_path, blinded):
    blinded.close()
    path = tmp_path / "study.alnlist"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 3")
    db.close()
    before = path.read_bytes()
    with pytest.raises(WorkListError, match=r"newer version \(schema 3") as caught:
        WorkList(path)
    assert "Update napari-aln" in caught.value.next_step
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"patient_id\n1\n" * 100, b"SQLite format 3\x00" + b"\x01" * 5000])
def test_what_is_no_list_is_left_as_it_is(tmp_path, content):
    path = tmp_path / "foreign.alnlist"
    path.write_bytes(content)
    with pytest.raises(WorkListError, match=r"foreign\.alnlist is"):
        WorkList(path)
    assert path.read_bytes() == content
    with pytest.raises(WorkListError, match="exists already"):
        WorkList.create(path)
    with pytest.raises(WorkListError, match="There is no work list at"):
        WorkList(tmp_path / "none.alnlist")
    assert not (tmp_path / "none.alnlist").exists()


def test_another_programs_database_is_left_as_it_is(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE study (blinded)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(WorkListError, match="no work list of this program"):
        WorkList(path)
    assert path.read_bytes() == before


def test_a_damaged_list_names_its_backup_which_opens(tmp_path, blinded):
    blinded.add([NewSlide(tmp_path / f"{i}.svs") for i in range(300)])
    blinded.close()
    path = tmp_path / "study.alnlist"
    WorkList(path).close()  # makes the backup
    content = bytearray(path.read_bytes())
    content[6000:20000] = os.urandom(14000)
    path.write_bytes(content)
    with pytest.raises(WorkListError, match="damaged; it was not changed") as caught:
        WorkList(path)
    assert backup_of(path).name in caught.value.next_step
    assert path.read_bytes() == bytes(content)
    shutil.copy(backup_of(path), tmp_path / "restored.alnlist")
    with WorkList(tmp_path / "restored.alnlist") as restored:
        assert len(restored.items()) == 304


def test_a_list_that_another_window_is_writing_says_so_and_loses_nothing(tmp_path, blinded):
    path = tmp_path / "study.alnlist"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with WorkList(path, busy_s=0.01) as waiting:
        assert len(waiting.items()) == 4  # reading goes on
        with pytest.raises(WorkListError, match="written by another window") as caught:
            waiting.store_call(A, "r1", "N0")
        assert "try again" in caught.value.next_step
        other.execute("ROLLBACK")
        waiting.store_call(A, "r1", "N0")
        assert len(blinded.calls(A)) == 1
    other.close()


def test_a_failed_step_in_the_middle_leaves_nothing_behind(tmp_path, blinded):
    def broken():
        yield NewSlide(tmp_path / "x.svs")
        raise SlideError("the drive is gone.", "Plug it in.")

    with pytest.raises(SlideError):
        blinded.add(broken())
    assert len(blinded.items()) == 4
    blinded.store_call(A, "r1", "N0")


WRITER = """
import sys
from pathlib import Path
from napari_aln.store.worklist import WorkList
from napari_aln.store.worklist_records import NewSlide
path, reader = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
with WorkList(path, busy_s=60) as work_list:
    for i in range(100):
        work_list.store_call(1 + i % 4, reader, "N0", comment=str(i))
        work_list.add([NewSlide(path.parent / f"{reader}-{i}.svs")])
"""


def test_two_processes_write_at_once_and_both_keep_everything(tmp_path, blinded):
    path = tmp_path / "study.alnlist"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), reader], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for reader in ("r1", "r2")
    ]
    for writer in writers:
        assert writer.stdout.readline().strip() == b"ready"
    for writer in writers:
        writer.stdin.write(b"\n")
        writer.stdin.close()
    for writer in writers:
        assert writer.wait(120) == 0
        writer.stdout.close()
    assert len(blinded.items()) == 4 + 200
    for reader in ("r1", "r2"):
        calls = [call for item in (A, B, C, D) for call in blinded.calls(item, reader)]
        assert sorted(int(call.comment) for call in calls) == list(range(100))
    stamps = [call.made_at for item in (A, B, C, D) for call in blinded.calls(item)]
    assert len(set(stamps)) == 200


KILLED = """
import os, signal, sys
from pathlib import Path
from napari_aln.store.worklist import WorkList
work_list = WorkList(Path(sys.argv[1]))
work_list.store_call(1, "r1", "N0")
os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
"""


def test_a_killed_process_loses_no_call(tmp_path, blinded):
    blinded.close()
    path = tmp_path / "study.alnlist"
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False).returncode != 0
    with WorkList(path) as again:
        assert len(again.calls(A, "r1")) == 1


def test_a_place_that_may_not_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not be written"):
        WorkList.create(tmp_path / "file" / "l.alnlist")


def test_only_a_slide_nobody_read_can_be_taken_out(blinded):
    blinded.record_runs(D, [run()])
    blinded.remove(D)
    assert [item.item_id for item in blinded.items()] == [A, B, C]
    blinded.store_call(C, "r1", "N0")
    with pytest.raises(WorkListError, match="has been read"):
        blinded.remove(C)
    assert len(blinded.items()) == 3


def test_steps_taken_together_are_all_done_or_none(blinded):
    def cut_off():
        with blinded.together():
            blinded.store_call(A, "r1", "N0")
            blinded.store_call(B, "r1", "N0")
            raise ValueError("cut off")

    with pytest.raises(ValueError, match="cut off"):
        cut_off()
    assert blinded.readers() == ()
    with blinded.together():
        blinded.store_call(A, "r1", "N0")
    assert len(blinded.calls(A)) == 1
