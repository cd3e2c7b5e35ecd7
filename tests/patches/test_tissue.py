"""Tissue and pen on drawn overviews with known answers, and on the real slides where they are at hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from napari_aln.geometry import Mpp
from napari_aln.patches.grid import candidates, patch_grid
from napari_aln.patches.tissue import glass_rgb, tissue_mask
from napari_aln.settings.patches import PatchSettings

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason="the real slides (../shared/data) are not here")

WHITE_GLASS, GREY_GLASS = (244, 243, 244), (188, 189, 187)
STROMA, TUMOUR, FAT_THREAD = (0.05, 0.14, 0.08), (0.30, 0.45, 0.22), (0.03, 0.09, 0.05)  # optical density
UM_PER_PX = 8.0


class Overview:
    """An overview painted in optical density on glass, with sensor noise."""

    def __init__(self, glass, height=200, width=160):
        self.glass = np.array(glass, dtype=float)
        self.od = np.zeros((height, width, 3))

    def paint(self, where, od):
        self.od[where] = od
        return where

    def box(self, top, left, height, width, od):
        where = np.zeros(self.od.shape[:2], dtype=bool)
        where[top : top + height, left : left + width] = True
        return self.paint(where, od)

    def rgb(self, noise=1.0):
        grain = np.random.default_rng(0).normal(0, noise, self.od.shape)
        return (self.glass * 10**-self.od + grain).round().clip(0, 255).astype(np.uint8)


def agreement(found, expected):
    return (found & expected).sum() / (found | expected).sum()


both_glasses = pytest.mark.parametrize("glass", [WHITE_GLASS, GREY_GLASS], ids=["white", "grey"])


@both_glasses
def test_a_core_is_found_on_both_kinds_of_glass(glass):
    overview = Overview(glass)
    core = overview.box(20, 40, 150, 30, STROMA)
    core |= overview.box(60, 45, 40, 20, TUMOUR)
    mask = tissue_mask(overview.rgb(), UM_PER_PX)
    assert mask.glass_rgb == pytest.approx(glass, abs=1)
    assert agreement(mask.tissue, core) > 0.9
    assert not mask.pen.any()
    assert mask.tissue_mm2 == pytest.approx(core.sum() * 64e-6, rel=0.1)


@both_glasses
@pytest.mark.parametrize("width", [2, 3])
def test_a_thread_two_pixels_thin_is_kept(glass, width):
    overview = Overview(glass)
    thread = overview.box(20, 80, 150, width, STROMA)
    mask = tissue_mask(overview.rgb(), UM_PER_PX)
    assert mask.tissue[thread].mean() > 0.95
    assert not mask.tissue[:, :70].any()


@both_glasses
def test_fat_at_the_core_belongs_to_it_and_small_holes_are_filled(glass):
    overview = Overview(glass)
    overview.box(20, 40, 100, 40, TUMOUR)
    holes = overview.box(50, 50, 10, 12, (0, 0, 0))  # 80 x 96 µm, one fat cell
    lace = np.zeros(overview.od.shape[:2], dtype=bool)
    lace[120:150:10, 40:80] = lace[120:150, 40:80:10] = True
    overview.paint(lace, FAT_THREAD)
    mask = tissue_mask(overview.rgb(), UM_PER_PX)
    assert mask.tissue[holes].all()
    assert mask.tissue[lace].mean() > 0.8


@both_glasses
def test_a_large_lumen_stays_open(glass):
    overview = Overview(glass)
    overview.box(20, 40, 150, 80, TUMOUR)
    lumen = overview.box(60, 60, 40, 40, (0, 0, 0))
    mask = tissue_mask(overview.rgb(), UM_PER_PX)
    assert mask.tissue[lumen].mean() < 0.15


@both_glasses
def test_dust_and_blurred_dirt_are_not_tissue(glass):
    overview = Overview(glass)
    core = overview.box(20, 100, 150, 30, TUMOUR)
    overview.box(30, 20, 3, 3, (0.8, 0.8, 0.8))
    dirt = np.zeros(overview.od.shape[:2])
    dirt[100:110, 30:50] = 0.6
    overview.od += ndimage.gaussian_filter(dirt, 4)[..., None]
    mask = tissue_mask(overview.rgb(), UM_PER_PX)
    assert not mask.tissue[:, :90].any()
    assert agreement(mask.tissue, core) > 0.9


@both_glasses
def test_haematoxylin_alone_is_tissue(glass):
    overview = Overview(glass)
    blueish = overview.box(20, 40, 150, 30, (0.13, 0.14, 0.06))
    assert agreement(tissue_mask(overview.rgb(), UM_PER_PX).tissue, blueish) > 0.9


def test_a_pale_part_is_tissue_when_it_belongs_to_a_core_and_a_smear_when_it_does_not():
    overview = Overview(GREY_GLASS)
    pale = (0.03, 0.065, 0.04)
    overview.box(20, 40, 100, 30, TUMOUR)
    attached = overview.box(120, 40, 30, 30, pale)
    alone = overview.box(60, 100, 60, 40, pale)
    mask = tissue_mask(overview.rgb(noise=0.5), UM_PER_PX)
    assert mask.tissue[attached].mean() > 0.95
    assert not mask.tissue[alone].any()


@both_glasses
def test_a_pink_speck_smaller_than_any_patch_is_dropped(glass):
    overview = Overview(glass)
    overview.box(50, 50, 4, 4, TUMOUR)
    assert not tissue_mask(overview.rgb(), UM_PER_PX).tissue.any()


@both_glasses
def test_an_empty_slide_gives_an_empty_mask(glass):
    mask = tissue_mask(Overview(glass).rgb(noise=2), UM_PER_PX)
    assert not mask.tissue.any()
    assert not mask.pen.any()
    assert mask.tissue_mm2 == 0


@pytest.mark.parametrize("value", [0, 255])
def test_a_picture_of_one_value_is_empty(value):
    assert not tissue_mask(np.full((20, 30, 3), value, dtype=np.uint8), UM_PER_PX).tissue.any()


def test_one_pixel_is_enough():
    assert tissue_mask(np.full((1, 1, 3), 200, dtype=np.uint8), UM_PER_PX).tissue.shape == (1, 1)


def test_a_slide_without_glass_is_all_tissue():
    overview = Overview(GREY_GLASS)
    overview.box(0, 0, 200, 160, STROMA)
    overview.box(50, 0, 100, 160, TUMOUR)
    mask = tissue_mask(overview.rgb(noise=3), UM_PER_PX)
    assert mask.tissue.mean() > 0.99


def test_painted_white_is_neither_glass_nor_tissue():
    overview = Overview(GREY_GLASS)
    core = overview.box(40, 40, 100, 80, TUMOUR)
    core &= ~overview.box(80, 60, 40, 40, (0, 0, 0))
    rgb = overview.rgb()
    rgb[:30], rgb[-30:], rgb[:, :30] = 255, 255, 255
    mask = tissue_mask(rgb, UM_PER_PX)
    assert mask.glass_rgb == pytest.approx(GREY_GLASS, abs=1)
    assert agreement(mask.tissue, core) > 0.9


def test_tinted_glass_is_recognised():
    overview = Overview((150, 200, 150))
    core = overview.box(20, 40, 150, 30, TUMOUR)
    mask = tissue_mask(overview.rgb(), UM_PER_PX)
    assert mask.glass_rgb == pytest.approx((150, 200, 150), abs=1)
    assert agreement(mask.tissue, core) > 0.9


INKS = {
    "blue": (0, 0, 255),
    "dark blue": (30, 30, 140),
    "green": (60, 150, 90),
    "black": (15, 15, 18),
    "red": (225, 20, 40),
}


@both_glasses
@pytest.mark.parametrize("ink", INKS.values(), ids=INKS)
def test_a_drawn_outline_is_pen_and_no_tissue(glass, ink):
    overview = Overview(glass)
    core = overview.box(20, 40, 150, 60, TUMOUR)
    rgb = overview.rgb()
    outline = np.zeros(core.shape, dtype=bool)
    outline[30:100, 30:110] = True
    outline[32:98, 32:108] = False
    rgb[outline] = ink
    mask = tissue_mask(rgb, UM_PER_PX)
    assert mask.pen[outline].all()
    assert not mask.tissue[outline].any()
    assert not (mask.pen & ~ndimage.binary_dilation(outline, iterations=3)).any()
    away = ~ndimage.binary_dilation(outline, iterations=4)
    assert agreement(mask.tissue[away], core[away]) > 0.9


def test_a_line_drawn_on_glass_leaves_no_tissue_beside_it():
    rgb = Overview(GREY_GLASS).rgb()
    rgb[40:44, 20:140] = INKS["blue"]
    mask = tissue_mask(rgb, um_per_px=4.0)
    assert mask.pen[40:44, 20:140].all()
    assert not mask.tissue.any()


@both_glasses
def test_eosin_blood_and_dense_nuclei_are_no_pen(glass):
    overview = Overview(glass)
    overview.box(10, 10, 60, 60, (0.10, 0.75, 0.45))  # blood
    overview.box(80, 10, 60, 60, (0.05, 0.60, 0.10))  # eosin
    overview.box(10, 80, 60, 60, (0.90, 0.97, 0.45))  # lymphocytes
    overview.box(80, 80, 60, 60, (0.90, 1.40, 0.90))  # a fold
    mask = tissue_mask(overview.rgb(), UM_PER_PX)
    assert not mask.pen.any()
    assert mask.tissue[10:70, 10:70].all()
    assert mask.tissue[85:135, 85:135].all()


def test_a_speck_of_dye_is_no_pen_stroke():
    overview = Overview(WHITE_GLASS)
    overview.box(20, 40, 150, 60, TUMOUR)
    rgb = overview.rgb()
    rgb[50:55, 50:56] = INKS["green"]
    assert not tissue_mask(rgb, UM_PER_PX).pen.any()


def test_glass_is_assumed_where_none_can_be_seen():
    rgb = np.zeros((40, 40, 3), dtype=np.uint8)
    rgb[...] = np.random.default_rng(0).integers([60, 20, 60], [255, 90, 160], (40, 40, 3))
    assert glass_rgb(rgb) == (240, 240, 240)


# Pixels of each overview, found by eye: inside tumour, on empty glass (dirt included).
BCNB = {
    "351899": (
        [(1500, 1650), (2155, 1115), (700, 1900)],
        [(970, 1245), (600, 600), (2590, 1930)],
    ),
    "389510": ([(800, 500), (1500, 600), (1900, 600)], [(1820, 258), (2110, 505), (300, 200)]),
}


@real
@pytest.mark.parametrize("reduce", [1, 2, 4, 8])
@pytest.mark.parametrize("name", BCNB)
def test_bcnb_overviews(name, reduce):
    tumour, glass = BCNB[name]
    full = Image.open(DATA / "bcnb" / "slides" / f"{name}.jpg")
    drawn = np.asarray(full).astype(int)
    drawn = (drawn[..., 2] > 180) & (drawn[..., :2].max(axis=-1) < 90)
    assert drawn.sum() > 10_000
    mask = tissue_mask(np.asarray(full.reduce(reduce)), min(8.0, 4.0 * reduce))
    for y, x in tumour:
        assert mask.tissue[y // reduce, x // reduce]
    for y, x in glass:
        assert not mask.tissue[y // reduce, x // reduce]
    y, x = np.nonzero(drawn)
    assert mask.pen[y // reduce, x // reduce].mean() > 0.999
    assert not mask.tissue[y // reduce, x // reduce].any()
    assert 0.05 < mask.tissue.mean() < 0.15


@real
def test_the_aperio_slide_has_no_pen_and_mostly_glass():
    import openslide

    with openslide.OpenSlide(DATA / "slides" / "CMU-1-Small-Region.svs") as slide:
        rgb = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB").reduce(8))
    mask = tissue_mask(rgb, 4.0)
    assert 0.35 < mask.tissue.mean() < 0.48
    assert mask.tissue[200, 150]
    assert not mask.tissue[300, 40]
    assert not mask.pen.any()


@real
@pytest.mark.parametrize("reduce", [4, 8])
@pytest.mark.parametrize("name", BCNB)
def test_no_drawn_pixel_enters_a_patch(name, reduce):
    full = Image.open(DATA / "bcnb" / "slides" / f"{name}.jpg")
    rgb = np.asarray(full)
    drawn = (rgb[..., 2] > 150) & (rgb[..., :2].max(axis=-1) < 90)
    mask = tissue_mask(np.asarray(full.reduce(reduce)), float(reduce))
    grid = patch_grid(full.size, Mpp(1.0, 1.0), 64, 1.0)
    downsample = full.width / mask.tissue.shape[1], full.height / mask.tissue.shape[0]
    table = candidates(grid, mask, downsample, PatchSettings())
    assert len(table) > 50
    for x, y in table.l0_xy.astype(int):
        assert not drawn[y : y + 64, x : x + 64].any()
