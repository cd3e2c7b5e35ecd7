"""The CUDA path's own code, run on the CPU: patches go up as read, and are resized and weighed there."""

import numpy as np
import pytest
from device_doubles import DeviceNetwork
from tests_shared import drain

from napari_aln import open_slide
from napari_aln.mil.bundle import open_bundle
from napari_aln.mil.scoring import PatchScorer
from napari_aln.patches.grid import candidates, patch_grid
from napari_aln.settings.engine import EngineSettings
from napari_aln.settings.patches import PatchSettings
from napari_aln.store.features import FeatureCache
from napari_aln.workflows.slide import networks
from napari_aln.workflows.slide.decode import decoded
from napari_aln.workflows.slide.extract import Want, extract
from napari_aln.workflows.slide.prepare import survey

CLINICAL = np.array([0.1, -0.2, 1.0, 0.0, 1.0])


@pytest.fixture
def slide(tissue_slide):
    with open_slide(tissue_slide) as opened:
        yield opened


@pytest.fixture
def table(slide):
    seen = survey(slide)
    grid = patch_grid(slide.info.size_px, slide.info.mpp, 256, 0.5)
    every = candidates(grid, seen.mask, seen.downsample, PatchSettings())
    return every.take(np.arange(0, len(every), 2))


def test_device_resizing_changes_no_probability_by_a_thousandth(slide, table, ws_bundle):
    bundle = open_bundle(ws_bundle)
    settings = EngineSettings(batch=8)
    engine = networks.engine_for(bundle, settings)
    on_cpu = [Want(lambda: engine.compile(bundle), table, 256)]
    on_device = [Want(lambda: DeviceNetwork(bundle), table, 256)]
    (cpu,) = drain(extract(slide, on_cpu, 224, settings)).features
    (device,) = drain(extract(slide, on_device, None, settings)).features
    everything = [np.arange(len(table))]
    p_cpu, p_device = (
        PatchScorer(bundle.head, f.h, f.e).score_bags(everything, CLINICAL) for f in (cpu, device)
    )
    assert np.abs(p_cpu - p_device).max() < 1e-3
    np.testing.assert_allclose(cpu.entropy, device.entropy, atol=1e-5)


def test_entropy_from_the_device_filters_and_is_kept(slide, table, ws_bundle, tmp_path):
    bundle = open_bundle(ws_bundle)
    engine = networks.engine_for(bundle, EngineSettings())
    entry = FeatureCache(tmp_path).entry(engine.key(bundle, slide.info))
    entropy = np.concatenate([c.entropy for c in decoded(slide, table, 224, threads=1, chunk=9)])
    limit = float(np.median(entropy))
    wants = [Want(lambda: DeviceNetwork(bundle), table, 256, min_entropy_bits=limit, entry=entry)]
    (features,) = drain(extract(slide, wants, None, EngineSettings(batch=7))).features
    np.testing.assert_array_equal(features.table.cell, table.cell[entropy >= limit])
    again = [Want(lambda: pytest.fail("scored twice"), table, 256, min_entropy_bits=limit, entry=entry)]
    (cached,) = drain(extract(slide, again, None, EngineSettings())).features
    np.testing.assert_array_equal(cached.e, features.e)
