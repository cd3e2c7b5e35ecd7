"""Slide, map and ROI lie on one another in micrometres, at every zoom and whatever layers others add."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager
from qtpy.QtGui import QImage
from skimage.transform import resize
from tests_shared import MPP, draw_tissue, write_slide

MARK_L0 = (2200, 1400, 2400, 1600)  # x0, y0, x1, y1: a black square near the far corner
UM = "micrometer"


@pytest.fixture(scope="module")
def uneven_slide(tmp_path_factory):
    """Return a slide whose levels are 3.9984 and 15.94 times smaller across, and other numbers down."""
    rgb = draw_tissue(np.random.default_rng(3))[:1703, :2503].copy()
    x0, y0, x1, y1 = MARK_L0
    rgb[y0:y1, x0:x1] = 0
    path = tmp_path_factory.mktemp("uneven") / "uneven.tif"
    with tifffile.TiffWriter(path) as tiff:
        for level, (width, height) in enumerate([(2503, 1703), (626, 426), (157, 107)]):
            picture = resize(rgb, (height, width), anti_aliasing=True, preserve_range=True).astype(np.uint8)
            per_cm = 1e4 / MPP * width / 2503
            tiff.write(
                picture if level else rgb,
                subfiletype=int(level > 0),
                metadata=None,
                tile=(128, 128),
                compression="zlib",
                photometric="rgb",
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
            )
    return path


def canvas_picture(hands) -> np.ndarray:
    """Return what is to be seen on the canvas, once all tiles are there, as (H, W, 3)."""
    pyramid = hands.review.scene.slide.pyramid
    hands.qtbot.wait(50)
    hands.until(lambda: pyramid.pending == 0)
    hands.qtbot.wait(150)
    image = hands.canvas.grabFramebuffer().convertToFormat(QImage.Format.Format_RGB888)
    lines = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return lines[:, : 3 * image.width()].reshape(image.height(), image.width(), 3)


def test_slide_map_and_roi_lie_on_one_another(hands, uneven_slide, ws_bundle):
    hands.open(uneven_slide)
    map_roi_and_slide_agree_at_the_far_corner(hands, ws_bundle)
    for layer in hands.viewer.layers:
        layer.visible = layer.name == "slide"
    the_slides_pixels_lie_where_they_should_at_every_zoom(hands)


def the_slides_pixels_lie_where_they_should_at_every_zoom(hands):
    hands.viewer.canvas.overlays.scale_bar.visible = False
    for px_per_um in (0.35, 0.7, 1.0, 1.7, 3.0):
        assert_mark_is_in_place(hands, px_per_um)


def assert_mark_is_in_place(hands, px_per_um: float) -> None:
    """Find the black square's edges in the picture on the screen, and compare them with the truth."""
    camera = hands.viewer.scene.camera
    x0, y0, x1, y1 = np.multiply(MARK_L0, MPP)
    camera.center = ((y0 + y1) / 2, (x0 + x1) / 2)
    camera.zoom = px_per_um
    black = (canvas_picture(hands) < 60).all(axis=2)
    middle = np.array(black.shape) // 2
    near = np.zeros_like(black)
    reach = int(70 * px_per_um) + 5
    near[middle[0] - reach : middle[0] + reach, middle[1] - reach : middle[1] + reach] = True
    rows, columns = np.nonzero(black & near)
    edges_px = np.array([rows.min(), rows.max() + 1, columns.min(), columns.max() + 1])
    centre = np.repeat(camera.center[-2:], 2)
    found_um = (edges_px - np.repeat(np.array(black.shape) / 2, 2)) / px_per_um + centre
    assert found_um == pytest.approx([y0, y1, x0, x1], abs=1.5 / px_per_um + MPP), px_per_um


def map_roi_and_slide_agree_at_the_far_corner(hands, ws_bundle):
    hands.load(ws_bundle)
    hands.fill_patient()
    hands.draw([(1900, 1100), (2450, 1100), (2450, 1650), (1900, 1650)])
    hands.run("whole-slide")
    scene, scores = hands.review.scene, hands.state.answers["dlcnbc-ws"].scores
    far = int(np.argmax(scores.table.row * 1000 + scores.table.column))
    step = np.array(scores.table.grid.step_l0)
    corner = scores.table.l0_xy[far]
    assert (corner > 1000).all()
    map_layer, slide_layer = hands.viewer.layers["map"], hands.viewer.layers["slide"]
    for share in ([0.01, 0.01], [0.99, 0.01], [0.5, 0.5], [0.01, 0.99], [0.99, 0.99]):
        l0_xy = corner + step * share
        world_yx = l0_xy[::-1] * MPP
        assert map_layer.get_value(world_yx, world=True) == pytest.approx(scores.attention_slide[far])
        assert scene.map.value_at(tuple(world_yx)) == pytest.approx(scores.attention_slide[far])
        # napari counts a pixel from its centre
        assert slide_layer.world_to_data(world_yx)[:2] + 0.5 == pytest.approx(l0_xy[::-1])
    roi_layer = hands.viewer.layers["tumour ROI"]
    drawn_um = np.array([roi_layer.data_to_world(place) for place in roi_layer.data[0]])
    ring = np.array(hands.state.regions[0].geometry.exterior.coords)[:-1, ::-1] * MPP
    assert drawn_um == pytest.approx(ring, abs=0.01)


@pytest.mark.slow
def test_slides_of_different_scale_one_after_another(hands, tissue_slide, roi_file, tmp_path):
    finer = write_slide(tmp_path / "fine.tif", draw_tissue(np.random.default_rng(5)), mpp=0.25)
    unknown = write_slide(tmp_path / "unknown.tif", draw_tissue(np.random.default_rng(6)), mpp=None)
    for path, mpp in ((tissue_slide, MPP), (finer, 0.25), (tissue_slide, MPP)):
        hands.open(path)
        hands.import_roi(roi_file)
        hands.click(hands.dock.map.mask_box)
        assert hands.viewer.layers["slide"].scale == pytest.approx((mpp, mpp))
        assert hands.viewer.layers["tumour ROI"].scale == pytest.approx((mpp, mpp))
        pixel_um = np.multiply(hands.state.seen.downsample[::-1], mpp)
        assert hands.viewer.layers["tissue mask"].scale == pytest.approx(pixel_um)
        assert units_of(hands) == [UM, UM]
    hands.drop(unknown)
    dialog = hands.mpp_dialog()
    assert [layer.name for layer in hands.viewer.layers] == ["slide"]
    assert hands.viewer.layers["slide"].scale == pytest.approx((1, 1))
    assert units_of(hands) == ["pixel", "pixel"]
    hands.qtbot.keyClicks(dialog.line, "0.5")
    hands.qtbot.mouseClick(dialog.ok_button, hands.left)
    hands.until(lambda: hands.state.seen is not None)
    assert hands.viewer.layers["slide"].scale == pytest.approx((0.5, 0.5))
    assert units_of(hands) == [UM, UM]


def units_of(hands) -> list[str]:
    """Return the units of the world's two axes, as the scale bar takes them."""
    return [str(unit) for unit in hands.viewer.layers.extent.units]


def test_layers_of_others_keep_the_world_in_micrometres(hands, tissue_slide):
    hands.open(tissue_slide)
    viewer = hands.viewer
    viewer.add_image(np.zeros((50, 50)), name="plain")
    viewer.add_points(np.zeros((3, 2)), name="points")
    viewer.add_shapes(name="shapes")
    viewer.add_image(np.zeros((50, 50)), name="coarse", scale=(0.01, 0.01), units=("mm", "mm"))
    viewer.add_image(np.zeros((3, 50, 50)), name="stack")
    assert units_of(hands)[-2:] == [UM, UM]
    assert viewer.layers["coarse"].scale == pytest.approx((10, 10))
    assert any("'coarse' was given in mil" in line for line in hands.warnings())
    assert any("'plain' states no µm/px" in line for line in hands.warnings())
    assert hands.errors() == []
    # napari draws a layer, and says this, before anyone else hears of it
    said = {note.message for note in notification_manager.records}
    assert said <= {"Inconsistent units across layers; units will not be used for rendering."}
    notification_manager.records.clear()


def test_layers_that_were_there_before_the_slide_are_mended_too(hands, tissue_slide):
    hands.viewer.add_image(np.zeros((50, 50)), name="before")
    hands.open(tissue_slide)
    assert units_of(hands) == [UM, UM]
    assert "before" in hands.viewer.layers
