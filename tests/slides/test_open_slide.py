"""Opening: what is known of a slide, µm/px and its origin, and every bad input."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image
from slide_files import write_pyramid

from napari_aln.errors import MppError, SlideError, UsageError
from napari_aln.geometry import Mpp, Rect
from napari_aln.slides import open_slide
from napari_aln.slides.facts import sampled_hash, settle_mpp
from napari_aln.slides.formats import FORMATS


def test_facts_of_a_real_svs(svs):
    with open_slide(svs) as slide:
        info = slide.info
    assert info.size_px == (2220, 2967)
    assert [level.downsample for level in info.levels] == [(1.0, 1.0)]
    assert info.mpp == Mpp(0.499, 0.499)
    assert info.mpp_origin == "file"
    assert (info.vendor, info.reader, info.objective_power) == ("aperio", "openslide+tiles", 20.0)
    assert info.quick_hash == "6335ea0e6cc54c2cba64bb265d3c713a50cd84484924e3a9c109558c13521d5c"
    assert info.associated == ("label", "macro", "thumbnail")
    assert info.bounds == Rect(0, 0, 2220, 2967)
    assert info.background_rgb == (255, 255, 255)
    assert info.warnings == ()


def test_facts_of_a_real_bcnb_picture(bcnb_jpeg):
    with open_slide(bcnb_jpeg) as slide:
        assert slide.info.size_px == (2630, 2912)
        assert slide.info.reader == "image"
        assert (slide.info.mpp, slide.info.mpp_origin) == (None, "missing")
    with open_slide(bcnb_jpeg, mpp=1.0) as slide:
        assert (slide.info.mpp, slide.info.mpp_origin) == (Mpp(1.0, 1.0), "user")


def test_pyramid_facts(pyramid):
    with open_slide(pyramid) as slide:
        info = slide.info
    assert [(level.width_px, level.height_px) for level in info.levels] == [(701, 533), (176, 134), (44, 34)]
    assert info.levels[1].downsample == (701 / 176, 533 / 134)
    assert info.levels[2].downsample == (701 / 44, 533 / 34)
    assert info.mpp == pytest.approx((0.25, 0.25))


def test_the_users_mpp_wins_and_a_contradiction_is_told(pyramid):
    with open_slide(pyramid, mpp=(0.5, 0.4)) as slide:
        assert slide.info.mpp == Mpp(0.5, 0.4)
        assert slide.info.mpp_origin == "user"
        assert "0.25" in slide.info.warnings[0]
    with open_slide(pyramid, mpp=(0.25, 0.5)) as slide:
        assert "0.25 x 0.5 was given" in slide.info.warnings[0]
    with open_slide(pyramid, mpp=0.251) as slide:
        assert slide.info.warnings == ()


@pytest.mark.parametrize("mpp", [0.0, -1.0, 0.049, 20.1, 352.8, float("nan"), float("inf"), (0.5, 0.0)])
def test_an_impossible_mpp_from_the_user_is_refused(pyramid, mpp):
    with pytest.raises(MppError, match="µm/px"):
        open_slide(pyramid, mpp=mpp)


def test_an_impossible_mpp_in_the_file_counts_as_missing(tmp_path, rgb):
    path = tmp_path / "screen.tif"
    tifffile.imwrite(
        path, rgb, tile=(128, 128), photometric="rgb", resolution=(72, 72), resolutionunit="INCH"
    )
    with open_slide(path) as slide:
        assert (slide.info.mpp, slide.info.mpp_origin) == (None, "missing")
        assert "352.778" in slide.info.warnings[0]
    with open_slide(path, mpp=0.5) as slide:
        assert slide.info.mpp == Mpp(0.5, 0.5)


def test_limits_of_mpp_are_possible():
    assert settle_mpp(None, (0.05, 20.0)) == (Mpp(0.05, 20.0), "file", ())
    assert settle_mpp(None, (0.5, None)) == (None, "missing", ())


def test_hash_follows_the_content_not_the_path(tmp_path, rgb):
    first, second, other = tmp_path / "a.png", tmp_path / "b ö.png", tmp_path / "c.png"
    Image.fromarray(rgb).save(first)
    second.write_bytes(first.read_bytes())
    changed = bytearray(first.read_bytes())
    changed[-1] ^= 1
    other.write_bytes(changed)
    assert sampled_hash(first) == sampled_hash(second) != sampled_hash(other)
    with open_slide(first) as one, open_slide(second) as two:
        assert one.info.quick_hash == two.info.quick_hash == sampled_hash(first)


@pytest.mark.parametrize("kind", ["pyramid", "picture"])
def test_pickle_reopens_with_the_given_mpp(kind, pyramid, tmp_path, rgb):
    path = pyramid
    if kind == "picture":
        path = tmp_path / "picture.png"
        Image.fromarray(rgb).save(path)
    with open_slide(path, mpp=0.3) as slide, pickle.loads(pickle.dumps(slide)) as copy:
        assert copy.info == slide.info
        assert np.array_equal(copy.read_level(0, (5, 6), (70, 80)), slide.read_level(0, (5, 6), (70, 80)))


@pytest.mark.parametrize("name", ["pyramid", "png"])
def test_closing_twice_is_fine_and_reading_afterwards_is_told(name, pyramid, tmp_path, rgb):
    path = pyramid
    if name == "png":
        path = tmp_path / "a.png"
        Image.fromarray(rgb).save(path)
    slide = open_slide(path)
    slide.close()
    slide.close()
    for read in (
        lambda: slide.read_level(0, (0, 0), (4, 4)),
        lambda: slide.read_region((0, 0), 0, (4, 4)),
        lambda: slide.thumbnail(10),
        lambda: slide.associated_image("label"),
    ):
        with pytest.raises(SlideError, match=r"closed"):
            read()


def test_bad_levels_and_sizes_are_refused(pyramid):
    with open_slide(pyramid) as slide:
        for level, size in [(3, (4, 4)), (-1, (4, 4)), (0, (-1, 4))]:
            with pytest.raises(UsageError, match="3 levels"):
                slide.read_level(level, (0, 0), size)
            with pytest.raises(UsageError, match="3 levels"):
                slide.read_region((0, 0), level, size)
        assert slide.read_level(0, (0, 0), (0, 5)).shape == (5, 0, 3)


def _truncated(whole, path, share):
    data = whole.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def _read_whole(path):
    with open_slide(path) as slide:
        return [
            slide.read_level(index, (0, 0), (level.width_px, level.height_px))
            for index, level in enumerate(slide.info.levels)
        ]


@pytest.mark.parametrize("suffix", [".svs", ".tif", ".ome.tif", ".jpg", ".png", ".dcm", ".mrxs", ".ndpi", ""])
@pytest.mark.parametrize("content", [b"", b"\0" * 500, b"hello, this is no slide\n" * 40])
def test_files_that_are_no_slides_are_named(tmp_path, suffix, content):
    path = tmp_path / f"bad file{suffix}"
    path.write_bytes(content)
    with pytest.raises(SlideError) as caught:
        open_slide(path)
    assert str(path) in caught.value.fact
    assert ("empty" in caught.value.fact) == (content == b"")
    assert caught.value.next_step


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.svs")
    with pytest.raises(SlideError, match="neither a file nor a folder"):
        open_slide(tmp_path / "pipe.svs")


def test_missing_file_and_folder_without_slides(tmp_path):
    with pytest.raises(SlideError, match="does not exist"):
        open_slide(tmp_path / "gone.svs")
    with pytest.raises(SlideError, match="cannot be read"):  # nor may it even be asked for
        open_slide(tmp_path / ("x" * 300) / "slide.svs")
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(SlideError, match="holds no slide"):
        open_slide(tmp_path)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "lzw"])
def test_missing_tiles_at_the_end_are_told_at_the_opening(tmp_path, rgb, compression):
    """The directory stands at the start here, so the file opens and would fail after minutes of work."""
    whole = tmp_path / "whole.tif"
    tifffile.imwrite(whole, rgb, tile=(128, 128), photometric="rgb", compression=compression)
    path = _truncated(whole, tmp_path / "cut.tif", 0.8)
    with pytest.raises(SlideError, match=r"cut\.tif is truncated"):
        open_slide(path)


@pytest.mark.parametrize("place", ["file", "folder"])
def test_what_may_not_be_read_is_named(pyramid, tmp_path, monkeypatch, place):
    def refuse(*_args, **_keywords):
        raise PermissionError(13, "Permission denied")

    path = pyramid if place == "file" else tmp_path
    monkeypatch.setattr(Path, "open" if place == "file" else "iterdir", refuse)
    with pytest.raises(SlideError, match=r"cannot be read \(Permission denied\)") as caught:
        open_slide(path)
    assert str(path) in caught.value.fact


def test_a_damaged_tiff_leaves_the_terminal_clean(pyramid, tmp_path):
    path = _truncated(pyramid, tmp_path / "cut.tif", 0.999)
    code = (
        f"from napari_aln.slides import open_slide\ntry:\n    open_slide({str(path)!r})\nexcept OSError: pass"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.8, 0.999])
def test_truncated_tiff_is_refused_or_named_on_reading(pyramid, tmp_path, share):
    path = _truncated(pyramid, tmp_path / "cut.tif", share)
    with pytest.raises(SlideError, match=r"cut\.tif"):
        _read_whole(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.7, 0.9, 0.99])
def test_truncated_real_svs_is_named(svs, tmp_path, share):
    path = _truncated(svs, tmp_path / "cut.svs", share)
    with pytest.raises(SlideError, match=r"cut\.svs"):
        _read_whole(path)


@pytest.mark.parametrize("keep", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_truncated_picture_is_refused(tmp_path, rgb, keep, share):
    whole = tmp_path / "whole"
    Image.fromarray(rgb).save(whole, keep)
    path = _truncated(whole, tmp_path / "cut.img", share)
    with pytest.raises(SlideError, match=r"cut\.img"):
        open_slide(path)


def test_damaged_headers_never_leak_other_errors(pyramid, tmp_path):
    """Flip bytes in the last directories: every outcome is a picture or a `SlideError`."""
    data = pyramid.read_bytes()
    rng = np.random.default_rng(7)
    facts = {}
    for number in range(40):
        damaged = bytearray(data)
        for at in rng.integers(len(data) - 700, len(data), 8):
            damaged[at] = rng.integers(256)
        path = tmp_path / f"damaged {number}.tif"
        path.write_bytes(damaged)
        try:
            with open_slide(path) as slide:
                slide.thumbnail(40)
        except SlideError as error:
            facts[path.name] = error.fact
    assert facts
    assert all(name in fact for name, fact in facts.items())


def test_associated_images_only_by_name(svs):
    with open_slide(svs) as slide:
        with openslide.OpenSlide(svs) as reference:
            expected = np.asarray(reference.associated_images["macro"])[..., :3]
        assert np.array_equal(slide.associated_image("macro"), expected)
        with pytest.raises(SlideError, match="label, macro, thumbnail"):
            slide.associated_image("barcode")


def test_formats_say_what_is_proven():
    tested = {entry.name for entry in FORMATS if entry.tested}
    assert "Aperio" in tested
    for name in ("MIRAX", "Hamamatsu", "Leica", "Ventana"):
        assert name not in tested
        assert any(entry.name == name for entry in FORMATS)


def test_a_tiff_without_resolution_has_no_mpp(tmp_path, rgb):
    with open_slide(write_pyramid(tmp_path / "plain.tif", [rgb], mpp=None)) as slide:
        assert (slide.info.mpp, slide.info.warnings) == (None, ())
