import errno
import os
import time
from pathlib import Path

import pytest

from napari_aln.errors import StoreError
from napari_aln.store import atomic
from napari_aln.store.atomic import (
    SECONDS_UNTIL_FORSAKEN,
    _machine,
    atomic_file,
    atomic_folder,
    check_writable,
    storing,
    sweep_leftovers,
)


def test_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "a.json"
    with atomic_file(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"

    def cut_off():
        with atomic_file(target) as temporary:
            temporary.write_text("half")
            raise ValueError("cut off")

    with pytest.raises(ValueError, match="cut off"):
        cut_off()
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["a.json"]


def test_folder_replaces_only_its_own_kind(tmp_path):
    place = tmp_path / "result"
    for text in ("first", "second"):
        with atomic_folder(place, known_by="mark") as folder:
            (folder / "mark").write_text(text)
            assert folder.name.endswith(".incomplete")
    assert (place / "mark").read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["result"]

    foreign = tmp_path / "holiday"
    foreign.mkdir()
    (foreign / "photo.jpg").write_text("precious")
    with pytest.raises(StoreError, match="not a result"), atomic_folder(foreign, known_by="mark"):
        pytest.fail("a foreign folder was opened for writing")
    assert (foreign / "photo.jpg").read_text() == "precious"


def test_folder_that_fails_leaves_the_old_one(tmp_path):
    place = tmp_path / "result"
    with atomic_folder(place, known_by="mark") as folder:
        (folder / "mark").write_text("old")

    def interrupted():
        with atomic_folder(place, known_by="mark") as folder:
            (folder / "mark").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (place / "mark").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize(
    ("keep", "stays"), [(None, "second"), (lambda _: False, "second"), (lambda _: True, "first")]
)
def test_who_comes_second_may_keep_the_first(tmp_path, keep, stays):
    place = tmp_path / "result"
    with atomic_folder(place, known_by="mark", keep=keep) as slower:
        with atomic_folder(place, known_by="mark", keep=keep) as quicker:
            (quicker / "mark").write_text("first")
        (slower / "mark").write_text("second")
    assert (place / "mark").read_text() == stays
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_who_comes_second_by_a_hair_keeps_the_first_too(tmp_path, monkeypatch):
    place = tmp_path / "result"
    with atomic_folder(place, known_by="mark", keep=lambda _: True) as slower:
        (slower / "mark").write_text("second")
        place.mkdir()
        (place / "mark").write_text("first")
        looks = iter([False])  # not there yet when it is first looked for
        real = type(place).exists
        monkeypatch.setattr(type(place), "exists", lambda path: real(path) if next(looks, True) else False)
    assert (place / "mark").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_all_leftovers_are_swept_at_once(tmp_path):
    nobody = 2**22 + 1  # no process has this number
    alive = f"c.{_machine()}-1-0badcafe.incomplete"
    for name in (
        f"a.{_machine()}-{nobody}-0badcafe.incomplete",
        f"b.{_machine()}-{nobody}-0badcafe.replaced",
        alive,
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mark").write_text(name)
    sweep_leftovers(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", alive]  # process 1 lives


def test_what_another_machine_writes_is_left_alone_until_it_is_old(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.socket, "gethostname", lambda: "another")
    _machine.cache_clear()
    theirs = _machine()
    monkeypatch.undo()
    _machine.cache_clear()
    assert theirs != _machine()
    yesterday = time.time() - SECONDS_UNTIL_FORSAKEN - 60
    at_work, stopped, moved = (
        tmp_path / f"{name}.{theirs}-999999999-0badcafe{suffix}"
        for name, suffix in (("a", ".incomplete"), ("b", ".incomplete"), ("c", ".replaced"))
    )
    for path in (at_work, stopped, moved):
        path.mkdir()
        (path / "mark").write_text("x")
        os.utime(path, (yesterday, yesterday))
    os.utime(stopped / "mark", (yesterday, yesterday))
    sweep_leftovers(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [at_work.name, moved.name]


def test_content_is_on_the_disk_before_its_name(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append(("sync", os.fstat(file).st_ino)) or sync(file))
    monkeypatch.setattr(
        Path, "replace", lambda self, to: done.append(("name", self.stat().st_ino)) or replace(self, to)
    )
    with atomic_file(tmp_path / "state.json") as temporary:
        temporary.write_text("{}")
    with atomic_folder(tmp_path / "result", known_by="mark") as folder:
        (folder / "mark").write_text("whole")
    file, mark, result = ((tmp_path / name).stat().st_ino for name in ("state.json", "result/mark", "result"))
    assert done == [
        *[("sync", file), ("name", file)],
        *[("sync", mark), ("sync", result), ("name", result), ("sync", tmp_path.stat().st_ino)],
    ]


def test_a_drive_without_syncing_will_do_but_a_full_one_will_not(tmp_path, monkeypatch):
    def refuse(number):
        def sync(_):
            raise OSError(number, "no")

        monkeypatch.setattr(os, "fsync", sync)

    def write():
        with atomic_file(tmp_path / "file") as temporary:
            temporary.write_text("x")

    refuse(errno.EINVAL)
    write()
    (tmp_path / "file").unlink()
    refuse(errno.ENOSPC)
    with pytest.raises(StoreError, match="The disk is full"):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "fact"), [(errno.ENOSPC, "The disk is full"), (errno.EACCES, "could not be written")]
)
def test_the_systems_refusals_become_clear_errors(tmp_path, number, fact):
    with pytest.raises(StoreError, match=fact) as caught, storing(tmp_path / "x"):
        raise OSError(number, "no")
    assert str(tmp_path / "x") in str(caught.value)
    assert caught.value.next_step


def test_a_place_below_a_file_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not be written"):
        check_writable(tmp_path / "file" / "out")
    check_writable(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_proving_that_a_place_takes_files_leaves_those_of_others_alone(tmp_path):
    (tmp_path / "write-test").write_text("a file of the user, or of a process that proves it just now")
    check_writable(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["write-test"]


def test_leftovers_of_killed_runs_are_swept_and_an_earlier_result_comes_back(tmp_path):
    place = tmp_path / "result"
    dead = "999999999"
    half = tmp_path / f"result.{_machine()}-{dead}-0123abcd.incomplete"
    half.mkdir()
    moved = tmp_path / f"result.{_machine()}-{dead}-0123abcd.replaced"
    moved.mkdir()
    (moved / "mark").write_text("earlier")
    other = tmp_path / "result.2.incomplete"  # not one of ours
    other.mkdir()

    def cut_off():
        with atomic_folder(place, known_by="mark"):
            raise ValueError("cut off")

    with pytest.raises(ValueError, match="cut off"):
        cut_off()
    assert (place / "mark").read_text() == "earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["result", "result.2.incomplete"]


def test_errors_of_the_program_itself_pass_unchanged(tmp_path):
    from napari_aln.errors import SlideError

    with pytest.raises(SlideError, match="cannot be read"), storing(tmp_path):
        raise SlideError("a.svs cannot be read.", "Copy the file again.")
