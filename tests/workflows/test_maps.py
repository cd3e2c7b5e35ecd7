"""Scalings, thresholds, legends and hotspots by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from map_scores import scores_of
from scipy.stats import rankdata

from napari_aln.workflows.slide.maps import (
    MAP_STYLES,
    at_least,
    colour_limits,
    from_the_top,
    hotspots,
    mean_ranks,
    scaled,
    scaled_style,
)

NAN = np.nan
VALUES = np.array([3.0, NAN, 1.0, 1.0, 5.0, 2.0])


@pytest.mark.parametrize(
    ("scaling", "signed", "expected"),
    [
        ("unscaled", False, VALUES),
        ("fixed", False, VALUES),
        ("rank", False, [0.75, NAN, 0.125, 0.125, 1.0, 0.5]),
        ("min-max", False, [0.5, NAN, 0.0, 0.0, 1.0, 0.25]),
    ],
)
def test_scalings_by_hand(scaling, signed, expected):
    np.testing.assert_allclose(scaled(VALUES, scaling, signed=signed), expected)


def test_signed_scalings_keep_their_zero():
    values = np.array([-4.0, 0.0, 1.0, 2.0, NAN])
    np.testing.assert_allclose(scaled(values, "min-max", signed=True), [-1, 0, 0.25, 0.5, NAN])
    np.testing.assert_allclose(scaled(values, "rank", signed=True), [-1, 0, 0.5, 0.75, NAN])
    for scaling in ("rank", "min-max"):
        assert scaled(np.zeros(3), scaling, signed=True).tolist() == [0, 0, 0]


@pytest.mark.parametrize("scaling", ["rank", "min-max"])
def test_values_that_do_not_differ_lie_in_the_middle_and_none_stay_none(scaling):
    assert scaled(np.array([7.0, 7.0, 7.0]), scaling).tolist() == [0.5, 0.5, 0.5]
    assert scaled(np.array([7.0]), scaling).tolist() == [0.5]
    assert np.isnan(scaled(np.array([NAN, np.inf]), scaling)).all()
    assert len(scaled(np.empty(0), scaling)) == 0


def test_scaling_leaves_the_values_it_was_given_alone():
    values = VALUES.astype(np.float32)
    for scaling in ("unscaled", "rank", "min-max", "fixed"):
        scaled(values, scaling)[0] = -1
    np.testing.assert_array_equal(values, VALUES.astype(np.float32))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20))
def test_ranks_are_scipys(values):
    np.testing.assert_array_equal(mean_ranks(np.array(values, float)), rankdata(values))


def test_colours_of_a_scaled_map():
    attention, contribution = MAP_STYLES["attention_slide"], MAP_STYLES["contribution"]
    assert colour_limits(scaled_style(attention, "rank"), []) == (0.0, 1.0)
    assert colour_limits(scaled_style(contribution, "min-max"), []) == (-1.0, 1.0)
    assert colour_limits(scaled_style(attention, "fixed", (0.0, 6.5)), [VALUES]) == (0.0, 6.5)
    assert scaled_style(attention, "unscaled") == attention
    with pytest.raises(ValueError, match="limits"):
        scaled_style(attention, "fixed")


def test_a_threshold_keeps_its_own_value_and_both_signs():
    assert at_least(VALUES, 2.0).tolist() == [True, False, False, False, True, True]
    values = np.array([-3.0, 1.0, NAN, 2.0])
    assert at_least(values, 2.0, signed=True).tolist() == [True, False, False, True]
    assert at_least(values, 2.0).tolist() == [False, False, False, True]


def test_hotspots_fall_in_value_and_keep_the_tables_order_where_equal():
    scores = scores_of(range(6), attention_slide=VALUES, contribution=[0.5, -2.0, NAN, 1.0, -0.5, 0.0])
    assert hotspots(scores, "attention_slide", 4).tolist() == [4, 0, 5, 2]
    assert hotspots(scores, "attention_slide", 99).tolist() == [4, 0, 5, 2, 3]
    assert hotspots(scores, "contribution", 4).tolist() == [1, 3, 0, 4]
    assert hotspots(scores, "probability", 4).tolist() == []
    assert hotspots(scores, "attention_slide", 0).tolist() == []
    assert from_the_top(np.array([1.0, np.inf, 2.0])).tolist() == [2, 0]
    np.testing.assert_array_equal(from_the_top(np.arange(1000) % 2), [*range(1, 1000, 2), *range(0, 1000, 2)])
    tied = np.random.default_rng(0).integers(0, 9, 200).astype(float)
    tied[::7] = np.nan
    for n in (0, 1, 30, 171, 172, 500):
        np.testing.assert_array_equal(from_the_top(tied, n), from_the_top(tied)[:n])
