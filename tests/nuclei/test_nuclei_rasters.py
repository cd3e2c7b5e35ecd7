"""Rasters of nuclei against counts and means of each square."""

import numpy as np
import pytest

from napari_aln.geometry import Mpp
from napari_aln.nuclei.rasters import CELLS_UM, cell_um, density_raster, mean_raster

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
