import math
import subprocess
import sys

import numpy as np
import pytest

from napari_aln.mil.attribution import effects
from napari_aln.mil.scoring import (
    ROWS_AT_ONCE,
    HeadWeights,
    PatchScorer,
    bag_spread,
    blocks,
    predicted_class,
    reduce_bags,
)

# A head small enough for paper: two embedding values, two hidden, two classes, no clinical values.
HEAD = HeadWeights(
    image=np.array([[1.0, 0.0], [0.0, 2.0]]),
    clinical=np.zeros((2, 0)),
    bias=np.array([0.0, -1.0]),
    output=np.array([[1.0, 0.0], [0.0, 1.0]]),
    output_bias=np.array([0.5, 0.0]),
)
H = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
E = np.array([0.0, math.log(3.0), 0.0])


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_bag_probability_by_hand():
    # Patches 0 and 1: softmax(0, ln 3) = 1/4, 3/4; z = (0.25, 0.75); hidden = (0.25, 0.5);
    # logits = (0.75, 0.5), so P(N+) = sigmoid(-0.25).
    probabilities = PatchScorer(HEAD, H, E).score_bags([np.array([0, 1])])
    np.testing.assert_allclose(probabilities, [[sigmoid(0.25), sigmoid(-0.25)]])


def test_bags_of_different_sizes_keep_their_order():
    # Patch 2 alone: z = (2, 2); hidden = (2, 3); logits = (2.5, 3).
    # All three: weights 1/5, 3/5, 1/5; z = (0.6, 1.0); hidden = (0.6, 1.0); logits = (1.1, 1.0).
    probabilities = PatchScorer(HEAD, H, E).score_bags([np.array([2]), np.array([0, 1]), np.array([2, 1, 0])])
    np.testing.assert_allclose(probabilities[:, 1], [sigmoid(0.5), sigmoid(-0.25), sigmoid(-0.1)])


def test_classifier_relu_cuts_negative_hidden_values():
    # Patch 0 alone: hidden = (1, -1) -> (1, 0); logits = (1.5, 0).
    np.testing.assert_allclose(PatchScorer(HEAD, H, E).score_bags([np.array([0])])[0, 1], sigmoid(-1.5))


def test_clinical_values_are_repeated_ten_times():
    first = np.zeros((2, 2 + 50))
    first[:, :2] = HEAD.image
    first[1, 2::5] = 0.1  # the age's ten columns
    tensors = {
        "head.fc1.0.bias": np.zeros(2),
        "head.classifier.0.weight": first,
        "head.classifier.0.bias": HEAD.bias,
        "head.classifier.2.weight": HEAD.output,
        "head.classifier.2.bias": HEAD.output_bias,
    }
    scorer = PatchScorer(HeadWeights.from_tensors(tensors, 5), H, E)
    clinical = np.array([0.7, 9.0, 9.0, 9.0, 9.0])
    # Patches 0 and 1 as above, hidden[1] = 0.5 + 10 * 0.1 * 0.7 = 1.2; logits = (0.75, 1.2).
    np.testing.assert_allclose(scorer.score_bags([np.array([0, 1])], clinical)[0, 1], sigmoid(0.45))


def test_clinical_vector_and_model_must_belong_together():
    with pytest.raises(ValueError, match="belong together"):
        PatchScorer(HEAD, H, E).score_bags([np.array([0])], np.zeros(5))


def test_attention_of_very_large_logits_stays_finite():
    scorer = PatchScorer(HEAD, H, np.array([1e4, -1e4, 1e4]))
    # Patches 0 and 2 share: z = (1.5, 1); hidden = (1.5, 1); logits = (2, 1).
    np.testing.assert_allclose(scorer.score_all(), [sigmoid(1.0), sigmoid(-1.0)])


def test_take_equals_scoring_the_subset():
    where = np.array([2, 0])
    taken = PatchScorer(HEAD, H, E).take(where)
    np.testing.assert_array_equal(taken.score_all(), PatchScorer(HEAD, H[where], E[where]).score_all())


def test_nothing_to_score_is_an_error():
    scorer = PatchScorer(HEAD, H, E)
    with pytest.raises(ValueError, match="at least one patch"):
        scorer.score_bags([])
    with pytest.raises(ValueError, match="at least one patch"):
        scorer.score_bags([np.array([1]), np.array([], dtype=int)])


def test_embeddings_that_are_not_finite_never_become_a_probability():
    h = H.copy()
    h[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"left 0\.\.1"):
        PatchScorer(HEAD, h, E).score_bags([np.array([0, 1])])


def test_reduction_mean_max_and_spread():
    bags = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.4, 0.6, 0.0]])
    np.testing.assert_allclose(reduce_bags(bags), [0.4, 11 / 30, 7 / 30])
    np.testing.assert_array_equal(reduce_bags(bags, "max"), bags[1])  # least N0
    np.testing.assert_allclose(bag_spread(bags)[0], math.sqrt(0.06))
    np.testing.assert_array_equal(bag_spread(bags[:1]), 0)
    with pytest.raises(ValueError, match="median"):
        reduce_bags(bags, "median")


def test_predicted_class():
    assert predicted_class(np.array([0.6, 0.4]), threshold=0.4) == 1
    assert predicted_class(np.array([0.6, 0.4]), threshold=0.41) == 0
    assert predicted_class(np.array([0.3, 0.33, 0.37]), threshold=0.9) == 2


def test_scoring_loads_no_torch():
    code = "import sys, napari_aln.mil.attribution, napari_aln.mil.bundle; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_a_patch_projects_the_same_whichever_patches_are_scored_with_it():
    rng = np.random.default_rng(5)
    shapes = ((64, 256), (64, 5), (64,), (2, 64), (2,))
    head = HeadWeights(*(rng.normal(size=shape) for shape in shapes))
    h, e = (
        rng.normal(size=(ROWS_AT_ONCE + 1300, 256)).astype(np.float32),
        rng.normal(size=ROWS_AT_ONCE + 1300),
    )
    every = PatchScorer(head, h, e)
    np.testing.assert_allclose(every.projected, h.astype(float) @ head.image.T, rtol=1e-12, atol=1e-12)
    for n in (1, 2, 3, 7, 15, 16, 17, 1000, len(h) - 1):
        some = np.sort(rng.choice(len(h), n, replace=False))
        np.testing.assert_array_equal(PatchScorer(head, h[some], e[some]).projected, every.projected[some])
    joined = PatchScorer(head, h[100:], e[100:]).join(PatchScorer(head, h[:100], e[:100]))
    np.testing.assert_array_equal(joined.projected, np.roll(every.projected, -100, axis=0))
    np.testing.assert_array_equal(joined.e, np.roll(e, -100))


def test_patches_projected_block_by_block_score_as_those_held_to_the_last_bit():
    rng = np.random.default_rng(8)
    shapes = ((64, 256), (64, 5), (64,), (2, 64), (2,))
    head = HeadWeights(*(rng.normal(0, 0.1, shape) for shape in shapes))
    h, e = rng.random((3 * ROWS_AT_ONCE + 7, 256), np.float32), rng.normal(size=3 * ROWS_AT_ONCE + 7)
    clinical, bags = rng.normal(size=5), rng.permutation(len(e))[:-7].reshape(-1, 6)
    held, streamed = (PatchScorer(head, h, e, hold=hold) for hold in (True, False))
    some = np.flatnonzero(rng.random(len(e)) < 0.7)
    few = [np.arange(40), np.array([len(some) - 1])]
    for a, b, drawn in ((held, streamed, list(bags)), (held.take(some), streamed.take(some), few)):
        np.testing.assert_array_equal(b.score_bags(drawn, clinical), a.score_bags(drawn, clinical))
        np.testing.assert_array_equal(b.score_all(clinical), a.score_all(clinical))
        for of_a, of_b in zip(effects(a, clinical), effects(b, clinical), strict=True):
            np.testing.assert_array_equal(of_b, of_a)


def test_other_values_and_other_bags_after_the_first_are_scored_as_if_they_were_the_first():
    rng = np.random.default_rng(9)
    shapes = ((8, 6), (8, 5), (8,), (3, 8), (3,))
    head = HeadWeights(*(rng.normal(size=shape) for shape in shapes))
    h, e = rng.random((40, 6)), rng.normal(size=40)
    scorer = PatchScorer(head, h, e)
    drawn = [tuple(rng.permutation(40).reshape(8, 5)) for _ in range(2)]
    for clinical in rng.normal(size=(2, 5)):
        for bags in (*drawn, drawn[0]):
            expected = PatchScorer(head, h, e).score_bags(bags, clinical)
            np.testing.assert_array_equal(scorer.score_bags(bags, clinical), expected)


@pytest.mark.parametrize("n", [0, 1, 511, 512, 513, 1023, 1024, 12289])
def test_blocks_hold_each_row_once_and_no_block_is_short_but_a_lone_one(n):
    rows = [np.arange(n)[block] for block in blocks(n)]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(n))
    assert len(rows) == 1 or min(len(block) for block in rows) >= 512
