"""Known values of the frames and their units, and round trips through every frame."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_aln.geometry import (
    Mpp,
    l0_to_level,
    l0_to_world_um,
    length_um,
    level_to_l0,
    plausible_mpp,
    px_at,
    world_um_to_l0,
)

coordinates = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 5), st.just(2)),
    elements=st.floats(-1e6, 1e6, allow_nan=False),
)
downsamples = st.tuples(st.floats(1.0, 256.0), st.floats(1.0, 256.0))
resolutions = st.builds(Mpp, st.floats(0.05, 20.0), st.floats(0.05, 20.0))


def test_level_pixels_keep_the_exact_downsample_at_the_far_corner():
    # 46 000 px in a level of 2875 px: 16 exactly along x; 32 914 in 2057: 16.000972..., not 16, along y.
    downsample = (46_000 / 2875, 32_914 / 2057)
    np.testing.assert_allclose(l0_to_level([46_000, 32_914], downsample), [2875, 2057], rtol=1e-15)
    assert l0_to_level([0, 32_914], (16, 16))[1] - 2057 == pytest.approx(0.125)


def test_world_is_row_then_column_in_micrometres():
    np.testing.assert_array_equal(l0_to_world_um([10, 100], Mpp(0.5, 0.25)), [25.0, 5.0])
    np.testing.assert_array_equal(world_um_to_l0([25.0, 5.0], Mpp(0.5, 0.25)), [10.0, 100.0])


@settings(deadline=None)
@given(coordinates, downsamples)
def test_level_and_back(l0_xy, downsample):
    there = l0_to_level(l0_xy, downsample)
    assert there.shape == l0_xy.shape
    np.testing.assert_allclose(level_to_l0(there, downsample), l0_xy, rtol=1e-12, atol=1e-9)


@settings(deadline=None)
@given(coordinates, resolutions)
def test_world_and_back(l0_xy, mpp):
    np.testing.assert_allclose(world_um_to_l0(l0_to_world_um(l0_xy, mpp), mpp), l0_xy, rtol=1e-12, atol=1e-9)


@settings(deadline=None)
@given(coordinates, downsamples, resolutions)
def test_a_vertex_lies_at_the_same_place_through_all_frames(level_xy, downsample, mpp):
    world_yx_um = l0_to_world_um(level_to_l0(level_xy, downsample), mpp)
    level_mpp = Mpp(mpp.x * downsample[0], mpp.y * downsample[1])
    np.testing.assert_allclose(world_yx_um, l0_to_world_um(level_xy, level_mpp), rtol=1e-12, atol=1e-9)
    back = l0_to_level(world_um_to_l0(world_yx_um, mpp), downsample)
    np.testing.assert_allclose(back, level_xy, rtol=1e-12, atol=1e-9)


def test_lengths():
    assert px_at(256, 0.5, 0.25) == 512
    assert px_at(256, 0.25, 0.5) == 128
    assert Mpp(0.5, 0.5).mean == 0.5
    assert Mpp(0.2, 0.8).mean == pytest.approx(0.4)


@pytest.mark.parametrize("value", [0.05, 0.2522, 0.499, 20.0])
def test_possible_resolutions_pass(value):
    assert plausible_mpp(value, 0.5) == Mpp(value, 0.5)
    assert plausible_mpp(0.5, value) == Mpp(0.5, value)


@pytest.mark.parametrize("value", [None, 0.0, -0.5, 0.0499, 20.01, 352.8, math.nan, math.inf])
def test_impossible_resolutions_count_as_missing(value):
    assert plausible_mpp(value, 0.5) is None
    assert plausible_mpp(0.5, value) is None


def test_a_line_is_as_long_as_both_scales_say():
    assert length_um([(10, 10), (16, 10)], Mpp(0.5, 0.25)) == 3.0
    assert length_um([(10, 10), (10, 26)], Mpp(0.5, 0.25)) == 4.0
    assert length_um([(10, 10), (16, 26)], Mpp(0.5, 0.25)) == 5.0
    assert length_um([(0, 0), (6, 16), (0, 0)], Mpp(0.5, 0.25)) == 10.0
    assert length_um([(3, 4)], Mpp(0.5, 0.5)) == 0.0
