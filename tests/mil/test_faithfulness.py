"""Deletion and insertion curves: the one pass against scoring every bag anew, orders and areas by hand."""

import math

import numpy as np
import pytest
from scipy.special import expit

from napari_aln.mil.attribution import attention_slide, effects
from napari_aln.mil.faithfulness import (
    OrderCurves,
    importance_order,
    order_curves,
    pooled_log_odds,
    slide_faithfulness,
    strength,
)
from napari_aln.mil.scoring import HeadWeights, PatchScorer


def random_scorer(rng, n, classes=2, clinical=0, steepness=1.0):
    head = HeadWeights(
        image=rng.normal(size=(8, 6)),
        clinical=rng.normal(size=(8, clinical)),
        bias=rng.normal(size=8),
        output=rng.normal(size=(classes, 8)),
        output_bias=rng.normal(size=classes),
    )
    return PatchScorer(head, np.maximum(rng.normal(size=(n, 6)), 0), steepness * rng.normal(size=n))


def one_by_one(scorer, order, clinical, positive):
    """Score the bags that are left, or there, one after the other; from probabilities of the classes."""

    def p(where):
        of_class = scorer.score_bags([where], clinical)[0]
        return of_class[1:].sum() if positive else of_class[0]

    n = len(order)
    return [p(order[k:]) for k in range(n)], [p(order[: k + 1]) for k in range(n)]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("clinical", [None, np.array([0.3, -1.0, 1.0, 0.0, 1.0])])
@pytest.mark.parametrize("toward", [1, -1])
def test_one_pass_equals_scoring_every_bag(classes, clinical, toward):
    rng = np.random.default_rng(classes)
    scorer = random_scorer(rng, 23, classes, 0 if clinical is None else 5)
    order = rng.permutation(23)
    deletion, insertion = one_by_one(scorer, order, clinical, toward == 1)
    curves = order_curves(scorer, order, toward, clinical)
    assert np.ptp(deletion) > 1e-4
    np.testing.assert_allclose(curves.deletion, deletion, rtol=1e-8)
    np.testing.assert_allclose(curves.insertion, insertion, rtol=1e-8)
    assert curves.deletion_area == pytest.approx(np.mean(deletion))
    assert curves.insertion_area == pytest.approx(np.mean(insertion))


def test_both_curves_meet_at_all_patches_and_at_one():
    scorer = random_scorer(np.random.default_rng(2), 9)
    order = np.arange(9)
    curves = order_curves(scorer, order, 1)
    assert curves.deletion[0] == pytest.approx(curves.insertion[-1])
    assert curves.deletion[-1] == pytest.approx(effects(scorer).probability[order[-1]])
    assert curves.insertion[0] == pytest.approx(effects(scorer).probability[order[0]])


def test_blocks_of_a_long_slide_change_nothing():
    rng = np.random.default_rng(4)
    scorer = random_scorer(rng, 1300)
    order = rng.permutation(1300)
    odds = pooled_log_odds(scorer, order)
    for k in (1, 512, 513, 1299, 1300):
        p = scorer.score_bags([order[:k]])[0]
        assert odds[k - 1] == pytest.approx(math.log(p[1] / p[0]), rel=1e-9)


@pytest.mark.parametrize("steepness", [30.0, 3000.0])
def test_a_patch_with_all_the_attention_leaves_finite_curves(steepness):
    rng = np.random.default_rng(5)
    scorer = random_scorer(rng, 40, steepness=steepness)
    order = importance_order("attention_slide", scorer.e, 1)
    deletion, insertion = one_by_one(scorer, order, None, positive=True)
    curves = order_curves(scorer, order, 1)
    np.testing.assert_allclose(curves.insertion, insertion, atol=1e-9)
    assert np.isfinite(curves.deletion).all()
    if steepness == 30.0:
        np.testing.assert_allclose(curves.deletion, deletion, atol=1e-9)


def test_signed_maps_turn_round_where_the_model_says_n0_and_others_do_not():
    values = np.array([0.2, 0.9, np.nan, 0.5, 0.2])
    assert importance_order("probability", values, 1).tolist() == [1, 3, 0, 4, 2]
    assert importance_order("probability", values, -1).tolist() == [0, 4, 3, 1, 2]
    assert importance_order("contribution", values - 0.5, -1).tolist() == [0, 4, 3, 1, 2]
    assert importance_order("attention_slide", values, -1).tolist() == [1, 3, 0, 4, 2]


def test_strength_is_the_distance_from_neutral():
    values = np.array([0.0, 0.5, 0.75])
    np.testing.assert_allclose(strength("probability", values), [0.5, 0.0, 0.25])
    np.testing.assert_allclose(strength("contribution", -values), values)
    np.testing.assert_allclose(strength("attention_slide", values), values)


def test_curves_are_read_as_steps():
    curves = OrderCurves(np.array([0.9, 0.6, 0.5, 0.1]), np.array([0.2, 0.4, 0.8, 0.9]))
    deletion, insertion = curves.at(np.array([0.0, 0.1, 0.25, 0.5, 0.99, 1.0]))
    assert deletion.tolist() == [0.9, 0.9, 0.6, 0.5, 0.1, 0.1]
    assert insertion.tolist() == [0.2, 0.2, 0.2, 0.4, 0.9, 0.9]


def additive_scorer(signs):
    """Return patches of like attention that each push by their sign: f is the mean of the signs."""
    head = HeadWeights(
        image=np.array([[1.0, 0.0], [0.0, 1.0]]),
        clinical=np.zeros((2, 0)),
        bias=np.zeros(2),
        output=np.array([[0.0, 4.0], [4.0, 0.0]]),
        output_bias=np.zeros(2),
    )
    signs = np.array(signs, float)
    return PatchScorer(head, np.stack([signs.clip(min=0), (-signs).clip(min=0)], 1), np.zeros(len(signs)))


@pytest.mark.parametrize("side", [1, -1])
def test_what_pushes_beats_chance_and_what_says_nothing_does_not(side):
    scorer = additive_scorer(side * np.array([1, 1, 1, 1, 1, -1, -1, 0.2]))
    maps = {
        "contribution": effects(scorer).contribution,
        "attention_slide": attention_slide(scorer.e),
        "probability": effects(scorer).probability,
    }
    found = slide_faithfulness(scorer, None, maps, np.random.default_rng(0), 400)
    assert found.toward == side
    assert found.whole == pytest.approx(expit(4 * 3.2 / 8))
    areas = found.areas()
    for name in ("contribution", "probability"):
        assert areas[name][0] < areas["random"][0] - 0.1
        assert areas[name][1] > areas["random"][1] + 0.1
    # Best first by hand: five of +1, then 0.2, then two of -1.
    there = np.cumsum([1, 1, 1, 1, 1, 0.2, -1, -1]) / np.arange(1, 9)
    np.testing.assert_allclose(found.maps["contribution"].insertion, expit(4 * there))
    # Over many random orders what is left is, as a set, drawn like what is there.
    np.testing.assert_allclose(found.random.deletion, found.random.insertion[::-1], atol=0.1)


def test_the_same_seed_draws_the_same_random_orders():
    scorer = random_scorer(np.random.default_rng(7), 30)
    maps = {"attention_slide": attention_slide(scorer.e)}
    first, again, other = (
        slide_faithfulness(scorer, None, maps, np.random.default_rng(seed), 3) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.random.deletion, again.random.deletion)
    assert (first.random.deletion != other.random.deletion).any()


def test_one_patch_has_curves_of_one_point():
    scorer = random_scorer(np.random.default_rng(8), 1)
    found = slide_faithfulness(scorer, None, {"attention_slide": np.ones(1)}, np.random.default_rng(0))
    assert found.areas()["attention_slide"] == pytest.approx((found.whole, found.whole))
    assert found.areas()["random"] == pytest.approx((found.whole, found.whole))
