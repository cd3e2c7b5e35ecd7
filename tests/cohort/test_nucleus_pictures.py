"""Labels of drawn nuclei lie where these were drawn and have their area."""

import numpy as np
import pytest

from napari_aln.cohort.bodies import MPP_UM, join, make_bodies, morphometry
from napari_aln.cohort.nucleus_pictures import nucleus_labels


def bodies(kind, xy, half=(12.0, 8.0)):
    n = len(xy)
    return make_bodies(
        np.random.default_rng(0), kind, np.array(xy), np.tile(half, (n, 1)), np.arange(n) * 0.6, 0.1
    )


def test_labels_have_the_nuclei_s_place_and_area():
    drawn = bodies("tumour", [(540 + 50 * k, 530 + 45 * k) for k in range(8)])
    labels = nucleus_labels(drawn, 500, 500, 500)
    area = np.bincount(labels.ravel())[1:] * MPP_UM**2
    assert np.sort(area) == pytest.approx(np.sort(morphometry(drawn)["area_um2"]), rel=0.03)
    for x, y in drawn.xy_px:
        assert labels[int(y) - 500, int(x) - 500] > 0
    assert labels.max() == 8


def test_erythrocytes_are_no_nuclei_and_smaller_ones_lie_on_top():
    large, small = bodies("tumour", [(50, 50)], (20.0, 18.0)), bodies("lymphocyte", [(50, 50)], (6.0, 6.0))
    labels = nucleus_labels(join([small, large, bodies("erythrocyte", [(90, 20)])]), 0, 0, 100)
    assert labels.max() == 2
    assert labels[50, 50] == 2
    assert labels[20, 90] == 0


def test_nuclei_cut_by_the_square_are_labelled_as_far_as_they_lie_in_it():
    labels = nucleus_labels(bodies("tumour", [(100, 50), (200, 50)]), 0, 0, 100)
    assert labels.max() == 1
    assert labels[50, 99] == 1
