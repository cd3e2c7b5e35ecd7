import math

import numpy as np
import pytest
from scipy.special import softmax

from napari_aln.mil.attribution import (
    attention_bag,
    attention_slide,
    effects,
    log_odds,
)
from napari_aln.mil.scoring import HeadWeights, PatchScorer, bag_attention


def random_head(rng, classes, clinical=0):
    return HeadWeights(
        image=rng.normal(size=(8, 6)),
        clinical=rng.normal(size=(8, clinical)),
        bias=rng.normal(size=8),
        output=rng.normal(size=(classes, 8)),
        output_bias=rng.normal(size=classes),
    )


def leave_one_out(scorer, clinical):
    """f(all) - f(all without i), one bag after the other, from probabilities."""

    def f(where):
        p = scorer.score_bags([where], clinical)[0]
        return math.log(p[1:].sum() / p[0])

    everything = np.arange(len(scorer))
    return np.array([f(everything) - f(np.delete(everything, i)) for i in everything])


def test_attention_slide_by_hand():
    np.testing.assert_allclose(attention_slide(np.log([1.0, 3.0, 4.0])), [3 / 8, 9 / 8, 12 / 8])


def test_attention_bag_is_the_mean_over_bags_times_their_size():
    e = np.log([1.0, 3.0, 4.0, 1.0])
    bags = [np.array([0, 1]), np.array([2]), np.array([0, 2]), np.array([1])]
    # Patch 0: (1/4 * 2 + 1/5 * 2) / 2; 1: (3/4 * 2 + 1) / 2; 2: (1 + 4/5 * 2) / 2; 3: never drawn.
    np.testing.assert_allclose(attention_bag(bag_attention(e, bags)), [0.45, 1.25, 1.3, np.nan])


def test_log_odds_of_three_classes_joins_both_positive_ones():
    logits = np.array([0.3, -1.0, 2.0])
    p = np.exp(logits) / np.exp(logits).sum()
    assert log_odds(logits) == pytest.approx(math.log((p[1] + p[2]) / p[0]))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("clinical", [None, np.array([0.3, -1.0, 1.0, 0.0, 1.0])])
def test_contribution_equals_leaving_each_patch_out(classes, clinical):
    rng = np.random.default_rng(classes)
    head = random_head(rng, classes, 0 if clinical is None else 5)
    scorer = PatchScorer(head, np.maximum(rng.normal(size=(12, 6)), 0), rng.normal(size=12))
    expected = leave_one_out(scorer, clinical)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(effects(scorer, clinical).contribution, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("lead", [2.0, 36.0, 500.0])
def test_contribution_holds_when_one_patch_has_all_the_attention(lead):
    rng = np.random.default_rng(3)
    e = rng.normal(size=7)
    e[4] += lead
    scorer = PatchScorer(random_head(rng, 2), rng.random((7, 6)), e)
    values = effects(scorer).contribution
    np.testing.assert_allclose(values, leave_one_out(scorer, None), rtol=1e-9, atol=1e-12)
    assert abs(values[4]) > 1e-3


def test_contribution_of_a_leading_patch_far_down_a_long_table():
    rng = np.random.default_rng(6)
    e = rng.normal(size=9000)
    e[6000] += 20
    scorer = PatchScorer(random_head(rng, 2), rng.random((9000, 6)), e)
    others = np.delete(np.arange(9000), 6000)
    every, without = (
        log_odds(s.logits(softmax(s.e) @ s.projected, None)) for s in (scorer, scorer.take(others))
    )
    values = effects(scorer).contribution
    assert values[6000] == pytest.approx(every - without, rel=1e-9)
    assert abs(values[6000]) > 1e-3
    assert np.argmax(abs(values)) == 6000


def test_contribution_of_a_single_patch_is_against_an_empty_bag():
    rng = np.random.default_rng(4)
    scorer = PatchScorer(random_head(rng, 2), rng.random((1, 6)), np.array([3.0]))
    empty = log_odds(scorer.logits(np.zeros(8), None))
    alone = log_odds(scorer.logits(scorer.projected[0], None))
    np.testing.assert_allclose(effects(scorer).contribution, [alone - empty])


@pytest.mark.parametrize("classes", [2, 3])
def test_patch_probability_is_that_of_a_bag_of_one(classes):
    rng = np.random.default_rng(5)
    scorer = PatchScorer(random_head(rng, classes), rng.random((9, 6)), rng.normal(size=9))
    alone = scorer.score_bags([np.array([i]) for i in range(9)])
    np.testing.assert_allclose(effects(scorer).probability, 1 - alone[:, 0], rtol=1e-12)
