"""Comparisons of runs with numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from map_scores import GRID, record_of, scores_of
from scipy.stats import spearmanr
from shapely.geometry import box

from napari_aln.records import Region
from napari_aln.workflows.slide.compare import compare, difference_style
from napari_aln.workflows.slide.maps import colour_limits

ROI, WS = record_of("dlcnbc", 0.75), record_of("dlcnbc-ws", 0.375)
LEFT = [Region(box(0, 0, 200, 200))]  # cells 0, 1, 4, 5
INSIDE = scores_of([0, 1, 4, 5], attention_slide=[0.4, 0.8, 1.2, 1.6])
WHOLE = scores_of([1, 2, 3, 4, 5, 6, 8, 9], attention_slide=[1.0, 0.5, 0.5, 3.0, 2.0, 0.5, 0.25, 0.25])


def test_roi_against_whole_slide_by_hand():
    found = compare((ROI, INSIDE), (WS, WHOLE), LEFT, top_k=2)
    assert found.runs == ("dlcnbc", "dlcnbc-ws")
    assert found.probability_difference == {"N0": -0.375, "N(+)": 0.375}
    assert found.attention_in_roi == pytest.approx((1 + 3 + 2) / 8)
    assert found.patches_in_roi == pytest.approx(3 / 8)
    assert (found.n_shared, found.n_only_first, found.n_only_second) == (3, 1, 5)
    assert (found.top_k, found.top_overlap) == (2, 1.0)  # 5 and 4 against 4 and 5
    assert found.shared.table.cell.tolist() == [1, 4, 5]
    np.testing.assert_allclose(found.shared.first, np.array([0.8, 1.2, 1.6]) / 1.2)
    np.testing.assert_allclose(found.shared.second, [0.5, 1.5, 1.0])
    np.testing.assert_allclose(found.shared.difference, [1 / 6, -0.5, 1 / 3])
    assert found.rank_correlation == pytest.approx(0.5)  # ranks 1 2 3 against 1 3 2
    assert found.reasons == {}


def test_the_other_way_round_turns_every_sign_and_nothing_else():
    there = compare((ROI, INSIDE), (WS, WHOLE), LEFT, top_k=3)
    back = compare((WS, WHOLE), (ROI, INSIDE), LEFT, top_k=3)
    assert back.runs == there.runs[::-1]
    assert back.probability_difference == {name: -d for name, d in there.probability_difference.items()}
    np.testing.assert_allclose(back.shared.difference, -there.shared.difference)
    for name in ("attention_in_roi", "patches_in_roi", "n_shared", "top_overlap", "rank_correlation"):
        assert getattr(back, name) == pytest.approx(getattr(there, name))
    assert (back.n_only_first, back.n_only_second) == (there.n_only_second, there.n_only_first)


@pytest.mark.parametrize(("top_k", "k", "overlap"), [(1, 1, 0.0), (3, 3, 1.0), (4, 4, 3 / 5), (99, 4, 3 / 5)])
def test_overlap_of_the_top_patches(top_k, k, overlap):
    # By falling attention: 5 4 1 0 inside; 4 5 1 2 of the whole slide (2, 3 and 6 are equal).
    found = compare((ROI, INSIDE), (WS, WHOLE), LEFT, top_k=top_k)
    assert found.top_k == k
    assert found.top_overlap == pytest.approx(overlap)


def test_equal_values_are_taken_in_the_grids_order():
    flat = scores_of([0, 1, 2, 3], attention_slide=[1.0] * 4)
    rising = scores_of([0, 1, 2, 3], attention_slide=[2.0, 1.0, 0.5, 0.5])
    assert compare((ROI, flat), (WS, rising), top_k=2).top_overlap == 1.0
    falling = scores_of([0, 1, 2, 3], attention_slide=[0.5, 0.5, 1.0, 2.0])
    assert compare((ROI, flat), (WS, falling), top_k=2).top_overlap == 0.0


def test_probability_and_contribution_are_compared_as_they_are():
    first = scores_of([0, 1, 2], probability=[0.9, 0.2, 0.5], contribution=[0.5, -0.25, 0.0])
    second = scores_of([1, 2, 3], probability=[0.4, 0.1, 0.3], contribution=[0.25, 0.5, 1.0])
    found = compare((ROI, first), (WS, second), map_name="probability")
    np.testing.assert_allclose(found.shared.difference, [-0.2, 0.4])
    found = compare((ROI, first), (WS, second), map_name="contribution")
    np.testing.assert_allclose(found.shared.difference, [-0.5, -0.5])
    assert found.rank_correlation is None
    assert "Fewer than 3" in found.reasons["rank_correlation"]


def test_patches_that_no_bag_drew_have_no_difference_and_do_not_shift_the_others():
    first = scores_of([0, 1, 2, 3], attention_bag=[1.0, np.nan, 2.0, 3.0])
    second = scores_of([0, 1, 2, 3], attention_bag=[2.0, 9.0, 4.0, 6.0])
    found = compare((ROI, first), (WS, second), map_name="attention_bag")
    np.testing.assert_allclose(found.shared.difference, [0.0, np.nan, 0.0, 0.0], atol=1e-15)
    assert found.rank_correlation == pytest.approx(1.0)
    assert found.top_k == 3


@pytest.mark.parametrize(
    ("first", "second", "about", "why"),
    [
        (INSIDE, scores_of([8, 9, 10], attention_slide=[1.0, 1.0, 1.0]), "shared", "share no patch"),
        (INSIDE, scores_of([0, 1, 4], attention_slide=[1.0] * 3), "rank_correlation", "same value"),
        (INSIDE, scores_of([0, 1, 4]), "top_overlap", "no attention over the slide"),
        (INSIDE, scores_of([0, 1, 9], attention_slide=[0.0, 0.0, 3.0]), "shared", "looks nowhere"),
        (
            INSIDE,
            replace(WHOLE, table=replace(WHOLE.table, grid=replace(GRID, mpp=1.0))),
            "n_shared",
            "one grid",
        ),
        (
            scores_of([0, 1], origin_l0=np.zeros((2, 2)), attention_slide=[1.0, 1.0]),
            WHOLE,
            "shared",
            "Reference patching",
        ),
    ],
)
def test_what_is_undefined_says_why(first, second, about, why):
    found = compare((ROI, first), (WS, second), LEFT)
    assert getattr(found, about) is None
    assert why in found.reasons[about]
    undefined = {name for name, value in vars(found).items() if value is None}
    assert undefined == set(found.reasons)


def test_the_share_of_attention_needs_a_roi_a_whole_slide_run_and_slide_attention():
    for runs, regions, why in (
        (((ROI, INSIDE), (WS, WHOLE)), (), "no ROI"),
        (((ROI, INSIDE), (record_of("dlcnb"), INSIDE)), LEFT, "whole slide"),
        (((ROI, INSIDE), (WS, scores_of([0, 1, 2]))), LEFT, "norm statistics"),
    ):
        found = compare(*runs, regions)
        assert found.attention_in_roi is None
        assert why in found.reasons["attention_in_roi"]
    assert found.patches_in_roi == pytest.approx(2 / 3)


def test_inside_is_what_the_roi_run_takes_to_be_inside():
    half = [Region(box(0, 0, 250, 100))]  # half of cell 2
    for share, expected in ((0.7, 1 / 8), (0.5, 1.5 / 8)):
        roi = record_of("dlcnbc", min_roi_share=share)
        assert compare((roi, INSIDE), (WS, WHOLE), half).attention_in_roi == pytest.approx(expected)


def test_other_classes_and_senseless_questions():
    three = record_of("dlcnbc-ws", 0.5, ("N0", "N+(1-2)", "N+(>2)"))
    found = compare((ROI, INSIDE), (three, WHOLE), LEFT)
    assert found.probability_difference is None
    assert "different classes" in found.reasons["probability_difference"]
    assert found.rank_correlation == pytest.approx(0.5)
    for asked in ({"map_name": "entropy"}, {"map_name": "attention_logit"}, {"top_k": 0}):
        with pytest.raises(ValueError, match="cannot be compared"):
            compare((ROI, INSIDE), (WS, WHOLE), **asked)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12))
def test_rank_correlation_is_scipys(pairs):
    first, second = np.array(pairs, float).T + 1
    runs = [scores_of(np.arange(len(pairs)), attention_slide=values) for values in (first, second)]
    found = compare((ROI, runs[0]), (WS, runs[1])).rank_correlation
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)


def test_a_difference_is_shown_around_zero():
    style = difference_style("attention_slide")
    assert (style.quantity, style.unit) == (
        "difference of attention over the slide",
        "x uniform on shared patches",
    )
    assert colour_limits(style, [np.array([-1.0, 0.5])]) == pytest.approx((-0.995, 0.995))
    assert difference_style("probability").unit == "\N{MINUS SIGN}1 to 1"
