"""A review as a session file holds it, with everything that must come back bit by bit."""

import hashlib
from pathlib import Path

import numpy as np
import shapely

from napari_aln.records import (
    BagPrediction,
    Clinical,
    Level,
    PatchGrid,
    PatchScores,
    PatchTable,
    Region,
    RunRecord,
    SlideInfo,
    SlideResult,
)
from napari_aln.settings.prediction import BagSettings, PredictSettings
from napari_aln.store.packed_result import SavedRegion, pack_result
from napari_aln.store.session import (
    SavedAnswer,
    SavedBundle,
    SavedCamera,
    SavedCase,
    SavedMap,
    SavedMask,
    SavedReview,
    SavedSlide,
    Session,
)

THIRD = 1 / 3
HOLED = Region(
    shapely.Polygon(
        [(0.1, 0.2), (900 + THIRD, 0), (900, 700.7), (0, 700)], [[(10, 10), (20, 10 + THIRD), (20, 20)]]
    ),
    "core 1 µm 切片",
    "tumour ROI",
    (200, 0, 7),
)
PARTS = Region(
    shapely.MultiPolygon([shapely.box(0, 0, 5, 5), shapely.box(7, 7, 9, 1e9 + THIRD)]),
    locked=True,
    in_use=False,
)


def slide_info(quick_hash="hash"):
    return SlideInfo(
        path=Path("a.svs"),
        vendor="aperio",
        reader="openslide",
        levels=(Level(4000, 3000, (1.0, 1.0)),),
        mpp=None,
        mpp_origin="missing",
        bounds=(0.0, 0.0, 4000.0, 3000.0),
        background_rgb=(255, 255, 255),
        quick_hash=quick_hash,
    )


def a_result(n=37, seed=0):
    rng = np.random.default_rng(seed)
    table = PatchTable(
        PatchGrid(256, 0.5, (256.0 * THIRD, 255.9), 20, 10),
        rng.integers(0, 20, n).astype(np.int32),
        rng.integers(0, 10, n).astype(np.int32),
        rng.random((n, 2)) if seed else None,
    )
    scores = PatchScores(
        table, rng.random(n) < 0.5, rng.random(n).astype(np.float32), *(rng.normal(size=n) for _ in range(5))
    )
    bags = BagPrediction((np.arange(10), np.arange(10, n)), 3, rng.random((2, 2)))
    record = RunRecord(
        run="dlcnbc-ws",
        mode="dlcnbc-ws",
        model_name="m",
        model_sha256="a" * 64,
        card_sha256="b" * 64,
        classes=("N0", "N(+)"),
        probabilities={"N0": 1 - THIRD, "N(+)": THIRD},
        bag_spread={"N0": 0.1, "N(+)": 0.1},
        prediction="N0",
        threshold=0.5,
        operating_point="argmax",
        default_map="attention_slide",
        n_patches=n,
        n_bags=2,
        n_partitions=3,
        bag_probabilities=((0.2, 0.8), (THIRD, 1 - THIRD)),
        seed=0,
        mpp_used=0.5,
        patch_px=256,
        clinical=None,
        clinical_filled={"er": True},
        settings={"a": 1},
        runtime="torch",
        device="cpu",
        precision="fp32",
        norm_statistics="running",
        seconds={"extract": 1.0},
    )
    runs = {"dlcnbc-ws": scores}
    return SlideResult(
        slide_info(), "slide-1", (record,), runs, {"dlcnbc-ws": bags}, (HOLED, PARTS), ("careful",)
    )


def a_session(tmp_path, **changes):
    rng = np.random.default_rng(0)
    content = pack_result(a_result())
    sha256 = hashlib.sha256(content).hexdigest()
    case = SavedCase(
        regions=(SavedRegion.of(HOLED), SavedRegion.of(PARTS)),
        clinical=Clinical(61.5, THIRD, er=True, pr=False, her2=None),
        settings=PredictSettings(bags=BagSettings(seed=7, partitions=3), fill_clinical=True),
    )
    session = Session(
        saved_at="2026-01-01T00:00:00+00:00",
        slide=SavedSlide(path=tmp_path / "a.svs", quick_hash="hash", mpp=(THIRD, 0.25), mpp_origin="user"),
        case=case,
        bundles=(
            SavedBundle(
                path=tmp_path / "m.alnmodel",
                sha256="a" * 64,
                card_sha256="b" * 64,
                mode="dlcnbc-ws",
                name="m",
            ),
        ),
        chosen=(0,),
        answers=(SavedAnswer(result_sha256=sha256, asked=case, bundles=(0,), mask_is_current=True),),
        shown=SavedMap(run="dlcnbc-ws", name="contribution", opacity=THIRD, scaling="rank", threshold=0.1),
        camera=SavedCamera(centre_l0_xy=(1234.5678 + THIRD, 1e-17), zoom=0.1 + 0.2),
        mask=SavedMask.of(rng.random((37, 51)) < 0.5, rng.random((37, 51)) < 0.1),
        hide_names=True,
        work_list=tmp_path / "l.alnlist",
        window={"split": [0.3, THIRD], "open": True},
    )
    return SavedReview(session.model_copy(update=changes), {sha256: content})
