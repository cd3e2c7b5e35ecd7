"""The pyramid's tiles: patience, newest first, nothing twice, limits, trouble."""

import threading

import numpy as np
from pyramid_parts import BACKGROUND, TIMEOUT_S, ArraySlide, wait

from napari_aln.slides.pyramid import Pyramid
from napari_aln.slides.tile_workers import TileWorkers


def test_a_read_returns_soon_with_what_coarser_levels_show_and_tells_when_the_rest_is_there(
    opened, monkeypatch
):
    monkeypatch.setattr("napari_aln.slides.tile_workers.PROGRESS_S", TIMEOUT_S)  # else told of in parts
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


def test_a_picture_of_a_screen_larger_than_the_cache_is_not_waited_for(opened, picture):
    slide = ArraySlide([picture, picture[::2, ::2]], tile_px=256)
    pyramid = opened(slide, cache_bytes=8 * 256 * 256 * 3, patience_s=0)
    slide.gates[0].clear()
    assert pyramid.levels[0][:1024, :1024].shape == (1024, 1024, 3)
    assert pyramid.pending == 16
    slide.gates[0].set()
    pyramid.patience_s = TIMEOUT_S
    np.testing.assert_array_equal(pyramid.levels[0][:1024, :1024], picture[:1024, :1024])


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
