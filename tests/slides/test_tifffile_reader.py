"""OME-TIFF, and TIFF that OpenSlide declines."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from slide_files import resized, write_pyramid

from napari_aln.errors import SlideError
from napari_aln.geometry import Mpp
from napari_aln.slides import open_slide, overview


def write_ome(path, levels, **physical):
    with tifffile.TiffWriter(path) as tiff:
        common = {"tile": (128, 128), "compression": "deflate", "photometric": "rgb"}
        tiff.write(levels[0], subifds=len(levels) - 1, metadata={"axes": "YXS", **physical}, **common)
        for level in levels[1:]:
            tiff.write(level, subfiletype=1, **common)
    return path


def test_ome_tiff_has_its_levels_and_physical_size(tmp_path, rgb):
    levels = [rgb, resized(rgb, 176, 134), resized(rgb, 44, 34)]
    path = write_ome(
        tmp_path / "a.ome.tif",
        levels,
        PhysicalSizeX=250.0,
        PhysicalSizeXUnit="nm",
        PhysicalSizeY=0.26,
        PhysicalSizeYUnit="µm",
    )
    with open_slide(path) as slide:
        assert (slide.info.reader, slide.info.vendor) == ("tifffile", "ome-tiff")
        assert slide.info.mpp == pytest.approx((0.25, 0.26))
        assert slide.info.levels[1].downsample == (701 / 176, 533 / 134)
        for index, pixels in enumerate(levels):
            height, width = pixels.shape[:2]
            assert np.array_equal(slide.read_level(index, (0, 0), (width, height)), pixels)
        outside = slide.read_level(0, (690, 520), (30, 30))
        assert np.array_equal(outside[:13, :11], rgb[520:, 690:])
        assert (outside[13:] == 255).all()


@pytest.mark.parametrize(
    ("physical", "expected"),
    [
        ({"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}, (0.5, 0.5)),
        ({"PhysicalSizeX": 5e-4, "PhysicalSizeXUnit": "mm", "PhysicalSizeY": 0.5}, (0.5, 0.5)),
        ({"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "pixel", "PhysicalSizeY": 0.5}, None),
        ({"PhysicalSizeX": 0.5}, None),
        ({}, None),
        ({"PhysicalSizeX": 352.8, "PhysicalSizeY": 352.8}, None),
    ],
    ids=str,
)
def test_units_of_ome(tmp_path, rgb, physical, expected):
    with open_slide(write_ome(tmp_path / "u.ome.tif", [rgb], **physical)) as slide:
        assert slide.info.mpp == (None if expected is None else pytest.approx(expected))
        assert slide.info.mpp_origin == ("missing" if expected is None else "file")
        assert bool(slide.info.warnings) == (physical.get("PhysicalSizeX") == 352.8)


@pytest.mark.parametrize(
    ("unit", "per_unit", "expected"),
    [
        ("CENTIMETER", 40_000, Mpp(0.25, 0.25)),
        ("INCH", 25_400 / 0.25, Mpp(0.25, 0.25)),
        ("NONE", 4, None),
        ("INCH", 72, None),
    ],
)
@pytest.mark.parametrize("compression", ["jpeg2000", None])
def test_units_of_resolution_tags(tmp_path, rgb, unit, per_unit, expected, compression):
    path = tmp_path / "tags.tif"
    tifffile.imwrite(
        path,
        rgb,
        photometric="rgb",
        compression=compression,
        resolution=(per_unit, per_unit),
        resolutionunit=unit,
        metadata=None,
    )
    with open_slide(path) as slide:
        assert slide.info.reader == "tifffile"
        assert slide.info.mpp == (None if expected is None else pytest.approx(expected))


def test_imagej_unit(tmp_path, rgb):
    path = tmp_path / "imagej.tif"
    tifffile.imwrite(path, rgb, imagej=True, resolution=(4, 2), metadata={"unit": "um"})
    with open_slide(path) as slide:
        assert slide.info.mpp == pytest.approx((0.25, 0.5))
        assert np.array_equal(slide.read_level(0, (3, 4), (50, 60)), rgb[4:64, 3:53])


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"rowsperstrip": 7},
        {"compression": "deflate", "rowsperstrip": 100, "predictor": True},
        {"compression": "webp", "tile": (128, 128), "compressionargs": {"lossless": True}},
        {"compression": "lzw", "planarconfig": "separate", "tile": (64, 64)},
        {"byteorder": ">", "rowsperstrip": 16},
    ],
    ids=str,
)
def test_pixels_however_written(tmp_path, rgb, written):
    path = tmp_path / "written.tif"
    pixels = np.moveaxis(rgb, -1, 0) if "planarconfig" in written else rgb
    written = dict(written)
    with tifffile.TiffWriter(path, byteorder=written.pop("byteorder", "<")) as tiff:
        tiff.write(np.ascontiguousarray(pixels), photometric="rgb", metadata=None, **written)
    with open_slide(path) as slide:
        assert np.array_equal(slide.read_level(0, (0, 0), (701, 533)), rgb)
        assert np.array_equal(slide.read_level(0, (301, 99), (333, 222)), rgb[99:321, 301:634])


def test_a_plain_pyramid_that_openslide_declines_keeps_its_levels(tmp_path, rgb):
    levels = [rgb, resized(rgb, 350, 267), resized(rgb, 175, 133)]
    lossless = {"compression": "webp", "compressionargs": {"lossless": True}}
    path = write_pyramid(tmp_path / "webp.tif", [*levels, resized(rgb, 90, 20)], **lossless)
    with open_slide(path) as slide:
        assert slide.info.reader == "tifffile"
        assert [(level.width_px, level.height_px) for level in slide.info.levels] == [
            (701, 533),
            (350, 267),
            (175, 133),  # and not the last: another shape, so another picture
        ]
        assert np.array_equal(slide.read_level(2, (0, 0), (175, 133)), levels[2])
        assert slide.info.mpp == pytest.approx((0.25, 0.25))


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_grey_becomes_rgb(tmp_path, rgb, photometric):
    path = tmp_path / "grey.tif"
    tifffile.imwrite(path, rgb[..., 0], photometric=photometric, metadata=None)
    shown = rgb[..., 0] if photometric == "minisblack" else 255 - rgb[..., 0]
    with open_slide(path) as slide:
        got = slide.read_level(0, (0, 0), (701, 533))
    assert np.array_equal(got, np.repeat(shown[..., None], 3, axis=-1))


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_alpha_is_laid_on_white(tmp_path, kind):
    color = np.full((40, 50, 3), (200, 100, 0), np.uint8)
    alpha = np.full((40, 50, 1), 51, np.uint8)  # a fifth
    path = tmp_path / "alpha.tif"
    tifffile.imwrite(
        path,
        np.dstack([color // 5 if kind == "assocalpha" else color, alpha]),
        photometric="rgb",
        extrasamples=[kind],
        metadata=None,
    )
    with open_slide(path) as slide:
        got = slide.read_level(0, (0, 0), (50, 40))
    expected = (200, 100, 0) if kind == "unspecified" else (244, 224, 204)  # colour / 5 + 255 * 4 / 5
    assert (got == expected).all()


def test_missing_tiles_are_background(tmp_path, rgb):
    tiles = [rgb[y : y + 128, x : x + 128] for y in (0, 128) for x in (0, 128)]
    path = tmp_path / "gaps.tif"
    lossless = {"compression": "webp", "compressionargs": {"lossless": True}}
    tifffile.imwrite(
        path,
        iter([*tiles[:3], None]),
        shape=(256, 256, 3),
        dtype=np.uint8,
        tile=(128, 128),
        photometric="rgb",
        **lossless,
    )
    with open_slide(path) as slide:
        got = slide.read_level(0, (0, 0), (256, 256))
    assert np.array_equal(got[:128], rgb[:128, :256])
    assert (got[128:, 128:] == 255).all()


@pytest.mark.parametrize(
    ("pixels", "keywords"),
    [
        (np.zeros((64, 64, 3), np.uint16), {"photometric": "rgb"}),
        (np.zeros((64, 64), np.float32), {"photometric": "minisblack"}),
        (np.zeros((5, 64, 64), np.uint8), {"photometric": "minisblack"}),
        (np.zeros((64, 64), np.uint8), {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}),
        (np.zeros((64, 64, 5), np.uint8), {"photometric": "rgb"}),
    ],
    ids=["16 bits", "floats", "a stack", "a palette", "five channels"],
)
def test_what_is_no_8_bit_colour_picture_is_refused(tmp_path, pixels, keywords):
    path = tmp_path / "other.tif"
    tifffile.imwrite(path, pixels, **keywords)
    with pytest.raises(SlideError, match=r"other\.tif.*8-bit RGB"):
        open_slide(path)


def test_hostile_ome_xml_is_not_expanded(tmp_path, rgb):
    path = tmp_path / "bomb.ome.tif"
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><OME><Image><Pixels PhysicalSizeX="&a;"/></Image></OME>'
    tifffile.imwrite(path, rgb, photometric="rgb", description=bomb, metadata=None)
    try:
        with open_slide(path) as slide:
            assert slide.info.mpp is None
    except SlideError as error:
        assert "bomb.ome.tif" in error.fact  # noqa: PT017 - refusing it is as good


def test_a_large_untiled_tiff_is_reduced_in_strips(tmp_path, monkeypatch, rgb):
    from napari_aln.slides import sampling

    path = tmp_path / "strips.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", rowsperstrip=50)
    with open_slide(path) as slide:
        whole, downsample = overview(slide, 7.0)
        monkeypatch.setattr(sampling, "_STRIP_BYTES", 60_000)
        strips, _ = overview(slide, 7.0)
    assert downsample == (701 / 100, 533 / 76)
    assert np.abs(whole.astype(int) - strips).max() <= 1
    reference = np.asarray(Image.fromarray(rgb).resize((100, 76), Image.Resampling.HAMMING))
    assert np.abs(whole.astype(int) - reference).max() <= 1
