"""Nuclei tile by tile: the same as of the whole picture, each once, and only of what was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from napari_aln.errors import MppError, RegionError, UsageError
from napari_aln.nuclei.classical import Classical
from napari_aln.nuclei.tiling import Box, segment_tiles

MPP = 0.25


@pytest.fixture(scope="module")
def tissue():
    """2.2 megapixels of crowded nuclei of several stains, drawn; some glass."""
    rng = np.random.default_rng(5)
    height, width = 1203, 1797
    ink = np.zeros((height, width), np.float32)
    eosin = np.full((height, width), 0.6, np.float32)
    for _ in range(2200):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        a, b, angle = rng.uniform(8, 20), rng.uniform(8, 14), rng.uniform(0, np.pi)
        x0, x1, y0, y1 = (
            int(v) for v in (max(x - 21, 0), min(x + 22, width), max(y - 21, 0), min(y + 22, height))
        )
        yy, xx = np.mgrid[y0:y1, x0:x1]
        u, v = xx - x, yy - y
        c, s = np.cos(angle), np.sin(angle)
        alpha = np.clip((1 - np.hypot((u * c + v * s) / a, (v * c - u * s) / b)) * 5 + 0.5, 0, 1)
        ink[y0:y1, x0:x1] = np.maximum(ink[y0:y1, x0:x1], alpha * rng.uniform(0.5, 1.2))
    ink[:, 1400:1500] = eosin[:, 1400:1500] = 0
    od = ink[..., None] * np.array([0.55, 0.65, 0.3]) + eosin[..., None] * np.array([0.04, 0.3, 0.18])
    light = 235 * 10**-od + rng.normal(0, 2, (height, width, 3))
    return np.clip(light, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def whole(tissue):
    return Classical().adapted([tissue]).labels(tissue, MPP)


def reader(tissue):
    def read(x, y, width, height):
        assert x >= 0
        assert y >= 0
        assert x + width <= tissue.shape[1]
        assert y + height <= tissue.shape[0]
        return tissue[y : y + height, x : x + width]

    return read


def painted(tissue, **options):
    """All tiles' labels in one picture, numbered through; fails where two nuclei lie on one another."""
    canvas, last = np.zeros(tissue.shape[:2], np.int32), 0
    options.setdefault("region", Box(0, 0, tissue.shape[1], tissue.shape[0]))
    for tile in segment_tiles(reader(tissue), mpp=MPP, samples=[tissue], **options):
        height, width = tile.labels.shape
        assert tile.rgb.shape == (height, width, 3)
        assert tile.nuclei == tile.labels.max() == len(np.unique(tile.labels)) - 1
        part = canvas[tile.y : tile.y + height, tile.x : tile.x + width]
        mine = tile.labels > 0
        assert not part[mine].any()
        part[mine] = tile.labels[mine] + last
        last += tile.nuclei
    return canvas


def unlike(labels, whole):
    """Share of nuclei of the whole picture that are not found with exactly their pixels."""
    n = int(whole.max()) + 1
    key = labels.ravel().astype(np.int64) * n + whole.ravel()
    pairs, pixels = np.unique(key[whole.ravel() > 0], return_counts=True)
    label, nucleus = np.divmod(pairs, n)
    same = (label > 0) & (np.bincount(whole.ravel())[nucleus] == pixels)
    same &= np.bincount(labels.ravel())[label] == pixels
    return 1 - same.sum() / (n - 1)


@pytest.mark.parametrize("tile_px", [300, 512, 1000, 5000])
def test_tiles_of_any_size_give_the_nuclei_of_the_whole(tissue, whole, tile_px):
    labels = painted(tissue, tile_px=tile_px)
    assert whole.max() > 700
    assert abs(labels.max() - whole.max()) <= 0.005 * whole.max()
    assert unlike(labels, whole) <= 0.01
    assert ((labels > 0) != (whole > 0)).mean() < 1e-3


def test_a_region_gets_the_nuclei_whose_centroid_lies_in_it(tissue, whole):
    region = Box(333, 217, 801, 655)
    labels = painted(tissue, region=region, within=Box(0, 0, 1797, 1203), tile_px=400)
    for label, rows, columns in (
        (k, *np.nonzero(labels == k)) for k in range(1, labels.max() + 1, max(1, labels.max() // 60))
    ):
        assert region.x <= columns.mean() + 0.5 < region.x + region.width, label
        assert region.y <= rows.mean() + 0.5 < region.y + region.height, label
    n = int(whole.max()) + 1
    area = np.maximum(np.bincount(whole.ravel()), 1)
    rows, columns = np.nonzero(whole)
    of = whole[rows, columns]
    x = np.bincount(of, weights=columns, minlength=n) / area + 0.5
    y = np.bincount(of, weights=rows, minlength=n) / area + 0.5
    inside = (
        (x >= region.x) & (x < region.x + region.width) & (y >= region.y) & (y < region.y + region.height)
    )
    inside[0] = False
    wanted = np.where(inside[whole], whole, 0)
    assert abs(labels.max() - inside.sum()) <= 2
    assert ((labels > 0) != (wanted > 0)).mean() < 1e-3


def test_regions_side_by_side_share_no_nucleus(tissue):
    within = Box(0, 0, 1797, 1203)
    left = painted(tissue, region=Box(0, 0, 900, 1203), within=within, tile_px=600)
    right = painted(tissue, region=Box(900, 0, 897, 1203), within=within, tile_px=600)
    assert not ((left > 0) & (right > 0)).any()


def test_tiles_say_how_far_they_are_and_read_no_more_than_their_halo(tissue):
    asked = []

    def read(x, y, width, height):
        asked.append((width, height))
        return tissue[y : y + height, x : x + width]

    tiles = segment_tiles(read, Box(0, 0, 1797, 1203), MPP, samples=[tissue[:300, :300]], tile_px=512)
    first = next(tiles)
    assert (first.done, first.total) == (1, 12)
    assert len(asked) == 1
    tiles.close()
    assert max(asked[0]) <= 512 + 2 * (50 / MPP) + 16


def test_without_samples_the_stain_is_read_from_all_over_the_region(tissue):
    asked = []

    def read(x, y, width, height):
        asked.append((x, y, width, height))
        return tissue[y : y + height, x : x + width]

    next(segment_tiles(read, Box(0, 0, 1797, 1203), MPP, tile_px=512))
    samples = asked[:-1]
    assert len(samples) == 36
    assert {(w, h) for _, _, w, h in samples} == {(256, 256)}
    assert max(x + w for x, _, w, _ in samples) == 1797


def test_what_cannot_be_tiled_is_refused(tissue):
    read, region = reader(tissue), Box(0, 0, 100, 100)
    with pytest.raises(MppError):
        next(segment_tiles(read, region, 0.0))
    with pytest.raises(UsageError, match="method"):
        next(segment_tiles(read, region, MPP, "magic"))
    with pytest.raises(UsageError, match="tile"):
        next(segment_tiles(read, region, MPP, tile_px=0))
    for wrong in (Box(0, 0, 0, 5), Box(-5, 0, 20, 20), Box(90, 90, 20, 20)):
        with pytest.raises(RegionError):
            next(segment_tiles(read, wrong, MPP, within=region))


def test_blank_tiles_are_given_empty():
    white = np.full((700, 700, 3), 245, np.uint8)
    tiles = list(segment_tiles(reader(white), Box(0, 0, 700, 700), MPP, tile_px=400))
    assert [tile.nuclei for tile in tiles] == [0] * 4
