"""F1, PQ and AJI by hand."""

import numpy as np
import pytest

from napari_aln.nuclei.agreement import agreement, pooled


def squares(*boxes):
    labels = np.zeros((40, 40), np.int32)
    for number, (top, left, height, width) in enumerate(boxes, start=7):
        labels[top : top + height, left : left + width] = number
    return labels


def test_the_same_nuclei_agree_fully_whatever_their_numbers():
    labels = squares((0, 0, 10, 10), (20, 20, 5, 5))
    found = agreement(labels, labels * 3)
    assert (found.annotated, found.found, found.matched) == (2, 2, 2)
    assert found.f1 == found.pq == found.aji == 1.0


def test_one_shifted_one_missed_one_too_many():
    annotated = squares((0, 0, 10, 10), (20, 20, 10, 10))
    found = squares((0, 2, 10, 10), (35, 35, 5, 5))
    result = agreement(annotated, found)
    assert (result.annotated, result.found, result.matched) == (2, 2, 1)
    assert result.f1 == 0.5
    assert result.iou_sum == pytest.approx(80 / 120)
    assert result.pq == pytest.approx(80 / 120 / 2)
    assert result.aji == pytest.approx(80 / (120 + 100 + 25))


def test_half_of_a_nucleus_is_no_match():
    result = agreement(squares((0, 0, 10, 10)), squares((0, 0, 10, 5)))
    assert result.matched == 0
    assert result.aji == 0.5


def test_a_found_nucleus_counts_once_though_it_meets_two():
    result = agreement(squares((0, 0, 10, 10), (0, 10, 10, 4)), squares((0, 0, 10, 14)))
    assert result.matched == 1
    assert result.aji == pytest.approx((100 + 40) / (140 + 140))


def test_nothing_there_and_nothing_found_is_right():
    nothing = np.zeros((5, 5), np.int32)
    assert agreement(nothing, nothing).f1 == agreement(nothing, nothing).aji == 1.0
    assert agreement(nothing, nothing + 1).f1 == 0.0


def test_pooling_adds_counts_and_averages_aji():
    nucleus, nothing = squares((0, 0, 9, 9)), squares()
    one, two = agreement(nucleus, nucleus), agreement(nucleus, nothing)
    both = pooled([one, two])
    assert (both.annotated, both.found, both.matched, both.aji) == (2, 1, 1, 0.5)
    assert both.f1 == pytest.approx(2 / 3)
