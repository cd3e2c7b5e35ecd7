"""Flat JPEG and PNG: pixels as stored, moderate memory, no guessed resolution."""

import errno
import io
import os
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from napari_aln.errors import SlideError
from napari_aln.geometry import Rect
from napari_aln.slides import image_reader, open_slide, overview, read_patch


def _save(path, rgb, kind="JPEG", mode="RGB", **keywords):
    picture = Image.fromarray(rgb).convert(mode)
    picture.save(path, kind, **keywords)
    return path


def _pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.fixture(params=["in memory", "in a temporary file"])
def where(request, monkeypatch, tmp_path):
    """Both ways of holding pixels; returns the folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    if request.param == "in a temporary file":
        monkeypatch.setattr(image_reader, "IN_MEMORY_PX", 1000)
    return folder


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_are_those_stored(tmp_path, rgb, where, kind, mode):
    path = _save(tmp_path / "picture", rgb, kind, mode)
    expected = _pixels(path)
    with open_slide(path) as slide:
        assert slide.info.size_px == (701, 533)
        assert np.array_equal(slide.read_level(0, (0, 0), (701, 533)), expected)
        box = slide.read_level(0, (680, -3), (30, 20))
        assert np.array_equal(box[3:, :21], expected[:17, 680:])
        assert (box[:, 21:] == 255).all()
        if sys.platform != "win32":  # so that nothing is left of a process that is killed
            assert list(where.iterdir()) == []
        assert isinstance(slide._pixels, np.memmap) == (image_reader.IN_MEMORY_PX == 1000)
    assert list(where.iterdir()) == []


def test_progressive_and_restart_markers(tmp_path, rgb, where):
    for number, keywords in enumerate(
        ({"progressive": True}, {"restart_marker_rows": 2}, {"subsampling": 0})
    ):
        path = _save(tmp_path / f"{number}.jpg", rgb, **keywords)
        with open_slide(path) as slide:
            assert np.array_equal(slide.read_level(0, (0, 0), (701, 533)), _pixels(path))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_on_white(tmp_path, where, mode):
    color = np.full((40, 60, 4), (100, 100, 100, 51), np.uint8)
    path = tmp_path / "alpha.png"
    Image.fromarray(color).convert(mode).save(path)
    with open_slide(path) as slide:
        assert (slide.read_level(0, (0, 0), (60, 40)) == 224).all()  # 100 / 5 + 255 * 4 / 5


@pytest.mark.parametrize("mode", ["P", "1", "CMYK"])
def test_rare_kinds_are_read_when_small_and_refused_when_large(tmp_path, rgb, mode, monkeypatch):
    path = _save(tmp_path / "rare", rgb, "JPEG" if mode == "CMYK" else "PNG", mode)
    with open_slide(path) as slide:
        assert np.array_equal(slide.read_level(0, (0, 0), (701, 533)), _pixels(path))
    monkeypatch.setattr(image_reader, "IN_MEMORY_PX", 1000)
    with pytest.raises(SlideError, match="rare kind"):
        open_slide(path)


def test_sixteen_bits_are_refused(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(path)
    with pytest.raises(SlideError, match="8-bit"):
        open_slide(path)


def test_screen_density_is_no_mpp_and_rotation_is_ignored(tmp_path, rgb):
    exif = Image.Exif()
    exif[274] = 6  # rotate by 90 degrees
    path = _save(tmp_path / "dense.jpg", rgb, dpi=(2540, 2540), exif=exif)
    with open_slide(path) as slide:
        assert (slide.info.mpp, slide.info.mpp_origin, slide.info.warnings) == (None, "missing", ())
        assert slide.info.size_px == (701, 533)
        assert np.array_equal(slide.read_level(0, (0, 0), (701, 533)), np.asarray(Image.open(path)))
    with open_slide(path, mpp=0.5) as slide:
        assert slide.info.mpp == (0.5, 0.5)


def test_large_pictures_raise_no_bomb_warning(tmp_path, rgb, monkeypatch):
    path = _save(tmp_path / "large.jpg", rgb)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_slide(path) as slide:
            slide.thumbnail(50)
            slide.read_level(0, (0, 0), (10, 10))


def test_jpeg_overview_needs_no_full_decode(tmp_path, rgb, monkeypatch):
    path = _save(tmp_path / "picture.jpg", rgb, quality=95)
    full = Image.fromarray(_pixels(path))
    with open_slide(path) as slide:
        monkeypatch.setattr(type(slide), "_decoded", lambda _self: pytest.fail("decoded at full size"))
        for downsample in (2.0, 3.3, 8.0, 21.0):
            got, exact = overview(slide, downsample)
            height, width = got.shape[:2]
            assert exact == (701 / width, 533 / height)
            reference = np.asarray(full.resize((width, height), Image.Resampling.HAMMING)).astype(int)
            assert np.abs(got - reference).mean() < 6  # a picture shifted by one pixel differs by 18 and more
        assert slide.thumbnail(64).shape == (49, 64, 3)


def test_a_marker_stays_in_place_in_the_reduced_overview(tmp_path):
    """701 is no multiple of 8: the last scaled column stands for five pixels, not eight."""
    rgb = np.full((533, 701, 3), 200, np.uint8)
    rgb[500:520, 660:690] = (20, 20, 200)
    path = _save(tmp_path / "marked.jpg", rgb, quality=95, subsampling=0)
    with open_slide(path) as slide:
        small, (by_x, by_y) = overview(slide, 8.0)
    weight = 200 - small[..., 0].astype(float)
    weight[weight < 30] = 0
    y, x = np.mgrid[: small.shape[0], : small.shape[1]]
    assert ((x + 0.5) * weight).sum() / weight.sum() * by_x == pytest.approx(675, abs=1.0)
    assert ((y + 0.5) * weight).sum() / weight.sum() * by_y == pytest.approx(510, abs=1.0)


def test_a_full_disk_is_told_before_decoding(tmp_path, rgb, monkeypatch):
    path = _save(tmp_path / "picture.jpg", rgb)
    monkeypatch.setattr(image_reader, "IN_MEMORY_PX", 1000)
    monkeypatch.setattr(
        image_reader.shutil, "disk_usage", lambda _folder: type("U", (), {"free": 1_000_000})()
    )
    with open_slide(path) as slide, pytest.raises(SlideError, match=r"picture\.jpg unfolds to .* GB free"):
        slide.read_level(0, (0, 0), (5, 5))


def _fallocate(monkeypatch, number):
    def refuse(*_args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    monkeypatch.setattr(image_reader, "IN_MEMORY_PX", 1000)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_a_drive_that_cannot_take_space_in_one_call_is_filled_up_instead(tmp_path, rgb, monkeypatch, number):
    path = _save(tmp_path / "picture.jpg", rgb)
    written = []
    monkeypatch.setattr(image_reader, "_ZEROS", memoryview(bytes(300_000)))
    _fallocate(monkeypatch, number or errno.EINVAL)
    if number is None:
        monkeypatch.delattr(os, "posix_fallocate")  # as on macOS and Windows
    memmap = np.memmap
    monkeypatch.setattr(
        np, "memmap", lambda file, *a, **k: written.append(os.fstat(file.fileno())) or memmap(file, *a, **k)
    )
    with open_slide(path) as slide:
        assert np.array_equal(slide.read_level(0, (0, 0), (701, 533)), _pixels(path))
    assert [facts.st_size for facts in written] == [701 * 533 * 3]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EFBIG])
def test_a_drive_that_fills_up_in_between_is_told(tmp_path, rgb, monkeypatch, number):
    path = _save(tmp_path / "picture.jpg", rgb)
    _fallocate(monkeypatch, number)
    with open_slide(path) as slide, pytest.raises(SlideError, match="has no room for it") as caught:
        slide.read_level(0, (0, 0), (5, 5))
    assert str(path) in caught.value.fact
    assert os.strerror(number) in caught.value.fact
    assert "TMPDIR" in caught.value.next_step


def test_no_usable_temporary_folder_is_told(tmp_path, rgb, monkeypatch):
    path = _save(tmp_path / "picture.jpg", rgb)
    monkeypatch.setattr(image_reader, "IN_MEMORY_PX", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with (
        open_slide(path) as slide,
        pytest.raises(SlideError, match=r"picture\.jpg unfolds to .* has no room"),
    ):
        slide.read_level(0, (0, 0), (5, 5))


def _png_that_claims(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("size", [(60_000, 60_000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_a_header_that_claims_too_much_is_refused(tmp_path, size):
    path = tmp_path / "claims.png"
    path.write_bytes(_png_that_claims(*size))
    with pytest.raises(SlideError, match=r"claims\.png"):
        open_slide(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_damage_inside_is_told_on_reading(tmp_path, rgb, where, kind):
    data = io.BytesIO()
    Image.fromarray(rgb).save(data, kind)
    damaged = bytearray(data.getvalue())
    if kind == "PNG":
        damaged[len(damaged) // 2] ^= 255
    else:
        start = damaged.index(b"\xff\xda")  # the scan: without its header nothing can be decoded
        damaged[start + 4] = 9
    path = tmp_path / "hurt"
    path.write_bytes(damaged)
    with open_slide(path) as slide:
        for _ in range(2):
            with pytest.raises(SlideError, match="hurt"):
                slide.read_level(0, (0, 0), (701, 533))
    assert list(where.iterdir()) == []


def test_many_threads_decode_once(tmp_path, rgb, where, monkeypatch):
    path = _save(tmp_path / "picture.jpg", rgb)
    expected = _pixels(path)
    with open_slide(path) as slide:
        decoded = []
        for name in ("_in_memory", "_in_temporary_file"):
            honest = getattr(type(slide), name)
            monkeypatch.setattr(
                type(slide), name, lambda self, honest=honest: decoded.append(1) or honest(self)
            )
        with ThreadPoolExecutor(6) as pool:
            boxes = list(pool.map(lambda x: slide.read_level(0, (x, x), (40, 30)), range(0, 300, 5)))
    assert len(decoded) == 1
    assert all(
        np.array_equal(box, expected[x : x + 30, x : x + 40])
        for x, box in zip(range(0, 300, 5), boxes, strict=True)
    )


def test_what_is_returned_may_be_written_to(tmp_path, rgb, where):
    path = _save(tmp_path / "picture.jpg", rgb)
    with open_slide(path) as slide:
        first = slide.read_level(0, (0, 0), (20, 20))
        kept = first.copy()
        first[:] = 0
        assert np.array_equal(slide.read_level(0, (0, 0), (20, 20)), kept)
        assert np.array_equal(read_patch(slide, Rect(0, 0, 20, 20), 20), kept)
