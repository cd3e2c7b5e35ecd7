import os
from dataclasses import replace

import numpy as np
import pytest

from napari_aln.store.features import CachedFeatures, FeatureCache, FeatureKey

KEY = FeatureKey(
    slide_hash="s",
    weights_sha256="w",
    mpp_used=(0.5, 0.5),
    patch_px=256,
    patch_mpp=0.5,
    input_px=224,
    resize="pil",
    reader="openslide",
    runtime="openvino-cpu",
    precision="fp32",
    network="n",
)


def part(cells, scored=True, offset=0.0):
    n = len(cells)
    return CachedFeatures(
        np.array(cells, np.int64),
        np.array(cells, np.float32) / 10,
        np.full(n, scored),
        np.repeat(np.array(cells, np.float32)[:, None], 3, 1) + offset,
        np.array(cells, np.float32) + offset,
    )


def test_parts_come_back_sorted_and_scored_ones_win(tmp_path):
    entry = FeatureCache(tmp_path).entry(KEY)
    entry.append(part([7, 2]))
    entry.append(part([5, 2], scored=False, offset=100))
    found = entry.load(3)
    assert found.cell.tolist() == [2, 5, 7]
    assert found.scored.tolist() == [True, False, True]
    assert found.h[0].tolist() == [2, 2, 2]
    assert found.entropy.dtype == np.float32
    at, held = found.rows_of(np.array([7, 6, 2]))
    assert held.tolist() == [True, False, True]
    assert at[held].tolist() == [2, 0]


def test_every_fact_of_the_key_separates_entries():
    changed = {
        "slide_hash": "t",
        "mpp_used": (0.5, 0.51),
        "precision": "bf16",
        "reader": "image",
        "input_px": 256,
        "network": "m",
    }
    digests = {KEY.digest} | {replace(KEY, **{name: value}).digest for name, value in changed.items()}
    assert len(digests) == len(changed) + 1


@pytest.mark.parametrize("damage", [b"", b"not safetensors", None])
def test_a_damaged_part_is_dropped_and_the_rest_kept(tmp_path, damage):
    entry = FeatureCache(tmp_path).entry(KEY)
    entry.append(part([1, 2]))
    (whole,) = entry.folder.iterdir()
    broken = entry.folder / "part-broken.safetensors"
    broken.write_bytes(whole.read_bytes()[:-5] if damage is None else damage)
    assert entry.load(3).cell.tolist() == [1, 2]
    assert not broken.exists()


def test_a_part_of_another_width_is_dropped(tmp_path):
    entry = FeatureCache(tmp_path).entry(KEY)
    entry.append(part([1]))
    assert len(entry.load(4)) == 0


def test_many_parts_are_merged(tmp_path):
    entry = FeatureCache(tmp_path).entry(KEY)
    for cell in range(20):
        entry.append(part([cell]))
    assert entry.load(3).cell.tolist() == list(range(20))
    assert len(list(entry.folder.iterdir())) == 1
    assert entry.load(3).cell.tolist() == list(range(20))


def test_parts_are_merged_while_another_process_writes(tmp_path):
    entry = FeatureCache(tmp_path).entry(KEY)
    for cell in range(20):
        entry.append(part([cell]))
    (entry.folder / "part-1.safetensors.incomplete").symlink_to(tmp_path / "gone")  # seen, then finished
    assert entry.load(3).cell.tolist() == list(range(20))


def test_entries_are_not_all_looked_at_after_every_slide(tmp_path, monkeypatch):
    looked = []
    whole = FeatureCache.entries
    monkeypatch.setattr(FeatureCache, "entries", lambda self: looked.append(1) or whole(self))
    cache = FeatureCache(tmp_path)

    def add_slides(n, limit_bytes):
        for _ in range(n):
            cache.entry(replace(KEY, slide_hash=f"{len(list(tmp_path.rglob('part-*')))}")).append(part([1]))
            cache.prune(limit_bytes)

    add_slides(10, 1e9)
    assert len(looked) == 1
    size = whole(cache)[0][1]
    cache.prune(5 * size)  # another limit holds at once
    assert len(whole(cache)) == 4
    add_slides(4, 250 * size)  # each is more than a hundredth: every third is
    assert len(looked) == 2 + 2


def test_prune_drops_the_least_recently_used(tmp_path):
    cache = FeatureCache(tmp_path)
    for age, name in enumerate(["new", "middle", "old"]):
        entry = cache.entry(replace(KEY, slide_hash=name))
        entry.append(part(range(50)))
        os.utime(entry.folder, (1e9 - age, 1e9 - age))
    size = cache.entries()[0][1]
    cache.prune(2.5 * size)
    assert [folder.name for folder, _, _ in cache.entries()] == [
        replace(KEY, slide_hash=name).digest for name in ("middle", "new")
    ]
    cache.prune(0)
    assert len(cache.entries()) == 1
    assert cache.clear() == size
    assert cache.entries() == []
