"""The work list on disk: writers at once and killed ones lose nothing; a file in trouble is left alone."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from worklist_samples import A, B, C, D, run

from napari_aln.errors import SlideError, StoreError, WorkListError
from napari_aln.records import THREE_CLASSES
from napari_aln.store.worklist import WorkList
from napari_aln.store.worklist_file import backup_of
from napari_aln.store.worklist_records import NewSlide


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
