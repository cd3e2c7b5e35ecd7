"""OpenSlide and the tiles decoded beside it: the same pixels, many threads, failures that recover."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openslide
import pytest
import tifffile
from slide_files import resized, write_pyramid

from napari_aln.errors import SlideError
from napari_aln.geometry import Rect
from napari_aln.slides import open_slide
from napari_aln.slides.openslide_reader import _bounds


def _openslide_pixels(path, level, x, y, width, height):
    with openslide.OpenSlide(path) as slide:
        by = slide.level_downsamples[level]
        return np.asarray(slide.read_region((round(x * by), round(y * by)), level, (width, height)))[..., :3]


def _boxes(width, height, count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        yield (
            x,
            y,
            int(rng.integers(1, min(600, width - x) + 1)),
            int(rng.integers(1, min(600, height - y) + 1)),
        )
    yield width - 1, height - 1, 1, 1
    yield 0, 0, min(width, 900), min(height, 900)


def test_tiles_equal_openslide_on_the_real_svs(svs):
    with open_slide(svs) as slide:
        assert slide.info.reader == "openslide+tiles"
        for box in _boxes(2220, 2967, 40):
            ours = slide.read_level(0, box[:2], box[2:])
            assert np.array_equal(ours, _openslide_pixels(svs, 0, *box)), box
        whole = slide.read_level(0, (0, 0), (2220, 2967))
    assert np.array_equal(whole, _openslide_pixels(svs, 0, 0, 0, 2220, 2967))


@pytest.mark.parametrize(
    "written",
    [
        {"compression": "jpeg"},
        {"compression": "jpeg", "photometric": "ycbcr", "subsampling": (1, 1)},
        {"compression": "jpeg", "photometric": "ycbcr", "subsampling": (2, 1)},
        {"compression": "lzw"},
        {"compression": "deflate", "predictor": True},
        {"compression": "zstd"},
        {"compression": None},
        {"tile": (256, 64)},
        {"bigtiff": True},
    ],
    ids=str,
)
def test_tiles_equal_openslide_however_written(tmp_path, rgb, written):
    path = tmp_path / "written.tif"
    written = dict(written)
    with tifffile.TiffWriter(path, bigtiff=written.pop("bigtiff", False)) as tiff:
        tiff.write(rgb, **{"tile": (128, 128), "photometric": "rgb", "compression": "jpeg", **written})
    with open_slide(path) as slide:
        assert slide.info.reader == "openslide+tiles"
        for box in _boxes(701, 533, 15):
            assert np.array_equal(slide.read_level(0, box[:2], box[2:]), _openslide_pixels(path, 0, *box)), (
                box
            )


def test_lower_levels_equal_openslide_and_are_whole_level_pixels(pyramid):
    """OpenSlide blends where a level pixel starts at no whole level-0 pixel: so compare from the corner."""
    with open_slide(pyramid) as slide:
        for index, level in enumerate(slide.info.levels):
            size = (level.width_px, level.height_px)
            whole = slide.read_level(index, (0, 0), size)
            assert np.array_equal(whole, _openslide_pixels(pyramid, index, 0, 0, *size))
            part = slide.read_level(index, (7, 5), (30, 20))
            assert np.array_equal(part, whole[5:25, 7:37])
            beside = slide._through_openslide(index, 7, 5, 30, 20)
            assert np.abs(beside.astype(int) - part).max() <= 12


def test_grey_and_alpha_go_through_openslide(tmp_path, rgb):
    alpha = np.zeros((533, 701), np.uint8)
    alpha[:, 200:] = 255
    alpha[:, 400:] = 128
    path = tmp_path / "alpha.tif"
    tifffile.imwrite(
        path,
        np.dstack([rgb, alpha]),
        tile=(128, 128),
        photometric="rgb",
        extrasamples=["unassalpha"],
        compression="lzw",
    )
    with open_slide(path) as slide:
        assert slide.info.reader == "openslide"
        got = slide.read_level(0, (0, 0), (701, 533)).astype(int)
    assert (got[:, :200] == 255).all()
    assert np.array_equal(got[:, 200:400], rgb[:, 200:400])
    mixed = rgb[:, 400:] * (128 / 255) + 255 * (127 / 255)
    assert np.abs(got[:, 400:] - mixed).max() <= 2


def test_outside_is_background(svs):
    with open_slide(svs) as slide:
        inside = slide.read_level(0, (0, 0), (10, 20))
        across = slide.read_level(0, (-7, -5), (17, 25))
        assert np.array_equal(across[5:, 7:], inside)
        assert (across[:5] == 255).all()
        assert (across[:, :7] == 255).all()
        corner = slide.read_level(0, (2210, 2960), (40, 40))
        assert np.array_equal(corner[:7, :10], slide.read_level(0, (2210, 2960), (10, 7)))
        assert (corner[7:] == 255).all()
        assert (slide.read_level(0, (10**7, 0), (3, 3)) == 255).all()


def test_read_region_rounds_to_the_nearest_level_pixel(pyramid):
    with open_slide(pyramid) as slide:
        by_x, by_y = slide.info.levels[1].downsample
        for shift in (-0.49, 0.0, 0.49):
            got = slide.read_region(((20 + shift) * by_x, (30 + shift) * by_y), 1, (8, 9))
            assert np.array_equal(got, slide.read_level(1, (20, 30), (8, 9)))


def test_dicom_folder_and_file_are_the_same_slide(dicom_folder, svs):
    with open_slide(dicom_folder) as folder, open_slide(svs) as reference:
        assert folder.info.size_px == (2220, 2967)
        assert folder.info.mpp == (0.499, 0.499)
        assert (folder.info.vendor, folder.info.path) == ("dicom", dicom_folder)
        mine = folder.read_level(0, (600, 900), (512, 512))
        difference = np.abs(mine.astype(int) - reference.read_level(0, (600, 900), (512, 512)))
        assert 0 < difference.mean() < 6
        for file in dicom_folder.glob("*.dcm"):
            with open_slide(file) as one:
                assert one.info.quick_hash == folder.info.quick_hash
                assert np.array_equal(one.read_level(0, (600, 900), (512, 512)), mine)


def test_a_second_dicom_series_in_the_folder_is_told(dicom_folder, tmp_path):
    for file in dicom_folder.glob("*.dcm"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with open_slide(tmp_path) as slide:
        assert slide.info.warnings == ()
    uid = openslide.OpenSlide(min(tmp_path.glob("*.dcm"))).properties["dicom.SeriesInstanceUID"].encode()
    stranger = max(tmp_path.glob("*.dcm"), key=lambda file: file.stat().st_size)
    stranger = stranger.read_bytes().replace(uid, uid[:-1] + (b"1" if uid[-1:] != b"1" else b"2"))
    (tmp_path / "zz stranger.dcm").write_bytes(stranger)
    with open_slide(tmp_path) as slide:
        (warning,) = slide.info.warnings
        assert "1 DICOM files of another series" in warning
        assert uid.decode() not in warning


def test_many_threads_read_what_one_reads(pyramid):
    boxes = list(_boxes(701, 533, 60, seed=3))
    with open_slide(pyramid) as slide:
        alone = [slide.read_level(0, box[:2], box[2:]) for box in boxes]
        for through in (slide.read_level, None):
            with ThreadPoolExecutor(6) as pool:
                together = list(
                    pool.map(
                        lambda box, read=through: (
                            read(0, box[:2], box[2:]) if read else slide._through_openslide(0, *box)
                        ),
                        boxes,
                    )
                )
            assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def _hit(path, tile):
    """Overwrite the compressed bytes of one tile."""
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[tile], tiff.pages[0].databytecounts[tile]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\x55" * count)


def test_a_damaged_tile_is_named_and_the_others_still_read(tmp_path, rgb):
    path = write_pyramid(tmp_path / "hurt.tif", [rgb])
    reference = open_slide(path).read_level(0, (0, 0), (128, 128))
    _hit(path, 7)  # second row, second column of six
    with open_slide(path) as slide:
        for _ in range(2):
            with pytest.raises(SlideError, match=r"hurt\.tif failed while being read"):
                slide.read_level(0, (130, 130), (10, 10))
            assert np.array_equal(slide.read_level(0, (0, 0), (128, 128)), reference)
            assert np.array_equal(slide._through_openslide(0, 0, 0, 128, 128), reference)


def test_a_file_that_shrinks_while_open_is_named(tmp_path, rgb):
    path = write_pyramid(tmp_path / "shrinks.tif", [rgb])
    with open_slide(path) as slide:
        slide.read_level(0, (0, 0), (8, 8))
        with path.open("r+b") as file:
            file.truncate(300)
        with pytest.raises(SlideError, match=r"shrinks\.tif"):
            slide.read_level(0, (600, 500), (50, 20))


def test_a_slide_with_missing_tiles_is_left_to_openslide(tmp_path, rgb):
    path = tmp_path / "gaps.tif"
    tiles = [rgb[y : y + 128, x : x + 128] for y in (0, 128) for x in (0, 128)]
    tiles[2] = None
    tifffile.imwrite(
        path,
        iter(tiles),
        shape=(256, 256, 3),
        dtype=np.uint8,
        tile=(128, 128),
        photometric="rgb",
        compression="lzw",
    )
    with open_slide(path) as slide:
        assert slide.info.reader == "openslide"
        assert np.array_equal(slide.read_level(0, (0, 0), (256, 128)), rgb[:128, :256])


def test_tiles_that_differ_from_openslide_are_not_used(pyramid, monkeypatch):
    """The proof at the opening, with a decoder made wrong by one grey value."""
    from napari_aln.slides import tiles

    honest = tiles.TileReader.read
    monkeypatch.setattr(tiles.TileReader, "read", lambda self, *box: honest(self, *box) ^ 1)
    with open_slide(pyramid) as slide:
        assert slide.info.reader == "openslide"


def test_an_absurd_tile_size_is_refused_before_openslide_allocates(tmp_path, rgb):
    path = write_pyramid(tmp_path / "absurd.tif", [rgb])
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["TileWidth"].overwrite(65_520)
        tiff.pages[0].tags["TileLength"].overwrite(65_520)
    with pytest.raises(SlideError, match=r"absurd\.tif"):
        open_slide(path)


def test_bounds_come_from_the_properties():
    stated = {
        f"openslide.bounds-{name}": value
        for name, value in zip(("x", "y", "width", "height"), ("120", "340", "5000", "6000"), strict=True)
    }
    assert _bounds(stated, (9000, 9000)) == Rect(120, 340, 5000, 6000)
    assert _bounds({}, (9000, 8000)) == Rect(0, 0, 9000, 8000)


def test_levels_of_a_pyramid_without_a_proof_still_read(tmp_path, rgb):
    """A lower level in a compression of its own: level 0 by tiles, level 1 by OpenSlide."""
    path = tmp_path / "mixed.tif"
    small = resized(rgb, 350, 266)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(rgb, tile=(128, 128), photometric="rgb", compression="jpeg", metadata=None)
        tiff.write(
            small, tile=(128, 128), photometric="rgb", compression="packbits", subfiletype=1, metadata=None
        )
    with open_slide(path) as slide:
        assert slide.info.reader == "openslide+tiles"
        assert [level is not None for level in slide._tiles.levels] == [True, False]
        assert np.array_equal(slide.read_level(1, (0, 0), (350, 266)), small)
