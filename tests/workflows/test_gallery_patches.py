"""The gallery's patches by hand, and what is written of them."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from map_scores import GRID, scores_of
from PIL import Image
from tests_shared import collect, drain

from napari_aln import open_slide
from napari_aln.errors import SlideError, StoreError
from napari_aln.geometry import Rect
from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE, RunRecord
from napari_aln.workflows.results.gallery import PATCHES_CSV, Ranking, export_patches, ranked
from napari_aln.workflows.results.top_patches import read_patches
from napari_aln.workflows.review import steps
from napari_aln.workflows.slide.maps import from_the_bottom, hotspots_of

NAN = np.nan


def run_of(name="=HYPERLINK(1) model−1"):
    nothing = dict.fromkeys(RunRecord.__dataclass_fields__)
    known = {"run": "dlcnbc-ws", "model_name": name, "model_sha256": "ab" * 32, "card_sha256": "cd" * 32}
    known |= {"seed": 4, "n_bags": 12, "settings": {"bags": {"seed": 4}}}
    return RunRecord(**nothing | known | {"runtime": "torch", "device": "cpu", "precision": "fp32"})


RANKING = Ranking(
    "attention_slide",
    "attention over the slide",
    "x uniform",
    (run_of(),),
    "as run",
    "slide-12ab",
    "12abcdef",
)


def places(patches):
    return [patch.l0_rect[:2] for patch in patches]


def test_both_ends_with_ties_signs_and_patches_without_a_value():
    scores = scores_of(range(6), contribution=[0.5, -2.0, NAN, 1.0, -2.0, 1.0], probability=[0.1] * 6)
    highest, lowest = ranked(scores.table, scores.contribution, scores, 3)
    assert [(p.end, p.rank, p.value) for p in highest] == [
        ("highest", 1, 1),
        ("highest", 2, 1),
        ("highest", 3, 0.5),
    ]
    assert [(p.end, p.rank, p.value) for p in lowest] == [
        ("lowest", 1, -2),
        ("lowest", 2, -2),
        ("lowest", 3, 0.5),
    ]
    assert places(highest) == [(300, 0), (100, 100), (0, 0)]  # equal ones in the table's order
    assert places(lowest) == [(100, 0), (0, 100), (0, 0)]
    assert highest[0].l0_rect == Rect(300, 0, 100, 100)
    assert highest[0].weights["contribution"] == 1.0
    assert highest[0].weights["probability"] == 0.1
    assert math.isnan(highest[0].weights["attention_slide"])
    assert ranked(scores.table, np.full(6, NAN), scores, 3) == ((), ())
    assert ranked(scores.table, scores.contribution, scores, 0) == ((), ())
    assert [len(end) for end in ranked(scores.table, scores.contribution, scores, 99)] == [5, 5]
    np.testing.assert_array_equal(from_the_bottom(np.array([2.0, NAN, 1.0, 1.0])), [2, 3, 0])
    np.testing.assert_array_equal(hotspots_of(np.array([0.5, -2.0, NAN]), 9, signed=True), [1, 0])


def test_weights_of_another_table_are_those_of_the_same_cell():
    scores = scores_of([9, 2, 5, 7], probability=[0.9, 0.2, 0.5, 0.7])
    shared = scores.table.take(np.array([2, 0]))
    highest, _ = ranked(shared, np.array([1.0, -1.0]), scores, 2)
    assert [p.weights["probability"] for p in highest] == [0.5, 0.9]
    assert places(highest) == [(100, 100), (100, 200)]


def test_patches_off_the_grid_lie_where_their_box_does():
    corners = np.array([[10.5, 20.25], [10.5, 20.25], [7.0, 3.0]])
    scores = scores_of([0, 1, 0], GRID, corners, probability=[0.1, 0.9, 0.5])
    highest, _ = ranked(scores.table, scores.probability, scores, 3)
    assert places(highest) == [(110.5, 20.25), (7, 3), (10.5, 20.25)]


@pytest.fixture
def slide(tissue_slide):
    with open_slide(tissue_slide) as slide:
        yield slide


@pytest.fixture
def chosen():
    scores = scores_of(
        [0, 5, 11],
        replace(GRID, step_l0=(256.4, 255.6)),
        np.array([[500.0, 400.0]] * 3),
        attention_slide=[2.5, 0.5, NAN],
        contribution=[-0.25, 0.125, 0.0],
    )
    highest, lowest = ranked(scores.table, scores.attention_slide, scores, 1)
    return [*highest, *lowest]


def test_patches_are_read_one_by_one_at_full_resolution(slide, chosen):
    steps_of, _ = collect(read_patches(slide, [p.l0_rect for p in chosen]))
    assert [(step.done, step.total) for step in steps_of] == [(1, 2), (2, 2)]
    assert [step.l0_rect for step in steps_of] == [p.l0_rect for p in chosen]
    np.testing.assert_array_equal(steps_of[0].rgb, slide.read_level(0, (500, 400), (256, 256)))
    np.testing.assert_array_equal(steps_of[1].rgb, slide.read_level(0, (756, 656), (256, 256)))
    slide.close()
    with pytest.raises(SlideError):
        next(read_patches(slide, [chosen[0].l0_rect]))


def test_an_export_holds_every_pixel_where_it_is_and_what_was_said_of_it(slide, chosen, tmp_path):
    seen, place = collect(export_patches(slide, slide.info.mpp, chosen, RANKING, tmp_path))
    assert [step.done for step in seen] == [1, 2]
    assert place == tmp_path / "slide-12ab-dlcnbc-ws-attention_slide-patches"
    with (place / PATCHES_CSV).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["highest-01-x500-y400.png", "lowest-01-x756-y656.png"]
    assert sorted(p.name for p in place.iterdir()) == sorted([PATCHES_CSV, *(row["file"] for row in rows)])
    first, second = rows
    assert [float(first[k]) for k in ("x_l0_px", "y_l0_px", "width_l0_px", "height_l0_px")] == [
        500,
        400,
        256.4,
        255.6,
    ]
    assert [float(first[k]) for k in ("x_um", "y_um", "width_um", "height_um")] == [250, 200, 128.2, 127.8]
    assert [float(second[k]) for k in ("x_l0_px", "y_um")] == pytest.approx([756.4, 327.8])
    assert [float(first[k]) for k in ("value", "attention_slide", "contribution")] == [2.5, 2.5, -0.25]
    assert first["probability"] == ""  # the run says nothing of it
    assert (first["mpp_x"], first["mpp_y"]) == ("0.5", "0.5")
    assert (first["slide"], first["run"], first["model_sha256"]) == ("slide-12ab", "dlcnbc-ws", "ab" * 32)
    assert (first["card_sha256"], first["seed"], first["bags"]) == ("cd" * 32, "4", "12")
    assert (first["made_on"], first["mpp_origin"]) == ("torch cpu fp32", "file")
    assert json.loads(first["settings"]) == [{"bags": {"seed": 4}}]
    assert f"numpy {np.__version__}" in first["program"]
    assert first["unit"] == "x uniform"
    assert first["state"] == "as run"
    assert first["notice"] == f"{RESEARCH_NOTICE} {ATTENTION_NOTICE}"
    assert not first["model"].startswith("=")  # no spreadsheet runs it
    with Image.open(place / first["file"]) as picture:
        np.testing.assert_array_equal(picture, slide.read_level(0, (500, 400), (256, 256)))
        assert picture.info["dpi"] == pytest.approx((50_800, 50_800))  # 2 000 000 px on a metre
        for name in ("x_l0_px", "x_um", "mpp_x", "value", "map", "model_sha256", "slide", "notice"):
            assert picture.info[name] == first[name]
        assert picture.info["model"] == "=HYPERLINK(1) model−1"
    for path in place.iterdir():
        assert b"case 1" not in path.read_bytes()  # the slide's file
        assert str(slide.info.path.parent).encode() not in path.read_bytes()


def test_an_earlier_export_stays(slide, chosen, tmp_path):
    first = drain(export_patches(slide, slide.info.mpp, chosen[:1], RANKING, tmp_path))
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    second = drain(export_patches(slide, slide.info.mpp, chosen, RANKING, tmp_path))
    assert second.name == f"{first.name}-2"
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before


def test_a_cancelled_or_refused_export_leaves_nothing(slide, chosen, tmp_path):
    work = export_patches(slide, slide.info.mpp, chosen, RANKING, tmp_path)
    next(work)
    work.close()
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "a file"
    file.write_text("x")
    with pytest.raises(StoreError):
        drain(export_patches(slide, slide.info.mpp, chosen, RANKING, file))
    assert file.read_text() == "x"
    slide.close()
    with pytest.raises(SlideError):
        drain(export_patches(slide, slide.info.mpp, chosen, RANKING, tmp_path))
    assert list(tmp_path.iterdir()) == [file]


def test_the_windows_steps_open_the_slide_for_themselves(slide, chosen, tmp_path):
    slide.close()
    seen, _ = collect(steps.read_patches(slide.info, [p.l0_rect for p in chosen]))
    assert [step.rgb.shape for step in seen] == [(256, 256, 3)] * 2
    place = drain(steps.save_patches(slide.info, chosen, RANKING, tmp_path))
    assert (place / PATCHES_CSV).is_file()
