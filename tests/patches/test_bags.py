"""Partitions: what every draw must keep, and draws written down."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_aln.errors import TissueError
from napari_aln.patches.bags import draw_bags, partition_count, stable_order


@pytest.mark.parametrize(
    ("n_patches", "partitions"),
    [
        (0, 1),
        (9, 1),
        (10, 1),
        (11, 50),
        (20, 50),
        (21, 34),
        (123, 8),
        (500, 2),
        (999, 2),
        (1000, 1),
        (5000, 1),
    ],
)
def test_partition_counts(n_patches, partitions):
    assert partition_count(n_patches, 10) == partitions


@settings(deadline=None)
@given(st.integers(11, 3000))
def test_the_count_gives_enough_bags_and_one_less_does_not(n):
    def bags(partitions):
        return n // 10 if partitions == 1 else partitions * -(-n // 10)

    partitions = partition_count(n, 10)
    assert bags(partitions) >= 100
    assert partitions == 1 or bags(partitions - 1) < 100


some_cells = st.lists(st.integers(0, 10**6), min_size=1, max_size=200, unique=True).map(
    lambda cells: np.array(cells, dtype=np.int64)
)


@settings(deadline=None)
@given(some_cells, st.integers(1, 15), st.integers(1, 5), st.integers(0, 2**63))
def test_every_bag_is_full_and_without_repeats(cells, bag_size, partitions, seed):
    bags = draw_bags(cells, bag_size, partitions, seed)
    n = len(cells)
    if n < bag_size:
        assert len(bags) == 1
        assert sorted(bags[0]) == list(range(n))
        return
    for bag in bags:
        assert len(bag) == bag_size
        assert len(set(bag.tolist())) == bag_size
        assert bag.min() >= 0
        assert bag.max() < n
    each = n // bag_size if partitions == 1 else -(-n // bag_size)
    assert len(bags) == partitions * each


@settings(deadline=None)
@given(some_cells, st.integers(1, 15), st.integers(2, 5), st.integers(0, 2**63))
def test_with_several_partitions_every_patch_takes_part_in_each(cells, bag_size, partitions, seed):
    bags = draw_bags(cells, bag_size, partitions, seed)
    each = len(bags) // partitions if len(cells) >= bag_size else len(bags)
    for start in range(0, len(bags), each):
        drawn = np.concatenate(bags[start : start + each])
        assert set(drawn.tolist()) == set(range(len(cells)))


@settings(deadline=None)
@given(some_cells, st.integers(1, 15), st.integers(1, 5), st.integers(0, 2**63), st.randoms())
def test_bags_depend_on_the_set_of_cells_not_on_their_order(cells, bag_size, partitions, seed, random):
    order = list(range(len(cells)))
    random.shuffle(order)
    shuffled = cells[order]
    for bag, again in zip(
        draw_bags(cells, bag_size, partitions, seed),
        draw_bags(shuffled, bag_size, partitions, seed),
        strict=True,
    ):
        np.testing.assert_array_equal(cells[bag], shuffled[again])


@settings(deadline=None)
@given(some_cells, st.integers(0, 2**63))
def test_the_first_partition_is_the_same_however_many_follow(cells, seed):
    few, many = draw_bags(cells, 4, 2, seed), draw_bags(cells, 4, 5, seed)
    for bag, again in zip(few, many, strict=False):
        np.testing.assert_array_equal(bag, again)


def test_one_partition_drops_the_left_over_patches():
    bags = draw_bags(np.arange(23), 10, 1, seed=0)
    assert len(bags) == 2
    assert len(np.unique(np.concatenate(bags))) == 20


def test_the_last_bag_is_filled_from_the_start_of_its_own_order():
    bags = draw_bags(np.arange(23), 10, 2, seed=0)
    assert len(bags) == 6
    np.testing.assert_array_equal(bags[2][3:], bags[0][:7])
    np.testing.assert_array_equal(bags[5][3:], bags[3][:7])


def test_draws_written_down():
    """Guards against any change of generator, platform or NumPy that would draw other bags."""
    bags = draw_bags(np.arange(100, 123), 10, 2, seed=0)
    assert bags[0].tolist() == [11, 3, 20, 13, 2, 21, 15, 1, 18, 19]
    assert bags[5].tolist() == [0, 3, 14, 7, 10, 18, 4, 11, 15, 12]
    assert bags[0].dtype == np.int64
    assert draw_bags(np.arange(100, 123), 10, 2, seed=1)[0].tolist() != bags[0].tolist()


def test_partitions_of_one_slide_differ():
    bags = draw_bags(np.arange(20), 10, 3, seed=5)
    assert len({tuple(bag.tolist()) for bag in bags}) == 6


def test_no_patches_is_an_error_with_a_next_step():
    with pytest.raises(TissueError, match="Lower the patch filters"):
        draw_bags(np.empty(0, dtype=np.int64), 10, 1, 0)


def test_a_patch_given_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        draw_bags(np.array([3, 4, 3]), 2, 1, 0)


@pytest.mark.parametrize(("bag_size", "partitions", "seed"), [(0, 1, 0), (10, 0, 0), (10, 1, -1)])
def test_impossible_draws_are_refused(bag_size, partitions, seed):
    with pytest.raises(ValueError, match="cannot be drawn"):
        draw_bags(np.arange(30), bag_size, partitions, seed)


def test_patches_that_drew_the_same_bits_keep_their_order():
    raw = np.random.default_rng(0).integers(0, 50, 5000).astype(np.uint64)
    np.testing.assert_array_equal(stable_order(raw), np.argsort(raw, kind="stable"))
    np.testing.assert_array_equal(stable_order(np.arange(9, 0, -1, np.uint64)), np.arange(9)[::-1])
