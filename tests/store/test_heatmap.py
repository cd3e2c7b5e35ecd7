import numpy as np
import tifffile

from napari_aln.geometry import Mpp
from napari_aln.patches.raster import raster
from napari_aln.records import PatchGrid, PatchScores, PatchTable
from napari_aln.store.heatmap import MAPS, write_heatmap

GRID = PatchGrid(patch_px=256, mpp=0.5, step_l0=(512.5, 256.25), columns=4, rows=3)


def table(origin_l0=None):
    return PatchTable(GRID, np.array([0, 3], np.int32), np.array([1, 2], np.int32), origin_l0)


def scores(values):
    ones = np.ones(2)
    return PatchScores(table(), ones > 0, ones, ones, values, ones, ones, ones)


def test_a_value_stands_in_the_cell_it_came_from():
    picture = raster(table(), [1.5, 2.5])
    assert picture.shape == (3, 4)
    assert picture[1, 0] == 1.5
    assert picture[2, 3] == 2.5  # the far corner
    assert np.isnan(picture).sum() == 10


def test_patches_off_the_grid_are_drawn_where_they_lie():
    origin = np.array([[512.5 / 2, 0.0], [-512.5, -256.25]])
    picture = raster(table(origin), [1.0, 2.0])
    assert picture.shape == (48, 64)
    assert (picture[16:32, 8:24] == 1).all()
    assert (picture[16:32, 32:48] == 2).all()
    assert np.isnan(picture).sum() == 48 * 64 - 2 * 256


def test_the_file_states_names_units_and_size(tmp_path):
    path = tmp_path / "heatmap.tif"
    write_heatmap(scores(np.array([0.5, 3.0])), Mpp(0.25, 0.5), path, "slide abc")
    with tifffile.TiffFile(path) as tif:
        pixels = tif.asarray()
        ome = tif.ome_metadata
    assert pixels.shape == (len(MAPS), 3, 4)
    assert pixels[MAPS.index("attention_slide"), 2, 3] == 3.0
    assert 'PhysicalSizeX="128.125"' in ome
    assert 'PhysicalSizeY="128.125"' in ome
    assert 'PhysicalSizeXUnit="µm"' in ome
    assert "slide abc" in ome
    assert all(f'Name="{name}"' in ome for name in MAPS)
