"""Shapes layers read from annotations and saved as such, through napari's own opening and saving."""

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, Polygon, box

from napari_aln.annotations import read_annotations, write_geojson
from napari_aln.errors import StoreError
from napari_aln.geometry import Mpp
from napari_aln.records import Region

PLUGIN = "napari-aln"
MPP = Mpp(0.25, 0.2)
HOLED = Polygon(box(90_000, 70_000, 99_000, 78_000).exterior, [box(91_000, 71_000, 93_000, 73_000).exterior])
REGIONS = (
    Region(MultiPolygon([HOLED, box(91_500, 71_500, 92_000, 72_000)]), "core", "Tumor", (200, 0, 0)),
    Region(box(5, 6, 7.5, 8.25), "", "Stroma"),
)


@pytest.fixture
def viewer():
    """A viewer without a window, and our plugin found."""
    layers = pytest.importorskip("napari.components", reason="napari cannot be loaded")
    from npe2 import PluginManager

    PluginManager.instance().discover()
    return layers.ViewerModel()


def saved(layers, path):
    """Save layers as napari's menu does; return what the file holds."""
    from napari.plugins.io import save_layers

    assert save_layers(str(path), list(layers)) == [str(path)]
    return read_annotations(path)


@pytest.mark.parametrize(("mpp", "unit"), [(MPP, "micrometer"), (None, "pixel")])
def test_opened_and_saved_again_they_are_the_same(viewer, tmp_path, mpp, unit):
    write_geojson(REGIONS, tmp_path / "in.geojson", mpp=mpp, slide_hash="abc")
    (layer,) = viewer.open(str(tmp_path / "in.geojson"), plugin=PLUGIN)
    assert [str(u) for u in layer.units] == [unit, unit]
    scale = mpp or Mpp(1, 1)
    assert layer.extent.world[1].tolist() == pytest.approx([78_000 * scale.y, 99_000 * scale.x], abs=1)
    again = saved([layer], tmp_path / "out.geojson")
    assert (again.statement.mpp, again.statement.slide_hash) == (mpp, "abc")
    for one, other in zip(REGIONS, again.regions, strict=True):
        assert shapely.hausdorff_distance(one.geometry.boundary, other.geometry.boundary) < 1e-6
        assert one.geometry.area == pytest.approx(other.geometry.area)
        assert (one.name, one.classification, one.color_rgb) == (
            other.name,
            other.classification,
            other.color_rgb,
        )


def test_a_layer_in_micrometres_moved_and_turned_is_saved_where_it_lies_on_the_slide(viewer, tmp_path):
    from napari_aln.widgets.dropped import SLIDE_PATH

    viewer.add_image(
        np.zeros((8, 8, 3), np.uint8),
        rgb=True,
        scale=(MPP.y, MPP.x),
        units=("µm", "µm"),
        metadata={SLIDE_PATH: "s"},
    )
    corners_um = np.array([(20, 50), (20, 75), (40, 75), (40, 50)])  # y, x: 100..200 px by 200..300 px
    quarter = [[0, -1], [1, 0]]
    layers = [
        viewer.add_shapes([corners_um], shape_type="polygon", units=("µm", "µm")),
        viewer.add_shapes([corners_um / 1000], shape_type="rectangle", units=("mm", "mm")),
        viewer.add_shapes(
            [corners_um - (5, 7)], shape_type="polygon", translate=(5, 7), units=("µm", "µm"), name="Tumor"
        ),
        viewer.add_shapes(
            [corners_um @ quarter], shape_type="polygon", rotate=quarter, units=("µm", "µm")
        ),
    ]  # fmt: skip
    again = saved_in(viewer, layers, tmp_path / "out.geojson")
    assert again.statement.mpp == MPP
    for region in again.regions:
        assert region.geometry.bounds == pytest.approx((200, 100, 300, 200), abs=1e-3)
        assert region.classification == ""
    assert len(again.regions) == 4


def saved_in(viewer, layers, path):
    """Save while `viewer` is the one in front."""
    from unittest.mock import patch

    with patch("napari.viewer.current_viewer", lambda: viewer_with_docks(viewer)):
        return saved(layers, path)


def viewer_with_docks(viewer):
    from types import SimpleNamespace

    return SimpleNamespace(layers=viewer.layers, window=SimpleNamespace(dock_widgets={}))


def test_a_layer_in_micrometres_without_a_slide_is_refused(viewer, tmp_path):
    layer = viewer.add_shapes([np.eye(3, 2)], shape_type="polygon", units=("µm", "µm"), name="mine")
    with pytest.raises(StoreError, match="'mine' lies in micrometer, and no open slide"):
        saved([layer], tmp_path / "out.geojson")
    assert list(tmp_path.iterdir()) == []


def test_shapes_drawn_in_napari_in_pixels(viewer, tmp_path):
    corners = np.array([(0, 0), (0, 40), (20, 40), (20, 0)], float)
    layer = viewer.add_shapes(
        [corners, corners + 100, corners[:2], corners, corners[:3] + 500],
        shape_type=["rectangle", "ellipse", "line", "path", "polygon"],
        features={
            "region": [None, "x", 3, 4, np.nan],
            "Role": ["", "other", "hole", "", ""],
            "score": range(5),
        },
    )
    rectangle, ellipse, triangle = saved([layer], tmp_path / "out.geojson").regions
    assert rectangle.geometry.bounds == (0, 0, 40, 20)
    assert ellipse.geometry.bounds == pytest.approx((100, 100, 140, 120))
    assert ellipse.geometry.area == pytest.approx(np.pi * 20 * 10, rel=1e-3)
    assert triangle.geometry.area == 400


def test_several_layers_and_more_dimensions(viewer, tmp_path):
    flat = viewer.add_shapes([[(0, 0), (0, 4), (4, 4)]], shape_type="polygon")
    deep = viewer.add_shapes([[(7, 10, 10), (7, 10, 14), (7, 14, 14)]], shape_type="polygon")
    regions = saved([flat, deep], tmp_path / "out.geojson").regions
    assert [region.geometry.bounds for region in regions] == [(0, 0, 4, 4), (10, 10, 14, 14)]


def test_a_hole_reaches_over_its_outlines_edge_and_a_hole_alone_is_nothing(viewer, tmp_path):
    square = np.array([(0, 0), (0, 10), (10, 10), (10, 0)])
    layer = viewer.add_shapes(
        [square, square + 5, square + 50],
        shape_type="polygon",
        features={"role": ["outline", "hole", "hole"], "region": [1, 1, 2]},
    )
    (region,) = saved([layer], tmp_path / "out.geojson").regions
    assert region.geometry.area == 75


def test_without_an_area_nothing_is_written(viewer, tmp_path):
    (tmp_path / "out.geojson").write_text("as it was")
    layers = [viewer.add_shapes(ndim=2), viewer.add_shapes([[(0, 0), (9, 9)]], shape_type="line")]
    with pytest.raises(StoreError, match="no area to save"):
        saved(layers, tmp_path / "out.geojson")
    assert (tmp_path / "out.geojson").read_text() == "as it was"
