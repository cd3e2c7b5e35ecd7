"""JPEG decoded on the device, from chunks to a prediction: as the processor would have it, and said so."""

import numpy as np
import torch
from device_doubles import DeviceNetwork, Full, StandIn
from tests_shared import MPP, drain

from napari_aln import open_slide
from napari_aln.geometry import Rect
from napari_aln.mil.bundle import open_bundle
from napari_aln.patches.grid import patch_grid
from napari_aln.records import PatchTable
from napari_aln.runtimes.choice import Choice
from napari_aln.settings.engine import EngineSettings
from napari_aln.store.features import FeatureCache
from napari_aln.workflows import predict as job
from napari_aln.workflows.slide import device_patches as module
from napari_aln.workflows.slide import networks
from napari_aln.workflows.slide.decode import decoded, join_pixels
from napari_aln.workflows.slide.device_patches import device_patches
from napari_aln.workflows.slide.extract import Want, extract


def table_of(slide, patch_px=128):
    grid = patch_grid(slide.info.size_px, slide.info.mpp, patch_px, MPP)
    cells = np.arange(grid.columns * grid.rows)
    return PatchTable(grid, (cells % grid.columns).astype(np.int32), (cells // grid.columns).astype(np.int32))


def test_chunks_come_as_tensors_and_hold_what_reading_gives(jpeg_slide):
    table = table_of(jpeg_slide)
    patches = device_patches(jpeg_slide, (1.0, 1.0), StandIn())
    device = list(decoded(jpeg_slide, table, None, threads=3, chunk=4, on_device=patches))
    host = list(decoded(jpeg_slide, table, None, threads=1, chunk=4))
    assert all(isinstance(chunk.pixels, torch.Tensor) and chunk.entropy is None for chunk in device)
    for ours, theirs in zip(device, host, strict=True):
        np.testing.assert_array_equal(ours.rows, theirs.rows)
        np.testing.assert_array_equal(ours.pixels, theirs.pixels)


def test_out_of_memory_leaves_the_patches_to_the_processor(jpeg_slide):
    patches = device_patches(jpeg_slide, (1.0, 1.0), Full())
    assert patches.read([Rect(0, 0, 128, 128)], 128) is None
    table = table_of(jpeg_slide)
    chunks = list(decoded(jpeg_slide, table, None, threads=2, chunk=4, on_device=patches))
    host = list(decoded(jpeg_slide, table, None, threads=1, chunk=4))
    for ours, theirs in zip(chunks, host, strict=True):
        assert isinstance(ours.pixels, np.ndarray)
        np.testing.assert_array_equal(ours.pixels, theirs.pixels)


def test_pixels_of_both_kinds_are_joined():
    array = np.arange(2 * 3 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3, 3)
    tensor = torch.from_numpy(array + 100)
    assert isinstance(join_pixels([array, array]), np.ndarray)
    assert isinstance(join_pixels([tensor, tensor]), torch.Tensor)
    np.testing.assert_array_equal(join_pixels([array, tensor]), np.concatenate([array, array + 100]))


def test_features_equal_those_of_patches_that_went_up(tissue_slide, ws_bundle):
    bundle = open_bundle(ws_bundle)
    settings = EngineSettings(batch=8, decode_threads=2)
    with open_slide(tissue_slide) as slide:
        table = table_of(slide, 256).take(np.arange(30, 50))
        patches = device_patches(slide, (1.0, 1.0), StandIn())
        found = []
        for on_device in (None, patches):
            network = DeviceNetwork(bundle)
            wants = [Want(lambda network=network: network, table, 256)]
            found += drain(extract(slide, wants, None, settings, on_device)).features
            assert network.kinds == {torch.Tensor if on_device else np.ndarray}
    for name in ("h", "e", "entropy"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))


def test_only_patches_that_stay_as_read_may_come_from_a_device(tissue_slide, ws_bundle, monkeypatch):
    bundle = open_bundle(ws_bundle)
    monkeypatch.setattr(module, "_shared_decoder", StandIn)
    cuda = Choice("torch", "cuda", "fp32")
    with open_slide(tissue_slide) as slide:
        engine = networks.Engine(cuda, EngineSettings(), None)
        assert engine.device_patches(slide, bundle.card).decoder_name == "stand-in"
        never = networks.Engine(cuda, EngineSettings(jpeg_decoding="cpu"), None)
        assert never.device_patches(slide, bundle.card) is None
        assert networks.engine_for(bundle, EngineSettings()).device_patches(slide, bundle.card) is None
        keys = {engine.key(bundle, slide.info, name).reader for name in ("cpu", "stand-in")}
        assert keys == {"openslide+tiles", "openslide+tiles+stand-in"}


def test_a_prediction_decodes_on_the_device_and_says_so(tissue_slide, ws_bundle, monkeypatch, tmp_path):
    bundle = open_bundle(ws_bundle)
    network = DeviceNetwork(bundle)
    monkeypatch.setattr(module, "_shared_decoder", StandIn)

    class OnDevice(networks.Engine):
        def compile(self, bundle):
            return network

    engine = OnDevice(Choice("torch", "cpu", "fp32"), EngineSettings(), None)
    monkeypatch.setattr(job, "engine_for", lambda bundle, settings: engine)
    cache = FeatureCache(tmp_path)
    with open_slide(tissue_slide) as slide:
        request = job.Request([bundle], settings=job.PredictSettings(fill_clinical=True), cache=cache)
        result = drain(job.predict_slide(slide, request, job.survey(slide)))
        kept = cache.entry(engine.key(bundle, slide.info, "stand-in"))
    assert network.kinds == {torch.Tensor}
    assert result.runs[0].jpeg_decoder == "stand-in"
    assert len(kept.load(256)) > 0
