"""What several rooms' tests share: a small drawn slide and cohort, small random bundles, an own cache."""

from __future__ import annotations

import gc
import zlib
from pathlib import Path

import numpy as np
import pytest
from tests_shared import drain, draw_tissue, why_no_window, write_random_bundle, write_slide

# pytest-qt needs Qt's libraries, which a machine without a display may lack: loaded only where windows open.
pytest_plugins = [] if why_no_window() else ["pytestqt.plugin"]
collect_ignore = ["widgets"] if why_no_window() else []

MOST_NETWORKS = 8


def pytest_addoption(parser):
    parser.addoption("--hostile", metavar="N", help="how many damaged files tests/hostile opens")
    parser.addoption("--soak", metavar="N", help="how many actions the long walk through the window does")
    parser.addoption("--soak-seed", metavar="SEED", help="by which they are drawn")


def pytest_report_header():
    return f"tests/widgets are left out: {why_no_window()}" if why_no_window() else None


def pytest_collection():
    gc.disable()


def pytest_collection_finish():
    """Take what the modules brought out of the search for unused cycles, made wherever a window closes."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Keep tests out of the user's cache, memory and napari settings."""
    monkeypatch.setenv("NAPARI_ALN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NAPARI_ALN_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("NAPARI_CONFIG", str(tmp_path / "napari" / "settings.yaml"))


@pytest.fixture(autouse=True, scope="session")
def _networks_made_ready_once():
    """Keep the networks of models that were made ready: it takes a second, and tests share few models."""
    from napari_aln.workflows.slide.networks import Engine

    kept, compile_ = {}, Engine.compile

    def compile_once(engine, bundle):
        key = bundle.sha256, bundle.card_sha256, engine
        network = kept.pop(key, None) or compile_(engine, bundle)
        kept[key] = network
        if len(kept) > MOST_NETWORKS:
            del kept[next(iter(kept))]
        return network

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "compile", compile_once)
        yield


@pytest.fixture(scope="session")
def tissue_slide(tmp_path_factory) -> Path:
    return write_slide(tmp_path_factory.mktemp("slide") / "case 1.tif", draw_tissue(np.random.default_rng(3)))


@pytest.fixture(scope="session")
def roi_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("roi") / "roi.geojson"
    ring = "[[700,500],[2100,500],[2100,1500],[700,1500],[700,500]]"
    path.write_text('{"type": "Polygon", "coordinates": [' + ring + "]}")
    return path


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory):
    """Return a maker of small bundles with seeded random weights."""
    folder = tmp_path_factory.mktemp("bundles")

    def make(mode: str = "dlcnbc-ws", seed: int = 0, **card_fields: object) -> Path:
        path = folder / f"{mode}-{seed}-{zlib.crc32(repr(sorted(card_fields.items())).encode())}.alnmodel"
        return path if path.exists() else write_random_bundle(path, mode, seed, **card_fields)

    return make


@pytest.fixture(scope="session")
def ws_bundle(make_bundle) -> Path:
    return make_bundle("dlcnbc-ws")


@pytest.fixture(scope="session")
def roi_bundle(make_bundle) -> Path:
    return make_bundle("dlcnbc", seed=1)


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory) -> Path:
    """Return the table of eight synthetic patients: four to train on, two to choose on, two to test."""
    from napari_aln.cohort.synthesize import synthesize
    from napari_aln.settings.cohorts import SynthesizeSettings

    small = SynthesizeSettings(
        core_width_um=(400, 450), core_length_um=(700, 800), train_share=0.5, val_share=0.25
    )
    return drain(synthesize(tmp_path_factory.mktemp("tiny") / "cohort", 8, 1, small))
