"""The autosave: the newest state is never old, and a killed process loses seconds."""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from session_samples import a_session

from napari_aln.errors import StoreError
from napari_aln.store import autosave
from napari_aln.store.autosave import Autosave, kept_path, recoverable
from napari_aln.store.session import read_session, result_path


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def note_of(path):
    return read_session(path).session.window["note"]


def test_the_newest_state_is_never_more_than_the_interval_old(tmp_path):
    clock = Clock()
    saver = Autosave(tmp_path, interval_s=2.0, clock=clock)

    def changed(note):
        saver.changed("hash", lambda: a_session(tmp_path, window={"note": note}))

    changed(1)
    assert note_of(saver.path) == 1  # the first change at once
    clock.now += 1.0
    changed(2)
    changed(3)
    assert note_of(saver.path) == 1
    saver.tick()
    assert note_of(saver.path) == 1
    clock.now += 1.0
    saver.tick()
    assert note_of(saver.path) == 3
    before = saver.path.stat().st_mtime_ns
    clock.now += 10.0
    saver.tick()  # nothing changed: nothing is written
    assert saver.path.stat().st_mtime_ns == before
    assert recoverable(tmp_path) == ()  # this process runs


def test_a_result_is_written_once_however_often_the_review_changes(tmp_path):
    saver = Autosave(tmp_path, interval_s=0.0)
    saved = a_session(tmp_path)
    saver.changed("hash", lambda: saved)
    (result,) = (tmp_path / "results").iterdir()
    first = result.stat().st_mtime_ns, result.stat().st_ino
    saver.changed("hash", lambda: dataclasses.replace(saved))
    assert (result.stat().st_mtime_ns, result.stat().st_ino) == first
    assert len(saver.path.read_bytes()) < 20_000


def test_each_slide_keeps_its_last_state(tmp_path):
    saver = Autosave(tmp_path, interval_s=100.0)
    for slide, note in (("one", 1), ("one", 2), ("two", 3)):
        saver.changed(slide, lambda note=note: a_session(tmp_path, window={"note": note}))
    assert note_of(kept_path(tmp_path, "one")) == 2  # written when the next slide came, though not yet due
    assert note_of(saver.path) == 3
    saver.finish()
    assert note_of(kept_path(tmp_path, "two")) == 3
    assert not saver.path.exists()
    saver.changed("two", lambda: a_session(tmp_path))
    saver.discard()
    assert not saver.path.exists()
    saver.finish()
    assert note_of(kept_path(tmp_path, "two")) == 3


def test_a_state_that_could_not_be_written_is_tried_again(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    clock = Clock()
    saver = Autosave(blocked, interval_s=2.0, clock=clock)
    with pytest.raises(StoreError, match="could not be written"):
        saver.changed("hash", lambda: a_session(tmp_path))
    blocked.unlink()
    saver.tick()
    assert not saver.path.exists()  # not at every tick
    clock.now += 2.0
    saver.tick()
    assert saver.path.exists()


def test_old_slides_and_forsaken_results_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(autosave, "KEPT_SLIDES", 2)
    saver = Autosave(tmp_path, interval_s=0.0)
    old = time.time() - 200_000
    forsaken = result_path(tmp_path, "f" * 64)
    forsaken.parent.mkdir()
    forsaken.write_bytes(b"x")
    for age, slide in enumerate(("a", "b", "c")):
        saver.changed(slide, lambda: a_session(tmp_path))
        saver.finish()
        os.utime(kept_path(tmp_path, slide), (old + age, old + age))
    for path in forsaken.parent.iterdir():
        os.utime(path, (old, old))
    saver.changed("d", lambda: a_session(tmp_path))
    saver.finish()
    assert sorted(path.stem for path in tmp_path.glob("*.alnsession")) == ["c", "d"]
    assert not forsaken.exists()
    assert read_session(kept_path(tmp_path, "d")).results


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from session_samples import a_session
from napari_aln.store.autosave import Autosave
folder = Path(sys.argv[1])
now = [0.0]
saver = Autosave(folder, clock=lambda: now[0])
for note in range(60):  # a change every half second, a tick every second, then the process dies
    now[0] = note / 2
    saver.changed("hash", lambda: a_session(folder, window={"note": note}))
    if note % 2:
        saver.tick()
os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
"""


def test_a_killed_process_loses_less_than_five_seconds_and_is_found_at_the_next_start(tmp_path):
    script = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    assert subprocess.run(script, check=False).returncode != 0
    (found,) = recoverable(tmp_path)
    assert (59 - note_of(found)) / 2 < 5.0
    assert read_session(found).results
    Autosave(tmp_path).changed("hash", lambda: a_session(tmp_path))
    assert recoverable(tmp_path) == (found,)  # not the one of the window that runs
