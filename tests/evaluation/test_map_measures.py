"""Maps over patients: gains, intervals and tumour finding by hand."""

import math

import numpy as np
import pytest

from napari_aln.evaluation.map_measures import (
    areas_of,
    band,
    faithfulness,
    faithfulness_table,
    mean_interval,
    tumour_finding,
    tumour_table,
)
from napari_aln.records import RESEARCH_NOTICE

SLIDES = [
    {"attention_slide": (0.50, 0.62), "contribution": (0.40, 0.80), "random": (0.60, 0.60)},
    {
        "attention_slide": (0.70, 0.60),
        "contribution": (0.50, 0.90),
        "random": (0.70, 0.70),
        "entropy": (0, 1),
    },
]


def test_gain_is_the_mean_of_both_differences_from_random_orders():
    areas = areas_of(SLIDES)
    assert list(areas.deletion) == ["attention_slide", "contribution"]  # entropy is not known of the first
    np.testing.assert_allclose(areas.gain("attention_slide"), [(0.10 + 0.02) / 2, (0.0 - 0.10) / 2])
    np.testing.assert_allclose(areas.gain("contribution"), [0.2, 0.2])
    best, attention = faithfulness(areas, 200, 0)
    assert (best.name, attention.name) == ("contribution", "attention_slide")
    assert best.gain.value == pytest.approx(0.2)
    assert best.over_attention.value == pytest.approx(0.2 - 0.005)
    assert best.over_attention.low == pytest.approx(0.14)
    assert best.over_attention.high == pytest.approx(0.25)
    assert best.share_over_attention == 1.0
    assert attention.over_attention.value == 0.0
    assert faithfulness(areas, 200, 0) == [best, attention]


def test_the_interval_of_a_mean_is_the_normal_one_of_many_patients():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    found = mean_interval(values, 4000, np.random.default_rng(1))
    mean, spread = values.mean(), 1.96 * values.std() / 20
    assert found.value == pytest.approx(mean)
    assert (found.low, found.high) == pytest.approx((mean - spread, mean + spread), abs=0.03)
    _, low, high = band(values[:, None] * [1.0, -1.0], 4000, np.random.default_rng(1))
    assert (low[0], high[0]) == pytest.approx((found.low, found.high))
    assert (low[1], high[1]) == pytest.approx((-found.high, -found.low))


def test_one_patient_has_no_interval_and_none_has_no_mean():
    rng = np.random.default_rng(0)
    one = mean_interval(np.array([0.3]), 100, rng)
    assert one.value == 0.3
    assert math.isnan(one.low)
    assert math.isnan(mean_interval(np.zeros(0), 100, rng).value)


def test_tumour_patches_are_found_by_rank_and_hold_a_share_of_the_mass():
    attention = np.array([3.0, 2.0, 1.0, np.nan, 2.0])
    is_tumour = np.array([True, True, False, True, False])
    found = tumour_finding("attention_slide", attention, is_tumour)
    assert found.auc == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert found.mass_share == pytest.approx(5 / 8)
    assert found.area_share == pytest.approx(2 / 4)
    assert math.isnan(tumour_finding("probability", attention, is_tumour).mass_share)
    assert tumour_finding("attention_slide", attention, np.ones(5, bool)) is None
    assert tumour_finding("attention_slide", attention, np.zeros(5, bool)) is None


def test_the_tables_name_maps_and_intervals_and_carry_the_notice():
    areas = areas_of(SLIDES)
    table = faithfulness_table(faithfulness(areas, 200, 0), areas, "maps", "Maps", ["One more."])
    assert [row[0] for row in table.rows] == ["contribution", "attention (slide)", "random orders"]
    assert table.rows[0][4] == "0.200 [0.200, 0.200]"
    assert table.rows[1][5:] == ("–", "–")
    assert table.rows[2][2:4] == ("0.650", "0.650")
    assert "Petsiuk" in table.markdown()
    assert "- One more." in table.markdown()
    assert RESEARCH_NOTICE in table.markdown()
    finding = tumour_finding("attention_slide", np.array([2.0, 1.0, 1.0]), np.array([True, False, False]))
    found = tumour_table({"attention_slide": [finding, finding]}, "t", "Tumour", (), 100, 0)
    assert found.rows == (
        ("attention (slide)", "2", "1.000 [1.000, 1.000]", "0.500 [0.500, 0.500]", "0.333 [0.333, 0.333]"),
    )
    assert found.numbers[0]["mass_share"]["value"] == 0.5
