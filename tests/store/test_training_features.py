"""The training store gives back the rows asked for, and says when it cannot."""

import numpy as np
import pytest

from napari_aln.errors import StoreError
from napari_aln.store.features import CachedFeatures, FeatureCache, FeatureKey
from napari_aln.store.training_features import TrainingStore, stored

KEY = FeatureKey(
    "slide", "weights", (0.5, 0.5), 256, 0.5, 224, "pil", "image", "torch-cpu", "fp32", "resnet18"
)
FEATURES = np.arange(35, dtype=np.float32).reshape(7, 5)


def part(cell, features):
    n = len(cell)
    return CachedFeatures(
        np.array(cell), np.full(n, 6.0, np.float32), np.ones(n, bool), features, np.zeros(n, np.float32)
    )


def test_rows_come_back_in_the_order_asked_for_from_one_or_several_parts(tmp_path):
    entry = TrainingStore(tmp_path).entry(KEY)
    entry.append(part([8, 3], FEATURES[:2]))
    entry.append(part([5, 1, 9], FEATURES[2:5]))
    rows = entry.rows(np.array([9, 8, 1]), 5)
    assert len(rows) == 3
    np.testing.assert_array_equal(rows.take(np.array([2, 0, 0])), FEATURES[[3, 4, 4]])
    assert len(list(entry.folder.iterdir())) == 1


def test_features_computed_elsewhere_can_be_put_in(tmp_path):
    rows = stored(TrainingStore(tmp_path).entry(KEY), np.arange(7)[::-1].copy(), FEATURES)
    np.testing.assert_array_equal(rows.take(np.arange(7)), FEATURES)


def test_it_is_not_the_feature_cache_and_is_not_pruned_with_it(tmp_path):
    training, cache = TrainingStore(tmp_path), FeatureCache(tmp_path)
    stored(training.entry(KEY), np.arange(7), FEATURES)
    assert training.root != cache.root
    cache.clear()
    assert training.entry(KEY).rows(np.arange(7), 5)


def test_missing_and_damaged_features_are_said(tmp_path):
    entry = TrainingStore(tmp_path).entry(KEY)
    rows = stored(entry, np.arange(7), FEATURES)
    with pytest.raises(StoreError, match="changed while they were read"):
        entry.rows(np.array([7]), 5)
    rows.path.write_bytes(rows.path.read_bytes()[:200])
    with pytest.raises(StoreError, match="cannot be read"):
        rows.take(np.array([0]))
    rows.path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        rows.take(np.array([0]))
