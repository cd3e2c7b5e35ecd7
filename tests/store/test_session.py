"""The session file: what comes back is what was, and what cannot be used is refused and left alone."""

import base64
import json
import os
import sys
import zlib

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from session_samples import HOLED, PARTS, a_result, a_session, slide_info

from napari_aln.errors import StoreError
from napari_aln.records import PatchScores, Region
from napari_aln.store.packed_result import SavedRegion, pack_result, unpack_result
from napari_aln.store.session import (
    SavedCamera,
    SavedMask,
    SavedSlide,
    read_session,
    result_path,
    write_session,
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
    "newer": (lambda raw: raw.update(schema_version=3), "newer version"),
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
