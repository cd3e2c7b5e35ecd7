"""What a run holds as slides grow: one `h` a patch, the table of answers, and little more."""

import tracemalloc

import numpy as np
import pytest
from tests_shared import drain

from napari_aln.mil import scoring
from napari_aln.mil.bundle import open_bundle
from napari_aln.records import Clinical, Features, PatchGrid, PatchTable
from napari_aln.settings.engine import EngineSettings
from napari_aln.settings.prediction import PredictSettings
from napari_aln.store.features import CachedFeatures, FeatureEntry
from napari_aln.workflows.slide import extract as extract_module
from napari_aln.workflows.slide.decode import Chunk
from napari_aln.workflows.slide.extract import Want, extract
from napari_aln.workflows.slide.maps import MAP_STYLES, colour_limits
from napari_aln.workflows.slide.score import Case, Execution, score

PATIENT = Clinical(age_years=61, tumor_size_cm=2.4, er=True, pr=False, her2=False)
WIDTH, CHUNK = 256, 64
BITS = np.array([7.0, 3.0, 6.0], np.float32)  # of every three patches


def table_of(n, columns=250):
    grid = PatchGrid(256, 0.5, (256.0, 256.0), columns, -(-n // columns))
    row, column = np.divmod(np.arange(n, dtype=np.int32), columns)
    return PatchTable(grid, column, row)


def peak_bytes(work, *given):
    tracemalloc.start()
    try:
        work(*given)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_scoring_a_patch_more_takes_no_more_than_its_answer(ws_bundle, monkeypatch):
    monkeypatch.setattr(scoring, "HELD_PATCHES", 1000)
    bundle, rng = open_bundle(ws_bundle), np.random.default_rng(0)

    def picture(features):
        execution = Execution("openvino", "cpu", "fp32")
        scores = score(bundle, features, Case((), PATIENT), execution, PredictSettings()).scores
        colour_limits(MAP_STYLES["attention_slide"], [scores.attention_slide])

    peaks = []
    for n in (120_000, 240_000):  # less takes less than what all slides take
        h, e = rng.random((n, WIDTH), np.float32), rng.standard_normal(n, np.float32)
        peaks.append(peak_bytes(picture, Features(table_of(n), e, h, e)))
    assert 20 < (peaks[1] - peaks[0]) / 120_000 < 100


@pytest.fixture
def pixels(monkeypatch):
    """Patches without a slide: each one's pixel is the number of its cell."""

    def decoded(_, table, *__, **___):
        for start in range(0, len(table), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(table)))
            cell = table.cell[rows]
            pixels = cell.astype(np.uint32)[:, None].view(np.uint8).reshape(-1, 1, 1, 4)
            yield Chunk(rows, pixels, BITS[cell % 3])

    monkeypatch.setattr(extract_module, "decoded", decoded)
    monkeypatch.setattr(extract_module, "SECONDS_BETWEEN_PARTS", 0.0)


class Numbered:
    """A network that says which patch it saw."""

    device = "cpu"
    patches_at_once = 4

    def __init__(self):
        self.seen = []

    def __call__(self, batch):
        cell = np.ascontiguousarray(batch).view(np.uint32).ravel()
        self.seen.extend(cell.tolist())
        return np.repeat(cell[:, None], WIDTH, axis=1).astype(np.float32), -cell.astype(np.float32)


def extracted(table, limit=None, entry=None):
    network = Numbered()
    want = Want(lambda: network, table, WIDTH, limit, entry)
    return drain(extract(None, [want], 224, EngineSettings(batch=CHUNK))).features[0], network.seen


@pytest.mark.parametrize("limit", [None, 5.0])
def test_extracting_a_patch_more_takes_no_more_than_its_features(pixels, limit):
    extracted(table_of(CHUNK), limit)
    peaks = [peak_bytes(extracted, table_of(n), limit) for n in (4000, 8000)]
    assert (peaks[1] - peaks[0]) / 4000 < 4 * WIDTH + 150


@pytest.mark.parametrize("turned", [False, True])
def test_each_rich_patch_has_its_own_features_whatever_is_left_out(pixels, turned):
    table = table_of(10_000).take(np.arange(5, 9995)[:: -1 if turned else 1])
    for limit in (None, 5.0, 6.5):
        found, seen = extracted(table, limit)
        wanted = table.take(BITS[table.cell % 3] >= (limit or 0))
        np.testing.assert_array_equal(found.table.cell, wanted.cell)
        np.testing.assert_array_equal(found.h, np.repeat(wanted.cell[:, None], WIDTH, axis=1))
        np.testing.assert_array_equal(found.e, -wanted.cell)
        np.testing.assert_array_equal(found.entropy, BITS[wanted.cell % 3])
        assert sorted(seen) == sorted(wanted.cell)


def test_what_was_kept_is_not_read_again_but_where_a_lower_limit_asks_for_it(pixels, tmp_path):
    entry = FeatureEntry(tmp_path / "kept")
    first, seen = extracted(table_of(300), 6.5, entry)
    assert len(seen) == len(first) == 100
    kept = entry.load(WIDTH)
    assert isinstance(kept, CachedFeatures)
    assert (len(kept), kept.scored.sum()) == (300, 100)
    assert not kept.h[~kept.scored].any()
    again, seen = extracted(table_of(600).take(np.arange(150, 600)), 5.0, entry)
    assert sorted(seen) == [c for c in range(150, 600) if (c >= 300 and c % 3 != 1) or c % 3 == 2]
    assert again.table.cell.tolist() == [c for c in range(150, 600) if c % 3 != 1]
    np.testing.assert_array_equal(again.h[:, 0], again.table.cell)
    _, seen = extracted(table_of(600).take(np.arange(150, 600)), 5.0, entry)
    assert seen == []
