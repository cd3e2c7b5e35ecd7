"""The viewer's pyramid: placing, exact means, indexing, real files."""

import numpy as np
import pytest
from pyramid_parts import ArraySlide, assert_mean_of, mean_of
from slide_files import resized, write_pyramid

from napari_aln.records import Level
from napari_aln.slides import open_slide
from napari_aln.slides.pyramid_plan import area_mean, plan_levels, source_box


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


@pytest.mark.parametrize("key", [301, (0, -1024), (0, 0, 0, 0), (..., ...), "a", np.array([1, 2]), 1.0, True])
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
    assert np.array(last, copy=False) is np.asarray(last)
    for level, dtype in ((first, None), (last, float)):
        with pytest.raises(ValueError, match="without a copy"):
            np.array(level, dtype, copy=False)


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
