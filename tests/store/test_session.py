"""The session file and the autosave: what comes back is what was, and a killed process loses seconds."""

import base64
import dataclasses
import json
import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_aln.errors import StoreError
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
from napari_aln.settings import BagSettings, PredictSettings
from napari_aln.store import autosave
from napari_aln.store.autosave import Autosave, kept_path, recoverable
from napari_aln.store.packed_result import SavedRegion, pack_result, unpack_result
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
    read_session,
    result_path,
    write_session,
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
    shapely.MultiPolygon([shapely.box(0, 0, 5, 5), shapely.box(7, 7, 9, 1e9 + THIRD)]), locked=True
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


def assert_same_result(one, other):
    assert (one.runs, one.regions, one.alias, one.warnings) == (
        other.runs,
        other.regions,
        other.alias,
        other.warnings,
    )
    for run, scores in one.scores.items():
        again = other.scores[run]
        assert scores.table.grid == again.table.grid
        for name in PatchScores.__dataclass_fields__:
            if name != "table":
                np.testing.assert_array_equal(getattr(scores, name), getattr(again, name))
                assert getattr(scores, name).dtype == getattr(again, name).dtype
        np.testing.assert_array_equal(scores.table.l0_xy, again.table.l0_xy)
        assert (scores.table.origin_l0 is None) == (again.table.origin_l0 is None)
        for bag, bag_again in zip(one.bags[run].bags, other.bags[run].bags, strict=True):
            np.testing.assert_array_equal(bag, bag_again)
        np.testing.assert_array_equal(one.bags[run].probabilities, other.bags[run].probabilities)
        assert one.bags[run].partitions == other.bags[run].partitions


@pytest.mark.parametrize("seed", [0, 1])
def test_a_packed_result_comes_back_bit_by_bit(seed):
    result = a_result(seed=seed)
    assert_same_result(result, unpack_result(pack_result(result), slide_info()))


def test_a_packed_result_that_cannot_be_used_is_refused():
    content = pack_result(a_result())
    with pytest.raises(StoreError, match="another slide"):
        unpack_result(content, slide_info("other"))
    newer = content.replace(b'\\"version\\": 1', b'\\"version\\": 9')
    assert newer != content
    with pytest.raises(StoreError, match="newer version"):
        unpack_result(newer, slide_info())
    for broken in (b"", content[:200], content[:-50], b"\xff" * 300):
        with pytest.raises(StoreError, match="is damaged"):
            unpack_result(broken, slide_info())


def a_session(tmp_path, **changes):
    rng = np.random.default_rng(0)
    content = pack_result(a_result())
    import hashlib

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
        work_item=3,
        window={"split": [0.3, THIRD], "open": True},
    )
    return SavedReview(session.model_copy(update=changes), {sha256: content})


@pytest.mark.parametrize("embed", [True, False])
def test_a_session_comes_back_exactly(tmp_path, embed):
    saved = a_session(tmp_path)
    path = tmp_path / "deep" / "review.alnsession"
    write_session(saved, path, embed=embed)
    again = read_session(path)
    assert again == saved
    assert [region.region() for region in again.session.case.regions] == [HOLED, PARTS]
    for mask, original in zip(again.session.mask.masks(), saved.session.mask.masks(), strict=True):
        np.testing.assert_array_equal(mask, original)
    (result,) = again.results.values()
    assert_same_result(a_result(), unpack_result(result, slide_info()))
    assert (path.parent / "results").exists() is not embed


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e7, 1e7), min_size=4, max_size=4))
def test_outlines_and_camera_keep_every_bit(numbers):
    x, y, width, height = numbers
    region = Region(shapely.Polygon([(x, y), (x + abs(width) + 1, y), (x, y + abs(height) + 1)]))
    again = SavedRegion.model_validate(json.loads(SavedRegion.of(region).model_dump_json())).region()
    assert shapely.to_wkb(again.geometry) == shapely.to_wkb(region.geometry)
    camera = SavedCamera(centre_l0_xy=(x, y), zoom=width)
    assert SavedCamera.model_validate(json.loads(json.dumps(camera.model_dump(mode="json")))) == camera


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (64, 8)])
def test_masks_of_any_size_come_back(shape):
    tissue = np.random.default_rng(1).random(shape) < 0.5
    again, pen = SavedMask.of(tissue, ~tissue).masks()
    np.testing.assert_array_equal(again, tissue)
    np.testing.assert_array_equal(pen, ~tissue)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text there")
def test_a_path_that_is_no_text_comes_back(tmp_path):
    odd = tmp_path / os.fsdecode(b"slide-\xff.svs")
    slide = SavedSlide(path=odd, quick_hash="h", mpp=None, mpp_origin="missing")
    write_session(a_session(tmp_path, slide=slide), tmp_path / "s.alnsession")
    assert read_session(tmp_path / "s.alnsession").session.slide.path == odd


def change(path, edit):
    raw = json.loads(path.read_text())
    edit(raw)
    path.write_text(json.dumps(raw))


BAD = {
    "newer": (lambda raw: raw.update(schema_version=2), "newer version"),
    "field": (lambda raw: raw.update(extra=1), r"no session file \(extra"),
    "clinical": (lambda raw: raw["case"].update(clinical={"age_years": "old"}), "no session file"),
    "outline": (lambda raw: raw["case"]["regions"][0].update(wkb="AAAA"), "outline is damaged"),
    "base64": (lambda raw: raw["case"]["regions"][0].update(wkb="?"), "is damaged"),
    "line": (
        lambda raw: raw["case"]["regions"][0].update(
            wkb=base64.b64encode(shapely.to_wkb(shapely.LineString([(0, 0), (1, 1)]))).decode()
        ),
        "is no area",
    ),
    "mask": (lambda raw: raw["mask"].update(shape=[5, 5]), "another size"),
    "bomb": (
        lambda raw: raw["mask"].update(tissue=base64.b64encode(zlib.compress(bytes(10**7))).decode()),
        "another size",
    ),
    "place": (lambda raw: raw.update(chosen=[4]), "a model that it does not list"),
    "result": (lambda raw: raw["answers"][0].update(result_sha256="0" * 64), "result of .* is damaged"),
    "cut": (lambda raw: raw["answers"][0].update(packed="AAAA"), "result of .* is missing or damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_session_that_cannot_be_used_is_refused_and_left_alone(tmp_path, name):
    edit, told = BAD[name]
    path = tmp_path / "s.alnsession"
    write_session(a_session(tmp_path), path)
    change(path, edit)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=told) as caught:
        read_session(path)
    assert caught.value.next_step
    assert path.read_bytes() == before


def test_what_is_no_session_is_refused(tmp_path):
    path = tmp_path / "s.alnsession"
    with pytest.raises(StoreError, match="cannot be read"):
        read_session(path)
    for content in (b"", b"{", b"[]", b"\xff\xfe", b'{"schema_version": 1}'):
        path.write_bytes(content)
        with pytest.raises(StoreError, match="session file"):
            read_session(path)
    write_session(a_session(tmp_path), path, embed=False)
    result_path(tmp_path, a_session(tmp_path).session.answers[0].result_sha256).unlink()
    with pytest.raises(StoreError, match="is missing or damaged"):
        read_session(path)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def note_of(path):
    return read_session(path).session.window["note"]


def test_the_newest_state_is_never_more_than_the_interval_old(tmp_path):
    clock = Clock()
    saver = Autosave(tmp_path, interval_s=2.0, clock=clock)

    def changed(note):
        saver.changed("hash", lambda: a_session(tmp_path, window={"note": note}))

    changed(1)
    assert note_of(saver.path) == 1  # the first change at once
    clock.now += 1.0
    changed(2)
    changed(3)
    assert note_of(saver.path) == 1
    saver.tick()
    assert note_of(saver.path) == 1
    clock.now += 1.0
    saver.tick()
    assert note_of(saver.path) == 3
    before = saver.path.stat().st_mtime_ns
    clock.now += 10.0
    saver.tick()  # nothing changed: nothing is written
    assert saver.path.stat().st_mtime_ns == before
    assert recoverable(tmp_path) == ()  # this process runs


def test_a_result_is_written_once_however_often_the_review_changes(tmp_path):
    saver = Autosave(tmp_path, interval_s=0.0)
    saved = a_session(tmp_path)
    saver.changed("hash", lambda: saved)
    (result,) = (tmp_path / "results").iterdir()
    first = result.stat().st_mtime_ns, result.stat().st_ino
    saver.changed("hash", lambda: dataclasses.replace(saved))
    assert (result.stat().st_mtime_ns, result.stat().st_ino) == first
    assert len(saver.path.read_bytes()) < 20_000


def test_each_slide_keeps_its_last_state(tmp_path):
    saver = Autosave(tmp_path, interval_s=100.0)
    for slide, note in (("one", 1), ("one", 2), ("two", 3)):
        saver.changed(slide, lambda note=note: a_session(tmp_path, window={"note": note}))
    assert note_of(kept_path(tmp_path, "one")) == 2  # written when the next slide came, though not yet due
    assert note_of(saver.path) == 3
    saver.finish()
    assert note_of(kept_path(tmp_path, "two")) == 3
    assert not saver.path.exists()
    saver.changed("two", lambda: a_session(tmp_path))
    saver.discard()
    assert not saver.path.exists()
    saver.finish()
    assert note_of(kept_path(tmp_path, "two")) == 3


def test_a_state_that_could_not_be_written_is_tried_again(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    clock = Clock()
    saver = Autosave(blocked, interval_s=2.0, clock=clock)
    with pytest.raises(StoreError, match="could not be written"):
        saver.changed("hash", lambda: a_session(tmp_path))
    blocked.unlink()
    saver.tick()
    assert not saver.path.exists()  # not at every tick
    clock.now += 2.0
    saver.tick()
    assert saver.path.exists()


def test_old_slides_and_forsaken_results_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(autosave, "KEPT_SLIDES", 2)
    saver = Autosave(tmp_path, interval_s=0.0)
    old = time.time() - 200_000
    forsaken = result_path(tmp_path, "f" * 64)
    forsaken.parent.mkdir()
    forsaken.write_bytes(b"x")
    for age, slide in enumerate(("a", "b", "c")):
        saver.changed(slide, lambda: a_session(tmp_path))
        saver.finish()
        os.utime(kept_path(tmp_path, slide), (old + age, old + age))
    for path in forsaken.parent.iterdir():
        os.utime(path, (old, old))
    saver.changed("d", lambda: a_session(tmp_path))
    saver.finish()
    assert sorted(path.stem for path in tmp_path.glob("*.alnsession")) == ["c", "d"]
    assert not forsaken.exists()
    assert read_session(kept_path(tmp_path, "d")).results


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_session import a_session
from napari_aln.store.autosave import Autosave
folder = Path(sys.argv[1])
now = [0.0]
saver = Autosave(folder, clock=lambda: now[0])
for note in range(60):  # a change every half second, a tick every second, then the process dies
    now[0] = note / 2
    saver.changed("hash", lambda: a_session(folder, window={"note": note}))
    if note % 2:
        saver.tick()
os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
"""


def test_a_killed_process_loses_less_than_five_seconds_and_is_found_at_the_next_start(tmp_path):
    script = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    assert subprocess.run(script, check=False).returncode != 0
    (found,) = recoverable(tmp_path)
    assert (59 - note_of(found)) / 2 < 5.0
    assert read_session(found).results
    Autosave(tmp_path).changed("hash", lambda: a_session(tmp_path))
    assert recoverable(tmp_path) == (found,)  # not the one of the window that runs
