"""Rasters of nuclei against counts and means of each square."""

import numpy as np
import pytest
from shapely.geometry import Polygon, box

from napari_aln.geometry import Mpp
from napari_aln.nuclei.measured_area import MeasuredArea
from napari_aln.nuclei.rasters import CELLS_UM, cell_um, density_raster, mean_raster
from napari_aln.records import PatchGrid, PatchTable

MPP, SIZE_L0 = Mpp(0.25, 0.5), (1000, 700)  # 250 x 350 µm


@pytest.fixture(scope="module")
def l0_xy():
    return np.random.default_rng(2).uniform((0, 0), SIZE_L0, (5000, 2))


def squares(l0_xy, side_um):
    """Yield each square's row, column, members, and area inside the slide in mm²."""
    at = np.floor(l0_xy * MPP / side_um).astype(int)
    for row in range(int(np.ceil(350 / side_um))):
        for column in range(int(np.ceil(250 / side_um))):
            wide, high = min(side_um, 250 - column * side_um), min(side_um, 350 - row * side_um)
            yield row, column, (at == (column, row)).all(axis=1), wide * high / 1e6


def test_density_is_counted_per_mm2_of_what_lies_on_the_slide(l0_xy):
    found = density_raster(l0_xy, SIZE_L0, MPP, 64.0)
    assert found.picture.shape == (6, 4)
    assert found.pixel_l0 == (256.0, 128.0)
    for row, column, members, area_mm2 in squares(l0_xy, 64.0):
        assert found.picture[row, column] == pytest.approx(members.sum() / area_mm2, rel=1e-5)
    assert np.isnan(density_raster(l0_xy[:1], SIZE_L0, MPP, 64.0).picture).sum() == 23
    assert np.isnan(density_raster(l0_xy - 5000, SIZE_L0, MPP, 64.0).picture).all()


def test_density_at_the_edge_of_what_was_measured_is_that_of_its_middle():
    """Points on a lattice, ten by ten in a square of 64 µm, inside a region that cuts squares in half."""
    x, y = np.meshgrid(np.arange(12.8, 1000, 25.6), np.arange(6.4, 700, 12.8))
    lattice = np.column_stack([x.ravel(), y.ravel()])
    region = 128.0, 128.0, 640.0, 512.0  # from the middle of the first column, half into the third
    inside = ((lattice > region[:2]) & (lattice < region[2:])).all(axis=1)
    tissue = np.ones((88, 125), bool)
    measured = MeasuredArea.of(tissue, (8.0, 8.0), box(*region))
    found = density_raster(lattice[inside], SIZE_L0, MPP, 64.0, measured).picture
    assert found[1:4, :3] == pytest.approx(np.full((3, 3), 100 / 0.004096), rel=1e-5)
    assert np.isnan(found[[0, 4, 5]]).all()
    assert np.isnan(found[:, 3]).all()
    whole = density_raster(lattice[inside], SIZE_L0, MPP, 64.0).picture
    assert whole[1, 0] == pytest.approx(found[1, 0] / 2)
    tissue[:, :28] = False  # the first column is glass but for an eighth
    thin = density_raster(lattice, SIZE_L0, MPP, 64.0, MeasuredArea.of(tissue, (8.0, 8.0), None)).picture
    assert np.isnan(thin[:, 0]).all()
    assert np.isfinite(thin[:, 1:]).all()
    assert measured.l0_px == pytest.approx(512 * 384)


def test_the_share_of_a_patch_is_that_of_tissue_inside_the_outline():
    tissue = np.ones((40, 60), bool)
    tissue[:, 30:] = False
    triangle = Polygon([(0, 0), (400, 0), (0, 400)])
    grid = PatchGrid(patch_px=100, mpp=1.0, step_l0=(100.0, 100.0), columns=6, rows=4)
    column, row = (part.ravel().astype(np.int32) for part in np.meshgrid(np.arange(6), np.arange(4)))
    measured = MeasuredArea.of(tissue, (10.0, 10.0), triangle)
    share = measured.of_patches(PatchTable(grid, column, row)).reshape(4, 6)
    expected = np.where(np.add.outer(np.arange(4), np.arange(6)) < 3, 1.0, 0.0)
    expected[np.add.outer(np.arange(4), np.arange(6)) == 3] = 0.5
    expected[:, 3:] = 0.0  # glass
    assert share == pytest.approx(expected)
    assert measured.of_squares((100.0, 100.0), (4, 6)) == pytest.approx(expected)
    off_grid = PatchTable(
        grid, np.zeros(2, np.int32), np.zeros(2, np.int32), np.array([[250.0, 0], [-50, 50]])
    )
    assert measured.of_patches(off_grid) == pytest.approx([0.5, 0.5])
    nothing = MeasuredArea.of(tissue, (10.0, 10.0), box(900, 900, 950, 950))
    assert nothing.l0_px == nothing.of_patches(off_grid).sum() == 0


def test_means_leave_unknown_values_out_and_axes_are_averaged_as_axes(l0_xy):
    values = np.random.default_rng(3).normal(40, 9, len(l0_xy))
    values[::7] = np.nan
    values[l0_xy[:, 0] < 200] = np.nan
    found = mean_raster(l0_xy, values, SIZE_L0, MPP, 32.0)
    for row, column, members, _ in squares(l0_xy, 32.0):
        known = values[members][np.isfinite(values[members])]
        expected = known.mean() if len(known) else np.nan
        assert found.picture[row, column] == pytest.approx(expected, rel=1e-5, nan_ok=True)
    assert np.isnan(found.picture[:, 0]).all()
    nearly_up = np.where(np.arange(len(l0_xy)) % 2, 1.5, -1.5)  # 172 degrees apart, or 8 as axes
    axes = mean_raster(l0_xy, nearly_up, SIZE_L0, MPP, 64.0, axial=True).picture
    assert np.abs(axes).min() > 1.4
    assert np.abs(axes).max() <= np.pi / 2


def test_squares_grow_as_the_view_goes_away_and_with_huge_slides():
    sides = [cell_um(zoom, SIZE_L0, MPP) for zoom in (4.0, 0.2, 0.1, 0.05, 0.01, 0.0001)]
    assert sides == [32, 32, 64, 128, 1024, 1024]
    assert cell_um(4.0, (2_000_000, 2_000_000), MPP) > 32
    assert set(sides) <= set(CELLS_UM)
