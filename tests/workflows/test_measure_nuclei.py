"""Nuclei of a slide tile by tile: what is read, what counts, what is said of doubtful slides."""

from pathlib import Path

import numpy as np
import pytest
import shapely
from scipy import ndimage
from scipy.spatial import KDTree
from shapely.geometry import box
from tests_shared import MPP, SLIDE_SIZE_PX, TISSUE_L0, collect, drain, write_slide

from napari_aln import open_slide
from napari_aln.errors import MppError, UsageError
from napari_aln.geometry import Mpp
from napari_aln.nuclei.morphometry import neighbour_distances_um
from napari_aln.patches.grid import patch_grid
from napari_aln.records import PatchTable, Region
from napari_aln.settings.nuclei import NucleiSettings
from napari_aln.slides import opening
from napari_aln.workflows.nuclei.measure import (
    NucleiFound,
    _read_downsample,
    measure_labels,
    measure_nuclei,
)
from napari_aln.workflows.slide.prepare import survey

CLASSICAL = NucleiSettings(method="classical")
REAL = Path(__file__).parents[3] / "shared/data/slides/CMU-1-Small-Region.svs"

VIEW = (600, 500, 1000, 800)  # x0, y0, x1, y1, all tissue
NUCLEUS_UM2 = 35.0  # a disc of 6.7 px


@pytest.fixture(scope="module")
def slide(tissue_slide):
    with open_slide(tissue_slide) as opened:
        yield opened


@pytest.fixture(scope="module")
def seen(slide):
    return survey(slide)


@pytest.fixture(scope="module")
def whole(slide, seen):
    """Everything that was yielded, and the nuclei of all tissue."""
    return collect(measure_nuclei(slide, CLASSICAL, seen=seen))


def region(*bounds):
    return Region(box(*bounds))


def names(measured):
    return {warning.split(":")[0] for warning in measured.warnings}


def picture(paint):
    """A piece of drawn tissue on glass, 900 x 900 px, with discs of nuclei 40 px apart, then painted on."""
    rng = np.random.default_rng(0)
    rgb = np.full((900, 900, 3), 235.0)
    rgb[100:800, 100:800] = np.add((222, 160, 190), rng.normal(0, 6, (700, 700, 1)))
    disc = np.hypot(*np.mgrid[-7:8, -7:8]) < 7
    for y in range(140, 780, 40):
        for x in range(140, 780, 40):
            rgb[y - 7 : y + 8, x - 7 : x + 8][disc] = (95, 60, 140)
    return paint(rgb).clip(0, 255).astype(np.uint8)


def measured_of(tmp_path, rgb, **options):
    with open_slide(write_slide(tmp_path / "drawn.tif", rgb)) as opened:
        return drain(measure_nuclei(opened, CLASSICAL, **options))


def test_the_nuclei_of_all_tiles_are_those_that_were_given_out_tile_by_tile(whole):
    seen, measured = whole
    assert measured.ran_on == ("", "", "")  # the classical method has no network
    tiles = [step for step in seen if isinstance(step, NucleiFound)]
    assert [tile.done for tile in tiles] == list(range(1, tiles[0].total + 1))
    assert tiles[-1].nuclei == len(measured.table) == sum(len(tile.table) for tile in tiles)
    assert measured.table["label"].tolist() == list(range(1, len(measured.table) + 1))
    assert (
        np.concatenate([tile.table["label"] for tile in tiles]).tolist() == measured.table["label"].tolist()
    )
    assert measured.outlines.label.tolist() == measured.table["label"].tolist()
    centroids = shapely.points(measured.table[["x", "y"]].to_numpy())
    assert shapely.contains(measured.outlines.geometry, centroids).mean() > 0.99
    assert measured.table["area_um2"].median() == pytest.approx(NUCLEUS_UM2, rel=0.15)
    assert all(tile.per_second > 0 for tile in tiles)


def test_area_and_density_are_of_the_tissue(whole):
    _, measured = whole
    drawn_mm2 = TISSUE_L0[2] * TISSUE_L0[3] * MPP**2 / 1e6
    assert measured.area_mm2 == measured.tissue_mm2 == pytest.approx(drawn_mm2, rel=0.08)
    assert measured.density_per_mm2 == len(measured.table) / measured.area_mm2
    assert measured.warnings == ()
    assert measured.counts["blurred_tiles"] == measured.counts["blank_tiles"] == 0


def test_glass_is_not_read(whole):
    tiles = [step.l0_rect for step in whole[0] if isinstance(step, NucleiFound)]
    x, y, _, height = TISSUE_L0
    reach = 50 / MPP + 150  # what bears on a nucleus, and the tissue's soft edge
    assert min(tile.x for tile in tiles) > x - reach
    assert max(tile.y + tile.height for tile in tiles) < y + height + reach < SLIDE_SIZE_PX[1]


def test_neighbours_are_found_across_tiles(whole):
    table = whole[1].table
    expected = neighbour_distances_um(table[["x", "y"]].to_numpy(), Mpp(MPP, MPP))
    np.testing.assert_allclose(table[["nearest_um", "second_nearest_um", "third_nearest_um"]], expected)


def test_a_region_gives_the_nuclei_that_the_whole_slide_gives_there(slide, seen, whole):
    shapes = region(*VIEW), Region(shapely.Point(1500, 900).buffer(90))
    measured = drain(measure_nuclei(slide, CLASSICAL, shapes, seen=seen))
    union = shapely.union_all([shape.geometry for shape in shapes])
    table = whole[1].table
    same = table[shapely.contains_xy(union, table["x"], table["y"])]
    got, wanted = (t[["x", "y"]].to_numpy() for t in (measured.table, same))
    assert len(got) == len(wanted) > 100
    away, which = KDTree(wanted).query(got)
    assert away.max() < 0.5  # in a pixel of the outline they may differ
    assert sorted(which) == list(range(len(wanted)))
    assert shapely.contains_xy(union, measured.table["x"], measured.table["y"]).all()
    assert measured.area_mm2 == pytest.approx(union.area * MPP**2 / 1e6)


def test_patches_decide_which_nuclei_count(slide, seen):
    grid = patch_grid(SLIDE_SIZE_PX, Mpp(MPP, MPP), 256, MPP)
    patches = PatchTable(grid, np.array([3, 6], np.int32), np.array([3, 4], np.int32))
    measured = drain(measure_nuclei(slide, CLASSICAL, patches=patches, seen=seen))
    cells = np.unique(np.floor(measured.table[["x", "y"]].to_numpy() / 256), axis=0)
    assert cells.tolist() == [[3, 3], [6, 4]]
    assert measured.area_mm2 == pytest.approx(2 * 0.128**2)


def test_closing_ends_the_work_after_a_tile(slide, seen):
    work = measure_nuclei(slide, CLASSICAL, seen=seen)
    assert not isinstance(next(work), NucleiFound)
    assert next(work).done == 1
    work.close()
    with pytest.raises(StopIteration):
        next(work)


def test_without_micrometres_nothing_is_measured(tmp_path):
    with open_slide(write_slide(tmp_path / "a.tif", picture(lambda rgb: rgb), mpp=None)) as opened:
        with pytest.raises(MppError, match="µm/px"):
            next(measure_nuclei(opened, CLASSICAL))
        with pytest.raises(MppError):
            next(measure_labels(opened, np.zeros((900, 900), int), CLASSICAL))


def test_an_unknown_method_is_refused_before_anything_is_read(slide):
    with pytest.raises(UsageError, match="no such"):
        next(measure_nuclei(slide, NucleiSettings(method="no such")))


def test_an_empty_slide_has_no_nuclei_and_says_so(tmp_path):
    measured = measured_of(tmp_path, np.full((900, 900, 3), 236, np.uint8))
    assert len(measured.table) == len(measured.outlines.label) == 0
    assert names(measured) == {"no_tissue"}
    assert np.isnan(measured.density_per_mm2)


def test_tissue_without_nuclei_is_a_result(tmp_path):
    def paint(rgb):
        rgb[100:800, 100:800] = np.add((222, 160, 190), np.random.default_rng(1).normal(0, 6, (700, 700, 1)))
        return rgb

    measured = measured_of(tmp_path, picture(paint))
    assert len(measured.table) == 0
    assert "no_nuclei" in names(measured)
    assert measured.density_per_mm2 == 0


def test_brown_tissue_is_said_to_be_no_h_and_e(tmp_path):
    def brown(rgb):
        rgb[100:800, 100:800] = np.where(rgb[100:800, 100:800] > 150, (205, 175, 130), (110, 70, 35))
        return rgb

    assert "not_he" in names(measured_of(tmp_path, picture(brown)))


def test_tiles_out_of_focus_are_counted(tmp_path):
    measured = measured_of(tmp_path, picture(lambda rgb: ndimage.gaussian_filter(rgb, (4, 4, 0))))
    assert measured.counts["blurred_tiles"] == measured.counts["tiles"] == 1
    assert "blurred" in names(measured)


def test_black_specks_and_giants_are_debris(tmp_path):
    yy, xx = np.mgrid[:900, :900]
    places = [(160, 160), (400, 440), (600, 520)]  # between nuclei

    def paint(rgb):
        for x, y in places:
            rgb[np.hypot(xx - x, yy - y) < 8] = 12
        return rgb

    rgb = picture(paint)
    measured = measured_of(tmp_path, rgb)
    assert measured.counts["debris"] == len(places)
    assert "debris" in names(measured)
    xy = measured.table[["x", "y"]].to_numpy()
    for place in places:
        assert np.hypot(*(xy - place).T).min() > 10
    with open_slide(tmp_path / "drawn.tif") as opened:
        small = drain(measure_nuclei(opened, NucleiSettings(method="classical", max_area_um2=20)))
    assert len(small.table) == 0  # each of the discs, 38 µm², is too large now
    assert small.counts["debris"] > 200


def test_given_labels_are_measured_as_they_are(tmp_path):
    labels = np.zeros((900, 900), np.uint16)
    yy, xx = np.mgrid[:900, :900]
    for number, (x, y, radius) in {7: (300, 300, 20), 900: (500, 300, 10), 12: (500, 600, 1)}.items():
        labels[np.hypot(xx - x, yy - y) < radius] = number
    with open_slide(write_slide(tmp_path / "a.tif", picture(lambda rgb: rgb))) as opened:
        measured = drain(measure_labels(opened, labels, CLASSICAL))
        inside = drain(measure_labels(opened, labels, CLASSICAL, [region(0, 0, 400, 900)]))
        with pytest.raises(UsageError, match=r"900 x 450 px, the slide's level 0 900 x 900 px"):
            next(measure_labels(opened, labels[:450], CLASSICAL))
        with pytest.raises(UsageError, match="-3"):
            next(measure_labels(opened, np.full((900, 900), -3), CLASSICAL))
    assert measured.method == "labels"
    assert measured.counts["specks"] == 1
    areas = measured.table.set_index("x")["area_um2"]
    assert areas.tolist() == pytest.approx([np.pi * 400 / 4, np.pi * 100 / 4], rel=0.04)
    assert inside.table[["x", "y"]].to_numpy() == pytest.approx(np.array([[300.5, 300.5]]))


def test_what_is_finer_than_needed_or_not_square_is_read_as_squares():
    assert _read_downsample(Mpp(0.25, 0.25)) == (1.0, 1.0)
    assert _read_downsample(Mpp(0.25, 0.255)) == (1.0, 1.0)
    assert _read_downsample(Mpp(0.1, 0.1)) == pytest.approx((2.0, 2.0))
    by_x, by_y = _read_downsample(Mpp(0.25, 0.36))
    assert by_x * 0.25 == pytest.approx(by_y * 0.36)


def test_places_are_of_level_0_where_less_is_read(tmp_path):
    rgb = picture(lambda rgb: rgb)
    fine = np.repeat(np.repeat(rgb[:400, :400], 5, axis=0), 5, axis=1)
    with open_slide(write_slide(tmp_path / "fine.tif", fine, mpp=0.1)) as opened:
        measured = drain(measure_nuclei(opened, CLASSICAL, [region(0, 0, 2000, 1600)]))
    assert measured.read_mpp == pytest.approx((0.2, 0.2))
    xy = measured.table[["x", "y"]].to_numpy()
    drawn = (np.argwhere(np.ones((7, 5)))[:, :2] * 40 + 140.5) * 5  # those whole inside
    assert len(xy) == len(drawn)
    assert max(np.hypot(*(drawn - place).T).min() for place in xy) < 5
    assert measured.table["area_um2"].median() == pytest.approx(np.pi * 49 / 4, rel=0.15)


@pytest.mark.skipif(not REAL.exists(), reason="the real slide is not here")
def test_a_corner_of_the_real_slide():
    with opening.open_slide(REAL) as opened:
        measured = drain(measure_nuclei(opened, CLASSICAL, [region(1300, 1900, 2100, 2700)]))
    assert 200 < len(measured.table) < 1500
    assert 12 < measured.table["area_um2"].median() < 60
    assert names(measured) <= {"debris"}
