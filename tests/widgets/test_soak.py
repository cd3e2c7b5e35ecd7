"""A long walk through the window leaves nothing behind: no thread, file, widget, process, and hardly memory.

`--soak N` does N actions, drawn by `--soak-seed`; without them there are few.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import soak
from soak_census import growth

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is open is read from /proc")


@pytest.mark.slow
def test_a_walk_through_the_window_leaves_nothing_behind(how_long, tmp_path):
    actions, seed = how_long
    out = tmp_path / "found.json"
    flags = f"--actions={actions}", f"--seed={seed}", f"--out={out}"
    told = subprocess.run(
        [sys.executable, "-X", "faulthandler", soak.__file__, *flags],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert out.exists(), f"seed {seed}: the walk ended after\n{told.stdout[-500:]}\n{told.stderr[-5000:]}"
    found = json.loads(out.read_text())
    assert soak.verdict(found) == [], f"seed {seed}:\n{told.stdout}"
    assert found["actions"] >= actions


def census(actions, **more):
    nothing = {what: {} for what in ("threads", "files", "widgets", "top_levels", "objects")}
    return {"actions": actions, "rss_mib": 800.0, "children": []} | nothing | more


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, None),
        ({"rss_mib": 839.0}, None),
        ({"rss_mib": 841.0}, "memory grew by 5.1%: 800 to 841 MiB"),
        ({"threads": {"aln-run": 1}}, "more threads: {'aln-run': 1}"),
        ({"files": {"/slides/case.tif": 2}}, "more files: {'/slides/case.tif': 2}"),
        ({"widgets": {"dock.ReviewDock": 1}}, "more widgets: {'dock.ReviewDock': 1}"),
        ({"children": ["python"]}, "more children: ['python']"),
    ],
)
def test_what_there_is_more_of_is_told(more, told):
    found = {"wrong": [], "warm_up": 100, "censuses": [census(50), census(100), census(500, **more)]}
    assert soak.verdict(found) == ([] if told is None else [told])


@pytest.mark.parametrize(
    ("rss_mib", "told"),
    [
        ([800, 840, 790, 830, 800, 845], []),
        ([800, 815, 810, 835, 830, 855], ["memory grew by 6.2%: 800 to 849 MiB"]),
    ],
)
def test_memory_that_comes_and_goes_is_told_from_memory_that_grows(rss_mib, told):
    walked = [census(100 + 80 * i, rss_mib=held) for i, held in enumerate(rss_mib)]
    assert soak.verdict({"wrong": [], "warm_up": 100, "censuses": walked}) == told


def test_what_went_wrong_on_the_way_is_told():
    found = {"wrong": ["7 undo: KeyError"], "warm_up": 100, "censuses": [census(100)]}
    assert soak.verdict(found) == ["7 undo: KeyError", "the walk was too short to be judged"]


@pytest.mark.parametrize(
    ("counts", "told"),
    [([3, 5, 3, 4, 5, 4], []), ([3, 4, 5, 6, 7, 8], ["more objects: {'aln.Slide': 1}"]), ([3, 9, 9], [])],
)
def test_objects_that_come_and_go_are_not_told(counts, told):
    kinds = "aln.Slide", soak.NAPARIS[0]
    walked = [census(100 + 50 * i, objects=dict.fromkeys(kinds, n)) for i, n in enumerate(counts)]
    assert soak.verdict({"wrong": [], "warm_up": 100, "censuses": walked}) == told


def test_growth_is_of_each_kind():
    assert growth({"a": 2, "b": 1}, {"a": 3, "c": 4}) == {"a": 1, "c": 4}
