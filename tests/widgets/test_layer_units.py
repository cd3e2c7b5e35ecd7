"""The units of napari's layers: built beside the window, used from one thread on."""

import pint
import pytest
from pint.registry import LazyRegistry

from napari_aln.widgets.layers.units import build_units, use_units


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
