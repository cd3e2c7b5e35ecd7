"""A decoder that dies, hangs or takes all memory takes the process that opens slides first, and no other."""

import os
import shutil

import pytest
from tests_shared import decoders_that

from napari_aln.errors import SlideError
from napari_aln.slides import first_open, open_slide


@pytest.fixture
def copy(tissue_slide, tmp_path):
    path = tmp_path / "copy.tif"
    shutil.copyfile(tissue_slide, path)
    return path


@pytest.mark.parametrize(
    ("do", "told"),
    [
        ("os.abort()", "crashed"),
        ("os.kill(os.getpid(), 11)", "crashed"),
        ("os._exit(0)", "crashed"),
        ("time.sleep(1000)", "shows nothing within 1 seconds"),
        ("bytearray(2**60)", "more memory"),
    ],
)
def test_a_slide_that_does_harm_is_refused_and_the_next_one_opens(copy, do, told, monkeypatch):
    with decoders_that(monkeypatch, do), pytest.raises(SlideError, match=told) as caught:
        for _ in first_open.first_opening(copy, patience_s=60.0 if "sleep" not in do else 1.0):
            pass
    assert "copy.tif" in caught.value.fact
    assert "copy" in caught.value.next_step or "convert" in caught.value.next_step
    first_open.require_harmless(copy)
    with open_slide(copy) as slide:
        assert slide.info.size_px == (3000, 2200)


def test_a_slide_is_tried_once_and_again_when_it_changed(copy, monkeypatch):
    first_open.require_harmless(copy)
    asked = []
    monkeypatch.setattr(first_open._process, "_ask", asked.append)
    monkeypatch.setattr(first_open._process, "_answer", lambda _: iter_returning(b"harmless\n"))
    first_open.require_harmless(copy)
    assert not asked
    os.utime(copy, (1, 1))
    first_open.require_harmless(copy)
    assert len(asked) == 1


def iter_returning(value):
    yield
    return value


def test_what_is_wrong_in_an_orderly_way_is_left_to_the_opening(tmp_path):
    text = tmp_path / "text.svs"
    text.write_text("no slide")
    first_open.require_harmless(text)
    first_open.require_harmless(tmp_path / "gone.svs")
    first_open.require_harmless(tmp_path)  # a folder without DICOM
    with pytest.raises(SlideError, match="known type"):
        open_slide(text)


def test_a_slide_given_up_ends_the_process_at_once(copy, monkeypatch):
    with decoders_that(monkeypatch, "time.sleep(1000)") as opening:
        going_on = opening.first_opening(copy)
        while not opening._process._ready:
            next(going_on)
        next(going_on)
        process = opening._process._process
        going_on.close()
        assert process.poll() is not None
        assert opening._one_at_a_time.acquire(blocking=False)
        opening._one_at_a_time.release()


def test_where_no_process_can_be_started_slides_open_as_ever(copy, monkeypatch):
    with decoders_that(monkeypatch, "None"):
        monkeypatch.setattr(first_open, "_PROGRAM", "raise SystemExit(1)")
        first_open.require_harmless(copy)
        first_open._harmless.clear()
        first_open.require_harmless(copy)
        assert first_open._process._cannot_start


def test_nothing_is_imported_from_the_working_folder(copy, tmp_path, monkeypatch):
    trap = f"open({str(tmp_path / 'escaped')!r}, 'w')"
    for module in ("openslide", "tifffile", "json", "numpy"):
        (tmp_path / f"{module}.py").write_text(trap)
    monkeypatch.chdir(tmp_path)
    with decoders_that(monkeypatch, "None"):
        first_open.require_harmless(copy)
        assert first_open._process._ready
    assert not (tmp_path / "escaped").exists()
