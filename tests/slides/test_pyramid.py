"""The viewer's pyramid: placing, exact means, patience, newest first, nothing twice, limits, trouble."""

import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from slide_files import resized, textured, write_pyramid

from napari_aln.errors import SlideError
from napari_aln.geometry import Rect
from napari_aln.records import Level, SlideInfo
from napari_aln.slides import open_slide
from napari_aln.slides.base import BaseSlide
from napari_aln.slides.pyramid import Pyramid
from napari_aln.slides.pyramid_plan import area_mean, plan_levels, source_box
from napari_aln.slides.tile_workers import TileWorkers

BACKGROUND = (250, 251, 252)
TIMEOUT_S = 20  # only ever waited for where something is broken


class ArraySlide(BaseSlide):
    """A slide in memory that counts its reads and can hold them back."""

    def __init__(self, levels: list[np.ndarray], tile_px: int | None = 64) -> None:
        height, width = levels[0].shape[:2]
        super().__init__(
            SlideInfo(
                path=Path("in memory.svs"),
                vendor="test",
                reader="test",
                levels=tuple(
                    Level(p.shape[1], p.shape[0], (width / p.shape[1], height / p.shape[0])) for p in levels
                ),
                mpp=None,
                mpp_origin="missing",
                bounds=Rect(0, 0, width, height),
                background_rgb=BACKGROUND,
                quick_hash="",
            ),
            None,
        )
        self.pixels = levels
        self.tile_px = tile_px
        self.reads: Counter = Counter()
        self.order: list[tuple[int, int, int]] = []
        self.begun = threading.Semaphore(0)
        self.gates = {level: threading.Event() for level in range(len(levels))}
        for gate in self.gates.values():
            gate.set()
        self.broken: set[tuple[int, int, int]] = set()

    def tile_size(self, level):
        return (self.tile_px, self.tile_px) if self.tile_px else None

    def _read_inside(self, level, x, y, width, height):
        self.reads[level, x, y, width, height] += 1
        self.order.append((level, x, y))
        self.begun.release()
        assert self.gates[level].wait(TIMEOUT_S)
        if (level, x, y) in self.broken:
            raise SlideError(f"Tile {x} {y} is damaged.", "Copy the file again.")
        return self.pixels[level][y : y + height, x : x + width].copy()

    def _release(self):
        pass


@pytest.fixture
def opened():
    """Return a maker of pyramids that are closed in the end, and leave no thread."""
    pyramids = []

    def make(slide, **keywords) -> Pyramid:
        pyramids.append(Pyramid(slide, **{"patience_s": TIMEOUT_S, **keywords}))
        return pyramids[-1]

    yield make
    for pyramid in pyramids:
        for gate in getattr(pyramid._slide, "gates", {}).values():
            gate.set()
        pyramid.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("napari-aln-tiles")]


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return textured(2310, 1405, seed=4)


def wait(event: threading.Event) -> None:
    assert event.wait(TIMEOUT_S)


def shares_of(n_fine: int, n_coarse: int) -> np.ndarray:
    """Return (n_coarse, n_fine): the share of each fine pixel in the area of each coarse one."""
    edges = np.linspace(0, n_fine, n_coarse + 1)
    low, high = edges[:-1, None], edges[1:, None]
    fine = np.arange(n_fine)
    return (np.minimum(high, fine + 1) - np.maximum(low, fine)).clip(0) * (n_coarse / n_fine)


def mean_of(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the area mean by matrices, in doubles."""
    rows, columns = shares_of(pixels.shape[0], height), shares_of(pixels.shape[1], width)
    return np.stack([rows @ pixels[..., color] @ columns.T for color in range(3)], axis=-1)


def assert_mean_of(level: np.ndarray, finer: np.ndarray) -> None:
    """Check values rounded to the nearest; at exact halves either neighbour is right."""
    exact = mean_of(finer, *level.shape[:2])
    assert np.abs(level - exact).max() <= 0.5 + 1e-4


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(900, 700)], [(900, 700)]),
        ([(1025, 3)], [(1025, 3), (513, 2)]),
        ([(4097, 2050)], [(4097, 2050), (2049, 1025), (1025, 513), (513, 257)]),
        ([(4000, 4000), (1000, 1000)], [(4000, 4000), (2000, 2000), (1000, 1000)]),
        ([(2001, 1601), (1000, 800)], [(2001, 1601), (1000, 800)]),
        (
            [(16001, 1600), (1000, 100)],
            [(16001, 1600), (8001, 800), (4001, 400), (2001, 200), (1000, 100)],
        ),
        ([(3000, 2400), (1000, 800)], [(3000, 2400), (1500, 1200), (1000, 800)]),
        ([(800, 600), (800, 600), (400, 300)], [(800, 600), (400, 300)]),
    ],
)
def test_levels_are_halved_between_those_of_the_file_and_below_them(sizes, expected):
    slide = ArraySlide([np.broadcast_to(np.uint8(0), (height, width, 3)) for width, height in sizes])
    assert [(level.width_px, level.height_px) for level in plan_levels(slide)] == expected


def test_a_level_whose_size_is_padded_is_placed_by_its_stated_downsample():
    slide = ArraySlide([np.zeros((900, 1500, 3), np.uint8)])
    padded = Level(512, 320, (3.0, 3.0))  # the picture fills 500 x 300 of it
    object.__setattr__(slide._info, "levels", (slide.info.levels[0], padded))
    assert [(level.width_px, level.height_px) for level in plan_levels(slide)][-1] == (500, 300)


@pytest.mark.parametrize("size", [(1536, 1024), (1405, 1405), (1111, 1040)])
def test_made_levels_are_exact_area_means(opened, picture, size):
    slide = ArraySlide([picture[: size[1], : size[0]]])
    pyramid = opened(slide)
    finer = slide.pixels[0]
    np.testing.assert_array_equal(pyramid.levels[0][:], finer)
    for level in pyramid.levels[1:]:
        coarse = level[:]
        assert_mean_of(coarse, finer)
        finer = coarse
    assert len(pyramid.levels) == 2


def test_levels_between_those_of_the_file_come_from_the_finer_one(opened, picture):
    slide = ArraySlide([picture, resized(picture, 578, 351)])
    pyramid = opened(slide)
    assert [level.shape for level in pyramid.levels] == [(1405, 2310, 3), (703, 1155, 3), (351, 578, 3)]
    assert_mean_of(pyramid.levels[1][:], picture)
    np.testing.assert_array_equal(pyramid.levels[2][:], slide.pixels[1])


def test_a_box_of_a_made_level_is_the_same_as_that_part_of_the_whole(picture):
    finer, level = plan_levels(ArraySlide([picture[:1101, :1203]]))
    whole = area_mean(picture[:1101, :1203], finer, level, (0, 0, 602, 551))
    x0, y0, x1, y1 = source_box(finer, level, (200, 101, 400, 551))
    assert (x0, y0, x1, y1) == (399, 201, 800, 1101)
    part = area_mean(picture[y0:y1, x0:x1], finer, level, (200, 101, 400, 551))
    np.testing.assert_array_equal(part, whole[101:, 200:400])


def test_a_spot_at_the_far_corner_stays_in_place_on_every_level(opened):
    width, height = 2309, 1407
    l0_xy = np.array([2250.5, 1361.5])
    y, x = np.mgrid[:height, :width] + 0.5
    dark = 200 * np.exp(-((x - l0_xy[0]) ** 2 + (y - l0_xy[1]) ** 2) / (2 * 12**2))
    pixels = np.repeat((250 - dark).round().astype(np.uint8)[..., None], 3, axis=-1)
    pyramid = opened(ArraySlide([pixels, resized(pixels, 577, 352)]))
    assert len(pyramid.levels) == 3
    for level in pyramid.levels:
        weight = 250.0 - level[:][..., 0]
        rows, columns = np.indices(weight.shape) + 0.5
        at = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
        factor = np.divide(pyramid.levels[0].shape, level.shape)[[1, 0]]  # as viewers work it out
        np.testing.assert_allclose(at * factor, l0_xy, atol=0.15)


@pytest.mark.parametrize(
    "key",
    [
        np.s_[:],
        np.s_[...],
        np.s_[3:200, 5:9],
        np.s_[3:200:1, 5:9, :],
        np.s_[-40:, :-900],
        np.s_[::7, 1::64],
        np.s_[130:60:-3, ::-1],
        np.s_[5],
        np.s_[-1, -2],
        np.s_[5, 6, 1],
        np.s_[..., 2],
        np.s_[100:90],
        np.s_[50:10_000, np.int64(7), ::-1],
        np.s_[1:3, ..., 0],
    ],
)
def test_a_level_is_indexed_as_numpy_would(opened, picture, key):
    pixels = picture[:301, :1023]
    level = opened(ArraySlide([pixels])).levels[0]
    np.testing.assert_array_equal(level[key], pixels[key])


@pytest.mark.parametrize("key", [301, (0, -1024), (0, 0, 0, 0), (..., ...), "a", np.array([1, 2]), 1.0])
def test_what_cannot_index_a_level_says_so(opened, picture, key):
    level = opened(ArraySlide([picture[:301, :1023]])).levels[0]
    with pytest.raises(IndexError):
        level[key]


def test_a_level_is_an_array_like(opened, picture):
    pyramid = opened(ArraySlide([picture]))
    first, last = pyramid.levels[0], pyramid.levels[-1]
    assert (first.shape, first.dtype, first.ndim, len(first)) == (picture.shape, np.uint8, 3, 1405)
    assert first.size == picture.size
    np.testing.assert_array_equal(np.asarray(first), picture)
    assert np.asarray(first, float).dtype == float
    assert np.asarray(last) is np.asarray(last)
    assert np.array(last) is not np.asarray(last)
    np.testing.assert_array_equal(np.asarray(last), last[:])


def test_a_read_returns_soon_with_what_coarser_levels_show_and_tells_when_the_rest_is_there(opened):
    fine = np.zeros((1200, 1200, 3), np.uint8)
    fine[:600], fine[600:] = 40, 80
    slide = ArraySlide([fine, fine[::2, ::2] + np.uint8(5)], tile_px=256)
    for gate in slide.gates.values():
        gate.clear()
    pyramid = opened(slide, patience_s=0)
    whole = threading.Event()
    pyramid.on_arrival = whole.set
    slide.gates[1].set()
    wait(whole)  # the coarsest level is
    whole.clear()
    calls = []
    pyramid.on_arrival = lambda: (calls.append(pyramid.pending), whole.set())
    seen = pyramid.levels[0][500:700, 300:1200]
    assert set(np.unique(seen[:100])) == {45}
    assert set(np.unique(seen[100:])) == {85}
    assert (pyramid.pending, pyramid.returned_whole, calls) == (8, False, [])
    slide.gates[0].set()
    wait(whole)
    np.testing.assert_array_equal(pyramid.levels[0][500:700, 300:1200], fine[500:700, 300:1200])
    assert (pyramid.pending, pyramid.returned_whole) == (0, True)
    assert calls[-1] == 0
    assert len(calls) == 1


def test_where_nothing_coarser_is_there_yet_a_read_shows_background(opened):
    slide = ArraySlide([np.zeros((1200, 1200, 3), np.uint8)])
    slide.gates[0].clear()
    pyramid = opened(slide, patience_s=0)
    assert (pyramid.levels[0][:200, :200] == BACKGROUND).all()
    assert (np.asarray(pyramid.levels[-1]) == BACKGROUND).all()


def test_the_coarsest_level_fills_itself_and_tells(opened):
    slide = ArraySlide([np.full((1200, 1200, 3), 7, np.uint8)])
    slide.gates[0].clear()
    pyramid = opened(slide, patience_s=0)
    whole = threading.Event()
    pyramid.on_arrival = lambda: pyramid.pending or whole.set()
    shared = np.asarray(pyramid.levels[-1])
    slide.gates[0].set()
    wait(whole)
    assert (shared == 7).all()


def test_the_newest_picture_comes_first_and_a_former_ones_tiles_are_dropped(opened):
    slide = ArraySlide([np.zeros((1000, 1000, 3), np.uint8), np.zeros((500, 500, 3), np.uint8)], tile_px=256)
    pyramid = opened(slide, threads=1)
    pyramid.levels[1][:]
    slide.gates[0].clear()
    slide.order.clear()
    while slide.begun.acquire(blocking=False):
        pass
    former = threading.Thread(target=lambda: pyramid.levels[0][:, :256])
    former.start()
    assert slide.begun.acquire(timeout=TIMEOUT_S)
    whole = threading.Event()
    newest = threading.Thread(target=lambda: (pyramid.levels[0][512:, 512:], whole.set()))
    newest.start()
    former.join(TIMEOUT_S)  # a superseded read does not wait any longer
    assert not former.is_alive()
    slide.gates[0].set()
    wait(whole)
    newest.join()
    assert slide.order == [(0, 0, 0), (0, 512, 512), (0, 768, 512), (0, 512, 768), (0, 768, 768)]
    pyramid.levels[0][:256, :256]
    assert slide.reads[0, 0, 0, 256, 256] == 1  # what was half-way was kept


def test_a_tile_that_is_made_of_many_is_given_up_half_way(opened):
    slide = ArraySlide([np.zeros((8192, 256, 3), np.uint8)], tile_px=256)
    slide.gates[0].clear()
    pyramid = opened(slide, threads=1, patience_s=0)  # at work on its coarsest level
    assert slide.begun.acquire(timeout=TIMEOUT_S)
    pyramid.levels[0][7000:7001]
    whole = threading.Event()
    pyramid.on_arrival = whole.set
    slide.gates[0].set()
    wait(whole)
    assert slide.order[1][2] == 6912


def test_nothing_is_read_twice_however_many_ask(opened, picture):
    slide = ArraySlide([picture, picture[::2, ::2], picture[::4, ::4]])
    pyramid = opened(slide, threads=3)
    seen = []

    def look(first):
        for _ in range(3):
            for level in pyramid.levels:
                part = np.s_[first : first + 500, 100:900]
                seen.append((level, part, level[part]))

    readers = [threading.Thread(target=look, args=(first,)) for first in (0, 0, 200, 300)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert set(slide.reads.values()) == {1}
    np.testing.assert_array_equal(pyramid.levels[0][0:500, 100:900], picture[0:500, 100:900])
    made = len(slide.reads)
    for level in pyramid.levels:
        level[0:500, 100:900]
    assert len(slide.reads) == made


def test_what_was_seen_finer_is_not_read_again_for_a_coarser_level(opened, picture):
    slide = ArraySlide([picture, picture[::4, ::4]])
    pyramid = opened(slide)
    pyramid.levels[0][:600, :600]
    pyramid.levels[1][:250, :250]
    assert sum(count for (level, *_), count in slide.reads.items() if level == 0) == 9


def test_the_cache_keeps_to_its_limit_and_a_large_read_is_complete(opened, picture):
    slide = ArraySlide([picture, picture[::2, ::2][:, :1024]], tile_px=256)
    limit = 8 * 256 * 256 * 3
    pyramid = opened(slide, cache_bytes=limit)
    coarsest = np.asarray(pyramid.levels[-1]).nbytes
    for x in range(0, 2000, 300):
        np.testing.assert_array_equal(pyramid.levels[0][100:400, x : x + 300], picture[100:400, x : x + 300])
        assert pyramid.cache_bytes_used <= limit + coarsest
    np.testing.assert_array_equal(pyramid.levels[0][:], picture)
    np.testing.assert_array_equal(pyramid.levels[0][::5, ::2], picture[::5, ::2])
    assert pyramid.cache_bytes_used <= limit + coarsest


def test_a_picture_of_a_giant_needs_only_its_own_tiles(opened):
    class Giant(ArraySlide):
        def _read_inside(self, level, x, y, width, height):
            self.reads[level, x, y, width, height] += 1
            rows, columns = np.ogrid[y : y + height, x : x + width]
            return np.repeat((rows // 64 + columns // 64).astype(np.uint8)[..., None], 3, axis=-1)

    sizes = (100_000, 25_000, 6_250, 1_000)
    slide = Giant([np.broadcast_to(np.uint8(0), (n, n, 3)) for n in sizes], tile_px=256)
    pyramid = opened(slide)
    assert len(pyramid.levels) == 8
    seen = pyramid.levels[0][-1000:, -1000:]
    assert seen[-1, -1, 0] == (2 * (99_999 // 64)) % 256
    assert sum(1 for level, *_ in slide.reads if level == 0) == 25
    assert pyramid.cache_bytes_used < 10e6
    pyramid.levels[1][-1000:, -1000:]
    assert max(width for _, _, _, width, _ in slide.reads) == 256


def test_a_tile_that_cannot_be_read_shows_background_and_is_told_once(opened):
    slide = ArraySlide([np.zeros((1200, 1200, 3), np.uint8), np.zeros((600, 600, 3), np.uint8)], tile_px=256)
    slide.broken = {(0, 256, 0), (0, 512, 512)}
    pyramid = opened(slide)
    told = []
    pyramid.on_error = told.append
    seen = pyramid.levels[0][:]
    assert (seen[:256, 256:512] == BACKGROUND).all()
    assert (seen[512:768, 512:768] == BACKGROUND).all()
    assert (seen[:, :256] == 0).all()
    assert [error.next_step for error in told] == ["Copy the file again."]
    assert pyramid.pending == 0


def test_a_slide_closed_too_early_is_trouble_too_and_no_exception(opened, picture):
    slide = ArraySlide([picture])
    pyramid = opened(slide)
    told = []
    pyramid.on_error = told.append
    pyramid.levels[-1][:]
    slide.close()
    assert (pyramid.levels[0][:100, :100] == BACKGROUND).all()
    assert "closed" in told[0].fact
    assert len(told) == 1


def test_closing_ends_a_waiting_read_and_the_threads_and_leaves_the_slide_open(picture):
    slide = ArraySlide([picture])
    slide.gates[0].clear()
    pyramid = Pyramid(slide, patience_s=TIMEOUT_S)
    seen = []
    reader = threading.Thread(target=lambda: seen.append(pyramid.levels[0][:100, :100]))
    reader.start()
    assert slide.begun.acquire(timeout=TIMEOUT_S)
    closer = threading.Thread(target=pyramid.close)
    closer.start()
    reader.join(TIMEOUT_S)
    slide.gates[0].set()
    closer.join(TIMEOUT_S)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("napari-aln-tiles")]
    assert (seen[0] == BACKGROUND).all()
    assert (pyramid.levels[0][::100] == BACKGROUND).all()
    assert (np.asarray(pyramid.levels[0]) == BACKGROUND).all()
    assert (pyramid.pending, pyramid.cache_bytes_used) == (0, 0)
    assert slide.read_level(0, (0, 0), (5, 5)).shape == (5, 5, 3)
    pyramid.close()


def test_tiles_follow_those_of_the_file(opened, picture):
    assert opened(ArraySlide([picture], tile_px=240)).levels[0].chunks == (240, 240, 3)
    assert opened(ArraySlide([picture], tile_px=64)).levels[0].chunks == (256, 256, 3)
    assert opened(ArraySlide([picture], tile_px=None)).levels[0].chunks == (512, 512, 3)
    assert opened(ArraySlide([picture], tile_px=4096)).levels[0].chunks == (512, 512, 3)


def test_a_file_with_non_integer_downsamples(opened, pyramid, rgb):
    with open_slide(pyramid) as slide:
        levels = opened(slide).levels
        assert levels[0].chunks == (256, 256, 3)
        assert [level.shape[:2] for level in levels] == [
            (533, 701),
            (267, 351),
            (134, 176),
            (67, 88),
            (34, 44),
        ]
        for index, number in ((0, 0), (1, 2), (2, 4)):
            size = slide.info.levels[index].width_px, slide.info.levels[index].height_px
            np.testing.assert_array_equal(levels[number][:], slide.read_level(index, (0, 0), size))
        assert_mean_of(levels[1][:], levels[0][:])


def test_an_ome_tiff_in_strips(opened, tmp_path, picture):
    path = write_pyramid(tmp_path / "strips.tif", [picture], tile=None, compression=None, rowsperstrip=16)
    with open_slide(path) as slide:
        assert slide.tile_size(0) is None or slide.info.reader != "tifffile"
        np.testing.assert_array_equal(opened(slide).levels[0][900:1000, :700], picture[900:1000, :700])


@pytest.mark.parametrize("kind", ["svs", "dicom_folder", "bcnb_jpeg"])
def test_real_slides(opened, request, kind):
    with open_slide(request.getfixturevalue(kind)) as slide:
        levels = opened(slide).levels
        width, height = slide.info.size_px
        assert levels[0].shape == (height, width, 3)
        assert max(levels[-1].shape) <= 1024
        np.testing.assert_array_equal(
            levels[0][-300:, -400:], slide.read_level(0, (width - 400, height - 300), (400, 300))
        )
        level = levels[-1]
        coarse = np.asarray(level)
        expected = mean_of(slide.read_level(0, (0, 0), slide.info.size_px), *level.shape[:2])
        assert np.abs(coarse - expected).mean() < 3


def test_a_large_jpeg_is_first_seen_without_decoding_it_whole(opened, tmp_path, picture):
    from PIL import Image

    path = tmp_path / "large.jpg"
    Image.fromarray(picture).save(path, quality=95)
    with open_slide(path) as slide:
        pyramid = opened(slide)
        coarse = pyramid.levels[-1][:]
        assert slide._pixels is None
        exact = mean_of(slide.read_level(0, (0, 0), slide.info.size_px), *coarse.shape[:2])
        assert np.abs(coarse - exact).mean() < 3


def test_a_tile_being_made_is_waited_for_and_not_made_again():
    made, begun, asked, gate = [], threading.Event(), threading.Event(), threading.Event()

    def make(key, further):
        made.append(key)
        begun.set()
        wait(gate)
        return np.zeros((4, 4, 3), np.uint8)

    workers = TileWorkers(make, lambda: None, cache_bytes=10**6, threads=1)
    one = threading.Thread(target=workers.tile, args=((0, 0, 0),))
    one.start()
    wait(begun)
    other = threading.Thread(target=workers.tile, args=((0, 0, 0), lambda: asked.set() or True))
    other.start()
    wait(asked)
    gate.set()
    one.join()
    other.join()
    workers.close()
    assert made == [(0, 0, 0)]


def test_what_the_newest_picture_needs_is_not_dropped_for_what_it_is_made_of(opened):
    slide = ArraySlide([np.broadcast_to(np.uint8(9), (8192, 8192, 3))], tile_px=256)
    pyramid = opened(slide, cache_bytes=8 * 8 * 128 * 128 * 3)
    assert (pyramid.levels[2][:1024, :1024] == 9).all()
    assert pyramid.returned_whole


def test_a_reader_is_told_once_however_slowly_the_rest_comes(opened, monkeypatch):
    monkeypatch.setattr("napari_aln.slides.tile_workers.PROGRESS_S", -1.0)
    slide = ArraySlide([np.zeros((1200, 1200, 3), np.uint8), np.zeros((600, 600, 3), np.uint8)], tile_px=256)
    pyramid = opened(slide, threads=1)
    pyramid.levels[-1][:]
    slide.gates[0].clear()
    pyramid.patience_s = 0
    pyramid.levels[0][:]
    pending = []
    pyramid.on_arrival = lambda: pending.append(pyramid.pending)
    slide.gates[0].set()
    with (came := pyramid._workers._tile_came):
        assert came.wait_for(lambda: not pyramid.pending, TIMEOUT_S)
    assert pending == [24]
