"""The grid's numbers, and shares of cells against a count of pixels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_aln.geometry import Mpp
from napari_aln.patches.grid import candidates, patch_grid, tissue_share
from napari_aln.patches.tissue import TissueMask
from napari_aln.records import PatchGrid
from napari_aln.settings.patches import PatchSettings


def mask_of(tissue, pen=None):
    pen = np.zeros_like(tissue) if pen is None else pen
    return TissueMask(tissue, pen, 8.0, (240, 240, 240))


def test_the_aperio_test_slide():
    grid = patch_grid((2220, 2967), Mpp(0.499, 0.499), 256, 0.5)
    assert (grid.columns, grid.rows) == (8, 11)
    assert grid.step_l0 == (256 * 0.5 / 0.499, 256 * 0.5 / 0.499)


def test_unequal_axes():
    grid = patch_grid((1000, 1000), Mpp(0.5, 0.25), 100, 0.5)
    assert grid.step_l0 == (100.0, 200.0)
    assert (grid.columns, grid.rows) == (10, 5)


@pytest.mark.parametrize("step", [math.nextafter(256, 0), 256.0, math.nextafter(256, 300)])
def test_rounding_noise_costs_no_column(step):
    grid = patch_grid((2560, 256), Mpp(256 / step, 1.0), 256, 1.0)
    assert grid.columns == 10
    assert grid.rows == 1


@pytest.mark.parametrize(("width", "columns"), [(255, 0), (256, 1), (511, 1), (512, 2)])
def test_only_whole_cells_belong(width, columns):
    grid = patch_grid((width, 300), Mpp(0.5, 0.5), 256, 0.5)
    assert (grid.columns, grid.rows) == (columns, 1)


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 200_000), st.integers(1, 200_000)),
    st.builds(Mpp, st.floats(0.05, 20.0), st.floats(0.05, 20.0)),
    st.sampled_from([224, 256, 512]),
    st.floats(0.1, 4.0),
)
def test_the_grid_ends_inside_the_slide_and_leaves_less_than_a_cell(size_px, slide_mpp, patch_px, mpp):
    grid = patch_grid(size_px, slide_mpp, patch_px, mpp)
    for count, step, size in zip((grid.columns, grid.rows), grid.step_l0, size_px, strict=True):
        assert count * step <= size * (1 + 1e-8)
        assert (count + 1) * step > size


@pytest.mark.parametrize(("patch_px", "mpp"), [(0, 0.5), (256, 0.0), (256, math.nan)])
def test_an_impossible_cell_is_refused(patch_px, mpp):
    with pytest.raises(ValueError, match="positive"):
        patch_grid((1000, 1000), Mpp(0.5, 0.5), patch_px, mpp)


def test_share_of_whole_pixels():
    mask = np.zeros((4, 6), dtype=bool)
    mask[0, 0] = mask[2:, 2:4] = True
    grid = PatchGrid(256, 0.5, (64.0, 64.0), columns=3, rows=2)
    share = tissue_share(grid, mask, (32.0, 32.0))
    np.testing.assert_allclose(share, [[0.25, 0, 0], [0, 1, 0]])


def test_share_of_cut_pixels():
    mask = np.array([[True, False, True]])
    grid = PatchGrid(256, 0.5, (1.5, 1.0), columns=2, rows=1)
    np.testing.assert_allclose(tissue_share(grid, mask, (1.0, 1.0)), [[1 / 1.5, 1 / 1.5]])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(3, 9), st.integers(2, 7), st.integers(1, 5), st.integers(1, 5))
def test_share_equals_a_count_on_a_finer_raster(seed, step_x, step_y, by_x, by_y):
    # Cells of step_x x step_y level-0 pixels over mask pixels of by_x x by_y: one level-0 pixel cuts neither.
    mask = np.random.default_rng(seed).random((12, 15)) < 0.4
    fine = mask.repeat(by_y, axis=0).repeat(by_x, axis=1)
    columns, rows = fine.shape[1] // step_x, fine.shape[0] // step_y
    grid = PatchGrid(256, 0.5, (float(step_x), float(step_y)), columns, rows)
    cells = fine[: rows * step_y, : columns * step_x].reshape(rows, step_y, columns, step_x)
    share = tissue_share(grid, mask, (float(by_x), float(by_y)))
    np.testing.assert_allclose(share, cells.mean(axis=(1, 3)), atol=1e-12)


def test_full_and_empty_masks_stay_exact_on_a_large_slide():
    grid = patch_grid((50_000, 40_000), Mpp(0.2522, 0.2522), 256, 0.5)
    full = np.ones((1261, 1577), dtype=bool)
    downsample = (50_000 / 1577, 40_000 / 1261)
    share = tissue_share(grid, full, downsample)
    assert share.shape == (grid.rows, grid.columns)
    np.testing.assert_allclose(share, 1.0, atol=1e-9)
    assert not tissue_share(grid, ~full, downsample).any()


def test_beyond_the_mask_is_empty():
    grid = PatchGrid(256, 0.5, (10.0, 10.0), columns=2, rows=1)
    share = tissue_share(grid, np.ones((10, 15), dtype=bool), (1.0, 1.0))
    np.testing.assert_allclose(share, [[1.0, 0.5]])


def test_candidates_have_tissue_and_no_pen_in_row_major_order():
    tissue = np.zeros((32, 48), dtype=bool)
    tissue[:16, :16] = tissue[:16, 16:20] = tissue[16:, 16:48] = True  # shares 1, 0.25, 0 / 0, 1, 1
    pen = np.zeros_like(tissue)
    pen[20, 40] = True  # one pixel of 256
    grid = PatchGrid(256, 0.5, (256.0, 256.0), columns=3, rows=2)
    table = candidates(grid, mask_of(tissue, pen), (16.0, 16.0), PatchSettings(min_tissue_share=0.25))
    assert list(zip(table.row.tolist(), table.column.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 1)]
    assert table.column.dtype == table.row.dtype == np.int32
    np.testing.assert_array_equal(table.l0_xy, [[0, 0], [256, 0], [256, 256]])
    stricter = candidates(grid, mask_of(tissue, pen), (16.0, 16.0), PatchSettings(min_tissue_share=0.26))
    assert len(stricter) == 2


def test_a_line_one_pixel_thin_excludes_every_cell_it_enters():
    tissue = np.ones((64, 64), dtype=bool)
    pen = np.eye(64, dtype=bool)
    grid = PatchGrid(256, 0.5, (256.0, 256.0), columns=4, rows=4)
    table = candidates(grid, mask_of(tissue, pen), (16.0, 16.0), PatchSettings())
    assert len(table) == 12
    assert (table.row != table.column).all()


def test_no_tissue_gives_no_candidates():
    grid = PatchGrid(256, 0.5, (256.0, 256.0), columns=4, rows=4)
    table = candidates(grid, mask_of(np.zeros((8, 8), dtype=bool)), (128.0, 128.0), PatchSettings())
    assert len(table) == 0
    assert table.l0_xy.shape == (0, 2)
