"""What napari finds of the plugin: manifest, readers, sample data, menu entries."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tifffile
from npe2 import PluginManifest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtGui import QAction
from tests_shared import MPP, write_slide
from window_hands import Hands, real

from napari_aln.contributions.readers import get_slide_reader
from napari_aln.widgets.dropped import SLIDE_PATH
from napari_aln.workflows.demo import SLIDE, sample_path

PLUGIN = "napari-aln"


@pytest.fixture
def picture(tmp_path):
    """Return a maker of ordinary pictures: pink tissue with texture."""
    rgb = np.random.default_rng(0).integers(90, 230, (700, 900, 3), dtype=np.uint8)

    def make(name: str):
        path = tmp_path / name
        if path.suffix == ".tif":
            tifffile.imwrite(path, rgb, photometric="rgb")
        else:
            Image.fromarray(rgb).save(path)
        return path

    return make


def menu_action(hands, title: str) -> QAction:
    """Return an entry of napari's menus, which add the plugin's name."""
    menus, found = [hands.viewer.window.layers_menu, hands.viewer.window.file_menu], []
    while menus:
        for action in menus.pop().actions():
            if action.menu():
                menus.append(action.menu())
            elif action.text().startswith(title):
                found.append(action)
    assert len(found) == 1, f"there are {len(found)} menu entries '{title}'"
    return found[0]


def test_the_manifest_is_valid_and_each_command_can_be_imported():
    manifest = PluginManifest.from_distribution(PLUGIN)
    manifest.validate_imports()
    told = manifest.contributions
    assert [w.display_name for w in told.widgets] == ["Review a slide"]
    assert [s.key for s in told.sample_data] == ["demo-slide"]
    assert set(told.menus) == {"napari/layers/data", "napari/file/io_utilities"}
    commands = {command.id for command in told.commands}
    assert {item.command for items in told.menus.values() for item in items} <= commands


def test_reading_the_manifest_and_importing_the_contributions_loads_neither_torch_nor_qt():
    code = """
import sys
from npe2 import PluginManifest
PluginManifest.from_distribution("napari-aln")
import napari_aln.contributions, napari_aln.contributions.readers, napari_aln.contributions.sample
heavy = ("torch", "openvino", "PySide6", "PyQt6", "PyQt5", "qtpy.QtCore", "openslide", "tifffile")
print([name for name in heavy if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert answer.stdout.strip() == "[]", answer.stdout + answer.stderr


@pytest.mark.parametrize("name", ["slides/CMU-1-Small-Region.svs", "slides/cmu-1-small-region-dicom"])
def test_real_slides_become_one_multiscale_layer_in_micrometres(name):
    reader = get_slide_reader(str(real(name)))
    ((levels, about, kind),) = reader(str(real(name)))
    assert kind == "image"
    assert about["multiscale"]
    assert about["scale"] == pytest.approx((0.499, 0.499))
    assert about["translate"] == pytest.approx((0.2495, 0.2495))  # the first pixel's corner is the origin
    assert about["units"] == ("µm", "µm")
    assert levels[0].shape[2] == 3
    assert 0 < levels[0][100:110, 100:110].mean() < 255


def test_tiled_tiffs_are_slides_and_ordinary_pictures_are_left_to_napari(picture, tissue_slide, tmp_path):
    ((levels, about, _),) = get_slide_reader(str(tissue_slide))(str(tissue_slide))
    assert [level.shape[:2] for level in levels][:2] == [(2200, 3000), (1100, 1500)]
    assert about["scale"] == (MPP, MPP)
    assert get_slide_reader(str(picture("plain.tif"))) is None
    (tmp_path / "empty.tif").touch()
    assert get_slide_reader(str(tmp_path / "empty.tif")) is None
    assert get_slide_reader(str(tmp_path)) is None  # a folder without slides
    patterns = PluginManifest.from_distribution(PLUGIN).contributions.readers[0].filename_patterns
    assert not {"*.jpg", "*.jpeg", "*.png"} & set(patterns)


def test_what_napari_opens_becomes_the_slide_under_review(hands, tissue_slide):
    file_open_through_our_reader_becomes_the_slide_under_review(hands, tissue_slide)
    hands.viewer.layers.clear()
    hands.until(lambda: hands.state.slide is None)
    the_sample_data_becomes_the_slide_under_review(hands)
    the_menu_opens_the_demonstration(hands)


def test_layers_that_are_no_slide_and_one_that_can_be(hands, roi_file, picture):
    annotations_open_as_shapes_without_a_slide(hands, roi_file)
    hands.viewer.layers.clear()
    a_layer_without_a_file_cannot_be_the_slide(hands)
    hands.viewer.layers.clear()
    a_picture_that_napari_opened_is_used_as_the_slide(hands, picture)


def file_open_through_our_reader_becomes_the_slide_under_review(hands, tissue_slide):
    hands.viewer.open(str(tissue_slide), plugin=PLUGIN)
    hands.until(lambda: hands.is_open(tissue_slide) and not hands.review.surveying.is_running)
    assert [layer.name for layer in hands.viewer.layers] == ["slide"]
    assert SLIDE_PATH not in hands.viewer.layers["slide"].metadata


def the_sample_data_becomes_the_slide_under_review(hands):
    hands.viewer.open_sample(PLUGIN, "demo-slide")
    hands.until(lambda: hands.is_open(sample_path(SLIDE)) and not hands.review.surveying.is_running)
    assert [layer.name for layer in hands.viewer.layers] == ["slide"]


def a_picture_that_napari_opened_is_used_as_the_slide(hands, picture):
    path = picture("biopsy.jpg")
    hands.viewer.open(str(path))
    assert hands.state.slide is None
    assert hands.viewer.layers.selection.active.source.path == str(path)
    menu_action(hands, "Use this layer as the slide under review").trigger()
    hands.answer_mpp("1.0")
    hands.until(lambda: hands.is_open(path) and hands.state.slide.info.mpp == (1.0, 1.0))
    hands.until(lambda: not hands.review.surveying.is_running)
    assert [layer.name for layer in hands.viewer.layers] == ["slide"]


def a_layer_without_a_file_cannot_be_the_slide(hands):
    hands.viewer.add_image(np.zeros((50, 50)), name="drawn")
    menu_action(hands, "Use this layer as the slide under review").trigger()
    assert len(hands.errors()) == 1
    assert "drawn" in hands.banner()
    assert len(hands.viewer.layers) == 1


def the_menu_opens_the_demonstration(hands):
    menu_action(hands, "Review the demonstration slide").trigger()
    hands.until(lambda: len(hands.state.bundles) == 2 and bool(hands.state.regions))
    assert hands.is_open(sample_path(SLIDE))
    assert hands.state.clinical.age_years == 50


def test_beside_other_plugins_pictures_dropped_on_the_canvas_stay_naparis(make_dock, qtbot, picture):
    hands = Hands(make_dock(as_program=False), qtbot)
    path = picture("biopsy.jpg")
    hands.drop(path, onto=hands.canvas)
    hands.until(lambda: len(hands.viewer.layers) == 1)
    assert hands.state.slide is None
    hands.viewer.layers.clear()
    hands.drop(path)  # on the dock, it is a slide
    hands.until(lambda: hands.is_open(path))
    hands.qtbot.keyClick(hands.mpp_dialog(), Qt.Key.Key_Escape)


def annotations_open_as_shapes_without_a_slide(hands, roi_file):
    (layer,) = hands.viewer.open(str(roi_file), plugin=PLUGIN)
    assert layer.data[0][:, ::-1].tolist() == [[700, 500], [2100, 500], [2100, 1500], [700, 1500]]


def test_two_slides_side_by_side_in_one_session_each_with_its_own_window(make_dock, qtbot, tmp_path):
    rng = np.random.default_rng(0)
    paths = [write_slide(tmp_path / f"{i}.tif", rng.integers(80, 240, (600, 700, 3), np.uint8)) for i in "ab"]
    both = [Hands(make_dock(), qtbot) for _ in paths]
    for hands, path in zip(both, paths, strict=True):
        hands.open(path)
    assert [hands.is_open(path) for hands, path in zip(both, paths, strict=True)] == [True, True]
