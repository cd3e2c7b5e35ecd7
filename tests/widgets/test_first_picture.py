"""What napari builds for its first picture: units above all, kept from start to start."""

import sys

import numpy as np
import pint
import pytest
import scipy
from napari.components import ViewerModel
from pint.registry import LazyRegistry

from napari_aln.slides import open_slide
from napari_aln.widgets import first_picture
from napari_aln.widgets.first_picture import build_first_picture, build_units, use_units
from napari_aln.widgets.layers.placement import Frame
from napari_aln.widgets.layers.slide_layer import SlideLayer


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache folder."""
    monkeypatch.setattr(first_picture, "user_cache_path", lambda *_, **__: tmp_path)
    return tmp_path


@pytest.fixture
def unused(monkeypatch):
    """No unit was asked for yet."""
    monkeypatch.setattr(pint.application_registry, "_registry", LazyRegistry())


def test_units_built_elsewhere_are_used_as_long_as_none_was_asked_for(unused):
    first, late = build_units(), build_units()
    use_units(first)
    use_units(late)  # layers have units of the first by now: two registries cannot be compared
    assert pint.application_registry.get() is first
    assert str(pint.application_registry.parse_units("µm")) == "micrometer"


def test_units_that_napari_has_asked_for_stay(unused):
    pixel = pint.application_registry.pixel
    use_units(build_units())
    assert pint.application_registry.pixel == pixel


def test_a_first_picture_puts_units_in_use_that_know_all_of_them(unused):
    build_first_picture()
    units = pint.application_registry.get()
    assert (3 * units.mile).to(units.micrometer).magnitude == pytest.approx(3 * 1609.344e6)


def test_units_kept_from_an_earlier_start_are_the_same(cache):
    first, second = build_units(), build_units()
    assert list(cache.glob("units/*.pickle"))
    for name in set(dir(first)) - set(dir(second)) | {"micrometer", "mile", "mL", "kelvin"}:
        in_base_units = [str(units.Quantity(1, name).to_base_units()) for units in (first, second)]
        assert in_base_units[0] == in_base_units[1]


@pytest.mark.parametrize("left", [b"", b"\x80\x05cut short", b"cnowhere\nnothing\n."])
def test_what_is_kept_may_be_broken(cache, left):
    build_units()
    kept = list(cache.glob("units/*.pickle"))
    for file in kept:
        file.write_bytes(left)
    assert str(build_units().parse_units("µm")) == "micrometer"
    assert not any(file.exists() for file in kept)  # so that the next start keeps them anew


def test_nothing_can_be_kept(cache):
    (cache / "units").write_text("not a folder")
    assert str(build_units().parse_units("µm")) == "micrometer"


def test_the_slides_thumbnail_shows_it_and_needs_no_scipy(qtbot, tissue_slide, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)  # an import of it fails
    monkeypatch.delattr(scipy, "ndimage", raising=False)
    shown = SlideLayer(ViewerModel(), 0)
    with open_slide(tissue_slide) as slide:
        shown.show(slide, Frame(slide.info.mpp))
        qtbot.waitUntil(lambda: shown.pyramid.pending == 0)
        shown.layer.opacity = 0.5
        shown.layer.refresh()
        thumbnail, truth = shown.layer.thumbnail, slide.thumbnail(32)
        shown.close()
    top = (32 - truth.shape[0]) // 2
    middle = thumbnail[top : top + truth.shape[0], :, :3].astype(float)
    assert np.abs(2 * middle - truth).mean() < 4
    assert not thumbnail[: top - 1, :, :3].any()


def test_napari_knows_the_slides_layer_as_one_of_its_pictures(qtbot, tissue_slide):
    viewer = ViewerModel()
    shown = SlideLayer(viewer, 0)
    with open_slide(tissue_slide) as slide:
        shown.show(slide, Frame(slide.info.mpp))
        data, about, kind = shown.layer.as_layer_data_tuple()
        assert kind == "image"
        assert viewer._add_layer_from_data(data, about, kind)[0].multiscale
        viewer.layers.clear()
        shown.close()
