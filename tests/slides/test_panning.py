"""What a moving picture shows next."""

import numpy as np
import pytest
from pyramid_parts import TIMEOUT_S, ArraySlide

from napari_aln.slides.panning import Panning
from napari_aln.slides.pyramid_plan import PlannedLevel

LEVEL = PlannedLevel(1000, 800, 100, 100, 0)  # 10 columns, 8 rows


def view(left: int, top: int) -> tuple[range, range]:
    """Return rows and columns of a picture of 250 x 150 px."""
    return range(top, top + 150), range(left, left + 250)


@pytest.mark.parametrize(
    ("to", "ahead"),
    [
        ((210, 110), {(1, 5), (2, 5)}),
        ((110, 210), {(4, 1), (4, 2), (4, 3)}),
        ((210, 210), {(4, 2), (4, 3), (4, 4), (2, 5), (3, 5), (4, 5)}),
        ((10, 110), set()),
        ((120, 120), set()),
    ],
    ids=["right", "down", "right and down", "left, at the edge", "within the same tiles"],
)
def test_the_tiles_past_the_edges_it_moves_towards(to, ahead):
    panning = Panning()
    assert panning.ahead(0, LEVEL, *view(110, 110)) == []
    assert {key[1:] for key in panning.ahead(0, LEVEL, *view(*to))} == ahead


def test_it_goes_on_the_same_way_until_it_turns():
    panning = Panning()
    for left in (110, 210, 220):
        ahead = panning.ahead(0, LEVEL, *view(left, 110))
    assert ahead == [(0, 1, 5), (0, 2, 5)]
    assert panning.ahead(0, LEVEL, *view(110, 110)) == [(0, 1, 0), (0, 2, 0)]


def test_after_a_jump_or_a_zoom_nothing_is_known():
    panning = Panning()
    panning.ahead(0, LEVEL, *view(110, 110))
    assert panning.ahead(0, LEVEL, *view(210, 110))
    assert panning.ahead(0, LEVEL, *view(710, 510)) == []
    assert panning.ahead(1, LEVEL, *view(610, 510)) == []


def test_a_pyramid_makes_them_before_they_are_seen_and_after_a_jump_no_more(opened):
    fine = np.zeros((2048, 2048, 3), np.uint8)
    slide = ArraySlide([fine, fine[::2, ::2]], tile_px=256)
    pyramid = opened(slide, threads=1)
    pyramid.levels[0][300:500, :500]
    pyramid.levels[0][300:500, 260:760]
    while (0, 768, 256) not in slide.order:
        assert slide.begun.acquire(timeout=TIMEOUT_S)
    assert {place for place in slide.order if place[0] == 0} == {(0, x, 256) for x in (0, 256, 512, 768)}
    pyramid.levels[0][1300:1500, 1300:1500]
    pyramid.close()  # waits for what its threads are at
    assert [place for place in slide.order if place[0] == 0][4:] == [(0, 1280, 1280)]
