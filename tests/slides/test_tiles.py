"""The tile cache: its byte limit, what it saves, and readers that share it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from slide_files import write_pyramid

from napari_aln.errors import SlideError
from napari_aln.slides import open_slide
from napari_aln.slides.tiles import TileReader, tiff_level

_WHITE = (255, 255, 255)
_TILE_BYTES = 128 * 128 * 3


def _reader(path, cache_bytes):
    with tifffile.TiffFile(path) as tiff:
        return TileReader(path, (tiff_level(tiff.pages[0], path, tiff.filehandle.size),), cache_bytes)


@pytest.fixture
def path(tmp_path, rgb):
    return write_pyramid(tmp_path / "tiles.tif", [rgb])


def _counted(reader, monkeypatch):
    calls = []
    honest = reader._segment
    monkeypatch.setattr(reader, "_segment", lambda there, index: calls.append(index) or honest(there, index))
    return calls


def test_a_tile_is_decoded_once_while_it_fits(path, monkeypatch):
    reader = _reader(path, 100 * _TILE_BYTES)
    calls = _counted(reader, monkeypatch)
    for corner in (100, 120, 90):
        reader.read(0, corner, corner, 60, 60, _WHITE)
    assert sorted(calls) == [0, 1, 6, 7]  # six tiles a row
    reader.close()


def test_the_cache_keeps_to_its_bytes_and_forgets_the_oldest(path, monkeypatch):
    reader = _reader(path, 3 * _TILE_BYTES)
    calls = _counted(reader, monkeypatch)
    for column in (0, 1, 2, 0, 3):  # 1 is now the least recently used
        reader.read(0, column * 128, 0, 128, 128, _WHITE)
        assert reader._cached_bytes == sum(tile.nbytes for tile in reader._cache.values()) <= 3 * _TILE_BYTES
    assert calls == [0, 1, 2, 3]
    reader.read(0, 0, 0, 128, 128, _WHITE)
    assert calls == [0, 1, 2, 3]
    reader.read(0, 128, 0, 128, 128, _WHITE)
    assert calls == [0, 1, 2, 3, 1]
    reader.close()
    assert reader._cached_bytes == 0


def test_a_limit_below_one_tile_still_reads(path):
    small, large = _reader(path, 1), _reader(path, 10**8)
    assert np.array_equal(small.read(0, 5, 6, 600, 500, _WHITE), large.read(0, 5, 6, 600, 500, _WHITE))
    assert len(small._cache) == 1
    small.close()
    large.close()


def test_threads_agree_with_a_cache_that_overflows(path):
    reader, whole = _reader(path, 4 * _TILE_BYTES), _reader(path, 10**8).read(0, 0, 0, 701, 533, _WHITE)
    corners = np.random.default_rng(1).integers(0, 400, (80, 2))
    with ThreadPoolExecutor(8) as pool:
        boxes = list(pool.map(lambda at: reader.read(0, int(at[0]), int(at[1]), 130, 120, _WHITE), corners))
    assert all(
        np.array_equal(box, whole[y : y + 120, x : x + 130])
        for box, (x, y) in zip(boxes, corners, strict=True)
    )
    assert reader._cached_bytes == sum(tile.nbytes for tile in reader._cache.values())
    reader.close()


def test_a_jpeg_tile_without_its_end_is_told_not_filled_with_grey(path):
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        middle = page.dataoffsets[8] + page.databytecounts[8] // 2
        rest = page.databytecounts[8] - page.databytecounts[8] // 2
    with path.open("r+b") as file:
        file.seek(middle)
        file.write(b"\0" * rest)
    reader = _reader(path, 10**7)
    with pytest.raises(SlideError, match="has no end"):
        reader.read(0, 256, 128, 20, 20, _WHITE)
    reader.close()


@pytest.mark.parametrize("kept_px", [128, 200])
def test_tiles_beyond_the_pictures_end_do_not_count(tmp_path, rgb, kept_px):
    """A picture whose stated height was changed has more tiles than it needs, the fullest among them."""
    picture = np.full_like(rgb, 200)
    picture[kept_px + 128 :] = rgb[kept_px + 128 :]
    path = write_pyramid(tmp_path / "cut.tif", [picture])
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["ImageLength"].overwrite(kept_px)
    with open_slide(path) as slide:
        assert slide.info.size_px == (rgb.shape[1], kept_px)
        assert np.abs(slide.read_level(0, (0, 0), slide.info.size_px).astype(int) - 200).max() < 3


def test_a_level_that_is_not_read_here_is_told(path):
    reader = TileReader(path, (None,))
    with pytest.raises(SlideError, match="no tiles"):
        reader.read(0, 0, 0, 1, 1, _WHITE)
    reader.close()
